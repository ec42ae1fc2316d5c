"""Chunks in the ledger, on SQLite and on PostgreSQL: claims, fencing, unconfirmed rows, sealed rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.unit.jobs import AWAY, LAST_LINE, OVER, Clock, add_settled, make_chunk_row, make_job, start_job
from worker.errors import LedgerError
from worker.ledger import Claim, Fenced, Ledger
from worker.ledger.accounts import WRITER_LEASE
from worker.model import Job, JobState, Outcome, Status
from worker.states import Reason, Why

LEASE = 120.0
ROWS = [make_chunk_row(line) for line in (2, 3, 5)]
CREATED, REFUSED = Outcome(2, Status.CREATED, "17"), Outcome(3, Status.FAILED, code="23019", error="no")


@pytest.fixture
def job(ledger: Ledger) -> Job:
    """A running job with two chunks, of lines 2 to 5 and 7 to 8."""
    return start_job(ledger, ROWS, [make_chunk_row(7), make_chunk_row(8)])


def claimed(ledger: Ledger, job: Job, seq: int = 0, owner: str = "desk:1") -> Claim:
    """A claim that must be had."""
    claim = ledger.chunks.claim(job.id, seq, owner, LEASE)
    assert claim is not None
    return claim


def outcomes_of(ledger: Ledger, job: Job) -> dict[int, Outcome]:
    """Every outcome of the job."""
    return ledger.rows.outcomes(job.id, 0, LAST_LINE)


# Claims


def test_the_first_claim(ledger: Ledger, job: Job) -> None:
    """A fresh chunk comes with its sealed rows, one attempt, nothing settled and nothing unconfirmed."""
    claim = claimed(ledger, job)
    assert (claim.generation, claim.attempts, claim.claims_without_progress, claim.crashes) == (1, 1, 1, 0)
    assert (claim.recorded, claim.unconfirmed, claim.suspect) == ({}, frozenset(), False)
    assert claim.sealed == ledger.chunks.sealed(job.id, 0)
    assert not any(claim.is_unconfirmed(row.line) for row in ROWS)


def test_a_claimed_chunk_is_not_to_be_had(
    ledger: Ledger, other_ledger: Ledger, job: Job, clock: Clock
) -> None:
    """While a lease runs, nobody else gets the chunk, and a refused claim is not counted."""
    claimed(ledger, job)
    clock.advance(LEASE)
    assert other_ledger.chunks.claim(job.id, 0, "other:1", LEASE) is None
    clock.advance(0.1)
    again = claimed(other_ledger, job, owner="other:1")
    assert (again.generation, again.attempts, again.claims_without_progress) == (2, 2, 2)


def test_a_renewed_lease_holds(ledger: Ledger, job: Job, clock: Clock) -> None:
    """Renewing, and recording an outcome, each give the whole lease again."""
    claim = claimed(ledger, job)
    clock.advance(LEASE - 1)
    ledger.chunks.renew(claim, LEASE)
    clock.advance(LEASE - 1)
    assert ledger.chunks.claim(job.id, 0, "other:1", LEASE) is None
    ledger.chunks.record(claim, [CREATED], LEASE)
    clock.advance(LEASE - 1)
    assert ledger.chunks.claim(job.id, 0, "other:1", LEASE) is None
    clock.advance(2)
    assert ledger.chunks.claim(job.id, 0, "other:1", LEASE) is not None


def test_what_is_settled_comes_with_the_claim(ledger: Ledger, job: Job, clock: Clock) -> None:
    """The next claim knows the outcomes of its own chunk's rows, and no other's."""
    first, other = claimed(ledger, job), claimed(ledger, job, 1)
    ledger.chunks.record(first, [CREATED, REFUSED], LEASE)
    ledger.chunks.record(other, [Outcome(7, Status.CREATED)], LEASE)
    clock.advance(LEASE + 1)
    assert claimed(ledger, job).recorded == {2: Status.CREATED, 3: Status.FAILED}


def test_progress_makes_a_claim_fruitful(ledger: Ledger, job: Job, clock: Clock) -> None:
    """Claims without an outcome are counted; one outcome resets that count, but not the attempts."""
    for _ in range(3):
        claim = claimed(ledger, job)
        clock.advance(LEASE + 1)
    assert claim.claims_without_progress == 3
    claim = claimed(ledger, job)
    ledger.chunks.record(claim, [CREATED], LEASE)
    clock.advance(LEASE + 1)
    again = claimed(ledger, job)
    assert (again.attempts, again.claims_without_progress, again.crashes) == (5, 1, 1)


@pytest.mark.parametrize("state", [JobState.STOPPED, JobState.CANCELLED])
def test_an_ended_job_has_no_work(ledger: Ledger, job: Job, state: JobState) -> None:
    """A message that comes after the job was stopped claims nothing."""
    ledger.jobs.stop(job.id, OVER[state])
    assert ledger.chunks.claim(job.id, 0, "desk:1", LEASE) is None


def test_a_job_that_is_still_read_has_no_work(ledger: Ledger) -> None:
    """A chunk is not to be had before the whole roster is in the ledger."""
    job = make_job()
    ledger.jobs.begin(job, "desk:1")
    ledger.chunks.add(job.id, 0, [2], b"sealed")
    assert ledger.chunks.claim(job.id, 0, "desk:1", LEASE) is None
    ledger.jobs.start(job.id)
    assert ledger.chunks.claim(job.id, 0, "desk:1", LEASE) is not None


def test_work_needs_the_account(ledger: Ledger, job: Job, clock: Clock) -> None:
    """A job whose hold on its account ran out gets no chunk while another job has the account."""
    claimed(ledger, job)
    clock.advance(WRITER_LEASE + 1)
    other = start_job(ledger, ROWS)
    assert ledger.chunks.claim(job.id, 1, "desk:1", LEASE) is None
    ledger.accounts.release(other.id)
    ledger.accounts.acquire(job, "desk:1")
    assert ledger.chunks.claim(job.id, 1, "desk:1", LEASE) is not None


def test_work_keeps_the_account(ledger: Ledger, job: Job, clock: Clock) -> None:
    """A claim is a sign of life: while workers work, no second job gets the account."""
    clock.advance(WRITER_LEASE - 1)
    claimed(ledger, job)
    clock.advance(WRITER_LEASE - 1)
    writer = ledger.accounts.writer(job.host, job.account)
    assert writer is not None
    assert writer.job == job.id


# Fencing

LATE: dict[str, Callable[[Ledger, Claim], object]] = {
    "record": lambda ledger, claim: ledger.chunks.record(claim, [CREATED], LEASE),
    "renew": lambda ledger, claim: ledger.chunks.renew(claim, LEASE),
    "end": lambda ledger, claim: ledger.chunks.end(claim, b"other rows", 60, 9, 9),
    "release": lambda ledger, claim: ledger.chunks.release(claim, 60, [3], 9, 9),
    "split": lambda ledger, claim: ledger.chunks.split(claim, b"kept", [5], lambda seq: b"moved"),
    "set_away": lambda ledger, claim: ledger.chunks.set_waiting_on_service(claim, True),
}


@pytest.mark.parametrize("how", LATE)
def test_a_late_writer_is_fenced(ledger: Ledger, job: Job, clock: Clock, how: str) -> None:
    """A worker that lost its claim to another can write nothing (guard: ``generation = :generation``)."""
    late = claimed(ledger, job)
    clock.advance(LEASE + 1)
    mine = claimed(ledger, job, owner="other:1")
    with pytest.raises(Fenced):
        LATE[how](ledger, late)
    assert outcomes_of(ledger, job) == {}
    assert ledger.chunks.progress(job.id).settled == 0
    assert ledger.chunks.sealed(job.id, 0) == mine.sealed
    assert (ledger.jobs.get(job.id).requests, len(ledger.chunks.kept(job.id))) == (0, 2)
    ledger.chunks.record(mine, [CREATED], LEASE)
    clock.advance(LEASE)
    assert ledger.chunks.claim(job.id, 0, "third:1", LEASE) is None


@pytest.mark.parametrize("how", LATE)
@pytest.mark.parametrize("after", ["released", "ended"])
def test_nobody_writes_without_a_claim(ledger: Ledger, job: Job, how: str, after: str) -> None:
    """A chunk that was released or has ended accepts nothing from its last holder, either."""
    claim = claimed(ledger, job)
    if after == "released":
        ledger.chunks.release(claim, 0, [], 1, 0)
    else:
        ledger.chunks.end(claim, None, 0, 1, 0)
    with pytest.raises(Fenced):
        LATE[how](ledger, claim)
    assert outcomes_of(ledger, job) == {}
    assert ledger.jobs.get(job.id).requests == 1


def test_a_row_has_one_outcome(ledger: Ledger, job: Job) -> None:
    """A second outcome for a row is refused with its whole batch (guard: the key of ``outcomes``)."""
    claim = claimed(ledger, job)
    ledger.chunks.record(claim, [CREATED], LEASE)
    with pytest.raises(LedgerError):
        ledger.chunks.record(
            claim, [Outcome(5, Status.CREATED), replace(CREATED, status=Status.FAILED)], LEASE
        )
    assert outcomes_of(ledger, job) == {2: CREATED}
    assert ledger.chunks.progress(job.id).settled == 1


def test_an_error_tells_no_values(ledger: Ledger, job: Job) -> None:
    """A database error is reported without the values that were to be written."""
    claim = claimed(ledger, job)
    outcome = Outcome(2, Status.FAILED, "id-canary", "code-canary", "text-canary")
    ledger.chunks.record(claim, [outcome], LEASE)
    with pytest.raises(LedgerError, match=r"^the ledger .*failed: ") as failed:
        ledger.chunks.record(claim, [outcome], LEASE)
    told = failed.value.message + failed.value.hint
    assert "canary" not in told
    assert job.id not in told
    assert failed.value.__cause__ is None


# Doubt


def test_a_crash_puts_every_row_in_doubt(ledger: Ledger, job: Job, clock: Clock) -> None:
    """After a worker died, every row of its chunk is unconfirmed (guard: ``doubt`` in the claim)."""
    claimed(ledger, job)
    clock.advance(LEASE + 1)
    claim = claimed(ledger, job)
    assert claim.unconfirmed is None
    assert all(claim.is_unconfirmed(row.line) for row in ROWS)


def test_a_release_names_the_rows_in_doubt(ledger: Ledger, job: Job) -> None:
    """A released chunk has the unconfirmed rows that it was released with, and no others."""
    ledger.chunks.release(claimed(ledger, job), 0, [3, 5], 0, 0)
    claim = claimed(ledger, job)
    assert [row.line for row in ROWS if claim.is_unconfirmed(row.line)] == [3, 5]
    ledger.chunks.release(claim, 0, [], 0, 0)
    assert claimed(ledger, job).unconfirmed == frozenset()


def test_a_crash_outdoes_a_release(ledger: Ledger, job: Job, clock: Clock) -> None:
    """If the worker of a chunk with some unconfirmed rows dies, all of its rows are unconfirmed."""
    ledger.chunks.release(claimed(ledger, job), 0, [3], 0, 0)
    claimed(ledger, job)
    clock.advance(LEASE + 1)
    assert claimed(ledger, job).unconfirmed is None


# Waiting and the queue


def test_a_release_waits_its_time(ledger: Ledger, job: Job, clock: Clock) -> None:
    """A chunk released for later is neither claimed nor queued before; ``wake`` queues it at once."""
    ledger.chunks.release(claimed(ledger, job), 90, [], 4, 2)
    clock.advance(89)
    assert ledger.chunks.claim(job.id, 0, "desk:1", LEASE) is None
    assert ledger.chunks.due(job.id, idle=True) == [1]
    ledger.chunks.wake(job.id)
    assert ledger.chunks.due(job.id, idle=True) == [0, 1]
    assert claimed(ledger, job).attempts == 2
    assert (ledger.jobs.get(job.id).requests, ledger.jobs.get(job.id).retries) == (4, 2)


def test_a_chunk_is_queued_once(ledger: Ledger, other_ledger: Ledger, job: Job, clock: Clock) -> None:
    """Sweeps anywhere put a chunk on the queue once, and never again while the queue has a backlog."""
    assert ledger.chunks.due(job.id, idle=True) == [0, 1]
    assert other_ledger.chunks.due(job.id, idle=True) == []
    clock.advance(3600)
    assert other_ledger.chunks.due(job.id, idle=False) == []


def test_an_empty_queue_has_lost_its_messages(ledger: Ledger, job: Job, clock: Clock) -> None:
    """A chunk that was queued a while ago, and still waits although the queue is empty, is queued again."""
    ledger.chunks.due(job.id, idle=True)
    clock.advance(31)
    claimed(ledger, job, 1)
    assert ledger.chunks.due(job.id, idle=True) == [0]


def test_a_dead_workers_chunk_is_queued_again(ledger: Ledger, job: Job, clock: Clock) -> None:
    """A claimed chunk is left alone while its lease holds, and comes back after it, backlog or not."""
    ledger.chunks.due(job.id, idle=True)
    claimed(ledger, job)
    clock.advance(LEASE)
    assert 0 not in ledger.chunks.due(job.id, idle=True)
    clock.advance(1)
    assert ledger.chunks.due(job.id, idle=False) == [0]
    assert ledger.chunks.due(job.id, idle=False) == []


def test_what_the_queue_did_not_take(ledger: Ledger, job: Job) -> None:
    """Chunks that the queue refused are due again at once."""
    assert ledger.chunks.due(job.id, idle=False) == [0, 1]
    ledger.chunks.not_queued(job.id, [0, 1])
    assert ledger.chunks.due(job.id, idle=False) == [0, 1]


def test_an_ended_chunk_is_never_due(ledger: Ledger, job: Job, clock: Clock) -> None:
    """Nothing brings an ended chunk back: no sweep, no message, no ``wake``."""
    ledger.chunks.end(claimed(ledger, job), b"rest", 60, 0, 0)
    clock.advance(3600)
    ledger.chunks.wake(job.id)
    assert ledger.chunks.due(job.id, idle=True) == [1]
    assert ledger.chunks.claim(job.id, 0, "desk:1", LEASE) is None


def test_a_known_death_needs_no_patience(ledger: Ledger, job: Job) -> None:
    """A worker known to be dead loses its leases at once, its rows unconfirmed; others keep theirs."""
    claimed(ledger, job, 0, "dead:1")
    claimed(ledger, job, 1, "alive:1")
    assert sorted(lease.owner for lease in ledger.waits.leases(job.id)) == ["alive:1", "dead:1"]
    ledger.chunks.free(job.id, "dead:1")
    assert ledger.chunks.due(job.id, idle=False) == [0]
    assert claimed(ledger, job).unconfirmed is None
    assert ledger.chunks.claim(job.id, 1, "desk:1", LEASE) is None


# A chunk that kills its worker


def test_deaths_are_counted_and_forgiven(ledger: Ledger, job: Job, clock: Clock) -> None:
    """A death makes a chunk suspect; one outcome clears it, and a released chunk has no death."""
    ledger.chunks.release(claimed(ledger, job), 0, [], 0, 0)
    assert claimed(ledger, job).crashes == 0
    clock.advance(LEASE + 1)
    claim = claimed(ledger, job)
    assert (claim.crashes, claim.suspect) == (1, True)
    ledger.chunks.record(claim, [CREATED], LEASE)
    ledger.chunks.release(claim, 0, [], 0, 0)
    claim = claimed(ledger, job)
    assert (claim.crashes, claim.suspect) == (0, False)


def test_a_death_while_away_is_no_rows_fault(ledger: Ledger, job: Job, clock: Clock) -> None:
    """A worker that dies while it waits for the service was not killed by a row (guard: ``away = 0``)."""
    claimed(ledger, job)
    clock.advance(LEASE + 1)
    ledger.chunks.set_waiting_on_service(claimed(ledger, job), True)
    clock.advance(LEASE + 1)
    assert claimed(ledger, job).crashes == 1
    clock.advance(LEASE + 1)
    assert claimed(ledger, job).crashes == 2


def test_a_split_loses_no_row(ledger: Ledger, job: Job, clock: Clock) -> None:
    """Both parts of a suspect chunk exist, unconfirmed, with numbers of their own, and lose no row."""
    claimed(ledger, job)
    clock.advance(LEASE + 1)
    ledger.chunks.split(claimed(ledger, job), b"kept", [3, 4], lambda seq: b"moved to %d" % seq)
    assert ledger.chunks.progress(job.id).rows == 5
    assert ledger.chunks.sealed(job.id, 0) == b"kept"
    moved = claimed(ledger, job, 2)
    assert (moved.sealed, moved.crashes, moved.suspect, moved.unconfirmed) == (b"moved to 2", 0, True, None)
    assert [kept.first_line for kept in ledger.chunks.kept(job.id)] == [2, 3, 7]


# Unconfirmed rows


def unconfirmed(ledger: Ledger, job: Job) -> set[int]:
    """Return the unconfirmed lines; assert that the counts and the rows' outcomes agree."""
    found = set(ledger.rows.unconfirmed(job.id))
    page = next(ledger.rows.pages(job.id))
    codes = {line: page.outcome(line).code for line in range(page.first_line, page.last_line + 1)}
    assert {line for line, code in codes.items() if code == "unconfirmed"} == found
    unknown = ledger.rows.counts(job.id, len(codes)).get(Status.UNKNOWN, 0)
    assert unknown == len(found)
    return found


