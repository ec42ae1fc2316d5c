"""Retention as users see it: until when passwords are kept, what is said then, and what a purge keeps."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.program import Program
from tests.system.rosters import roster_of, users
from tests.system.runs import end_of, run, until

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
    roster = roster_of(office.work / "staff.csv", users(3, 50))
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


def age(office: Program, job: str, days: float) -> None:
    """Let a job have ended so many days ago."""
    change(office, "UPDATE jobs SET finished = ? WHERE id = ?", time.time() - days * 86_400, job)


def test_purge_by_age(office: Program) -> None:
    """Durations in days and hours, a bare number is days; the newest ones and resumable ones stay."""
    jobs = [
        run(office, "import", roster_of(office.work / "staff.csv", users(1, number)))["job"]
        for number in range(3)
    ]
    other, _ = stopped(office)
    for job, days in zip((*jobs, other), (3.0, 2.5, 2.0, 9.0), strict=True):
        age(office, job, days)
    purge = ("jobs", "purge", "--yes", "--older-than")
    assert run(office, *purge, "4")["removed"] == []
    kept = office.run(*purge, "1d", "--keep-last", "4")
    assert "0 jobs removed" in kept.stderr
    assert f"not removed, since they can still be resumed: {other}; to remove one, name it" in kept.stderr
    assert run(office, *purge, "1d", "--keep-last", "3")["removed"] == [jobs[0]]
    assert run(office, *purge, "2.2d")["removed"] == [jobs[1]]
    assert run(office, *purge, "12h") == {"removed": [jobs[2]], "resumable": [other]}
    assert run(office, "jobs", "purge", "--yes", other)["removed"] == [other]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--older-than", "3 months"], "a duration in days or hours, such as 90d or 12h"),
        (["--older-than", "-1d"], "a duration in days or hours"),
        (["--older-than", "inf"], "a duration in days or hours"),
        (["--keep-last", "3"], "name the jobs, or use --older-than DURATION"),
        (["latest", "--keep-last", "3"], "--keep-last can't be used with named jobs"),
        (["latest", "--older-than", "3d"], "name the jobs, or use --older-than DURATION"),
    ],
)
def test_what_a_purge_refuses(office: Program, words: list[str], told: str) -> None:
    """A duration that isn't one, and options that don't go together, remove nothing."""
    job = run(office, "import", roster_of(office.work / "staff.csv", users(1)))["job"]
    finished = office.run("jobs", "purge", "--yes", *words)
    assert (finished.code, told in finished.stderr) == (6, True), finished.stderr
    assert run(office, "status", job)["job"] == job


def test_the_scheduler_removes_old_jobs(office: Program, redis_url: str) -> None:
    """`retention` in siproster.toml is carried out by the scheduler, and the log says how many jobs."""
    jobs = [
        run(office, "import", roster_of(office.work / f"{name}.csv", users(1, number)))["job"]
        for number, name in enumerate(("staff", "lobby"))
    ]
    age(office, jobs[0], 91)
    age(office, jobs[1], 89)
    file = office.work / "siproster.toml"
    file.write_text('retention = "90d"\nkeep-last = 0\n', encoding="utf-8")
    finished = office.run("scheduler", "--once", SIPROSTER_BROKER=redis_url)
    assert (finished.code, "removed from the ledger: 1 old job" in finished.stderr) == (0, True), (
        finished.stderr
    )
    assert [job["job"] for job in office.run("jobs", "--json").json] == [jobs[1]]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "retention not set: no job is removed from the ledger"),
        ("keep-last = 3", "retention not set, and keep-last has no effect without it: no job is removed"),
        (
            'retention = "90d"\nkeep-last = 3',
            "removed from the ledger 90 days after their end, but the newest 3 of each schedule and roster",
        ),
    ],
)
def test_the_scheduler_says_what_it_removes(office: Program, content: str, told: str) -> None:
    """Nothing is removed in silence, and no setting is ignored in silence."""
    (office.work / "siproster.toml").write_text(content, encoding="utf-8")
    log = office.home / "scheduler.log"
    scheduler = office.start("scheduler", log=log)
    until(lambda: told in log.read_text("utf-8"))
    scheduler.terminate()
    end_of(scheduler)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ('retention = "a while"', "retention must be a duration in days or hours, such as 90d or 12h"),
        ("keep-last = -1", "keep-last must be 0 or more"),
        ('[profile.acme]\nretention = "1d"', "profile acme: retention applies to all jobs of the ledger"),
    ],
)
def test_a_retention_that_can_not_be_meant(office: Program, content: str, told: str) -> None:
    """A wrong retention is refused by every command, so that a scheduler never begins with it."""
    (office.work / "siproster.toml").write_text(content, encoding="utf-8")
    finished = office.run("jobs")
    assert (finished.code, told in finished.stderr) == (6, True), finished.stderr
