"""Deliveries of a chunk, on both databases: its outcomes, its release, stops and look-ups."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from tests.integration.deliveries import Process, outcomes_of, process, told
from tests.unit.jobs import KEY, OTHER_HOST, OVER, Clock, digests_of, make_chunk_row, start_job
from tests.unit.registrar import Batch, Registrar, lose
from worker.errors import (
    AuthenticationRefused,
    NotAllowed,
    SiprosterError,
    Throttled,
    Unavailable,
)
from worker.importing.chunk_session import LEASE, TURN
from worker.importing.stop_rules import allowed
from worker.ledger import Ledger
from worker.ledger.codec import open_chunk
from worker.model import Family, Job, JobState, Row, Status
from worker.seal import Seal

CREATED = (Status.CREATED, "")
ORIGIN_UNKNOWN = (Status.UNCHANGED, "origin_unknown")


def rows_of(first: int, number: int) -> list[Row]:
    """Return so many rows, from a line on."""
    return [make_chunk_row(line) for line in range(first, first + number)]


def raising(error: Exception, *, after: int = 0) -> Callable[[Batch], None]:
    """For a registrar's ``before``: raise at every list but the first few."""
    arrived = iter(range(1_000_000))

    def refuse(batch: Batch) -> None:
        if next(arrived) >= after:
            raise error

    return refuse


def kept_rows(ledger: Ledger, job: Job, seq: int = 0) -> list[Row]:
    """Return the rows of a chunk that are still sealed in the ledger."""
    sealed = ledger.chunks.sealed(job.id, seq)
    return open_chunk(Seal([KEY]), job.id, seq, sealed) if sealed else []


class Died(BaseException):
    """Raised in place of a SIGKILL: the program doesn't catch it, and the claim stays as it was."""


def raising_died(batch: Batch) -> None:
    raise Died


def work_off(ledger: Ledger, clock: Clock, worker: Process) -> int:
    """Deliver what is due until the job is done; return how often the worker died."""
    job, deaths = worker.worker.job.id, 0
    while ledger.jobs.state(job).active and deaths < 20:
        for seq in ledger.chunks.due(job, idle=True):
            try:
                worker.deliver(seq)
            except Died:
                deaths += 1
        clock.advance(LEASE + 1)
    return deaths


def seconds_until_due(ledger: Ledger, job: Job, clock: Clock) -> int:
    """Return how long a released chunk waits, in steps of five seconds."""
    for seconds in range(0, 4000, 5):
        if ledger.chunks.due(job.id, idle=True):
            return seconds
        clock.advance(5)
    raise AssertionError("never due")


# To the end


def test_a_job_from_start_to_end(ledger: Ledger) -> None:
    """Every row of every chunk is in place, stored with its digests, shredded, and the job is done."""
    api = Registrar()
    job = start_job(ledger, rows_of(2, 25), rows_of(27, 5), batch_size=10)
    with process(ledger, job, api, threads=4) as workers:
        workers.deliver(0)
        assert ledger.jobs.state(job.id) is JobState.RUNNING
        workers.deliver(1)
    assert told(ledger, job) == dict.fromkeys(range(2, 32), CREATED)
    assert api.digests() == {row.composite: digests_of(row) for row in rows_of(2, 30)}
    assert sorted(map(len, api.posts)) == [5, 5, 10, 10]
    done = ledger.jobs.get(job.id)
    assert (done.state, done.requests, done.retries) == (JobState.DONE, 10, 4)
    assert ledger.chunks.kept(job.id) == []


def test_only_what_is_not_in_place_stays_sealed(ledger: Ledger) -> None:
    """When a chunk ends, the passwords of the rows that are in place are gone; the others are kept."""
    api, rows = Registrar(), rows_of(2, 4)
    api.refuses = {"user3": "23019", "user5": "23014"}
    job = start_job(ledger, rows)
    with process(ledger, job, api) as worker:
        worker.deliver()
    assert kept_rows(ledger, job) == [replace(rows[at], host="") for at in (1, 3)]
    assert ledger.jobs.state(job.id) is JobState.DONE


def test_the_realm_family_posts_to_one_realm(ledger: Ledger) -> None:
    """With the realm family no request mixes realms, also where a chunk does."""
    api = Registrar()
    rows = [make_chunk_row(line, realm=line % 2) for line in range(2, 12)]
    job = start_job(ledger, rows, api=Family.REALM)
    with process(ledger, job, api) as worker:
        worker.deliver()
    assert set(told(ledger, job).values()) == {CREATED}
    assert sorted(map(len, api.posts)) == [5, 5]
    assert {realm for realm, _ in api.stored} == {"17", "18"}
    assert {held.realm for held in api.stored.values() if int(held.composite[4:]) % 2} == {OTHER_HOST}