@pytest.mark.parametrize("state", [JobState.STOPPED, JobState.CANCELLED])
def test_what_a_dead_worker_may_have_sent(ledger: Ledger, job: Job, state: JobState) -> None:
    """A dead worker's rows without an outcome are unknown once the job has ended, and at work before."""
    claim = claimed(ledger, job)
    ledger.chunks.record(claim, [CREATED], LEASE)
    assert unconfirmed(ledger, job) == set()
    ledger.jobs.stop(job.id, OVER[state])
    assert unconfirmed(ledger, job) == {3, 5}
    ledger.chunks.recall(job.id)
    assert 3 in unconfirmed(ledger, job)


def test_what_was_given_back_unanswered(ledger: Ledger, job: Job) -> None:
    """Only the rows of a released chunk that were sent are unknown; the others were not attempted."""
    ledger.chunks.release(claimed(ledger, job), 0, [3], 0, 0)
    assert unconfirmed(ledger, job) == set()
    ledger.jobs.pause(job.id, AWAY)
    assert unconfirmed(ledger, job) == {3}


def test_what_was_given_back_as_it_was_claimed(ledger: Ledger, job: Job) -> None:
    """A claim that has sent nothing leaves the unconfirmed rows as they were."""
    ledger.chunks.release(claimed(ledger, job), 0, [3], 0, 0)
    ledger.chunks.release(claimed(ledger, job), 0, None, 0, 0)
    assert claimed(ledger, job).is_unconfirmed(3)


