"""Retention as users see it: until when passwords are kept, what is said then, and what a purge keeps."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.program import Program
from tests.system.rosters import roster_of, users
from tests.system.runs import run

PAST = 1_700_000_000
"""Epoch seconds of a moment in 2023."""


@pytest.fixture(autouse=True)
def ledger_file(office: Program) -> Path:
    """The file of the ledger, beside the rosters."""
    file = office.work / "ledger.db"
    office.environment["SIPROSTER_LEDGER"] = f"sqlite:///{file}"
    return file


def change(office: Program, statement: str, *values: Any) -> None:
    """Change a row of the ledger, as if time had passed."""
    with closing(sqlite3.connect(office.work / "ledger.db")) as connection, connection:
        assert connection.execute(statement, values).rowcount >= 1


def stopped(office: Program) -> tuple[str, Path]:
    """Return a job that was stopped before it sent anything, and its roster."""
    roster = roster_of(office.work / "staff.csv", users(3, 0))
    with roster.open("a", encoding="utf-8") as file:
        file.write("bad name,Tb7xQ2mK9rL4vN8s\n")
    return run(office, "import", roster, "--max-failed", "0", code=11)["job"], roster


def test_a_job_that_can_not_be_resumed_any_more(office: Program) -> None:
    """Status says until when; afterwards resume and retry say what happened and what to type."""
    job, roster = stopped(office)
    until = run(office, "status", job)["resumable_until"]
    shown = f"its passwords are kept until {until[:10]} {until[11:16]}Z; after that it can't be resumed"
    assert shown in office.run("status", job).stdout
    change(office, "UPDATE jobs SET expires = ? WHERE id = ?", PAST, job)
    resumed = office.run("resume", job)
    assert resumed.code == 4
    assert f"job {job} can't be resumed any more: its passwords were kept until 2023-11-14" in resumed.stderr
    assert f"siproster retry {job} --roster FILE" in resumed.stderr
    status = office.run("status", job).stdout
    assert "expired: its passwords were kept until 2023-11-14" in status
    assert (
        f"the passwords of rows that are not in place are shredded: siproster retry {job} --roster" in status
    )
    retried = office.run("retry", job, "--yes")
    assert (retried.code, "30 days, in which the job was not resumed" in retried.stderr) == (6, True)
    assert run(office, "retry", job, "--roster", roster, code=10)["counts"] == {"created": 3, "invalid": 1}


def test_a_plan_that_has_expired(office: Program) -> None:
    """A saved plan that nobody carried out in time says so, and can't be carried out."""
    roster = roster_of(office.work / "staff.csv", users(2, 0))
    plan = run(office, "plan", roster, "--save")["plan"]
    assert "the plan is kept until 20" in office.run("status", plan).stdout
    change(office, "UPDATE jobs SET expires = ? WHERE id = ?", PAST, plan)
    finished = office.run("import", "--plan", plan, "--yes")
    assert finished.code == 4
    assert f"plan {plan} has expired: its passwords were kept until 2023-11-14" in finished.stderr
