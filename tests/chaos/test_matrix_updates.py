"""The fault matrix, existing users: updated and restored, whatever is killed or lost on the way."""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from functools import partial
from typing import Any

import pytest

from tests.chaos.fleet import Fleet
from tests.integration.api_client import client
from tests.program import Program, kill_group
from tests.sandbox import Sandbox
from tests.system.mixed import held, host_of, store
from tests.system.rosters import User, result_rows, roster_of, users
from tests.system.runs import all_in_place, end_of, job_of, jobs, run, until
from tests.unit.jobs import make_chunk_row
from tests.unit.sessions import Session
from worker.importing.update import RowUpdater
from worker.ledger import JobRealm
from worker.model import Family

both = pytest.mark.parametrize("fleet", ["sqlite", "postgresql"], indirect=True)
"""On one host, and with several."""

UPDATE = ("--on-existing", "update")
SMALL = (*UPDATE, "--chunk-size", "8", "--batch-size", "4", "--concurrency", "1")
PUTS = {"method": "PUT", "path": "sipcredentials"}
"""Conditions of a fault that strikes only changes of a credential."""

Held = dict[tuple[str, str], tuple[str, str, str]]


def hold(sandbox: Sandbox, wanted: list[User]) -> Held:
    """Store these users with older passwords; the whole account then."""
    host = host_of(sandbox)
    for user in wanted:
        store(sandbox, user.name, f"older than {user.password}", host)
    return held(sandbox)


def all_set(sandbox: Sandbox, wanted: list[User]) -> bool:
    """Whether each is there with the new password, and nobody else is."""
    host = host_of(sandbox)
    return held(sandbox) == {(host, user.name): (*user.digests(host), "") for user in wanted}


def puts(sandbox: Sandbox) -> Counter[str]:
    """Return how often each user was updated with effect."""
    lines = sandbox.log("PUT", "sipcredentials")
    return Counter(line["path"].rpartition("/")[2] for line in lines if line["committed"])


def taken_back(program: Program, sandbox: Sandbox, job: str, before: Held) -> dict[str, int]:
    """Undo the job with its unproven rows; assert that all is as before, and return the counts by result."""
    facts = run(program, "undo", job, "--yes", "--include-unproven")
    assert held(sandbox) == before
    return dict(facts["counts"])


# Deaths


@pytest.mark.parametrize(
    ("fleet", "point"),
    [("postgresql", "intended=kill@2"), ("postgresql", "answered=kill"), ("sqlite", "answered=kill")],
    indirect=["fleet"],
)
def test_death_before_and_after_a_change(fleet: Fleet, point: str) -> None:
    """Killed before a PUT or after it, row after row: every user is updated once.

    Guard: ChunkSession.changes_begun; chunks.record_before_image before the PUT.
    """
    wanted = users(4)
    before = hold(fleet.sandbox, wanted)
    fleet.worker(SIPROSTER_FAILPOINTS=point)
    job = fleet.begin(wanted, *SMALL)
    told = fleet.finish(job)
    assert told == {"updated": 4} if point.startswith("intended") else {"unchanged": 4}
    assert sum(chunk["attempts"] for chunk in fleet.chunks(job)) > 3
    assert all_set(fleet.sandbox, wanted)
    assert puts(fleet.sandbox) == dict.fromkeys((user.name for user in wanted), 1)
    assert taken_back(fleet.program, fleet.sandbox, job, before) == {"restored": 4}


def test_worker_groups_are_killed_at_random(fleet: Fleet) -> None:
    """Whole groups, in the middle of their changes: every user is set, once, and restored.

    Guard: split's changes (a killed chunk's moved half forgets else what was begun of it).
    """
    wanted, chance = users(24), random.Random(7)
    before = hold(fleet.sandbox, wanted)
    fleet.sandbox.knobs(latency=0.15)
    job = fleet.begin(wanted, *UPDATE, "--chunk-size", "8", "--batch-size", "1", "--concurrency", "4")
    for kills in range(3):
        group = fleet.worker(processes=2)
        until(partial(changing, fleet, len(fleet.sandbox.log("PUT"))))
        time.sleep(chance.uniform(0, 0.3))
        group.kill()
        assert fleet.ledger.jobs.state(job).active, f"over after {kills} kills"
    fleet.sandbox.knobs(latency=0)
    fleet.worker(processes=2)
    assert all_in_place(fleet.finish(job), 24)
    assert all_set(fleet.sandbox, wanted)
    assert taken_back(fleet.program, fleet.sandbox, job, before) == {"restored": 24}