def test_both_parts_of_a_split_know_their_lines(ledger: Ledger, job: Job, clock: Clock) -> None:
    """Both parts of a split chunk have their unconfirmed rows, the claimed one and the waiting one."""
    claimed(ledger, job)
    clock.advance(LEASE + 1)
    ledger.chunks.split(claimed(ledger, job), b"kept", [5], lambda seq: b"moved")
    ledger.jobs.stop(job.id, OVER[JobState.STOPPED])
    assert unconfirmed(ledger, job) == {2, 3, 5}


# Sealed rows


def test_rows_by_status(ledger: Ledger, job: Job) -> None:
    """Each row of the roster is counted in exactly one status; what has no outcome is unprocessed."""
    ledger.chunks.record(claimed(ledger, job), [CREATED, REFUSED], LEASE)
    counts = ledger.rows.counts(job.id, 5)
    assert counts == {Status.CREATED: 1, Status.FAILED: 1, Status.UNPROCESSED: 3}
    progress = ledger.chunks.progress(job.id)
    assert (progress.rows, progress.settled, progress.troubled) == (5, 2, 1)


def test_refused_rows_have_ended_from_the_start(ledger: Ledger, job: Job, clock: Clock) -> None:
    """Rows that are never sent have their outcome, count as trouble, and keep their passwords a while."""
    refused = [Outcome(4, Status.INVALID, code="too_long", error="username: 40 characters")]
    add_settled(ledger, job, 2, refused, b"sealed")
    assert ledger.chunks.due(job.id, idle=True) == [0, 1]
    assert ledger.chunks.claim(job.id, 2, "desk:1", LEASE) is None
    assert ledger.chunks.progress(job.id).troubled == 1
    assert ledger.chunks.sealed(job.id, 2) == b"sealed"
    clock.advance(61)
    ledger.chunks.shred_expired()
    assert ledger.chunks.sealed(job.id, 2) is None


