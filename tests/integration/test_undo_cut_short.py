"""An undo that is interrupted can go on, and one that has lost its account writes nothing."""

from __future__ import annotations

import threading

import pytest

from tests.integration.test_deliver_updates import Died, held_rows
from tests.integration.test_undo import REMOVED, RESTORED, done, results_of, rows_of, undo
from tests.unit.jobs import Clock, make_job
from tests.unit.registrar import Batch, Registrar
from worker.errors import JobBusy, SiprosterError
from worker.importing.undo import Hold, Undo, UndoTerms
from worker.ledger import WRITER_LEASE, Ledger
from worker.seal import Seal


@pytest.mark.parametrize("at", [0, 1, 4])
def test_interrupted_it_goes_on(ledger: Ledger, at: int) -> None:
    """An interrupted undo finishes and records what is in flight; the next undo does the rest, each once."""
    api = Registrar()
    job = done(ledger, api, held_rows(api, 3), rows_of(3, first=5))
    stopping = threading.Event()
    done_ = iter(range(100))

    def interrupt(batch: Batch) -> None:
        if next(done_) == at:
            stopping.set()

    api.before = interrupt
    assert len(undo(ledger, job, api, stopping=stopping)) == at + 1
    assert len(undo(ledger, job, api)) == 6
    assert len(api.deletions) == len(set(api.deletions)) == 3
    assert len(api.puts) == 6
    stopping.set()
    assert len(undo(ledger, job, api, stopping=stopping)) == 6


def test_killed_after_the_work_and_before_the_ledger(ledger: Ledger) -> None:
    """The next undo sees what a killed one did: restored without a PUT, removed without a deletion."""
    api = Registrar()
    job = done(ledger, api, held_rows(api, 1), rows_of(1, first=3))

    def die(batch: Batch) -> None:
        raise Died

    api.after = die
    with pytest.raises(Died):
        undo(ledger, job, api)
    assert results_of(ledger, job) == {}
    api.after = lambda batch: None
    assert undo(ledger, job, api) == {2: RESTORED, 3: REMOVED}
    assert (len(api.deletions), len(api.puts)) == (1, 2)


# The hold on the account


def test_the_hold_is_renewed_before_it_is_too_short(ledger: Ledger, clock: Clock) -> None:
    """The hold on the account is renewed only if less is left than a write may take."""
    job, mine = make_job(), Clock(5.0)
    ledger.jobs.begin(job, "desk:1")
    hold = Hold(ledger, job, mine)
    hold.permit(30)
    clock.advance(WRITER_LEASE - 31)
    mine.advance(WRITER_LEASE - 31)
    hold.permit(30)
    clock.advance(2)
    mine.advance(2)
    hold.permit(30)
    clock.advance(WRITER_LEASE - 1)
    assert ledger.accounts.writer(job.host, job.account) is not None


def test_who_has_lost_the_account_writes_nothing(ledger: Ledger, other_ledger: Ledger, clock: Clock) -> None:
    """An undo that slept until another job took its account writes nothing more (guard: Hold.permit)."""
    api = Registrar()
    job = done(ledger, api, rows_of(2))
    ledger.accounts.acquire(job, "desk:1")
    mine = Clock(5.0)

    def oversleep() -> None:
        if len(api.deletions) == 1:
            clock.advance(WRITER_LEASE + 1)
            mine.advance(WRITER_LEASE + 1)
            other_ledger.jobs.begin(make_job(), "desk:2")

    api.waiting = oversleep
    with pytest.raises(JobBusy, match=f"siproster undo {job.id}|another job has taken"):
        undo(ledger, job, api, permit=Hold(ledger, job, mine).permit)
    assert (api.deletions, results_of(ledger, job)) == (["user3"], {3: REMOVED})


def test_another_key_opens_nothing(ledger: Ledger) -> None:
    """With another key, nothing is asked of the service."""
    api = Registrar()
    job = done(ledger, api, rows_of(2))
    terms = UndoTerms(lambda deadline: None, threading.Event(), 1)
    undoing = Undo(ledger, Seal([bytes(32)]), api, job, terms)
    with pytest.raises(SiprosterError, match="sealed with key"):
        list(undoing.run())
    assert (api.reads, api.deletions) == ([], [])
