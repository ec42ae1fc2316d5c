"""The fault matrix, processes: killed, frozen, and what their deaths leave behind."""

from __future__ import annotations

import signal
from functools import partial

import pytest

from tests.chaos.fleet import Fleet, Group, holds, posts
from tests.system.rosters import made_once, users
from tests.system.runs import all_in_place, jobs, run, until
from worker.importing.poison import CRASHES

both = pytest.mark.parametrize("fleet", ["sqlite", "postgresql"], indirect=True)
"""On one host, and with several."""

SMALL = ("--chunk-size", "8", "--batch-size", "4", "--concurrency", "1")


def kill_pool(group: Group) -> None:
    """SIGKILL to the one process of the group's pool."""
    (process,) = group.pool
    process.kill()
    until(lambda: process not in group.pool)


def asked(fleet: Fleet) -> int:
    """Return how many requests about credentials the service has had."""
    return len(fleet.sandbox.log(path="sipcredentials"))


@both
def test_a_worker_group_is_killed(fleet: Fleet) -> None:
    """SIGKILL to a whole group in the middle of its requests: others do its rows, and make none twice.

    Guard: sweep.free_the_dead, and the claim's ``state = 'claimed' AND lease_until < :now``.
    """
    fleet.sandbox.knobs(latency=1.0)
    doomed = fleet.worker(processes=2)
    job = fleet.begin(users(32), *SMALL)
    until(lambda: len(posts(fleet.sandbox)) >= 2)
    assert len(fleet.ledger.waits.leases(job)) == 2
    doomed.kill()
    fleet.sandbox.knobs(latency=0)
    fleet.worker(processes=2)
    assert all_in_place(fleet.finish(job), 32)
    assert holds(fleet.sandbox, users(32))
    assert made_once(fleet.sandbox)


def test_a_pool_process_is_killed(fleet: Fleet) -> None:
    """SIGKILL to a pool's process: its worker replaces it, the attempt is counted, the rows are made once.

    Guard: ``attempts = attempts + 1`` of the claim, in the ledger before the work.
    """
    fleet.sandbox.knobs(latency=0.5)
    group = fleet.worker()
    job = fleet.begin(users(8), *SMALL)
    until(lambda: posts(fleet.sandbox))
    kill_pool(group)
    fleet.sandbox.knobs(latency=0)
    assert all_in_place(fleet.finish(job), 8)
    assert fleet.chunks(job)[0]["attempts"] == 2
    assert holds(fleet.sandbox, users(8))
    assert made_once(fleet.sandbox)


@both
def test_death_between_the_answer_and_the_ledger(fleet: Fleet) -> None:
    """A worker dies after each answer, before the commit: the rows are looked up, in place but unproven.

    Guard: ``doubt = CASE WHEN state = 'claimed'`` of the claim.
    """
    fleet.worker(SIPROSTER_FAILPOINTS="answered=kill")
    job = fleet.begin(users(8), *SMALL)
    assert fleet.finish(job) == {"unchanged": 8}
    assert {outcome.code for outcome in fleet.outcomes(job)} == {"origin_unknown"}
    assert made_once(fleet.sandbox)
    assert {line["refused"] for line in posts(fleet.sandbox)} == {0}


def test_the_importing_command_dies(fleet: Fleet) -> None:
    """Killed before the job starts, an import leaves workers nothing to take; ``resume`` finishes it.

    Guard: ``state IN ('running', 'paused')`` of the claim; again._plan_again.
    """
    group = fleet.worker()
    killed = fleet.begun(users(8), *SMALL, failpoints="planned=kill")
    assert killed.code == -signal.SIGKILL
    (job,) = (found["job"] for found in jobs(fleet.program))
    fleet.deliver(fleet.ledger.identity, f"{job}/0", times=2)
    until(lambda: group.said("succeeded") or not fleet.waiting())
    assert posts(fleet.sandbox) == []
    summary = run(fleet.program, "resume", job)
    assert (summary["job"], summary["counts"]) == (job, {"created": 8})
    assert holds(fleet.sandbox, users(8))
    assert made_once(fleet.sandbox)


