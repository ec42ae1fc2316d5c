"""Jobs by ``latest`` or a part of their id, and ledgers that are not the ones that were meant."""

from __future__ import annotations

import pytest

from tests.program import Program
from tests.sandbox import Sandbox
from tests.system.rosters import roster_of, users
from tests.system.runs import run


@pytest.fixture
def two_jobs(office: Program) -> list[str]:
    """The ids of two jobs, the older one first; each has one user in place."""
    return [
        run(office, "import", roster_of(office.work / f"{name}.csv", users(1, number)))["job"]
        for number, name in enumerate(["staff", "lobby"])
    ]


def test_the_latest_job(office: Program, two_jobs: list[str]) -> None:
    """`latest` is the newest job, and stderr says which one that is."""
    finished = office.run("status", "latest", "--json")
    assert (finished.code, finished.json["job"]) == (0, two_jobs[1])
    assert f"latest is job {two_jobs[1]}\n" in finished.stderr


def test_the_latest_job_is_one_of_this_account(office: Program, two_jobs: list[str]) -> None:
    """Jobs of another account are not meant: commands would refuse them."""
    finished = office.run("status", "latest", "--account", "9900002")
    assert finished.code == 3
    assert "has no job of account 9900002 at http" in finished.stderr
    nobodys = office.run("status", "latest", "--json", BW_ACCOUNT_ID="")
    assert nobodys.json["job"] == two_jobs[1]


@pytest.mark.parametrize("part", [lambda job: job[-4:], lambda job: job[:18], lambda job: job[9:]])
def test_a_part_of_an_id(office: Program, two_jobs: list[str], part: object) -> None:
    """The beginning or end of one id only is enough, if no other job has it."""
    assert callable(part)
    for job in two_jobs:
        if sum(one.startswith(part(job)) or one.endswith(part(job)) for one in two_jobs) == 1:
            assert office.run("report", part(job), "--json").json["job"] == job


def test_a_part_of_two_ids(office: Program, sandbox: Sandbox, two_jobs: list[str]) -> None:
    """Nothing is guessed: both ids are listed, and nothing is sent."""
    before = len(sandbox.log())
    finished = office.run("undo", two_jobs[0][:4], "--yes")
    assert finished.code == 6
    assert all(job in finished.stderr for job in two_jobs)
    assert len(sandbox.log()) == before


def test_no_job_has_the_middle_of_an_id_as_its_name(office: Program, two_jobs: list[str]) -> None:
    """Only a beginning or an end counts, and an empty name is none."""
    for name in ("staff", "", "a" * 300):  # longer than a file's name may be
        finished = office.run("status", name)
        assert (finished.code, "there is no job" in finished.stderr) == (3, True)


def test_every_command_takes_the_latest_job(office: Program, two_jobs: list[str]) -> None:
    """Retry, resume, cancel, verify, phones, undo and purge find it, too."""
    for words, code in (
        (["retry", "latest", "--yes"], 0),
        (["resume", two_jobs[0][-4:]], 0),
        (["cancel", two_jobs[0][-4:]], 4),
        (["verify", two_jobs[0][-4:]], 6),
        (["phones", two_jobs[0][-4:], "--out", "phones.csv"], 6),
        (["import", "--plan", two_jobs[0][-4:]], 6),
        (["undo", two_jobs[0][-4:], "--yes"], 0),
        (["jobs", "purge", two_jobs[0][-4:], "--yes"], 0),
    ):
        finished = office.run(*words)
        assert finished.code == code, (words, finished.stderr)
        job = two_jobs[1] if "latest" in words else two_jobs[0]
        assert f"is job {job}\n" in finished.stderr


def test_a_roster_is_not_taken_for_a_job(office: Program, two_jobs: list[str]) -> None:
    """`verify` reads a file of that name, and says that a file is missing where no job has the name."""
    (office.work / two_jobs[0][-4:]).write_text("username,password\n", encoding="utf-8")
    assert "has a header, but no rows" in office.run("verify", two_jobs[0][-4:]).stderr
    for name in ("nobody", "n" * 300):
        finished = office.run("verify", name)
        assert (finished.code, name in finished.stderr) == (6, True)


@pytest.mark.parametrize("command", [["status", "latest"], ["report", "2026"], ["jobs"], ["jobs", "--json"]])
def test_a_mistyped_ledger(office: Program, two_jobs: list[str], command: list[str]) -> None:
    """A command that reads jobs says that the ledger is new, with its path; later, that it has no jobs."""
    other = office.work / "ledgr.sqlite"
    first = office.run(*command, SIPROSTER_LEDGER=f"sqlite:///{other}")
    assert f"sqlite:///{other} did not exist and was just created" in first.stderr
    again = office.run(*command, SIPROSTER_LEDGER=f"sqlite:///{other}")
    assert f"sqlite:///{other} has no jobs" in again.stderr
    assert first.code == again.code == (0 if command[0] == "jobs" else 3)


def test_an_account_without_jobs(office: Program, two_jobs: list[str]) -> None:
    """A ledger with jobs of other accounts is not called empty."""
    finished = office.run("jobs", "--account", "9900002")
    assert (finished.code, "no jobs of account 9900002 in" in finished.stderr) == (0, True)
