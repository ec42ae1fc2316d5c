"""A job's changes, the results of its undo, and saved plans: in the ledger, on both databases."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.integration.test_ledger_jobs import run_query
from tests.unit.jobs import OVER, Clock, add_settled, make_chunk_row, make_job, start_job
from worker.errors import Conflict
from worker.ledger import Changes, Claim, Fenced, Ledger, Undone
from worker.model import Job, JobState, Outcome, Realm, Status
from worker.states import Reason, Why

ROWS = [make_chunk_row(line) for line in range(2, 6)]
UNDONE = Why(Reason.UNDONE, "taken back")


def sealed_as(name: str, rows: int = 1) -> Changes:
    """Stands for sealed changes, which know the number they were given."""
    return Changes(rows, lambda nr: f"{name}/{nr}".encode())


def claimed(ledger: Ledger, job: Job, seq: int = 0) -> Claim:
    """A chunk, claimed."""
    claim = ledger.chunks.claim(job.id, seq, "desk:1", 60)
    assert claim is not None
    return claim


def backwards(ledger: Ledger, job: Job) -> list[tuple[int, int, bytes]]:
    """All changes, as they would be undone."""
    return [(key.chunk, key.nr, sealed) for key, sealed in ledger.changes.backwards(job.id)]


# Changes


def test_changes_come_backwards(ledger: Ledger, other_ledger: Ledger) -> None:
    """Changes are numbered in their chunk, sealed for that number, and read last first."""
    job = start_job(ledger, ROWS[:2], ROWS[2:])
    first, second = claimed(ledger, job), claimed(ledger, job, 1)
    ledger.chunks.record_before_image(first, 60, sealed_as("a"))
    ledger.chunks.record(second, [Outcome(4, Status.CREATED)], 60, sealed_as("b", rows=2))
    ledger.chunks.record(first, [Outcome(2, Status.CREATED)], 60, sealed_as("c"))
    ledger.chunks.record(first, [Outcome(3, Status.FAILED)], 60)
    assert backwards(other_ledger, job) == [(1, 0, b"b/0"), (0, 1, b"c/1"), (0, 0, b"a/0")]
    of_first = [(key.nr, sealed) for key, sealed in ledger.changes.of_chunk(job.id, 0)]
    assert of_first == [(0, b"a/0"), (1, b"c/1")]
    assert ledger.changes.rows(job.id) == 4
    assert ledger.changes.rows(make_job().id) == 0


@pytest.mark.parametrize("how", ["intend", "record"])
def test_a_late_worker_leaves_no_change(ledger: Ledger, clock: Clock, how: str) -> None:
    """Fenced, it has neither change nor outcome in the ledger (guard: ``_fence`` before ``_add_changes``)."""
    job = start_job(ledger, ROWS)
    late = claimed(ledger, job)
    clock.advance(61)
    claimed(ledger, job)
    write: dict[str, Callable[[], object]] = {
        "intend": lambda: ledger.chunks.record_before_image(late, 60, sealed_as("late")),
        "record": lambda: ledger.chunks.record(late, [Outcome(2, Status.CREATED)], 60, sealed_as("late")),
    }
    with pytest.raises(Fenced):
        write[how]()
    assert backwards(ledger, job) == []
    assert ledger.rows.counts(job.id, 4) == {Status.UNPROCESSED: 4}


def test_outcomes_and_changes_are_kept_together(ledger: Ledger) -> None:
    """If the changes can't be recorded, neither are the outcomes: they are one transaction."""
    job = start_job(ledger, ROWS)
    claim = claimed(ledger, job)

    def broken(nr: int) -> bytes:
        raise RuntimeError("no key")

    with pytest.raises(RuntimeError):
        ledger.chunks.record(claim, [Outcome(2, Status.CREATED)], 60, Changes(1, broken))
    assert ledger.rows.counts(job.id, 4) == {Status.UNPROCESSED: 4}
    assert ledger.chunks.progress(job.id).settled == 0


def test_intending_keeps_the_lease(ledger: Ledger, clock: Clock) -> None:
    """Recording a state renews the lease, so that the change that follows has its time."""
    job = start_job(ledger, ROWS)
    claim = claimed(ledger, job)
    clock.advance(50)
    ledger.chunks.record_before_image(claim, 60, sealed_as("a"))
    clock.advance(50)
    assert ledger.chunks.claim(job.id, 0, "desk:2", 60) is None


def test_changes_of_one_chunk_at_once(ledger: Ledger) -> None:
    """Threads of one claim record changes side by side: no number is given twice, and none is lost."""
    job = start_job(ledger, ROWS)
    claim = claimed(ledger, job)
    with ThreadPoolExecutor(6) as threads:
        list(
            threads.map(
                lambda at: ledger.chunks.record_before_image(claim, 60, sealed_as(f"t{at}")), range(24)
            )
        )
    kept = backwards(ledger, job)
    assert [nr for _, nr, _ in kept] == list(range(23, -1, -1))
    assert {sealed.partition(b"/")[0] for *_, sealed in kept} == {f"t{at}".encode() for at in range(24)}
    assert {sealed.partition(b"/")[2] for *_, sealed in kept} == {str(nr).encode() for nr in range(24)}


