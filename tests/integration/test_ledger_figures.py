"""Figures for monitoring, on SQLite and on PostgreSQL."""

from __future__ import annotations

from tests.unit.jobs import Clock, make_chunk_row, start_job
from worker.ledger import Ledger
from worker.model import Outcome, Status
from worker.waits import Wait, WaitKind

LEASE = 120.0
PROCESS = "desk:17.4"


def test_the_backlog_of_an_account(ledger: Ledger, clock: Clock) -> None:
    """Chunks that wait and chunks at work, rows without an outcome, and the age of the oldest of each."""
    job = start_job(ledger, [make_chunk_row(2), make_chunk_row(3)], [make_chunk_row(7), make_chunk_row(8)])
    clock.advance(10)
    assert ledger.chunks.due(job.id, idle=True) == [0, 1]
    clock.advance(5)
    claim = ledger.chunks.claim(job.id, 0, PROCESS, LEASE)
    assert claim
    ledger.chunks.record(claim, [Outcome(2, Status.CREATED, "17")], LEASE)
    clock.advance(7)
    figures = ledger.figures.read()
    (one,) = figures.backlogs
    assert (one.account, one.waiting, one.rows, one.held) == (job.account, 1, 2, 1)
    assert (one.queue_age, one.chunk_age) == (12, 7)
    assert figures.jobs == {(job.account, "running"): 1}
    clock.advance(LEASE)  # its worker is gone: it waits, since its lease ended
    (one,) = ledger.figures.read().backlogs
    assert (one.waiting, one.rows, one.held, one.chunk_age) == (2, 3, 0, 0)


def test_what_is_to_be_tried_later_is_not_due(ledger: Ledger, clock: Clock) -> None:
    """A chunk that was given back for a while waits, and doesn't age until its time has come."""
    job = start_job(ledger, [make_chunk_row(2)])
    claim = ledger.chunks.claim(job.id, 0, PROCESS, LEASE)
    assert claim
    ledger.chunks.release(claim, 60, None, 0, 0)
    clock.advance(59)
    (one,) = ledger.figures.read().backlogs
    assert (one.waiting, one.queue_age) == (1, 0)
    clock.advance(4)
    (one,) = ledger.figures.read().backlogs
    assert (one.waiting, one.queue_age) == (1, 3)


def test_who_works_on_what(ledger: Ledger, clock: Clock) -> None:
    """A claim's process, chunk, rows and time, with what the process waits for, as long as it says so."""
    job = start_job(ledger, [make_chunk_row(2), make_chunk_row(3)])
    assert ledger.figures.work() == []
    claim = ledger.chunks.claim(job.id, 0, PROCESS, LEASE)
    assert claim
    ledger.chunks.record(claim, [Outcome(3, Status.CREATED, "17")], LEASE)
    clock.advance(9)
    ledger.waits.tell(job.id, PROCESS, Wait(WaitKind.SERVICE, "it answered HTTP 503", 4, 50))
    (work,) = ledger.figures.work()
    assert (work.process, work.job, work.chunk, work.account) == (PROCESS, job.id, 0, job.account)
    assert (work.rows, work.rows_done, work.seconds) == (2, 1, 9)
    assert work.wait == Wait(WaitKind.SERVICE, "it answered HTTP 503", 4, 50)
    clock.advance(60)
    assert ledger.figures.work()[0].wait is None
    clock.advance(LEASE)
    assert ledger.figures.work() == []