@both
def test_a_chunk_is_delivered_three_times(fleet: Fleet) -> None:
    """Three more messages for each chunk, at work and when all is done, send no request more.

    Guard: the claim's ``state = 'waiting'``, with the row count of an UPDATE as the judge.
    """
    fleet.sandbox.knobs(latency=0.3)
    fleet.worker(processes=2)
    job = fleet.begin(users(16), *SMALL)
    for seq in (0, 1):
        fleet.deliver(fleet.ledger.identity, f"{job}/{seq}", times=3)
    assert fleet.finish(job) == {"created": 16}
    fleet.deliver(fleet.ledger.identity, f"{job}/0", times=3)
    until(lambda: not fleet.waiting())
    assert [(line["entries"], line["refused"]) for line in posts(fleet.sandbox)] == [(4, 0)] * 4
    assert [chunk["attempts"] for chunk in fleet.chunks(job)] == [1, 1]


def test_a_frozen_worker_wakes_after_its_lease(fleet: Fleet) -> None:
    """A worker that wakes after losing its chunk has its outcome refused; the new worker's counts.

    Guard: ``generation = :generation`` of every statement that writes for a claim.
    """
    fleet.sandbox.knobs(latency=0.7)
    sleeper = fleet.worker()
    job = fleet.begin(users(2), "--batch-size", "1", "--concurrency", "1")
    until(lambda: posts(fleet.sandbox))
    sleeper.signal(signal.SIGSTOP)
    fleet.query("UPDATE chunks SET lease_until = 0, enqueued_at = 0")  # its time is over
    fleet.sandbox.knobs(latency=4)  # the other's answer must not come before the sleeper has spoken
    fleet.worker()
    fleet.sweep()
    until(lambda: fleet.chunks(job)[0]["generation"] == 2)
    sleeper.signal(signal.SIGCONT)
    until(lambda: sleeper.said("was taken over by another worker"))
    assert fleet.outcomes(job) == []
    fleet.sandbox.knobs(latency=0)
    assert all_in_place(fleet.finish(job), 2)
    assert sum(chunk["settled"] for chunk in fleet.chunks(job)) == 2
    assert made_once(fleet.sandbox)


def test_a_row_that_kills_its_worker(fleet: Fleet) -> None:
    """That row alone ends as ``crashed``, after three deaths of its own; its batch-mates are created.

    Guard: poison.isolate_poison, and CRASHES, counted by ``deaths = deaths + 1`` of the claim.
    """
    fleet.worker(SIPROSTER_FAILPOINTS="row/ext2=kill")
    job = fleet.begin(users(4))
    assert fleet.finish(job) == {"created": 3, "unknown": 1}
    (crashed,) = (outcome for outcome in fleet.outcomes(job) if outcome.status == "unknown")
    assert (crashed.line, crashed.code) == (4, "crashed")
    assert holds(fleet.sandbox, [user for user in users(4) if user.name != "ext2"])
    (alone,) = (chunk for chunk in fleet.chunks(job) if chunk["troubled"])
    assert alone["rows"] == 1
    assert alone["deaths"] == 0  # its outcome is its progress
    assert alone["attempts"] > CRASHES


def test_random_kills_never_make_a_row_crashed(fleet: Fleet) -> None:
    """A worker that is killed again and again while it waits for the service puts no blame on its one row.

    Guard: ``away = 0`` in the claim's count of crashes, and poison.WatchedSource.
    """
    group = fleet.worker()
    fleet.sandbox.knobs(stall={"probability": 1, "path": "sipcredentials"})
    before = asked(fleet)
    job = fleet.begin(users(1))
    for kills in range(before, before + CRASHES + 2):
        fleet.sweep()
        until(partial(lambda seen: asked(fleet) > seen, kills))
        kill_pool(group)
    fleet.sandbox.knobs(stall=None)
    assert fleet.finish(job) == {"created": 1}
    assert made_once(fleet.sandbox)
    assert fleet.chunks(job)[0]["attempts"] == CRASHES + 3