def test_an_end_shreds_what_is_in_place(ledger: Ledger, job: Job) -> None:
    """When a chunk ends, its rows in place are shredded; the others are sealed again in the same chunk."""
    ledger.chunks.end(claimed(ledger, job), b"the others", 60, 0, 0)
    ledger.chunks.end(claimed(ledger, job, 1), None, 60, 0, 0)
    assert ledger.chunks.sealed(job.id, 0) == b"the others"
    assert ledger.chunks.sealed(job.id, 1) is None
    assert [(kept.seq, kept.first_line) for kept in ledger.chunks.kept(job.id)] == [(0, 2)]


def test_what_is_not_in_place_is_shredded_in_its_time(ledger: Ledger, job: Job, clock: Clock) -> None:
    """Rows that are not in place are kept for their time and no longer; what is worked on stays."""
    ledger.chunks.end(claimed(ledger, job), b"the others", 60, 0, 0)
    clock.advance(60)
    assert ledger.chunks.shred_expired() == 0
    clock.advance(1)
    assert ledger.chunks.shred_expired() == 1
    assert ledger.chunks.sealed(job.id, 0) is None
    assert ledger.chunks.sealed(job.id, 1) is not None


@pytest.mark.parametrize(("state", "left"), [(JobState.CANCELLED, 0), (JobState.STOPPED, 2)])
def test_a_cancelled_jobs_rows_are_shredded(ledger: Ledger, clock: Clock, state: JobState, left: int) -> None:
    """A cancelled job's chunks never end, yet their time does; a stopped job can still be resumed."""
    job = start_job(ledger, ROWS, [make_chunk_row(7)], keep_days=2.0)
    claim = claimed(ledger, job)
    ledger.jobs.stop(job.id, OVER[state])
    ledger.chunks.release(claim, 0, [2], 0, 0)
    clock.advance(2 * 86_400)
    assert ledger.chunks.shred_expired() == 0
    clock.advance(1)
    ledger.chunks.shred_expired()
    assert len(ledger.chunks.kept(job.id)) == left


