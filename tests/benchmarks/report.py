"""The records of a run as a table, as JSON, and as a page for docs/benchmarks."""

from __future__ import annotations

import datetime as dt
import importlib.metadata
import json
import os
import platform
import re
import statistics
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil

from tests.benchmarks.cases import Record
from tests.benchmarks.rig import SCRIPT, Rig

_LIBRARIES = ("celery", "httpx", "lxml", "SQLAlchemy", "psycopg", "redis", "cryptography")

_TITLES = {
    "service": "The service's stand-in by itself",
    "import": "Imports, zero latency",
    "latency": "Imports, 200 ms a request, 8 requests in flight in all",
    "plan": "Plans, and an account that is full (rows: entries stored)",
    "again": "The same roster again",
    "commands": "Small commands",
    "pace": "A rate limit of the service",
}
_GROWTH = "Growth of an import"
_COLUMNS = ("what", "rows", "batch", "seconds", "rows/s", "of script", "CPU µs/row", "stores", "service",
            "MB", "MB worker", "requests", "of limit", "429")  # fmt: skip


def machine() -> dict[str, Any]:
    """Return what the figures depend on: processor, cores, memory, system, versions."""
    version = re.search(r'__version__ = "(.+)"', Path("worker/__init__.py").read_text("utf-8"))
    return {
        "date": dt.datetime.now(dt.UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9),
        "system": f"{platform.system()} {platform.release()}",
        "load": [round(load, 1) for load in os.getloadavg()],
        "python": platform.python_version(),
        "siproster": version[1] if version else "",
        "commit": _printed("git", "rev-parse", "--short", "HEAD"),
        **{name.lower(): importlib.metadata.version(name) for name in _LIBRARIES},
    }


def servers(rig: Rig) -> dict[str, str]:
    """Return the versions of the servers that were used."""
    found = {}
    if "redis" in rig.__dict__:
        found["redis_server"] = _version(_printed(rig.redis.command[0], "--version"))
    if "postgres" in rig.__dict__:
        found["postgresql"] = _version(_printed(rig.postgres.command[0], "--version"))
    return found


def ratio(record: Record, records: Sequence[Record]) -> float | None:
    """Return the record's speed as a share of the script's in the same round, or None if there is none."""
    for other in records:
        if other.what == SCRIPT.name and _case(other) == _case(record) and other.round == record.round:
            return other.seconds / record.seconds
    return None


def tables(records: Sequence[Record]) -> list[tuple[str, list[list[str]]]]:
    """Return each section's title and rows, the header first; the rounds of a case are one row, their median.

    Columns that say nothing in a section are left out of it.
    """
    cases: dict[tuple[object, ...], list[Record]] = {}
    for record in records:
        cases.setdefault((*_case(record), record.what), []).append(record)
    sections: dict[str, list[list[str]]] = {}
    for rounds in cases.values():
        sections.setdefault(rounds[0].section, []).append(_cells(rounds, records))
    found = [(_TITLES[section], _used([list(_COLUMNS), *rows])) for section, rows in sections.items()]
    growing = _growth([record for record in records if record.section == "import"])
    if growing:
        found.append((_GROWTH, [["what", "batch", "rows", "times the rows", "times the seconds"], *growing]))
    return found


def _growth(records: Sequence[Record]) -> list[list[str]]:
    """Return how the seconds of an import grow with its rows: from each size to the next, by medians."""
    seconds: dict[tuple[str, int | None], dict[int, list[float]]] = {}
    for one in records:
        seconds.setdefault((one.what, one.batch), {}).setdefault(one.rows, []).append(one.seconds)
    found = []
    for (what, batch), sizes in seconds.items():
        for small, large in pairwise(sorted(sizes)):
            grown = statistics.median(sizes[large]) / statistics.median(sizes[small])
            found.append([what, str(batch), f"{large:,}", f"{large / small:g}", f"{grown:.1f}"])
    return found


def _used(rows: list[list[str]]) -> list[list[str]]:
    used = [at for at in range(len(rows[0])) if any(row[at] for row in rows[1:])]
    return [[row[at] for at in used] for row in rows]


def as_text(records: Sequence[Record]) -> str:
    """Return the tables for a terminal."""
    parts = []
    for title, rows in tables(records):
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        parts.append(f"\n{title}")
        parts += ["  ".join([row[0].ljust(widths[0]), *_right(row[1:], widths[1:])]) for row in rows]
    return "\n".join(parts)


