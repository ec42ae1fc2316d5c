"""The sweep queues every chunk without an end again, whatever became of messages, workers and accounts."""

from __future__ import annotations

import datetime as dt
import os
import platform
from collections.abc import Sequence

import pytest

from tests.unit.jobs import AWAY, OVER, Clock, make_chunk_row, start_job
from worker.errors import Unavailable
from worker.importing.sweep import sweep, sweep_all
from worker.ledger import Ledger
from worker.ledger.accounts import WRITER_LEASE
from worker.model import Job, JobState, Outcome, Status

ROWS = [make_chunk_row(2)]


class Messages:
    """A queue that keeps what it takes; ``full``: it takes nothing (importing.sweep.Queue)."""

    def __init__(self) -> None:
        self.waiting: list[tuple[str, int]] = []
        self.full = False

    def put(self, job: Job, seqs: Sequence[int]) -> None:
        """Take chunks, or none."""
        if self.full:
            raise Unavailable("the broker does not take messages")
        self.waiting += [(job.id, seq) for seq in seqs]

    def backlog(self, job: Job) -> int:
        """Return the number of messages that nobody has taken."""
        return len([1 for name, _ in self.waiting if name == job.id])

    def take(self) -> list[int]:
        """Return the chunks on the queue, and empty it."""
        taken, self.waiting = [seq for _, seq in self.waiting], []
        return taken


@pytest.fixture
def queue() -> Messages:
    """An empty queue."""
    return Messages()


@pytest.fixture
def job(ledger: Ledger) -> Job:
    """A running job of two chunks."""
    return start_job(ledger, ROWS, [make_chunk_row(3)])


def test_chunks_are_queued_once(ledger: Ledger, other_ledger: Ledger, queue: Messages, job: Job) -> None:
    """Any number of sweeps, anywhere, put each chunk on the queue once."""
    assert [sweep(one, queue, job.id) for one in (ledger, other_ledger, ledger)] == [2, 0, 0]
    assert queue.take() == [0, 1]


def test_a_wiped_queue_is_built_again(ledger: Ledger, queue: Messages, job: Job, clock: Clock) -> None:
    """Messages that were lost with their broker come back (the negative control: without a sweep, none)."""
    sweep(ledger, queue, job.id)
    queue.take()
    clock.advance(31)
    assert queue.waiting == []
    assert sweep(ledger, queue, job.id) == 2
    assert queue.take() == [0, 1]


def test_a_full_queue_is_told_and_tried_again(ledger: Ledger, queue: Messages, job: Job) -> None:
    """A queue that takes nothing raises an error, and the next sweep tries again at once."""
    queue.full = True
    with pytest.raises(Unavailable):
        sweep(ledger, queue, job.id)
    queue.full = False
    assert sweep(ledger, queue, job.id) == 2


def test_one_broken_job_does_not_hold_up_the_others(ledger: Ledger, queue: Messages) -> None:
    """A sweep of all jobs goes on after one that failed, and queues only what runs."""
    jobs = [start_job(ledger, ROWS, account=str(number)) for number in range(3)]
    ledger.jobs.stop(jobs[0].id, OVER[JobState.STOPPED])
    ledger.jobs.pause(jobs[1].id, AWAY)
    assert sweep_all(ledger, queue) == 2
    assert {name for name, _ in queue.waiting} == {jobs[1].id, jobs[2].id}
    queue.full = True
    start_job(ledger, ROWS, account="4")
    assert sweep_all(ledger, queue) == 0


def test_a_dead_process_is_seen(ledger: Ledger, queue: Messages, job: Job) -> None:
    """The chunk of a process of this machine that is dead comes back at once, a living one's does not."""
    node = platform.node()
    ledger.chunks.claim(job.id, 0, f"{node}:{2**22 + 1}", 600)
    ledger.chunks.claim(job.id, 1, f"{node}:{os.getpid()}", 600)
    sweep(ledger, queue, job.id)
    assert queue.take() == [0]


def test_a_sweep_finishes_what_nobody_finished(ledger: Ledger, queue: Messages, job: Job) -> None:
    """If a worker dies after ending the last chunk and before ending the job, the sweep ends the job."""
    for seq in (0, 1):
        claim = ledger.chunks.claim(job.id, seq, "desk:1", 60)
        assert claim is not None
        ledger.chunks.record(claim, [Outcome(2 + seq, Status.CREATED)], 60)
        ledger.chunks.end(claim, None, 0, 0, 0)
    assert ledger.jobs.state(job.id) is JobState.RUNNING
    assert sweep(ledger, queue, job.id) == 0
    assert ledger.jobs.state(job.id) is JobState.DONE


def test_the_window_ends_without_a_worker(ledger: Ledger, queue: Messages) -> None:
    """After --not-after nothing more is queued, also where no worker was there to notice."""
    then = (dt.datetime.now(dt.UTC) - dt.timedelta(seconds=1)).isoformat()
    job = start_job(ledger, ROWS, not_after=then)
    assert sweep(ledger, queue, job.id) == 0
    assert str(ledger.jobs.get(job.id).why).startswith("not_after: ")


# The account


def test_a_sweep_is_a_sign_of_life(ledger: Ledger, queue: Messages, job: Job, clock: Clock) -> None:
    """A job that is swept keeps its account, however long its chunks wait."""
    for _ in range(3):
        clock.advance(WRITER_LEASE - 1)
        sweep(ledger, queue, job.id)
    assert ledger.accounts.writer(job.host, job.account) is not None


def test_a_job_whose_account_was_taken_waits(ledger: Ledger, queue: Messages, job: Job, clock: Clock) -> None:
    """A job that lost its account to another queues nothing until that one has ended, and then continues."""
    clock.advance(WRITER_LEASE + 1)
    other = start_job(ledger, ROWS)
    assert sweep_all(ledger, queue) == 1
    assert {name for name, _ in queue.waiting} == {other.id}
    ledger.jobs.stop(other.id, OVER[JobState.STOPPED])
    assert sweep(ledger, queue, job.id) == 2
    writer = ledger.accounts.writer(job.host, job.account)
    assert writer is not None
    assert writer.job == job.id


def test_an_ended_job_takes_no_account(ledger: Ledger, queue: Messages, job: Job) -> None:
    """A sweep that comes too late leaves the account free for the next job."""
    ledger.jobs.stop(job.id, OVER[JobState.CANCELLED])
    assert sweep(ledger, queue, job.id) == 0
    assert ledger.accounts.writer(job.host, job.account) is None
    assert queue.waiting == []
