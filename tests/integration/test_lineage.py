"""A job, its retries and their undos together: each row as it is after all of them."""

from __future__ import annotations

import csv
import itertools
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.unit.jobs import HOST, KEY, OVER, REALM, Clock, add_settled, make_chunk_row, make_job, make_row
from worker import lineage_report
from worker.ledger import Ledger, Undone
from worker.ledger.codec import seal_chunk, seal_page
from worker.model import FIRST_LEAVER, Job, JobState, Outcome, Status, TableForm
from worker.seal import Seal

SEAL = Seal([KEY])
numbers = itertools.count()

Fates = Mapping[int, Status | None]
"""Line of a row to its status; None: not attempted."""


def ran(ledger: Ledger, fates: Fates, parent: str = "", *, users: str = "user", page: int = 3) -> Job:
    """Return a job that is over, with an outcome for each of these lines; ``users``: how they are called."""
    job = replace(
        make_job(), parent=parent, id=f"20270101-000000-staff-{next(numbers):04d}", columns=("note",)
    )
    ledger.jobs.begin(job, "desk:1")
    ledger.jobs.add_realm(job.id, 0, "", REALM)
    lines = sorted(fates)
    for seq, start in enumerate(range(0, len(lines), page)):
        part = lines[start : start + page]
        rows = [make_row(line, f"{users}{line}", cells=(f"note {line}",), realm_key=0) for line in part]
        ledger.rows.add_page(job.id, seq, part[0], part[-1], seal_page(SEAL, job.id, seq, rows))
        sealed = seal_chunk(SEAL, job.id, seq, [make_chunk_row(line) for line in part])
        ledger.chunks.add(job.id, seq, part, sealed)
    ledger.jobs.has_read(job.id, len(lines), {})
    ledger.jobs.start(job.id)
    for seq, start in enumerate(range(0, len(lines), page)):
        claim = ledger.chunks.claim(job.id, seq, "desk:1", 60)
        assert claim is not None
        known = {line: status for line in lines[start : start + page] if (status := fates[line])}
        if known:
            ledger.chunks.record(claim, [Outcome(line, one, f"id{line}") for line, one in known.items()], 60)
        ledger.chunks.release(claim, 0, [], 0, 0)
    ledger.jobs.stop(job.id, OVER[JobState.CANCELLED])
    return ledger.jobs.get(job.id)


