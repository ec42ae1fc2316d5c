"""``make bench``: speed, CPU and memory beside a hand-written script, in one run.

    make bench                          some ten minutes
    make bench ARGS=--full              up to 1,000,000 rows, half an hour
    make bench ARGS="--only import,plan --rounds 1"

Prints a table; writes it, the records as JSON and a plot into docs/benchmarks (``--out``). It asserts what
the imports came to, and never a time.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from dataclasses import replace
from pathlib import Path

from tests.benchmarks import report
from tests.benchmarks.cases import DEFAULT, FULL, QUICK, SECTIONS, Record, Sizes
from tests.benchmarks.plot import drawing
from tests.benchmarks.rig import ROOT, Rig


def main() -> None:
    """Run the sections that are asked for."""
    given = _parsed()
    facts = report.machine()
    if os.getloadavg()[0] > (os.cpu_count() or 1) / 2:
        print(f"the machine is busy (load {os.getloadavg()[0]:.1f}): trust CPU time, not seconds")
    records: list[Record] = []
    with tempfile.TemporaryDirectory(prefix="siproster-bench-") as folder:
        rig = Rig(Path(folder))
        try:
            for section in given.only:
                for record in SECTIONS[section](rig, _sizes(given)):
                    records.append(record)
                    print(_line(record), flush=True)
            facts |= report.servers(rig)
        finally:
            rig.close()
    report.write(given.out, records, facts, drawing(records))
    print(report.as_text(records))
    print(f"\nwritten to {given.out}")


def _parsed() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(prog="make bench", description="Speed beside a hand-written script.")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--full", action="store_true", help="up to 1,000,000 rows")
    size.add_argument("--quick", action="store_true", help="some seconds each: to see that it works")
    parser.add_argument("--only", type=_sections, default=list(SECTIONS), metavar="SECTION,…",
                        help=f"of {', '.join(SECTIONS)}")  # fmt: skip
    parser.add_argument("--rows", type=_numbers, help="rows of the imports: 10000,100000")
    parser.add_argument("--rounds", type=int, help="how often each import is measured")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "benchmarks")
    return parser.parse_args()


def _sizes(given: argparse.Namespace) -> Sizes:
    sizes = FULL if given.full else QUICK if given.quick else DEFAULT
    return replace(sizes, rows=given.rows or sizes.rows, rounds=given.rounds or sizes.rounds)


def _sections(text: str) -> list[str]:
    names = text.split(",")
    if unknown := [name for name in names if name not in SECTIONS]:
        raise argparse.ArgumentTypeError(f"no section {unknown[0]}; there are {', '.join(SECTIONS)}")
    return names


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in text.split(","))


def _line(record: Record) -> str:
    """Return what is told of a record while the run goes on."""
    batch = f", batch {record.batch}" if record.batch else ""
    speed = f", {record.rows_per_second:,.0f} rows/s" if record.rows_per_second else ""
    return f"{record.section}: {record.what}, {record.rows:,} rows{batch}: {record.seconds:.2f} s{speed}"


if __name__ == "__main__":
    main()
