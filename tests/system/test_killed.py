"""The importing command is killed, at any step: `resume` gets the same result, and nothing is doubled."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.program import Program, kill_group
from tests.sandbox import Sandbox
from tests.system.rosters import (
    User,
    expected,
    made_once,
    result_rows,
    roster_of,
    truth,
    users,
    write,
)
from tests.system.runs import all_in_place, job_of, jobs, run, until

SLOWLY = ("--batch-size", "5", "--chunk-size", "20", "--concurrency", "2")
"""Many small requests, so that a kill finds some behind it and some before it."""


SPREAD = [*users(2500), *(User(one.name, one.password, "factory") for one in users(500, first=2500))]
"""Users of two realms, the second of which comes late."""


def complete(summary: dict[str, object], wanted: Sequence[User], sandbox: Sandbox) -> None:
    """Assert that every row is in place, created once, and in the results in the roster's order."""
    counts = summary["counts"]
    assert isinstance(counts, dict)
    assert summary["state"] == "done"
    assert all_in_place(counts, len(wanted))
    files = summary["files"]
    assert isinstance(files, dict)
    assert [row["bw__username"] for row in result_rows(files["results"])] == [user.name for user in wanted]
    assert truth(sandbox) == expected(sandbox, wanted)
    assert made_once(sandbox)


@pytest.fixture
def unread(either: Program, sandbox: Sandbox, tmp_path: Path) -> Path:
    """A roster that can't be read to its end: the service doesn't list the realm of row 2501."""
    made = either.run("realm", "create", "factory", "--json")
    stall = {"probability": 1, "path": f"/realms/{made.json['id']}/sipcredentials", "seconds": 300}
    sandbox.knobs(realm_omits=["SipCredentialCount"], stall=stall)
    rows = [{"username": one.name, "password": one.password, "realm": one.realm} for one in SPREAD]
    return write(tmp_path / "staff.csv", rows)


def test_killed_while_reading(either: Program, sandbox: Sandbox, unread: Path) -> None:
    """Killed with half of the roster in the ledger; until then nobody else may begin or resume."""
    process = either.start("import", unread, "--api", "realm", "--json")
    job = job_of(process)
    until(lambda: len(sandbox.log("GET", "/sipcredentials")) == 2, process)
    assert [(one["job"], one["state"]) for one in jobs(either)] == [(job, "planning")]
    second, thief = either.run("import", unread), either.run("resume", job)
    assert (second.code, thief.code) == (6, 6)
    assert job in second.stderr
    kill_group(process)
    process.wait()
    assert sandbox.log("POST", "sipcredentials") == []
    sandbox.knobs(stall=None)
    complete(run(either, "resume", job), SPREAD, sandbox)
    assert [one["job"] for one in jobs(either)] == [job]


def test_killed_while_posting(either: Program, sandbox: Sandbox, tmp_path: Path) -> None:
    """Killed with requests in flight: meanwhile nobody else may write to the account; then resume ends it."""
    wanted = users(200)
    sandbox.knobs(latency=1)
    process = either.start("import", roster_of(tmp_path / "staff.csv", wanted), *SLOWLY)
    job = job_of(process)
    until(lambda: sandbox.credentials(), process)
    second = either.run("import", roster_of(tmp_path / "other.csv", users(5, first=500)))
    assert second.code == 6
    assert job in second.stderr
    kill_group(process)
    process.wait()
    assert 0 < len(sandbox.credentials()) < 200
    sandbox.knobs(latency=0)
    complete(run(either, "resume", job), wanted, sandbox)


def test_killed_with_the_worker(hosts: Program, sandbox: Sandbox, tmp_path: Path) -> None:
    """Command and worker are killed together: resume and a new worker end the job, and nothing is doubled."""
    wanted = users(200)
    sandbox.knobs(latency=0.2)
    worker = hosts.start("worker", "--processes", "2", log=tmp_path / "first.log")
    process = hosts.start("import", roster_of(tmp_path / "staff.csv", wanted), *SLOWLY)
    job = job_of(process)
    until(lambda: sandbox.credentials(), process)
    kill_group(process)
    kill_group(worker)
    process.wait()
    worker.wait()
    sandbox.knobs(latency=0)
    hosts.start("worker", "--processes", "2", log=tmp_path / "second.log")
    complete(run(hosts, "resume", job), wanted, sandbox)