def lines_of(ledger: Ledger, job: Job, folder: Path) -> list[dict[str, str]]:
    """Return the lines of the results of a job's whole family."""
    lineage = ledger.lineages.of(job)
    files = lineage_report.write(ledger, SEAL, lineage, folder, TableForm())
    assert files == {"results": str(folder / "results.csv")}
    with (folder / "results.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def told(lines: Sequence[Mapping[str, str]], *columns: str) -> list[tuple[str, ...]]:
    """Return some columns of each line, beside its number."""
    return [tuple(line[f"bw__{column}"] for column in ("row", *columns)) for line in lines]


def test_three_runs(ledger: Ledger, clock: Clock, tmp_path: Path) -> None:
    """The results name the job that each row's outcome is of, with the user name it was corrected to."""
    first = ran(
        ledger, dict.fromkeys(range(2, 8), Status.CREATED) | {3: Status.FAILED, 6: Status.INVALID, 9: None}
    )
    clock.advance(1)
    second = ran(
        ledger, {3: Status.FAILED, 6: Status.CREATED, 9: Status.CREATED}, first.id, users="corrected"
    )
    clock.advance(1)
    third = ran(ledger, {3: Status.UNCHANGED}, second.id)
    for job in (first, second, third):
        lineage = ledger.lineages.of(job)
        assert (lineage.root, [one.id for one in lineage.members]) == (
            first.id,
            [first.id, second.id, third.id],
        )
        assert lineage.sentence == "7 rows: 7 in place after 3 runs"
    lines = lines_of(ledger, second, tmp_path)
    assert told(lines, "job", "status", "username", "realm", "undo") == [
        ("2", first.id, "created", "user2", HOST, ""),
        ("3", third.id, "unchanged", "user3", HOST, ""),
        ("4", first.id, "created", "user4", HOST, ""),
        ("5", first.id, "created", "user5", HOST, ""),
        ("6", second.id, "created", "corrected6", HOST, ""),
        ("7", first.id, "created", "user7", HOST, ""),
        ("9", second.id, "created", "corrected9", HOST, ""),
    ]
    assert [line["note"] for line in lines] == [f"note {line['bw__row']}" for line in lines]
    assert ((tmp_path / "results.csv").stat().st_mode & 0o777) == 0o600


@pytest.mark.parametrize(
    ("earlier", "later", "result"),
    [
        (Status.FAILED, None, (0, "failed", 0)),
        (Status.FAILED, Status.INVALID, (1, "invalid", 0)),
        (Status.CREATED, Status.INVALID, (0, "created", 1)),
        (Status.CREATED, None, (0, "created", 1)),
        (Status.CREATED, Status.EXISTS, (1, "exists", 0)),
        (Status.CREATED, Status.UNKNOWN, (1, "unknown", 0)),
        (Status.CREATED, Status.FAILED, (1, "failed", 0)),
        (None, Status.INVALID, (1, "invalid", 0)),
        (None, None, (0, "unprocessed", 0)),
    ],
)
def test_which_outcome_counts(
    ledger: Ledger, tmp_path: Path, earlier: Status | None, later: Status | None, result: tuple[int, str, int]
) -> None:
    """The latest one that says how the user is; a row that a retry never sent is as it was before."""
    first = ran(ledger, {2: earlier})
    jobs = [first, ran(ledger, {2: later}, first.id)]
    (line,) = lines_of(ledger, first, tmp_path)
    which, status, in_place = result
    assert (line["bw__job"], line["bw__status"]) == (jobs[which].id, status)
    assert ledger.lineages.of(first).in_place == in_place


def test_a_row_that_was_sent_without_an_answer(ledger: Ledger, tmp_path: Path) -> None:
    """Nobody knows how it is, so it isn't in place any more."""
    first = ran(ledger, {2: Status.CREATED, 3: Status.CREATED})
    again = ran(ledger, {2: None, 3: None}, first.id)
    with ledger.store.begin() as connection:
        connection.execute(text("UPDATE chunks SET doubt = '[3]' WHERE job = :job"), {"job": again.id})
    assert told(lines_of(ledger, first, tmp_path), "status") == [("2", "created"), ("3", "unknown")]
    assert ledger.lineages.of(first).in_place == 1


def test_undo(ledger: Ledger, clock: Clock, tmp_path: Path) -> None:
    """A row that an undo reversed isn't in place, whichever job found it so; a later job looks it up."""
    first = ran(ledger, dict.fromkeys(range(2, 6), Status.FAILED))
    clock.advance(1)
    second = ran(ledger, dict.fromkeys(range(2, 6), Status.CREATED), first.id)
    clock.advance(1)
    ran(ledger, {3: Status.UNCHANGED}, first.id)
    clock.advance(1)
    ledger.undone.record(second.id, [
        Undone(2, "removed"), Undone(3, "removed"), Undone(4, "kept", "digest_differs"),
    ])  # fmt: skip
    undone = [("2", "removed"), ("3", "removed"), ("4", "kept"), ("5", "")]
    assert told(lines_of(ledger, first, tmp_path), "undo") == undone
    assert ledger.lineages.of(first).sentence == "4 rows: 2 in place after 3 runs and an undo"
    ledger.jobs.set_undone(second.id)
    clock.advance(1)
    ran(ledger, {2: Status.CREATED}, first.id)
    assert told(lines_of(ledger, first, tmp_path), "undo") == [("2", ""), *undone[1:]]
    assert ledger.lineages.of(first).sentence == "4 rows: 3 in place after 4 runs and an undo"


def test_the_first_job_was_removed(ledger: Ledger, tmp_path: Path) -> None:
    """The jobs that are left stay a family, have each row once, and the sentence says that one is missing."""
    first = ran(ledger, dict.fromkeys(range(2, 9), Status.FAILED))
    one = ran(ledger, {2: Status.CREATED, 7: Status.FAILED}, first.id)
    two = ran(ledger, {3: Status.CREATED, 5: Status.FAILED, 7: Status.CREATED, 8: None}, first.id)
    ledger.jobs.forget(first.id)
    lines = lines_of(ledger, two, tmp_path)
    assert told(lines, "job", "status") == [
        ("2", one.id, "created"), ("7", two.id, "created"), ("3", two.id, "created"), ("5", two.id, "failed"),
        ("8", two.id, "unprocessed"),
    ]  # fmt: skip
    assert ledger.lineages.of(one).sentence.endswith(f"; job {first.id} was removed")


def test_a_job_alone(ledger: Ledger) -> None:
    """A job without retries is a family of one; skipped rows are counted apart; a plan has not run."""
    job = ran(ledger, {2: Status.CREATED, 3: Status.SKIPPED, 4: Status.FAILED})
    assert ledger.lineages.of(job).sentence == "3 rows: 1 in place, 1 skipped after 1 run"
    plan = make_job()
    ledger.jobs.begin(plan, "desk:1")
    ledger.jobs.has_read(plan.id, 1, {})
    ledger.jobs.save(plan.id, 60)
    assert ledger.lineages.of(ledger.jobs.get(plan.id)).sentence == "1 row: 0 in place before the first run"


def test_leavers_are_no_rows(ledger: Ledger, tmp_path: Path) -> None:
    """Users who are not in the roster, and were deleted, are neither counted nor listed."""
    first = ran(ledger, {2: Status.CREATED, 3: Status.FAILED})
    add_settled(ledger, first, 7, [Outcome(FIRST_LEAVER, Status.UPDATED)], None)
    again = ran(ledger, {3: Status.CREATED}, first.id)
    add_settled(ledger, again, 7, [Outcome(FIRST_LEAVER, Status.UNCHANGED)], None)
    assert ledger.lineages.of(first).sentence == "2 rows: 2 in place after 2 runs"
    assert len(lines_of(ledger, first, tmp_path)) == 2


def test_the_schedule(ledger: Ledger) -> None:
    """A retry belongs to the schedule that made its first job."""
    first = replace(make_job(), schedule="nightly")
    ledger.jobs.begin(first, "desk:1")
    ledger.jobs.stop(first.id, OVER[JobState.CANCELLED])
    again = replace(make_job(), parent=first.id, id="20270101-000000-staff-again")
    ledger.jobs.begin(again, "desk:1")
    assert ledger.lineages.of(ledger.jobs.get(again.id)).schedule == "nightly"


@pytest.mark.parametrize("seed", range(12))
def test_random_families(ledger: Ledger, clock: Clock, tmp_path: Path, seed: int) -> None:
    """Whatever ran, was cut short and undone, the count is that of the lines in place, one line a row."""
    dice = random.Random(seed)
    statuses: list[Status | None] = [one for one in Status if one is not Status.UNPROCESSED]
    statuses += [None, None]
    lines = sorted(dice.sample(range(2, 40), dice.randint(1, 15)))
    jobs = [ran(ledger, {line: dice.choice(statuses) for line in lines}, page=dice.randint(1, 6))]
    for _ in range(dice.randint(0, 4)):
        clock.advance(1)
        some = dice.sample(lines, dice.randint(1, len(lines)))
        fates = {line: dice.choice(statuses) for line in some}
        jobs.append(ran(ledger, fates, dice.choice(jobs).id, page=dice.randint(1, 6)))
        if dice.random() < 0.5:
            clock.advance(1)
            undo(ledger, dice.choice(jobs), dice)
    written = lines_of(ledger, dice.choice(jobs), tmp_path)
    assert [int(line["bw__row"]) for line in written] == lines
    in_place = [
        line["bw__row"] for line in written
        if Status(line["bw__status"]).in_place and line["bw__undo"] not in ("removed", "restored")
    ]  # fmt: skip
    assert ledger.lineages.of(jobs[-1]).in_place == len(in_place)


def undo(ledger: Ledger, job: Job, dice: random.Random) -> None:
    """Undo some rows that a job has in place, and perhaps all."""
    outcomes = ledger.rows.outcomes(job.id, 0, 99)
    results = [
        Undone(line, dice.choice(["removed", "restored", "kept", "failed"]))
        for line, outcome in outcomes.items()
        if outcome.status.in_place and dice.random() < 0.7
    ]
    if results:
        ledger.undone.record(job.id, results)
    if dice.random() < 0.5:
        ledger.jobs.set_undone(job.id)