def changing(fleet: Fleet, seen: int) -> bool:
    """Sweep, as a waiting command does; return whether more than one user was updated since."""
    fleet.sweep()
    return len(fleet.sandbox.log("PUT")) > seen + 1


def killed_until_done(
    start: Callable[[], Any], again: Callable[[], Any], chance: random.Random, kills: int
) -> int:
    """Start it, kill its group at a random moment, go on with it; how often it was killed on its way."""
    process, struck = start(), 0
    while struck < kills:
        time.sleep(chance.uniform(0.2, 1.2))
        if process.poll() is not None:
            break
        kill_group(process)
        process.communicate()
        struck += 1
        process = again()
    ended = end_of(process)
    assert ended.code == 0, ended.stderr
    return struck


def test_commands_are_killed_at_random(office: Program, sandbox: Sandbox) -> None:
    """Import and undo, killed again and again while they work: all users set, then all as before.

    Guard: begun; and undo's read before each write, with its results in the ledger.
    """
    wanted, chance = users(30), random.Random(1)
    before = hold(sandbox, wanted[:20])
    roster = roster_of(office.work / "staff.csv", wanted)
    sandbox.knobs(latency=0.1)
    first = office.start("import", roster, *UPDATE, "--yes", "--concurrency", "2", "--batch-size", "2")
    job = job_of(first)
    until(lambda: sandbox.log("PUT"), first)
    struck = killed_until_done(lambda: first, lambda: office.start("resume", job, "--yes"), chance, 3)
    assert struck
    assert all_in_place(run(office, "report", job, code=0)["counts"], 30)
    assert all_set(sandbox, wanted)
    undo = ("undo", job, "--yes", "--include-unproven")
    struck = killed_until_done(lambda: office.start(*undo), lambda: office.start(*undo), chance, 3)
    assert struck
    assert held(sandbox) == before


# Answers


def test_answers_to_changes_are_lost(office: Program, sandbox: Sandbox) -> None:
    """Done and dropped, reset, cut, or answered by a proxy: each user is seen to be set, once.

    Guard: the AnswerLost of RowChanger._one, and the look after it.
    """
    wanted = users(8)
    before = hold(sandbox, wanted)
    lost = [{"commit": True}, {"commit": True, "reset": True}]
    sandbox.knobs(
        drop=[{**PUTS, "next": 1, **rule} for rule in lost],
        bad_gateway=[{**PUTS, "next": 1, "commit": True}],
        html_success=[{**PUTS, "next": 1, "commit": True}],
        cut=[{**PUTS, "next": 1, "skip": 4}],
    )
    roster = roster_of(office.work / "staff.csv", wanted)
    summary = run(office, "import", roster, *SMALL, "--yes")
    assert summary["counts"] == {"updated": 3, "unchanged": 5}
    assert all_set(sandbox, wanted)
    assert set(puts(sandbox).values()) == {1}
    assert taken_back(office, sandbox, summary["job"], before) == {"restored": 8}


def test_an_answer_to_a_change_that_never_comes(sandbox: Sandbox) -> None:
    """The work is done and the answer stalls: the request ends at its deadline, and a read settles it.

    Guard: Transport.deadline, which attempts.lost_or_retryable makes an AnswerLost.
    """
    (user,) = users(1)
    hold(sandbox, [user])
    sandbox.knobs(stall={**PUTS, "next": 1, "commit": True, "seconds": 60})
    with closing(client(sandbox.url, deadline=0.5)) as api:
        realm = api.default_realm()
        before = api.find(Family.ACCOUNT, realm, user.name)
        session = Session(realms={0: JobRealm(0, realm.id, realm.host, looked=True)})
        row = make_chunk_row(2, user.name, password=user.password, before=before, host=realm.host)
        RowUpdater(session, api).change([row])
    assert [outcome.code for outcome in session.outcomes.values()] == ["origin_unknown"]
    assert all_set(sandbox, [user])
    assert puts(sandbox) == {user.name: 1}


def test_storms_of_429_on_changes(office: Program, sandbox: Sandbox) -> None:
    """Many changes are asked to wait, there and on the way back: nothing is lost, nothing failed.

    Guard: Attempts.retry.
    """
    wanted = users(8)
    before = hold(sandbox, wanted)
    sandbox.knobs(
        too_many_requests=[
            {**PUTS, "probability": 0.3, "answer": "seconds", "seconds": 0},
            {**PUTS, "next": 1, "skip": 2, "answer": "none"},
        ],
        unavailable={**PUTS, "next": 1, "skip": 5, "answer": "html"},
    )
    summary = run(office, "import", roster_of(office.work / "staff.csv", wanted), *SMALL, "--yes")
    assert summary["counts"] == {"updated": 8}
    assert summary["retries"] > 1
    assert all_set(sandbox, wanted)
    assert taken_back(office, sandbox, summary["job"], before) == {"restored": 8}