def test_a_learned_bound_is_used(ledger: Ledger) -> None:
    """A batch bound that one chunk learned from a refusal is used by the next chunk."""
    api = Registrar(most_entries=4)
    job = start_job(ledger, rows_of(2, 10), rows_of(12, 10), batch_size=10)
    with process(ledger, job, api) as worker:
        worker.deliver(0)
        worker.deliver(1)
    assert [len(post) for post in api.posts] == [10, 4, 4, 2, 4, 4, 2]
    assert ledger.jobs.get(job.id).batch_bound == 4
    assert set(told(ledger, job).values()) == {CREATED}


def test_a_row_that_crashes_the_code_fails_alone(ledger: Ledger) -> None:
    """A row over which the code crashes on its way is unknown; the chunk ends, all others are in place."""
    api = Registrar()

    def crash(batch: Batch) -> None:
        if any(credential.user == "user7" for credential in batch):
            raise TypeError

    api.before = crash
    job = start_job(ledger, rows_of(2, 20), batch_size=5)
    with process(ledger, job, api, threads=3) as worker:
        worker.deliver()
    assert told(ledger, job) == {**dict.fromkeys(range(2, 22), CREATED), 7: (Status.UNKNOWN, "crashed")}
    assert ledger.jobs.state(job.id) is JobState.DONE


# Delivered again


def test_an_ended_chunk_delivered_again_does_nothing(ledger: Ledger) -> None:
    """The same message three times has one effect."""
    api = Registrar()
    job = start_job(ledger, rows_of(2, 5), rows_of(7, 1))
    with process(ledger, job, api) as worker:
        for _ in range(3):
            worker.deliver()
    assert len(api.posts) == 1
    assert ledger.jobs.get(job.id).requests == 5


def test_a_claimed_chunk_delivered_again_does_nothing(
    ledger: Ledger, other_ledger: Ledger, clock: Clock
) -> None:
    """While one worker has the chunk, a second delivery sends nothing and counts nothing."""
    api = Registrar()
    job = start_job(ledger, rows_of(2, 5))
    assert other_ledger.chunks.claim(job.id, 0, "other:1", LEASE) is not None
    with process(ledger, job, api) as worker:
        worker.deliver()
        assert api.posts == []
        clock.advance(LEASE + 1)
        worker.deliver()
    assert outcomes_of(ledger, job)[2].attempts == 2


