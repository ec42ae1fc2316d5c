"""The progress of a job, read from the ledger."""

from __future__ import annotations

from tests.unit.jobs import AWAY, OVER, Clock, add_settled, make_chunk_row, make_job, start_job
from worker.ledger import Ledger
from worker.model import JobState, Outcome, Row, Status
from worker.progress import ProgressReader, facts_of, observed
from worker.progress.job_waits import JobWaits, Patience
from worker.waits import Wait, WaitKind

LINES = range(2, 12)


def settle(ledger: Ledger, job: str, seq: int, lines: range, status: Status = Status.CREATED) -> None:
    """Record outcomes of a chunk's rows as a worker does."""
    claim = ledger.chunks.claim(job, seq, "desk:7", 60)
    assert claim is not None
    ledger.chunks.record(claim, [Outcome(line, status) for line in lines], 60)


def rows(lines: range) -> list[Row]:
    """The rows of a chunk."""
    return [make_chunk_row(line) for line in lines]


def test_counts_are_of_all_rows_and_the_rate_of_those_that_were_sent(ledger: Ledger, clock: Clock) -> None:
    """Rows that were known before the start are progress, but say nothing about the rate."""
    job = start_job(ledger, rows(LINES))
    add_settled(ledger, job, 1, [Outcome(line, Status.UNCHANGED) for line in range(12, 112)], None)
    settle(ledger, job.id, 0, range(2, 6))
    clock.advance(8)
    facts = facts_of(ledger, job)
    assert (facts.state, facts.rows, facts.settled) == (JobState.RUNNING, 110, 104)
    assert facts.counts["created"] == 4
    assert facts.counts["unchanged"] == 100
    assert (facts.rate, facts.seconds_left, facts.rate_seconds) == (0.5, 12, 8)
    assert facts.as_json()["counts"]["created"] == 4


def test_a_reader_measures_the_present_rate(ledger: Ledger, clock: Clock) -> None:
    """Looks a second apart give the rate between them, and none after the end."""
    job = start_job(ledger, rows(range(2, 6)), rows(range(6, 12)))
    own = Clock(0.0)
    reader = ProgressReader(ledger, job, JobWaits(ledger, job, Patience(60, own), list), own)
    assert reader.look().rate is None
    own.advance(4)
    settle(ledger, job.id, 0, range(2, 6))
    facts = reader.look()
    assert (facts.rate, facts.seconds_left, facts.rate_seconds) == (1.0, 6.0, 4.0)
    settle(ledger, job.id, 1, range(6, 12), Status.FAILED)
    ledger.jobs.stop(job.id, OVER[JobState.STOPPED])
    facts = reader.look()
    assert facts.counts == {"created": 4, "failed": 6}
    assert (facts.state, facts.rate, facts.waits) == (JobState.STOPPED, None, "")


def test_what_a_worker_waits_for_is_part_of_it(ledger: Ledger, clock: Clock) -> None:
    """Its kind and words are there, and no time left, unless requests go on meanwhile."""
    job = start_job(ledger, rows(LINES))
    settle(ledger, job.id, 0, range(2, 6))
    clock.advance(8)
    ledger.waits.tell(job.id, "desk:7", Wait(WaitKind.ASKING, "50 rows whose answer was lost", 4, None))
    facts = facts_of(ledger, job)
    assert (facts.waits, facts.wait_kind) == ("asking about 50 rows whose answer was lost, for 4 s", "asking")
    assert (facts.rate, facts.seconds_left) == (None, None)
    slowed = "429: slowed to 3.1 requests a second"
    ledger.waits.tell(job.id, "desk:7", Wait(WaitKind.RATE_LIMITED, slowed, 4, None))
    facts = facts_of(ledger, job)
    assert facts.waits == slowed
    assert facts.seconds_left is not None


def test_only_a_paused_job_that_somebody_holds_waits(ledger: Ledger, clock: Clock) -> None:
    """A job that a command waits with says so; one that was left says nothing about the service."""
    job = start_job(ledger, rows(LINES))
    ledger.jobs.pause(job.id, AWAY)
    assert facts_of(ledger, job).waits.startswith("waiting for the service: away")
    ledger.accounts.release(job.id)
    assert facts_of(ledger, job).waits == ""


def test_while_a_roster_is_read_the_rows_so_far_are_told(ledger: Ledger, clock: Clock) -> None:
    """A job in planning has no number of rows yet; its rows are those in the ledger."""
    job = make_job()
    ledger.jobs.begin(job, "desk:7")
    facts = observed(ledger, job).look()
    assert (facts.state, facts.rows) == (JobState.PLANNING, 0)
    add_settled(ledger, job, 0, [Outcome(line, Status.INVALID) for line in LINES], None)
    facts = observed(ledger, job).look()
    assert (facts.rows, facts.counts) == (10, {"invalid": 10})