# The wrong worker, and too many of them


def test_a_frozen_worker_wakes_before_its_change(fleet: Fleet) -> None:
    """A worker that lost its chunk while frozen records and changes nothing; the other updates each once.

    Guard: the fence of chunks.intend. (Of a row that was begun before, Lease.permit: test_deliver_updates.)
    """
    wanted = users(2)
    before = hold(fleet.sandbox, wanted)
    sleeper = fleet.worker()
    fleet.sandbox.knobs(stall={"method": "GET", "path": "sipcredentials/ext", "next": 1, "seconds": 2})
    job = fleet.begin(wanted, *SMALL)
    until(lambda: fleet.sandbox.log("GET", "sipcredentials/ext") or fleet.chunks(job)[0]["generation"] == 1)
    until(lambda: fleet.ledger.waits.leases(job))
    time.sleep(0.5)  # it has asked, and waits for the answer
    sleeper.signal(signal.SIGSTOP)
    assert puts(fleet.sandbox) == {}
    fleet.query("UPDATE chunks SET lease_until = 0, enqueued_at = 0")  # its time is over
    fleet.worker()
    fleet.sweep()
    until(lambda: fleet.chunks(job)[0]["generation"] == 2)
    sleeper.signal(signal.SIGCONT)
    assert fleet.finish(job) == {"updated": 2}
    until(lambda: sleeper.said("was taken over by another worker"))
    assert puts(fleet.sandbox) == {"ext0": 1, "ext1": 1}
    assert fleet.ledger.changes.rows(job) == 2
    assert taken_back(fleet.program, fleet.sandbox, job, before) == {"restored": 2}


@both
def test_a_chunk_of_changes_is_delivered_three_times(fleet: Fleet) -> None:
    """Three more messages for each chunk, at work and when all is done, update nobody again.

    Guard: the claim's ``state = 'waiting'``.
    """
    wanted = users(12)
    hold(fleet.sandbox, wanted)
    fleet.sandbox.knobs(latency=0.1)
    fleet.worker(processes=2)
    job = fleet.begin(wanted, *SMALL)
    for seq in (0, 1):
        fleet.deliver(fleet.ledger.identity, f"{job}/{seq}", times=3)
    assert fleet.finish(job) == {"updated": 12}
    fleet.deliver(fleet.ledger.identity, f"{job}/0", times=3)
    until(lambda: not fleet.waiting())
    assert puts(fleet.sandbox) == dict.fromkeys((user.name for user in wanted), 1)
    assert [chunk["attempts"] for chunk in fleet.chunks(job)] == [1, 1]


# Plans


def test_a_plan_survives_the_command_that_carries_it_out(office: Program, sandbox: Sandbox) -> None:
    """Killed before its job has started, the plan is there still; killed after, ``resume`` ends the job.

    Guard: jobs.start, which ends the plan in the transaction that starts its job; again._plan_again, which
    lets go of the account.
    """
    wanted = users(8)
    before = hold(sandbox, wanted[:4])
    roster = roster_of(office.work / "staff.csv", wanted)
    plan = run(office, "plan", roster, *UPDATE, "--save")["plan"]
    roster.unlink()
    arguments = ("import", "--plan", plan, "--yes")
    assert office.run(*arguments, SIPROSTER_FAILPOINTS="planned=kill").code == -signal.SIGKILL
    assert held(sandbox) == before
    lost = jobs(office)[0]["job"]
    refused = office.run("resume", lost, "--yes")
    assert (refused.code, f"siproster import --plan {plan}" in refused.stderr) == (4, True)
    assert office.run(*arguments, SIPROSTER_FAILPOINTS="claimed=kill").code == -signal.SIGKILL
    job = jobs(office)[0]["job"]
    assert job not in (lost, plan)
    assert office.run(*arguments).code == 4  # it was carried out, by the job that goes on now
    summary = run(office, "resume", job, "--yes")
    assert (summary["counts"], summary["parent"]) == ({"created": 4, "updated": 4}, plan)
    assert all_set(sandbox, wanted)
    statuses = {row["bw__status"] for row in result_rows(summary["files"]["results"])}
    assert statuses == {"created", "updated"}
    run(office, "undo", job, "--yes")
    assert held(sandbox) == before