def test_of_many_deliveries_at_once_one_works(ledger: Ledger, other_ledger: Ledger) -> None:
    """Two processes that get the same message at the same moment send each row once."""
    api = Registrar()
    job = start_job(ledger, rows_of(2, 20), batch_size=5)
    with process(ledger, job, api) as one, process(other_ledger, job, api, owner="other:1") as other:
        threads = [threading.Thread(target=worker.deliver) for worker in (one, other)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(name for post in api.posts for name in post) == sorted(r.user for r in rows_of(2, 20))
    assert set(told(ledger, job).values()) == {CREATED}


def test_after_a_death_the_service_is_asked_first(ledger: Ledger, clock: Clock) -> None:
    """If a worker died after a commit, what is there is not sent again, and counts as unproven."""
    api = Registrar()
    job = start_job(ledger, rows_of(2, 6), looked=True, batch_size=3)
    with process(ledger, job, api, owner="dead:1") as dead:
        api.after = raising_died
        with pytest.raises(Died):
            dead.deliver()
    assert (len(api.posts), outcomes_of(ledger, job)) == (1, {})
    api.after = lambda batch: None
    clock.advance(LEASE + 1)
    with process(ledger, job, api) as worker:
        work_off(ledger, clock, worker)
    assert [told(ledger, job)[line] for line in range(2, 8)] == [ORIGIN_UNKNOWN] * 3 + [CREATED] * 3
    assert [name for post in api.posts for name in post] == [f"user{line}" for line in range(2, 8)]
    assert outcomes_of(ledger, job)[2].attempts == 1


def test_a_late_worker_is_refused(ledger: Ledger, other_ledger: Ledger, clock: Clock) -> None:
    """A worker that slept through its lease changes nothing: its successor has settled the rows."""
    api = Registrar()
    job = start_job(ledger, rows_of(2, 3))
    with process(ledger, job, api) as late, process(other_ledger, job, api, owner="other:1") as other:

        def sleep_through_the_lease(batch: Batch) -> None:
            clock.advance(LEASE + 1)
            work_off(ledger, clock, other)

        api.after = sleep_through_the_lease
        late.deliver()
    assert set(told(ledger, job).values()) == {ORIGIN_UNKNOWN}
    assert api.posts == [["user2", "user3", "user4"]]
    done = ledger.jobs.get(job.id)
    assert (done.state, done.requests) == (JobState.DONE, 10)


def test_no_request_starts_without_the_lease(ledger: Ledger, other_ledger: Ledger, clock: Clock) -> None:
    """A worker that wakes after its lease sends nothing: the ledger refuses it first (guard: ``permit``)."""
    api = Registrar()
    job = start_job(ledger, rows_of(2, 3))
    with process(ledger, job, api) as late:

        def oversleep() -> None:
            late.clock.advance(LEASE + 1)
            clock.advance(LEASE + 1)
            assert other_ledger.chunks.claim(job.id, 0, "other:1", LEASE) is not None

        api.waiting = oversleep
        late.deliver()
    assert (api.posts, outcomes_of(ledger, job)) == ([], {})


def test_a_request_has_more_lease_than_it_takes(ledger: Ledger, other_ledger: Ledger, clock: Clock) -> None:
    """A worker that waited long for its turn renews its lease before it writes (guard: ``permit``)."""
    api = Registrar()
    job = start_job(ledger, rows_of(2, 3))
    with process(ledger, job, api) as worker:

        def wait() -> None:
            worker.clock.advance(LEASE - 20)
            clock.advance(LEASE - 20)

        def look(batch: Batch) -> None:
            clock.advance(LEASE - 1)
            assert other_ledger.chunks.claim(job.id, 0, "other:1", LEASE) is None

        api.waiting, api.before = wait, look
        worker.deliver()
    assert set(told(ledger, job).values()) == {CREATED}


# Given back


def test_giving_way_keeps_what_was_answered(ledger: Ledger) -> None:
    """A chunk whose time is over is released at once, with its outcomes; none of it is sent twice."""
    api = Registrar()
    job = start_job(ledger, rows_of(2, 9), batch_size=3)
    with process(ledger, job, api) as worker:
        api.before = lambda batch: worker.clock.advance(TURN * 0.6)
        worker.deliver()
        assert len(told(ledger, job)) == 6
        assert ledger.jobs.state(job.id) is JobState.RUNNING
        assert ledger.chunks.due(job.id, idle=False) == [0]
        worker.deliver()
    assert told(ledger, job) == dict.fromkeys(range(2, 11), CREATED)
    assert [len(post) for post in api.posts] == [3, 3, 3]
    assert api.looks == []


def test_a_process_told_to_end_ends_with_what_is_in_flight(ledger: Ledger) -> None:
    """After a stop, requests in flight keep their outcomes, no others start, and the chunk is due again."""
    api = Registrar()
    job = start_job(ledger, rows_of(2, 9), batch_size=3)
    with process(ledger, job, api) as worker:
        api.before = lambda batch: worker.stopping.set()
        worker.deliver()
    assert told(ledger, job) == dict.fromkeys((2, 3, 4), CREATED)
    assert ledger.chunks.due(job.id, idle=False) == [0]


def test_doubt_survives_giving_way(ledger: Ledger, clock: Clock) -> None:
    """Unconfirmed rows whose batch never got its turn stay so (guard: in_doubt before the work)."""
    api = Registrar()
    job = start_job(ledger, rows_of(2, 4), batch_size=1)
    assert ledger.chunks.claim(job.id, 0, "dead:1", LEASE) is not None
    clock.advance(LEASE + 1)

    def away(composite: str) -> None:
        raise Unavailable("away")

    api.looking = away
    with process(ledger, job, api) as worker:
        worker.deliver()
    clock.advance(301)
    claim = ledger.chunks.claim(job.id, 0, "desk:2", LEASE)
    assert claim is not None
    assert claim.is_unconfirmed(2)
    assert claim.is_unconfirmed(3)
    assert api.posts == []


@pytest.mark.parametrize(
    ("error", "why"),
    [(Throttled("slow down"), "throttled: slow down"), (Unavailable("away"), "unavailable: away")],
)
def test_an_outage_pauses_and_fails_nothing(
    ledger: Ledger, clock: Clock, error: SiprosterError, why: str
) -> None:
    """While the service is unavailable, answered batches stay and the job pauses; then all is done."""
    api = Registrar()
    api.before = raising(error, after=1)
    job = start_job(ledger, rows_of(2, 6), batch_size=2)
    with process(ledger, job, api) as worker:
        worker.deliver()
        assert told(ledger, job) == dict.fromkeys((2, 3), CREATED)
        paused = ledger.jobs.get(job.id)
        assert (paused.state, str(paused.why)) == (JobState.PAUSED, why)
        assert ledger.chunks.due(job.id, idle=True) == []
        api.before = lambda batch: None
        clock.advance(2.1)
        assert ledger.chunks.due(job.id, idle=True) == [0]
        worker.deliver()
    assert told(ledger, job) == dict.fromkeys(range(2, 8), CREATED)
    assert ledger.jobs.state(job.id) is JobState.DONE


@pytest.mark.parametrize(("asked", "waited"), [(90.0, 90.0), (1e12, 3600.0)])
def test_a_chunk_waits_as_long_as_it_is_asked(
    ledger: Ledger, clock: Clock, asked: float, waited: float
) -> None:
    """A wait that the service asks for is kept to, up to an hour: a date far off puts no chunk away."""
    api = Registrar()
    api.before = raising(Throttled("slow down", retry_after=asked))
    job = start_job(ledger, rows_of(2, 1))
    with process(ledger, job, api) as worker:
        worker.deliver()
    clock.advance(waited - 1)
    assert ledger.chunks.due(job.id, idle=True) == []
    clock.advance(2)
    assert ledger.chunks.due(job.id, idle=True) == [0]


def test_waits_grow_with_an_outage(ledger: Ledger, clock: Clock) -> None:
    """Each claim of a chunk without progress waits longer than the one before, up to five minutes."""
    api = Registrar()
    api.before = raising(Unavailable("away"))
    job = start_job(ledger, rows_of(2, 1))
    waits = []
    with process(ledger, job, api) as worker:
        for _ in range(10):
            worker.deliver()
            waits.append(waited := seconds_until_due(ledger, job, clock))
            assert waited <= 305
    assert waits[0] <= 5 < waits[4] < waits[-1]
    assert (told(ledger, job), api.looks) == ({}, [])


def test_two_lost_answers_pause_the_job(ledger: Ledger, clock: Clock) -> None:
    """Two answers lost in a row fail no row: the job pauses, and the next claim asks first."""
    api = Registrar()
    api.before = lose(2)
    job = start_job(ledger, rows_of(2, 3))
    with process(ledger, job, api) as worker:
        worker.deliver()
        assert (told(ledger, job), ledger.jobs.state(job.id)) == ({}, JobState.PAUSED)
        api.before, api.looks = lambda batch: None, []
        clock.advance(301)
        worker.deliver()
    assert api.looks == ["user2", "user3", "user4"]
    assert set(told(ledger, job).values()) == {CREATED}
    assert outcomes_of(ledger, job)[2].attempts == 2


# Stopped


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (AuthenticationRefused("refused"), "authentication_refused: refused"),
        (NotAllowed("23013"), "not_allowed: 23013"),
    ],
)
def test_a_refusal_of_everything_stops_the_job(ledger: Ledger, error: SiprosterError, why: str) -> None:
    """401 and its kind stop the job: what was answered stays, the rest is unprocessed, others may write."""
    api = Registrar()
    api.before = raising(error, after=1)
    job = start_job(ledger, rows_of(2, 6), rows_of(8, 2), batch_size=2)
    with process(ledger, job, api) as worker:
        worker.deliver(0)
        worker.deliver(1)
    stopped = ledger.jobs.get(job.id)
    assert (stopped.state, str(stopped.why)) == (JobState.STOPPED, why)
    assert ledger.rows.counts(job.id, 8) == {Status.CREATED: 2, Status.UNPROCESSED: 6}
    assert len(api.posts) == 2
    assert ledger.accounts.writer(job.host, job.account) is None


