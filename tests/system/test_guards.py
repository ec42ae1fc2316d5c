"""Guards: a roster that is cut off, empty or has other passwords sends nothing until somebody approves it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.program import Program
from tests.sandbox import Sandbox
from tests.system.rosters import User, expected, roster_of, truth, users
from tests.system.runs import run

STAFF = users(40)
GUARDED = ("--on-existing", "update", "--max-changes", "10%", "--yes")


@pytest.fixture
def nightly(office: Program, sandbox: Sandbox) -> Path:
    """A nightly roster that was imported once: its users are in place, and one other user is stored."""
    other = roster_of(office.work / "other.csv", [User("lobby", "kX8mQ2vN7rT4wZ1p")])
    run(office, "import", other)
    path = roster_of(office.work / "staff.csv", STAFF)
    run(office, "import", path)
    return path


def writes(sandbox: Sandbox) -> list[dict[str, Any]]:
    """Return every request that the service got and that could change something."""
    return [line for line in sandbox.log() if line["method"] != "GET" and "accounts" in line["path"]]


def held(office: Program, sandbox: Sandbox, path: Path, *options: str, reason: str) -> dict[str, Any]:
    """Return the summary of an import that a guard holds back: nothing is sent, and a plan is kept."""
    before, sent = truth(sandbox), len(writes(sandbox))
    summary = run(office, "import", path, *(options or GUARDED), code=11)
    assert (truth(sandbox), len(writes(sandbox))) == (before, sent)
    assert (summary["reason"], summary["state"]) == (reason, "planning")
    assert summary["saved"]
    return summary


def approved(office: Program, summary: dict[str, Any], code: int = 0) -> dict[str, Any]:
    """Return the summary of the job that carries out a plan which a guard has kept."""
    return run(office, "import", "--plan", summary["job"], "--yes", code=code)


def test_half_a_roster(office: Program, sandbox: Sandbox, nightly: Path) -> None:
    """Half of the users are suddenly absent. Once that is approved it is no news; the next loss is."""
    roster_of(nightly, STAFF[:20])
    summary = held(office, sandbox, nightly, reason="max_changes")
    assert "20 changes (20 suddenly absent from the roster)" in summary["why"]
    assert "--max-changes allows 10% of 41 users" in summary["why"]
    held(office, sandbox, nightly, reason="max_changes")  # a run that was held back is no precedent
    assert approved(office, summary)["counts"] == {"unchanged": 20}
    assert run(office, "import", nightly, *GUARDED)["counts"] == {"unchanged": 20}
    roster_of(nightly, STAFF[:15])
    assert "5 changes" in held(office, sandbox, nightly, reason="max_changes")["why"]
    assert len(truth(sandbox)) == 41


def test_other_passwords(office: Program, sandbox: Sandbox, nightly: Path) -> None:
    """Every password is another one: nobody's is set, and the approved plan sets all of them."""
    changed = [replace(user, password=f"{user.password}New") for user in STAFF]
    roster_of(nightly, changed)
    summary = held(office, sandbox, nightly, reason="max_changes")
    assert "40 changes (40 to update)" in summary["why"]
    assert approved(office, summary)["counts"] == {"updated": 40}
    assert truth(sandbox).items() >= expected(sandbox, changed).items()


@pytest.mark.parametrize("text", ["", "username,password\n", "\n\n"])
def test_empty_roster(office: Program, sandbox: Sandbox, nightly: Path, text: str) -> None:
    """A roster without rows is refused, with nothing sent and nothing to approve."""
    nightly.write_text(text)
    before = len(writes(sandbox))
    assert office.run("import", nightly, *GUARDED).code == 6
    assert len(writes(sandbox)) == before
    assert len(truth(sandbox)) == 41


def test_few_changes(office: Program, sandbox: Sandbox, nightly: Path) -> None:
    """As many changes as allowed are sent: two new users, a new password, one user who is gone."""
    wanted = [*users(42)[1:41], replace(users(42)[41], password="aNewOneForThem77")]
    roster_of(nightly, [replace(wanted[0], password="aNewOneForThem78"), *wanted[1:]])
    summary = run(office, "import", nightly, *GUARDED)
    assert summary["counts"] == {"created": 2, "updated": 1, "unchanged": 38}
    assert summary["absent"] == 2


def test_first_import(office: Program, sandbox: Sandbox) -> None:
    """Before the first import, everybody who is stored counts as absent; once approved, nobody does."""
    run(office, "import", roster_of(office.work / "other.csv", users(30, first=100)))
    mine = roster_of(office.work / "mine.csv", STAFF[:3])
    options = ("--max-changes", "20%")
    summary = held(office, sandbox, mine, *options, reason="max_changes")
    assert "33 changes (3 to create, 30 suddenly absent from the roster)" in summary["why"]
    assert approved(office, summary)["counts"] == {"created": 3}
    assert run(office, "import", mine, *options)["counts"] == {"unchanged": 3}


