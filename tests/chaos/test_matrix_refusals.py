"""The fault matrix, what must not be done: by the wrong worker, by two jobs at once, against a refusal."""

from __future__ import annotations

import signal
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.fleet import POSTS, Fleet, holds, posts
from tests.program import Program
from tests.sandbox import Sandbox
from tests.system.rosters import made_once, result_rows, roster_of, users
from tests.system.runs import job_of, run, until
from worker.seal import new_key

SMALL = ("--batch-size", "4", "--concurrency", "1")


def test_a_worker_with_the_wrong_key(fleet: Fleet) -> None:
    """A worker with the wrong key refuses loudly and releases the chunk, which the right one then does.

    Guard: Runtime.check, before the claim that counts an attempt.
    """
    wrong = fleet.worker(SIPROSTER_KEY=new_key())
    job = fleet.begin(users(8), *SMALL)
    until(lambda: wrong.said("is sealed with key"))
    assert [(chunk["attempts"], chunk["state"]) for chunk in fleet.chunks(job)] == [(0, "waiting")]
    assert posts(fleet.sandbox) == []
    fleet.worker()
    assert fleet.finish(job) == {"created": 8}
    assert [chunk["attempts"] for chunk in fleet.chunks(job)] == [1]
    assert holds(fleet.sandbox, users(8))
    assert made_once(fleet.sandbox)


def test_a_worker_of_another_account_or_ledger(fleet: Fleet, make_sandbox: Callable[..., Sandbox]) -> None:
    """Chunks don't get to such a worker; a message that does is refused, and no attempt is counted.

    Guard: tasks.queue_name; the identity in tasks._delivery; the account in Runtime.check.
    """
    other = make_sandbox("--account", "9900001", "--account", "8800002")
    stranger = fleet.worker(BW_API_URL=other.url, BW_ACCOUNT_ID="8800002")
    foreigner = fleet.worker(SIPROSTER_LEDGER=f"sqlite:///{fleet.program.home}/other.db")
    job = fleet.begin(users(8), *SMALL)
    until(lambda: fleet.waiting() == 1)
    for group in (stranger, foreigner):
        queue = group.log.read_text().partition("queue ")[2].split()[0]
        fleet.deliver(fleet.ledger.identity, f"{job}/0", queue=queue)
    until(lambda: stranger.said("belongs to host") and foreigner.said("is in ledger"))
    assert [(chunk["attempts"], chunk["state"]) for chunk in fleet.chunks(job)] == [(0, "waiting")]
    assert posts(fleet.sandbox) == posts(other) == []
    fleet.worker()
    assert fleet.finish(job) == {"created": 8}
    assert [chunk["attempts"] for chunk in fleet.chunks(job)] == [1]
    assert made_once(fleet.sandbox)


def test_a_second_writing_job(office: Program, sandbox: Sandbox) -> None:
    """A second writing job is refused and the first one named, until a dead job's claim has run out.

    Guard: ``writers.until < :now`` of jobs._TAKE.
    """
    sandbox.knobs(latency=2)
    roster = roster_of(office.work / "staff.csv", users(12))
    path = office.home / "ledger.sqlite"
    office.environment["SIPROSTER_LEDGER"] = f"sqlite:///{path}"
    process = office.start("import", roster, *SMALL)
    first = job_of(process)
    until(lambda: sandbox.credentials(), process)
    process.send_signal(signal.SIGSTOP)  # so that it can't end before the others have asked
    assert first in refused(office, roster)
    process.send_signal(signal.SIGKILL)
    process.wait()
    sandbox.knobs(latency=0)
    assert first in refused(office, roster)
    with closing(sqlite3.connect(path)) as ledger, ledger:
        ledger.execute("UPDATE writers SET until = until - 300")  # so much later
    assert sum(run(office, "import", roster)["counts"].values()) == 12
    assert run(office, "resume", first)["state"] == "done"
    assert holds(sandbox, users(12))
    assert made_once(sandbox)


@pytest.mark.parametrize("status", [403, 404, 418])
def test_a_list_that_was_stored_and_refused_all_the_same(
    office: Program, sandbox: Sandbox, status: int
) -> None:
    """Rows that were stored although the answer was a refusal are found again, and undo removes them all.

    Guard: faults.fault, Client.ask, ChunkSession.unconfirmed.
    """
    sandbox.knobs(bad_gateway={**POSTS, "next": 1, "skip": 1, "status": status, "commit": True})
    roster = roster_of(office.work / "staff.csv", users(12))
    job = str(office.run("import", roster, *SMALL, "--json").json["job"])
    if status in (403, 404):
        assert run(office, "status", job)["counts"]["unknown"] == 4
        run(office, "resume", job)
    counts = run(office, "report", job)["counts"]
    assert counts == {"created": 8, "unchanged": 4}
    facts = run(office, "undo", job, "--yes", code=10)
    assert (facts["counts"], facts["unproven"]) == ({"removed": 8, "kept": 4}, 4)
    assert run(office, "undo", job, "--yes", "--include-unproven")["counts"] == {"removed": 12}
    assert sandbox.credentials() == []


def refused(office: Program, roster: Path) -> str:
    """Return stderr of an import that is refused with exit code 6."""
    finished = office.run("import", roster)
    assert finished.code == 6, finished.stderr
    return finished.stderr


REFUSALS: Mapping[str, tuple[Mapping[str, Any], int]] = {
    "401 twice": ({"status": 401}, 2),
    "403": ({"status": 403}, 2),
    "not set up: 23013": ({"status": 400, "code": "23013"}, 4),
    "not set up: 33004": ({"status": 403, "code": "33004"}, 4),
    "locked: 4022": ({"status": 404, "code": "4022"}, 3),
}


@pytest.mark.parametrize("how", REFUSALS)
def test_a_refusal_that_no_row_can_help(office: Program, sandbox: Sandbox, how: str) -> None:
    """The job stops with its exit code, fails no row for it, sends nothing more, and can be resumed.

    Guard: api.faults.stop, and StopJob in ChunkWorker._carry_out.
    """
    refusal, code = REFUSALS[how]
    sandbox.knobs(refuse={**POSTS, **refusal, "probability": 1, "skip": 2})
    roster = roster_of(office.work / "staff.csv", users(20))
    stopped = run(office, "import", roster, *SMALL, code=code)
    left = {"created": 8, "unknown": 4, "unprocessed": 8}  # what was refused may have been done all the same
    assert (stopped["state"], stopped["counts"]) == ("stopped", left)
    rows = result_rows(stopped["files"]["failed"])
    assert [row["bw__error_code"] for row in rows] == ["unconfirmed"] * 4 + [""] * 8
    assert run(office, "status", stopped["job"])["counts"] == left
    assert len(posts(sandbox)) == (4 if how == "401 twice" else 3)
    sandbox.knobs(refuse=None)
    assert run(office, "resume", stopped["job"])["counts"] == {"created": 20}
    assert holds(sandbox, users(20))
    assert made_once(sandbox)