def write(folder: Path, records: Sequence[Record], facts: dict[str, Any], drawing: str) -> None:
    """Write ``results.json``, ``results.svg`` and ``README.md`` with the tables."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {"machine": facts, "records": [_compact(record) for record in records]}
    (folder / "results.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    (folder / "results.svg").write_text(drawing, encoding="utf-8")
    (folder / "README.md").write_text(_page(records, facts), encoding="utf-8")


def _page(records: Sequence[Record], facts: dict[str, Any]) -> str:
    parts = [_INTRODUCTION, "## Machine and versions\n"]
    parts.append(", ".join(f"{name.replace('_', ' ')} {value}" for name, value in facts.items()) + "\n")
    parts.append("![rows a second, and memory, by the number of rows](results.svg)\n")
    for title, (header, *rows) in tables(records):
        parts.append(f"## {title}\n")
        parts.append(_row(header))
        parts.append(_row(["---", *["---:"] * (len(header) - 1)]))
        parts += [_row(row) for row in rows]
        parts.append("")
    return "\n".join(parts)


_INTRODUCTION = """# Benchmarks

Written by `make bench`. Every program imports the same roster in the same run, one after the other, in
several rounds; a line is the median of its rounds, and *of script* the median of the ratios within a round.
Trust ratios and CPU time: seconds depend on what else the machine does.

- *script*: a script as one writes it by hand (`tests/benchmarks/script.py`): asyncio, httpx, 8 requests in
  flight, no checks, no ledger, no second try.
- *seconds*: the whole command with its start-up and its result files. Workers are running before it starts.
- *CPU µs/row*: user and system time of the command and all workers. *stores*: of Redis and PostgreSQL;
  *service*: of the service's stand-in (`tests/benchmarks/server.py`).
- *MB*: peak resident memory of the command; *MB worker*: of the largest worker process.
- *of limit*: share of what the service's latency or its rate limit allows, once under way.
- PostgreSQL runs with fsync on.
"""


def _case(record: Record) -> tuple[object, ...]:
    return record.section, record.rows, record.batch, record.latency_ms


def _cells(rounds: Sequence[Record], records: Sequence[Record]) -> list[str]:
    """Return one line of the table: the medians of a case's rounds."""
    one = rounds[0]
    ratios = _known(ratio(record, records) for record in rounds if record.what != SCRIPT.name)
    return [
        one.what,
        f"{one.rows:,}" if one.rows else "",
        _shown((record.batch for record in rounds), "d"),
        _shown((record.seconds for record in rounds), ".2f"),
        _shown((record.rows_per_second for record in rounds), ",.0f"),
        _shown(ratios, ".2f"),
        _shown((record.cpu_us_per_row for record in rounds), ".1f"),
        _shown((record.stores_cpu_us_per_row for record in rounds), ".1f", least=0.05),
        _shown((record.service_cpu_us_per_row for record in rounds), ".1f", least=0.05),
        _shown((record.command_mb for record in rounds), ".0f"),
        _shown((record.worker_mb for record in rounds), ".0f"),
        _shown((record.requests for record in rounds), ",.0f"),
        _shown((record.of_limit for record in rounds), ".1%"),
        _shown((record.refused for record in rounds), ".1%"),
    ]


def _shown(values: Iterable[float | None], form: str, least: float = 0.0) -> str:
    known = _known(values)
    middle = statistics.median_low(known) if known else None
    return "" if middle is None or middle < least else format(middle, form)


def _known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _right(cells: Sequence[str], widths: Sequence[int]) -> list[str]:
    return [cell.rjust(width) for cell, width in zip(cells, widths, strict=True)]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _compact(record: Record) -> dict[str, Any]:
    """Return what applies, rounded to what was measured."""
    facts = {name: value for name, value in asdict(record).items() if value not in (None, ())}
    return {name: round(value, 4) if isinstance(value, float) else value for name, value in facts.items()}


def _processor() -> str:
    try:
        found = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
    except OSError:
        found = None
    return found[1] if found else platform.processor() or platform.machine()


def _version(text: str) -> str:
    found = re.search(r"\d+(\.\d+)+", text)
    return found[0] if found else text


def _printed(*command: str) -> str:
    """Return the first line that a command prints, or nothing where it can't be run."""
    try:
        finished = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return finished.stdout.partition("\n")[0]
