"""Leavers in the ledger, on SQLite and PostgreSQL: their turn, their counts, and hashes of absent users."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.jobs import Clock, make_chunk_row, make_job, start_job
from worker.importing.absent import earlier_run, hashes_of, record_absent
from worker.ledger import Ledger
from worker.model import FIRST_LEAVER, Job, JobState, Outcome, Status, Stored
from worker.seal import Seal
from worker.states import Reason, Why

LEASE = 120.0
SEAL = Seal([bytes(32)])
LEAVERS = [make_chunk_row(FIRST_LEAVER + number) for number in range(2)]


@pytest.fixture
def job(ledger: Ledger) -> Job:
    """A running job with leavers in its first chunk, and two rows of its roster in the second one."""
    return start_job(ledger, LEAVERS, [make_chunk_row(2), make_chunk_row(3)])


def end(ledger: Ledger, job: Job, seq: int, *outcomes: Outcome) -> None:
    """Record outcomes of a chunk's rows, and end it."""
    claim = ledger.chunks.claim(job.id, seq, "desk:1", LEASE)
    assert claim is not None
    ledger.chunks.record(claim, outcomes, LEASE)
    ledger.chunks.end(claim, None, 0.0, 0, 0)


def test_rows_come_first(ledger: Ledger, job: Job) -> None:
    """A chunk of leavers is neither queued nor claimed before every chunk of the roster has ended."""
    assert ledger.chunks.due(job.id, idle=True) == [1]
    assert ledger.chunks.claim(job.id, 0, "desk:1", LEASE) is None
    claim = ledger.chunks.claim(job.id, 1, "desk:1", LEASE)
    assert claim is not None
    assert ledger.chunks.claim(job.id, 0, "desk:1", LEASE) is None
    ledger.chunks.record(claim, [Outcome(2, Status.CREATED), Outcome(3, Status.FAILED)], LEASE)
    assert ledger.chunks.claim(job.id, 0, "desk:1", LEASE) is None
    ledger.chunks.end(claim, None, 0.0, 0, 0)
    assert not ledger.jobs.finish(job.id)
    assert ledger.chunks.due(job.id, idle=True) == [0]
    end(ledger, job, 0, *(Outcome(row.line, Status.DELETED) for row in LEAVERS))
    assert ledger.jobs.finish(job.id)


def test_leavers_are_no_rows(ledger: Ledger, job: Job) -> None:
    """They are counted apart from the roster's rows, and their sealed rows are apart, too."""
    assert [kept.seq for kept in ledger.chunks.kept(job.id)] == [1]
    assert [kept.seq for kept in ledger.chunks.kept(job.id, leavers=True)] == [0]
    end(ledger, job, 1, Outcome(2, Status.CREATED), Outcome(3, Status.FAILED, code="23019"))
    end(ledger, job, 0, Outcome(FIRST_LEAVER, Status.DELETED),
        Outcome(FIRST_LEAVER + 1, Status.EXISTS, code="changed_since_plan"))  # fmt: skip
    for known in (2, 0):  # the number of rows is only known once the roster was read
        assert ledger.rows.counts(job.id, known) == {Status.CREATED: 1, Status.FAILED: 1}
    assert ledger.rows.leaver_counts(job.id) == {Status.DELETED: 1, Status.EXISTS: 1}
    assert ledger.rows.codes(job.id) == {Status.FAILED: {"23019": 1}}


def test_unconfirmed_leavers(ledger: Ledger, job: Job) -> None:
    """Users that a stopped job may have deleted are `unknown`, and don't count as rows of the roster."""
    end(ledger, job, 1, Outcome(2, Status.CREATED), Outcome(3, Status.CREATED))
    assert ledger.chunks.claim(job.id, 0, "desk:1", LEASE) is not None
    ledger.jobs.stop(job.id, Why(Reason.STOPPED, "it is so"))
    assert ledger.rows.counts(job.id, 2) == {Status.CREATED: 2}
    assert ledger.rows.leaver_counts(job.id) == {Status.UNKNOWN: 2}


# Marks of the absent


def finished(ledger: Ledger, clock: Clock, names: str, **facts: str) -> Job:
    """A job that has finished a second later, and whose absent users have these one-letter names."""
    clock.advance(1)
    job = replace(make_job(), **facts)  # type: ignore[arg-type]
    ledger.jobs.begin(job, "desk:1")
    record_absent(ledger, SEAL, job, hashes_of(stored(name) for name in names))
    ledger.jobs.start(job.id)
    assert ledger.jobs.finish(job.id)
    return job


def stored(name: str) -> Stored:
    return Stored(f"id-{name}", name, "office.example.com")


def test_the_last_finished_run_counts(ledger: Ledger, clock: Clock) -> None:
    """A job is compared with the last of its schedule, or else roster and account; older ones are dropped."""
    finished(ledger, clock, "a")
    first = finished(ledger, clock, "ab", schedule="nightly")
    finished(ledger, clock, "c", source="/other.csv")
    finished(ledger, clock, "d", account="5005005")
    waiting = make_job()
    ledger.jobs.begin(waiting, "desk:1")
    record_absent(ledger, SEAL, waiting, hashes_of([stored("z")]))
    ledger.jobs.save(waiting.id, 1000.0)
    last = earlier_run(ledger, SEAL, replace(make_job(), schedule="nightly"))
    assert (last.job, last.had_absent(stored("A")), last.had_absent(stored("c"))) == (first.id, True, False)
    second = finished(ledger, clock, "e", schedule="nightly")
    assert earlier_run(ledger, SEAL, replace(make_job(), schedule="nightly")).job == second.id
    assert earlier_run(ledger, SEAL, replace(make_job(), source="/new.csv")).job == ""
    assert earlier_run(ledger, Seal([bytes(31) + b"x"]), make_job()).job == ""
    assert ledger.jobs.state(waiting.id) is JobState.PLANNING