def test_a_split_takes_what_was_begun_along(ledger: Ledger) -> None:
    """A split moves begun changes to the new chunk, sealed for it, and counts them once."""
    job = start_job(ledger, ROWS)
    claim = claimed(ledger, job)
    ledger.chunks.record_before_image(claim, 60, sealed_as("a"))
    ledger.chunks.split(claim, b"kept", [4, 5], lambda seq: b"moved", lambda seq: f"begun {seq}".encode())
    ledger.chunks.split(claim, b"kept", [3], lambda seq: b"moved")
    assert backwards(ledger, job) == [(1, 0, b"begun 1"), (0, 0, b"a/0")]
    assert ledger.changes.rows(job.id) == 1
    moved = claimed(ledger, job, 1)
    ledger.chunks.record_before_image(moved, 60, sealed_as("b"))
    assert backwards(ledger, job)[0] == (1, 1, b"b/1")


# Results of an undo


def test_results_are_kept_and_written_over(ledger: Ledger, other_ledger: Ledger) -> None:
    """A later result replaces an earlier one."""
    job = start_job(ledger, ROWS)
    assert not ledger.undone.begun(job.id)
    ledger.undone.record(job.id, [Undone(2, "removed"), Undone(3, "failed", "answer_lost", "lost")])
    ledger.undone.record(job.id, [Undone(4, "kept", "digest_differs", "somebody"), Undone(5, "failed")])
    assert other_ledger.undone.begun(job.id)
    assert other_ledger.undone.results_of(job.id, [2, 4, 99]).keys() == {2, 4}
    assert ledger.undone.counts(job.id) == {"removed": 1, "failed": 2, "kept": 1}
    ledger.undone.record(job.id, [Undone(3, "restored")])
    assert other_ledger.undone.results(job.id, 3, 4) == {
        3: Undone(3, "restored"),
        4: Undone(4, "kept", "digest_differs", "somebody"),
    }
    assert not ledger.undone.begun(make_job().id)


def test_what_is_in_doubt(ledger: Ledger) -> None:
    """Unconfirmed are rows that a dead or interrupted worker may have sent, and unknown ones."""
    chunks = [[make_chunk_row(at * 10 + nr) for nr in range(3)] for at in range(1, 6)]
    job = start_job(ledger, *chunks)
    dead, given_back, ended, settled = (claimed(ledger, job, seq) for seq in range(4))
    ledger.chunks.record(dead, [Outcome(10, Status.CREATED)], 60)
    ledger.chunks.release(given_back, 0, [21], 0, 0)
    statuses = {30: Status.UNKNOWN, 31: Status.FAILED, 32: Status.CREATED}
    ledger.chunks.record(ended, [Outcome(line, status) for line, status in statuses.items()], 60)
    ledger.chunks.end(ended, b"left", 60, 0, 0)
    ledger.chunks.record(settled, [Outcome(line, Status.FAILED) for line in (40, 41, 42)], 60)
    ledger.chunks.end(settled, b"left", 60, 0, 0)
    found = {one.seq: one for one in ledger.changes.unconfirmed(job.id)}
    assert list(found) == [2, 1, 0]
    lines = {seq: [line for line in range(10, 60) if one.holds(line)] for seq, one in found.items()}
    assert lines[1] == [21]
    assert lines[2] == [30]
    assert [line for line in lines[0] if line < 13] == [11, 12]


def test_what_can_not_be_proven(ledger: Ledger) -> None:
    """Rows that are unproven and have no result are recorded as kept at the end."""
    job = start_job(ledger, ROWS)
    codes = ["origin_unknown", "", "case_differs;origin_unknown", "digest_differs"]
    outcomes = [Outcome(line, Status.UNCHANGED, code=code) for line, code in enumerate(codes, 2)]
    ledger.chunks.record(claimed(ledger, job), outcomes, 60)
    ledger.undone.record(job.id, [Undone(2, "removed")])
    for _ in range(2):
        ledger.undone.keep_rest(job.id, "nobody knows")
    assert ledger.undone.results(job.id, 0, 99) == {
        2: Undone(2, "removed"),
        4: Undone(4, "kept", "origin_unknown", "nobody knows"),
    }
    assert ledger.undone.unproven(job.id) == 1


def test_forgotten_with_the_job(ledger: Ledger) -> None:
    """Changes and results of a job go with it, and those of others stay."""
    jobs = []
    for number in range(2):
        job = start_job(ledger, ROWS)
        ledger.chunks.record_before_image(claimed(ledger, job), 60, sealed_as(f"job {number}"))
        ledger.undone.record(job.id, [Undone(2, "removed")])
        ledger.jobs.stop(job.id, OVER[JobState.CANCELLED])
        jobs.append(job)
    ledger.jobs.forget(jobs[0].id)
    assert [row[0] for row in run_query(ledger, "SELECT job FROM deeds")] == [jobs[1].id]
    assert [row[0] for row in run_query(ledger, "SELECT job FROM undone")] == [jobs[1].id]


