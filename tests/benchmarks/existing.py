"""A roster against an account that is full: memory and requests of the look, the plan and the import.

    python -m tests.benchmarks.existing --stored 1000000 --rows 100000

Of the rows nine in ten are stored as they are, one in twenty with another password, one in twenty not at all.
Prints what was measured and asserts counts, never a time. ``--within MB`` is what the program may take.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.program import Program
from tests.sandbox import ACCOUNT, SECRET, USER, Sandbox
from tests.system.mixed import host_of

_POST = 1000
"""Entries of one request that fills the account."""

_PAGE = 500
"""Entries of one page of a list."""


@dataclass(frozen=True)
class Run:
    """One command and what it took."""

    summary: dict[str, Any]
    seconds: float
    megabytes: float
    """The most memory that the process had."""
    requests: int
    """That the service saw."""


def main() -> None:
    """Fill the account, then plan, import and import again."""
    options = parsed()
    with tempfile.TemporaryDirectory() as folder:
        sandbox = Sandbox(Path(folder))
        try:
            measure(Program(Path(folder) / "home", sandbox.environment()), sandbox, options)
        finally:
            sandbox.close()


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="An import into an account that is full.")
    parser.add_argument("--stored", type=int, default=1_000_000)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--within", type=float, default=250.0, help="megabytes")
    return parser.parse_args()


def measure(program: Program, sandbox: Sandbox, options: argparse.Namespace) -> None:
    """Every step, one line each."""
    stored, rows = options.stored, options.rows
    began = time.monotonic()
    fill(sandbox, stored)
    print(f"{stored:,} stored in {time.monotonic() - began:.0f} s; roster of {rows:,} rows")
    roster = program.work / "staff.csv"
    write(roster, stored, rows)
    pages = -(-stored // _PAGE)
    new, other = rows // 20, rows // 20
    same = rows - new - other
    plan = run(program, sandbox, "plan", roster, "--on-existing", "update", "--results", "plan")
    assert plan.summary["counts"] == {"create": new, "update": other, "unchanged": same}, plan.summary
    assert plan.summary["absent"] == stored - same - other
    tell("plan", plan, pages, options.within)
    imported = run(program, sandbox, "import", roster, "--batch-size", "500")
    assert imported.summary["counts"] == {"created": new, "unchanged": same, "exists": other}, (
        imported.summary
    )
    tell("import", imported, pages, options.within)
    again = run(program, sandbox, "import", roster)
    assert again.summary["counts"] == {"unchanged": same + new, "exists": other}, again.summary
    tell("import again", again, pages, options.within)


def fill(sandbox: Sandbox, stored: int) -> None:
    """Store users from ext0 on, with the digests of their passwords."""
    host = host_of(sandbox)
    url = f"{sandbox.url}/api/v2/accounts/{ACCOUNT}/realms/office/sipcredentials"
    with (
        httpx.Client(auth=(USER, SECRET), trust_env=False, timeout=60) as client,
        ThreadPoolExecutor(2) as pool,
    ):

        def post(first: int) -> None:
            entries = "".join(entry(number, host) for number in range(first, min(first + _POST, stored)))
            body = f"<SipCredentials>{entries}</SipCredentials>".encode()
            client.post(url, content=body, headers={"Content-Type": "application/xml"}).raise_for_status()

        list(pool.map(post, range(0, stored, _POST)))


def entry(number: int, host: str) -> str:
    """One stored credential."""
    name, password = user(number)
    hash1 = hashlib.md5(f"{name}:{host}:{password}".encode(), usedforsecurity=False).hexdigest()
    hash1b = hashlib.md5(f"{name}@{host}:{host}:{password}".encode(), usedforsecurity=False).hexdigest()
    return (
        f"<SipCredential><UserName>{name}</UserName><Hash1>{hash1}</Hash1><Hash1b>{hash1b}</Hash1b>"
        "</SipCredential>"
    )


def user(number: int) -> tuple[str, str]:
    """Name and password."""
    return f"ext{number}", f"Pw-{number * 7919:08d}-xY"


def write(path: Path, stored: int, rows: int) -> None:
    """The roster, its users spread over the whole account."""
    with path.open("w", encoding="utf-8") as file:
        file.write("username,password\n")
        file.writelines(f"{name},{password}\n" for name, password in wanted(stored, rows))


def wanted(stored: int, rows: int) -> Iterator[tuple[str, str]]:
    """Of twenty rows one is new and one has another password."""
    step = stored // rows
    for row in range(rows):
        name, password = user(row * step)
        if row % 20 == 0:
            yield f"new{row}", password
        elif row % 20 == 1:
            yield name, f"{password}-other"
        else:
            yield name, password


def run(program: Program, sandbox: Sandbox, *arguments: str | Path) -> Run:
    """One command with --json; its memory as the kernel counted it."""
    before = requests(sandbox)
    began = time.monotonic()
    with (program.work / "out").open("w+b") as out, (program.work / "err").open("w+b") as err:
        command = [sys.executable, str(program.cli), *map(str, arguments), "--json"]
        process = subprocess.Popen(
            command,
            cwd=program.work,
            env=program.environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        assert process.returncode in (0, 10), err.read().decode()
        summary = json.loads(out.read())
    kilobytes = usage.ru_maxrss if sys.platform != "darwin" else usage.ru_maxrss / 1024
    return Run(summary, time.monotonic() - began, kilobytes / 1024, requests(sandbox) - before)


def requests(sandbox: Sandbox) -> int:
    """How many the service has seen."""
    return int(sandbox.control.get("health").json()["requests"])


def tell(what: str, run: Run, pages: int, within: float) -> None:
    """One line, and whether it keeps to its bounds."""
    print(
        f"{what:<13} {run.seconds:7.1f} s  {run.megabytes:6.0f} MB  {run.requests:6,} requests "
        f"({pages:,} pages)  {run.summary.get('counts')}"
    )
    assert run.megabytes <= within, f"{run.megabytes:.0f} MB, and {within:.0f} are allowed"


if __name__ == "__main__":
    main()