@pytest.mark.parametrize("family", ["account", "realm"])
def test_a_realm_that_is_gone(office: Program, sandbox: Sandbox, family: str) -> None:
    """A roster that was cut off where the second realm's users begin: they are suddenly absent."""
    for name in ("east", "west"):
        assert office.run("realm", "create", name).code == 0
    path = office.work / "staff.csv"
    lines = [f"{user.name},{user.password},{realm}" for realm, part in
             (("east", STAFF[:20]), ("west", STAFF[20:])) for user in part]  # fmt: skip
    _write(path, lines)
    run(office, "import", path, "--api", family)
    _write(path, lines[:20])
    summary = held(office, sandbox, path, "--api", family, "--max-changes", "5", reason="max_changes")
    assert "20 changes (20 suddenly absent" in summary["why"]


def test_before_the_realm_is_made(office: Program, sandbox: Sandbox) -> None:
    """Neither a guard nor too many invalid rows leave a realm behind; approved or resumed, it is created."""
    bad = [User("bad name", "x"), *STAFF[:3]]
    path = roster_of(office.work / "staff.csv", bad)
    make = ("--realm", "fresh", "--create-realm")
    summary = held(office, sandbox, path, *make, "--require-rows", "5", reason="require_rows")
    stopped = run(office, "import", path, *make, "--max-failed", "10%", code=11)
    assert (stopped["reason"], stopped["state"]) == ("max_failed", "stopped")
    assert writes(sandbox) == []
    again = run(office, "resume", stopped["job"], "--max-failed", "0", code=11)
    assert (again["reason"], writes(sandbox)) == ("max_failed", [])
    done = run(office, "resume", stopped["job"], code=10)
    assert done["counts"] == {"created": 3, "invalid": 1}
    assert approved(office, summary, code=10)["counts"] == {"unchanged": 3, "invalid": 1}


def test_plan_tells_what_a_guard_would_do(office: Program, sandbox: Sandbox, nightly: Path) -> None:
    """A plan exits with 11, too, and says why; saved, it is carried out as any approved plan is."""
    roster_of(nightly, STAFF[:20])
    told = run(office, "plan", nightly, *GUARDED[:-1], code=11)
    assert told["suddenly_absent"] == 20
    assert told["held_back"].startswith("max_changes: 20 changes")
    saved = run(office, "plan", nightly, *GUARDED[:-1], "--save", code=11)
    assert run(office, "report", saved["plan"], code=11)["reason"] == "max_changes"
    assert run(office, "import", "--plan", saved["plan"], "--max-changes", "19", "--yes", code=11)["saved"]
    assert run(office, "import", "--plan", saved["plan"], "--yes")["counts"] == {"unchanged": 20}


def test_a_question_is_not_asked_first(office: Program, nightly: Path) -> None:
    """Off a terminal and without --yes, a guard is what holds an import back, not the missing answer."""
    roster_of(nightly, [replace(user, password=f"{user.password}New") for user in STAFF])
    finished = office.run("import", nightly, *GUARDED[:-1])
    assert finished.code == 11
    job = office.run("jobs", "--json").json[0]["job"]
    assert f"siproster report {job}" in finished.stdout
    assert f"siproster import --plan {job}" in finished.stdout


def test_workers_get_nothing(hosts: Program, sandbox: Sandbox) -> None:
    """With a worker and a scheduler that sweeps, neither a guard nor --max-failed lets a row through."""
    hosts.start("worker", "--processes", "1", log=hosts.home / "worker.log")
    hosts.start("scheduler", log=hosts.home / "scheduler.log")
    path = roster_of(hosts.work / "staff.csv", STAFF)
    finished = hosts.run("import", path, "--max-changes", "5", "--detach", "--json")
    assert (finished.code, finished.json["reason"]) == (11, "max_changes")
    bad = roster_of(hosts.work / "bad.csv", [User("bad name", "x"), *STAFF])
    stopped = hosts.run("import", bad, "--max-failed", "0", "--detach", "--json")
    assert stopped.code == 11
    assert writes(sandbox) == []
    assert run(hosts, "import", "--plan", finished.json["job"])["counts"] == {"created": 40}


def test_without_the_key_of_the_last_run(office: Program, sandbox: Sandbox, nightly: Path) -> None:
    """If what the last run knew can't be opened any more, everybody who is absent counts."""
    office.environment["SIPROSTER_KEY"] = office.run("keygen").stdout.strip()
    summary = held(office, sandbox, nightly, "--max-changes", "0", reason="max_changes")
    assert "1 change (1 suddenly absent" in summary["why"]


def _write(path: Path, lines: Sequence[str]) -> None:
    path.write_text("\n".join(["username,password,realm", *lines, ""]), "utf-8")