def test_the_gravest_reason_counts(ledger: Ledger) -> None:
    """If one request must wait and another shows that nothing can succeed, the job stops."""
    api, both = Registrar(), threading.Barrier(2)

    def refuse(batch: Batch) -> None:
        both.wait(10)
        raise Throttled("slow down") if batch[0].user == "user2" else AuthenticationRefused("refused")

    api.before = refuse
    job = start_job(ledger, rows_of(2, 2), batch_size=1)
    with process(ledger, job, api, threads=2) as worker:
        worker.deliver()
    assert str(ledger.jobs.get(job.id).why) == "authentication_refused: refused"
    assert told(ledger, job) == {}


def test_a_stopped_job_goes_on_where_it_was(ledger: Ledger) -> None:
    """Resumed, a stopped job sends what it had not sent, and nothing else."""
    api = Registrar()
    api.before = raising(AuthenticationRefused("refused"), after=1)
    job = start_job(ledger, rows_of(2, 6), batch_size=2)
    with process(ledger, job, api) as worker:
        worker.deliver()
        ledger.accounts.acquire(job, "desk:1")
        ledger.jobs.start(job.id)
        api.before = lambda batch: None
        worker.deliver()
    assert told(ledger, job) == dict.fromkeys(range(2, 8), CREATED)
    assert api.looks == []