def test_rows_of_a_stopped_job_that_is_undone_are_shredded(ledger: Ledger, clock: Clock) -> None:
    """A stopped job that was undone can't be resumed, so its rows' retention begins."""
    job = start_job(ledger, ROWS, [make_chunk_row(7)], keep_days=2.0)
    ledger.jobs.stop(job.id, OVER[JobState.STOPPED])
    clock.advance(86_400)
    ledger.jobs.close(job.id, Why(Reason.UNDONE, "it was undone"))
    clock.advance(2 * 86_400)
    assert ledger.chunks.shred_expired() == 0
    clock.advance(1)
    assert ledger.chunks.shred_expired() == 2
    assert ledger.chunks.kept(job.id) == []


def test_recalled_claims_are_good_for_nothing(ledger: Ledger, job: Job, clock: Clock) -> None:
    """A recalled claim that still holds is reported; one that ran out is fenced, all its rows unconfirmed."""
    claim = claimed(ledger, job)
    clock.advance(1)
    claimed(ledger, job, 1, "desk:2")
    clock.advance(LEASE - 0.5)
    assert ledger.chunks.recall(job.id) == ["desk:2"]
    with pytest.raises(Fenced):
        ledger.chunks.renew(claim, LEASE)
    assert claimed(ledger, job).unconfirmed is None
