"""The order of an undo's rows: side by side, without windows, each once."""

from __future__ import annotations

import threading

import pytest

from tests.integration.test_deliver_updates import held_rows
from tests.integration.test_undo import REMOVED, RESTORED, done, results_of, rows_of, somebody_sets, undo
from tests.unit.jobs import HOST, KEY, OVER, digests_of, start_job
from tests.unit.registrar import Batch, Registrar
from worker.errors import Unavailable
from worker.importing.change_log import change_of
from worker.ledger import Changes, Ledger
from worker.ledger.codec import seal_changes
from worker.model import Credential, JobState
from worker.seal import Seal


def test_a_slow_answer_holds_up_nobody(ledger: Ledger) -> None:
    """While one answer is slow, all others are reverted, far beyond those that were begun with it."""
    api = Registrar()
    job = done(ledger, api, rows_of(250))
    others_are_gone = threading.Event()

    def looking(composite: str) -> None:
        if composite == "user251":  # the first one
            assert others_are_gone.wait(20)

    def after(batch: Batch) -> None:
        if len(api.deletions) == 249:
            others_are_gone.set()

    api.looking, api.after = looking, after
    assert set(undo(ledger, job, api, concurrency=3).values()) == {REMOVED}
    assert (len(api.deletions), api.deletions[-1], len(api.reads)) == (250, "user251", 250)


def test_as_many_in_flight_as_the_job_had(ledger: Ledger) -> None:
    """Four rows are in flight from first to last, never five, each with one read and one deletion."""
    api = Registrar()
    job = done(ledger, api, rows_of(120))
    together = threading.Barrier(4, timeout=20)
    lock, flying, most = threading.Lock(), 0, 0

    def looking(composite: str) -> None:
        nonlocal flying, most
        with lock:
            flying += 1
            most = max(most, flying)
        together.wait()
        with lock:
            flying -= 1

    api.looking = looking
    assert set(undo(ledger, job, api, concurrency=4).values()) == {REMOVED}
    assert (most, len(api.reads), len(api.deletions)) == (4, 120, 120)


@pytest.mark.parametrize("how", ["stopped", "away"])
def test_nothing_new_is_begun(ledger: Ledger, how: str) -> None:
    """After Ctrl-C, or an error that concerns all rows, nothing new begins; what was done is kept."""
    api = Registrar()
    job = done(ledger, api, rows_of(150))
    stopping = threading.Event()

    def before(batch: Batch) -> None:
        if len(api.deletions) == 10 and how == "stopped":
            stopping.set()
        if len(api.deletions) >= 10 and how == "away":
            raise Unavailable("HTTP 503")

    api.before = before
    if how == "away":
        with pytest.raises(Unavailable):
            undo(ledger, job, api, concurrency=4)
    else:
        undo(ledger, job, api, concurrency=4, stopping=stopping)
    gone = 150 - len(api.stored)
    assert 9 <= gone <= 14
    assert len(api.reads) <= 14
    assert list(results_of(ledger, job).values()) == [REMOVED] * gone


def test_a_row_that_failed_is_not_begun_again(ledger: Ledger) -> None:
    """An older change of a row that failed is not tried in the same run (guard: _taken)."""
    api = Registrar()
    rows = held_rows(api, 151)
    job = start_job(ledger, rows, looked=True)
    claim = ledger.chunks.claim(job.id, 0, "desk:1", 60)
    assert claim is not None
    changes = []
    for row in [rows[0], *rows]:
        assert row.stored
        target = Credential(row.user, "", HOST, *digests_of(row))
        changes.append(change_of(row.line, 0, row.stored.id, target, row.stored))
        somebody_sets(api, row.user, hash1=target.hash1, hash1b=target.hash1b)
    changes.append(changes[0])
    sealed = Changes(152, lambda nr: seal_changes(Seal([KEY]), job.id, 0, nr, changes))
    ledger.chunks.record_before_image(claim, 60, sealed)
    ledger.jobs.stop(job.id, OVER[JobState.CANCELLED])
    api.refuses = {"user2": "23019"}
    results = undo(ledger, job, api, include_unproven=True)
    assert (results.pop(2), api.puts.count("user2")) == (("failed", "23019"), 1)
    assert set(results.values()) == {RESTORED}