@pytest.mark.parametrize(("allowed", "posts"), [("0", 1), ("1", 1), ("3", 2), ("50%", 5), ("10%", 1)])
def test_too_many_failures_stop_the_job(ledger: Ledger, allowed: str, posts: int) -> None:
    """More failed rows than allowed, in number or in percent, and no further request starts."""
    api = Registrar()
    api.refuses = {f"user{line}": "23019" for line in range(2, 20)}
    job = start_job(ledger, rows_of(2, 10), batch_size=2, max_failed=allowed)
    if allowed == "50%":
        api.refuses = {f"user{line}": "23019" for line in range(2, 7)}
    with process(ledger, job, api) as worker:
        worker.deliver()
    stopped = ledger.jobs.get(job.id)
    assert len(api.posts) == posts
    assert (stopped.state is JobState.STOPPED) is (allowed != "50%")
    assert str(stopped.why).startswith("max_failed: ") is (allowed != "50%")
    if allowed != "50%":
        assert str(stopped.why).endswith(f"; {allowed} {'is' if allowed == '1' else 'are'} allowed")


def test_what_may_fail() -> None:
    """A number allows so many failed rows, a percentage a share of the roster's."""
    assert [allowed(text, 250) for text in ("0", "7", "10%", "0.4%")] == [0, 7, 25, 1]


def test_the_window_ends(ledger: Ledger) -> None:
    """After --not-after nothing is sent, the job is stopped and says when its window ended."""
    api = Registrar()
    then = (dt.datetime.now(dt.UTC) - dt.timedelta(seconds=1)).isoformat()
    job = start_job(ledger, rows_of(2, 3), not_after=then)
    with process(ledger, job, api) as worker:
        worker.deliver()
    stopped = ledger.jobs.get(job.id)
    assert (api.posts, stopped.state) == ([], JobState.STOPPED)
    ended = dt.datetime.fromisoformat(then)
    assert str(stopped.why) == f"not_after: the window ended at {ended:%Y-%m-%d %H:%M}Z"
    assert ledger.rows.counts(job.id, 3) == {Status.UNPROCESSED: 3}


def test_a_window_that_is_open(ledger: Ledger) -> None:
    """Before --not-after everything goes its way."""
    later = (dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)).isoformat()
    api, job = Registrar(), start_job(ledger, rows_of(2, 3), not_after=later)
    with process(ledger, job, api) as worker:
        worker.deliver()
    assert ledger.jobs.state(job.id) is JobState.DONE


def test_a_cancelled_job_ends_what_is_in_flight(ledger: Ledger, other_ledger: Ledger) -> None:
    """Cancelled elsewhere in the middle: the batch in flight keeps its outcomes, nothing new starts."""
    api = Registrar()
    job = start_job(ledger, rows_of(2, 6), batch_size=2)
    api.before = lambda batch: other_ledger.jobs.stop(job.id, OVER[JobState.CANCELLED])
    with process(ledger, job, api) as worker:
        worker.deliver()
    assert told(ledger, job) == dict.fromkeys((2, 3), CREATED)
    assert ledger.jobs.get(job.id).why == OVER[JobState.CANCELLED]


# A row that kills its worker


class DeadlyExecutor(ThreadPoolExecutor):
    """Kills its process when it gets a certain row to work on."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        if any(row.user == "user6" for row in (args[-1] if args else ())):
            raise Died
        return super().submit(fn, *args, **kwargs)


def test_a_deadly_row_is_found_and_fails_alone(ledger: Ledger, clock: Clock) -> None:
    """A row that kills its worker each time is failed after its deaths alone; all others are in place."""
    api = Registrar()
    job = start_job(ledger, rows_of(2, 8), looked=True, batch_size=4)
    with DeadlyExecutor(1) as executor:
        deaths = work_off(ledger, clock, Process(ledger, job, api, executor, "desk:1"))
    found = told(ledger, job)
    assert found.pop(6) == (Status.UNKNOWN, "crashed")
    # A batch on its way at the death is found again where its outcomes came too late to be kept.
    assert set(found) == {2, 3, 4, 5, 7, 8, 9}
    assert set(found.values()) <= {CREATED, (Status.UNCHANGED, "origin_unknown")}
    assert ledger.jobs.state(job.id) is JobState.DONE
    assert deaths <= 9
    assert ledger.chunks.progress(job.id).rows == 8
