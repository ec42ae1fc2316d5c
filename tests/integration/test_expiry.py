"""Passwords are kept for as long as their job can be resumed, or their rows be retried, and no longer."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from tests.unit.jobs import AWAY, OVER, Clock, make_chunk_row, make_job, start_job
from worker.errors import NotFound
from worker.ledger import WRITER_LEASE, Ledger
from worker.model import Job, JobState, Outcome, Status
from worker.states import Reason

DAY = 86_400.0
ROWS = [make_chunk_row(2), make_chunk_row(3)]


def interrupted(ledger: Ledger, state: JobState, **options: float) -> Job:
    """Return a job in a state in which it can be resumed, with two chunks that wait."""
    job = start_job(ledger, ROWS, [make_chunk_row(7)], looked=False, **options)
    if state is JobState.PAUSED:
        ledger.jobs.pause(job.id, AWAY)
    else:
        ledger.jobs.stop(job.id, OVER[state])
    return job


@pytest.mark.parametrize("state", [JobState.PAUSED, JobState.STOPPED])
def test_a_job_that_nobody_resumes_ends(ledger: Ledger, clock: Clock, state: JobState) -> None:
    """After --resume-days its passwords are shredded, it is cancelled, and its account is free."""
    job = interrupted(ledger, state, resume_days=3.0)
    ends = ledger.jobs.get(job.id).expires
    assert ends is not None
    assert ends.timestamp() == clock.now + 3 * DAY
    clock.advance(3 * DAY)
    assert ledger.chunks.shred_expired() == 0
    ledger.accounts.acquire(job, "sweep")  # as the sweep does for a paused job
    clock.advance(1)
    assert ledger.chunks.shred_expired() == 2
    over = ledger.jobs.get(job.id)
    assert (over.state, over.expires, ledger.chunks.kept(job.id)) == (JobState.CANCELLED, None, [])
    assert over.why is not None
    assert (over.why.reason, f"{ends:%Y-%m-%d %H:%M}Z" in over.why.text) == (Reason.EXPIRED, True)
    assert over.finished is not None
    assert ledger.accounts.writer(job.host, job.account) is None
    assert not ledger.jobs.start(job.id)
    assert ledger.rows.counts(job.id, 3) == {Status.UNPROCESSED: 3}


@pytest.mark.parametrize("state", [JobState.PAUSED, JobState.STOPPED])
def test_a_job_that_goes_on_keeps_its_passwords(ledger: Ledger, clock: Clock, state: JobState) -> None:
    """Resuming ends the countdown; the next pause begins it anew."""
    job = interrupted(ledger, state, resume_days=3.0)
    clock.advance(2 * DAY)
    ledger.accounts.acquire(job, "desk:1")
    assert ledger.jobs.start(job.id)
    clock.advance(30 * DAY)
    assert ledger.chunks.shred_expired() == 0
    ledger.jobs.pause(job.id, AWAY)
    clock.advance(2 * DAY)
    ledger.jobs.pause(job.id, AWAY)  # told again: the pause began with the first
    assert ledger.chunks.shred_expired() == 0
    clock.advance(DAY + 1)
    assert ledger.chunks.shred_expired() == 2


def test_a_service_that_answers_again_ends_the_countdown(ledger: Ledger, clock: Clock) -> None:
    """A paused job that a worker goes on with by itself keeps its passwords."""
    job = interrupted(ledger, JobState.PAUSED, resume_days=1.0)
    ledger.accounts.acquire(job, "sweep")
    claim = ledger.chunks.claim(job.id, 0, "desk:1", 60)
    assert claim is not None
    assert ledger.chunks.record(claim, [Outcome(2, Status.CREATED, "1")], 60) is JobState.RUNNING
    clock.advance(2 * DAY)
    assert ledger.chunks.shred_expired() == 0
    assert ledger.jobs.get(job.id).expires is None


def test_rows_for_a_retry_have_a_time_of_their_own(ledger: Ledger, clock: Clock) -> None:
    """Refused rows of a stopped job go after --keep-days; what is not sent yet stays until it expires."""
    job = start_job(ledger, ROWS, [make_chunk_row(7)], keep_days=2.0, resume_days=5.0)
    claim = ledger.chunks.claim(job.id, 0, "desk:1", 60)
    assert claim is not None
    ledger.chunks.record(claim, [Outcome(row.line, Status.FAILED) for row in ROWS], 60)
    ledger.chunks.end(claim, b"sealed", 2 * DAY, 0, 0)
    ledger.jobs.stop(job.id, OVER[JobState.STOPPED])
    kept = ledger.chunks.kept_until(job.id)
    assert kept is not None
    assert kept.timestamp() == clock.now + 2 * DAY
    clock.advance(2 * DAY + 1)
    assert ledger.chunks.shred_expired() == 1
    assert [kept.seq for kept in ledger.chunks.kept(job.id)] == [1]
    assert (ledger.chunks.kept_until(job.id), ledger.jobs.state(job.id)) == (None, JobState.STOPPED)


def test_a_roster_that_was_never_read_to_the_end(ledger: Ledger, clock: Clock) -> None:
    """Its rows expire, too, unless its process still holds the account: somebody may be asked for days."""
    job = make_job(resume_days=1.0)
    ledger.jobs.begin(job, "desk:1")
    ledger.chunks.add(job.id, 0, [2], b"sealed")
    clock.advance(DAY + 1)
    assert ledger.accounts.renew(job.id)
    assert (ledger.chunks.shred_expired(), ledger.jobs.state(job.id)) == (0, JobState.PLANNING)
    clock.advance(WRITER_LEASE + 1)
    assert (ledger.chunks.shred_expired(), ledger.jobs.state(job.id)) == (1, JobState.CANCELLED)


def test_a_resume_and_the_expiry_at_once(ledger: Ledger, other_ledger: Ledger, clock: Clock) -> None:
    """Either the job goes on with its passwords, or it is over without them, whichever came first."""
    for _ in range(10):
        job = interrupted(ledger, JobState.STOPPED, resume_days=1.0)
        clock.advance(DAY + 1)
        resumed = threading.Thread(target=other_ledger.jobs.start, args=(job.id,))
        resumed.start()
        ledger.chunks.shred_expired()
        resumed.join()
        kept = len(ledger.chunks.kept(job.id))
        assert (ledger.jobs.state(job.id), kept) in ((JobState.RUNNING, 2), (JobState.CANCELLED, 0))
        ledger.jobs.stop(job.id, OVER[JobState.CANCELLED])


def test_no_retry_of_a_removed_job_begins(ledger: Ledger) -> None:
    """A retry of a job that was purged meanwhile is refused, and holds no account."""
    job = start_job(ledger, ROWS)
    ledger.jobs.stop(job.id, OVER[JobState.CANCELLED])
    ledger.jobs.forget(job.id)
    with pytest.raises(NotFound, match=job.id):
        ledger.jobs.begin(replace(make_job(), parent=job.id), "desk:1")
    assert ledger.accounts.writer(job.host, job.account) is None
