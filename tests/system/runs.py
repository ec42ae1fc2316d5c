"""Runs of the program whose summary or state a test looks at."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from tests.program import Finished, Program, finished

T = TypeVar("T")


def run(program: Program, *arguments: str | Path, code: int | None = 0) -> dict[str, Any]:
    """Return the summary of a run with --json that ends with this exit code; None: with any."""
    finished = program.run(*arguments, "--json")
    assert code in (None, finished.code), (finished.code, finished.stderr)
    summary: dict[str, Any] = finished.json
    return summary


def jobs(program: Program) -> list[dict[str, Any]]:
    """All jobs of the ledger, newest first."""
    listed: list[dict[str, Any]] = program.run("jobs", "--json").json
    return listed


def until(happened: Callable[[], T], process: subprocess.Popen[str] | None = None, seconds: float = 60) -> T:
    """Return the result of ``happened`` as soon as it is true; fail if ``process`` ends before."""
    end = time.monotonic() + seconds
    while not (seen := happened()):
        ended = process is not None and process.poll() is not None
        if ended and process is not None:
            raise AssertionError(f"it ended with {process.returncode} before: {process.communicate()}")
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.02)
    return seen


def end_of(process: subprocess.Popen[str], seconds: float = 120) -> Finished:
    """Return how a started run ends."""
    stdout, stderr = process.communicate(timeout=seconds)
    assert isinstance(process.args, list)
    return finished(process.args[2:], process.returncode, stdout, stderr)


def job_of(process: subprocess.Popen[str]) -> str:
    """Return the job's id as soon as a started import prints it on stderr."""
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("job "):
            return line.split()[1]
    raise AssertionError(f"it ended with {process.wait()} and named no job")


def all_in_place(counts: Mapping[str, int], rows: int) -> bool:
    """Return whether all rows are in place, including those whose answer was lost (unproven)."""
    return counts.keys() <= {"created", "updated", "unchanged"} and sum(counts.values()) == rows