# Plans that are kept


def planned(ledger: Ledger) -> Job:
    """A job whose roster is in."""
    job = make_job()
    ledger.jobs.begin(job, "desk:1")
    ledger.jobs.add_realm(job.id, 0, "", Realm("17", "office.example"))
    ledger.chunks.add(job.id, 0, [2, 3], b"sealed")
    add_settled(ledger, job, 1, [Outcome(4, Status.UNCHANGED)], b"sealed too", 5.0)
    ledger.jobs.has_read(job.id, 3, {}, requests=4, retries=1)
    return job


def test_a_saved_plan(ledger: Ledger, other_ledger: Ledger, clock: Clock) -> None:
    """A saved plan doesn't hold the account, keeps its rows for the time given, and has no work."""
    job = planned(ledger)
    ledger.jobs.save(job.id, 1000.0)
    kept = other_ledger.jobs.get(job.id)
    assert kept.saved is not None
    assert (kept.saved.timestamp(), kept.state) == (clock.now, JobState.PLANNING)
    assert job.id in str(kept.why)
    assert (kept.requests, kept.retries) == (4, 1)
    assert ledger.accounts.writer(job.host, job.account) is None
    assert ledger.chunks.claim(job.id, 0, "desk:1", 60) is None
    assert job.id not in ledger.jobs.running()
    clock.advance(999)
    assert ledger.chunks.shred_expired() == 0
    clock.advance(2)
    assert ledger.chunks.shred_expired() == 2
    assert ledger.chunks.kept(job.id) == []


def test_a_plan_is_over_with_the_start_of_its_job(ledger: Ledger) -> None:
    """In one transaction: the job runs, the plan is cancelled and shredded, and says by whom."""
    plan = planned(ledger)
    ledger.jobs.save(plan.id, 1000.0)
    job = planned(ledger)
    assert ledger.jobs.start(job.id, carries_out=plan.id)
    over = ledger.jobs.get(plan.id)
    assert (over.state, over.carried_out_by, ledger.chunks.kept(plan.id)) == (JobState.CANCELLED, job.id, [])
    assert over.finished is not None
    assert ledger.jobs.state(job.id) is JobState.RUNNING
    assert len(ledger.chunks.kept(job.id)) == 2


@pytest.mark.parametrize("how", ["carried out", "cancelled"])
def test_a_plan_that_is_over_starts_nothing(ledger: Ledger, how: str) -> None:
    """A plan that is over starts no job, and names the job that carried it out (guard: the row count)."""
    plan = planned(ledger)
    ledger.jobs.save(plan.id, 1000.0)
    by = ""
    if how == "carried out":
        first = planned(ledger)
        ledger.jobs.start(first.id, plan.id)
        ledger.jobs.stop(first.id, OVER[JobState.STOPPED])
        by = first.id
    else:
        ledger.jobs.stop(plan.id, OVER[JobState.CANCELLED])
    late = planned(ledger)
    with pytest.raises(Conflict, match=plan.id):
        ledger.jobs.start(late.id, plan.id)
    assert ledger.jobs.state(late.id) is JobState.PLANNING
    assert ledger.jobs.get(plan.id).carried_out_by == by


def test_a_job_that_is_over_takes_no_plan_with_it(ledger: Ledger) -> None:
    """A job that was cancelled while planning doesn't start, and its plan can still be carried out."""
    plan = planned(ledger)
    ledger.jobs.save(plan.id, 1000.0)
    job = planned(ledger)
    ledger.jobs.stop(job.id, OVER[JobState.CANCELLED])
    assert not ledger.jobs.start(job.id, plan.id)
    assert ledger.jobs.get(plan.id).carried_out_by == ""
    assert len(ledger.chunks.kept(plan.id)) == 2


def test_who_is_absent(ledger: Ledger, other_ledger: Ledger) -> None:
    """The number of absent users is kept with the job: none is 0, and unknown is None."""
    job = planned(ledger)
    assert other_ledger.jobs.get(job.id).absent is None
    for number in (0, 1_000_000):
        ledger.jobs.set_absent(job.id, number)
        assert other_ledger.jobs.get(job.id).absent == number


@pytest.mark.parametrize("state", [JobState.STOPPED, JobState.CANCELLED])
def test_a_stopped_job_is_closed(ledger: Ledger, state: JobState) -> None:
    """A job that was undone is not resumed; one that was already over keeps its reason."""
    job = start_job(ledger, ROWS)
    ledger.jobs.stop(job.id, OVER[state])
    ledger.jobs.close(job.id, UNDONE)
    assert ledger.jobs.state(job.id) is JobState.CANCELLED
    assert ledger.jobs.get(job.id).why == (UNDONE if state is JobState.STOPPED else OVER[state])
    assert not ledger.jobs.start(job.id)