def test_killed_after_the_service_stored_a_list(office: Program, sandbox: Sandbox, tmp_path: Path) -> None:
    """A list that was stored but never answered before the kill is looked up, not sent again."""
    wanted = users(40)
    sandbox.knobs(stall={"next": 1, "method": "POST", "path": "sipcredentials", "commit": True})
    process = office.start("import", roster_of(tmp_path / "staff.csv", wanted), "--batch-size", "20")
    job = job_of(process)
    until(lambda: len(sandbox.credentials()) == 40, process)
    kill_group(process)
    process.wait()
    complete(run(office, "resume", job), wanted, sandbox)


def test_thousands_of_unconfirmed_rows_are_looked_up_by_pages(
    office: Program, sandbox: Sandbox, tmp_path: Path
) -> None:
    """Killed before any answer, with every request stored: rows are looked up by pages, and sent once."""
    wanted = users(4000)
    sandbox.knobs(stall={"probability": 1, "method": "POST", "path": "sipcredentials", "commit": True})
    process = office.start("import", roster_of(tmp_path / "staff.csv", wanted), "--batch-size", "200")
    job = job_of(process)
    until(lambda: len(sandbox.credentials()) >= 1200, process)
    kill_group(process)
    process.wait()
    sandbox.knobs(stall=None)
    first = len(sandbox.log())
    complete(run(office, "resume", job), wanted, sandbox)
    asked = [line for line in sandbox.log()[first:] if line["method"] == "GET"]
    assert len(asked) <= 20, len(asked)


def test_a_dead_job_makes_room_once_it_is_cancelled(
    office: Program, sandbox: Sandbox, tmp_path: Path
) -> None:
    """A killed command's job keeps its account until it is cancelled."""
    sandbox.knobs(latency=0.2)
    wanted = users(60)
    roster = roster_of(tmp_path / "staff.csv", wanted)
    process = office.start("import", roster, *SLOWLY)
    job = job_of(process)
    until(lambda: sandbox.credentials(), process)
    kill_group(process)
    process.wait()
    sandbox.knobs(latency=0)
    refused = office.run("import", roster)
    assert refused.code == 6
    assert f"siproster cancel {job}" in refused.stderr
    assert office.run("cancel", job).code == 0
    again = run(office, "import", roster)
    assert set(again["counts"]) == {"created", "unchanged"}
    assert truth(sandbox) == expected(sandbox, wanted)
    assert made_once(sandbox)


def test_nothing_is_retried_of_a_roster_that_was_not_read(
    office: Program, sandbox: Sandbox, tmp_path: Path
) -> None:
    """Cancelled before its roster was in the ledger, a job has no rows: retry must not take part of them."""
    stall = {"probability": 1, "path": "/sipcredentials", "method": "GET", "seconds": 300}
    sandbox.knobs(realm_omits=["SipCredentialCount"], stall=stall)
    process = office.start("import", roster_of(tmp_path / "staff.csv", users(3)))
    job = job_of(process)
    until(lambda: sandbox.log("GET", "/sipcredentials"), process)
    kill_group(process)
    process.wait()
    assert office.run("cancel", job).code == 0
    refused = office.run("retry", job)
    assert (refused.code, "was never read to the end" in refused.stderr) == (4, True)
    assert [one["job"] for one in jobs(office)] == [job]


def test_a_retry_is_killed_and_resumed(office: Program, sandbox: Sandbox, tmp_path: Path) -> None:
    """A retry's rows come out of the ledger; killed while posting, it is resumed like any job."""
    wanted = users(100)
    sandbox.knobs(refuse={"probability": 1, "method": "POST", "status": 400, "code": "23022"})
    first = run(office, "import", roster_of(tmp_path / "staff.csv", wanted), code=10)
    assert first["counts"] == {"failed": 100}
    sandbox.knobs(refuse=None, latency=0.2)
    process = office.start("retry", first["job"])
    job = job_of(process)
    until(lambda: sandbox.log("POST", "sipcredentials")[-1]["committed"], process)
    kill_group(process)
    process.wait()
    sandbox.knobs(latency=0)
    complete(run(office, "resume", job), wanted, sandbox)
