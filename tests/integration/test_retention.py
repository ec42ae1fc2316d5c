"""Old jobs leave the ledger, what somebody may need stays, and the file of a nightly job stops growing."""

from __future__ import annotations

import datetime as dt
import secrets
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from tests.unit.jobs import AWAY, KEY, OVER, Clock, make_chunk_row, make_job, start_job
from worker.errors import LedgerAway
from worker.ledger import Ledger, Policy, Retention
from worker.ledger.codec import seal_chunk, seal_page
from worker.ledger.schedule_columns import CatchUp, End, NewRun, Schedule
from worker.ledger.store import Store
from worker.model import Job, JobState, Options, Outcome, Status
from worker.seal import Seal

DAY = 86_400.0
MONTH = Policy(30 * DAY)
ROWS = [make_chunk_row(line, user=f"extension-{line}") for line in range(2, 14)]
TABLES = ("jobs", "realms", "pages", "chunks", "chunk_rows", "outcomes", "deeds", "writers", "waits",
          "schedule_runs", "notifications")  # fmt: skip


def ended(ledger: Ledger, number: int = 0, state: JobState = JobState.DONE, **facts: Any) -> Job:
    """Return a job that is over, with a row that is not in place."""
    job = begun(ledger, number, **facts)
    if state is JobState.DONE:
        work(ledger, job)
    else:
        ledger.jobs.stop(job.id, OVER[state])
    return ledger.jobs.get(job.id)


def begun(ledger: Ledger, number: int = 0, **facts: Any) -> Job:
    """Return a running job with an id of its own."""
    job, seal = replace(make_job(), **facts), Seal([KEY])
    job = replace(job, id=f"20270101-000000-staff-{number:04d}")
    ledger.jobs.begin(job, "desk:1")
    ledger.rows.add_page(
        job.id, 0, 2, 13, seal_page(seal, job.id, 0, [replace(r, cells=("", "")) for r in ROWS])
    )
    ledger.chunks.add(job.id, 0, [row.line for row in ROWS], seal_chunk(seal, job.id, 0, ROWS))
    ledger.jobs.has_read(job.id, len(ROWS), {})
    ledger.jobs.start(job.id)
    return ledger.jobs.get(job.id)


def work(ledger: Ledger, job: Job) -> None:
    """Work on all rows of a job: the first is refused, the others are in place."""
    claim = ledger.chunks.claim(job.id, 0, "desk:1", 60)
    assert claim is not None
    statuses = [Status.FAILED] + [Status.CREATED] * (len(ROWS) - 1)
    outcomes = [
        Outcome(row.line, status, f"id-{row.line}") for row, status in zip(ROWS, statuses, strict=True)
    ]
    ledger.chunks.record(claim, outcomes, 60)
    ledger.chunks.end(claim, b"sealed" * 40, 7 * DAY, 1, 0)
    assert ledger.jobs.finish(job.id)


def nightly(ledger: Ledger, clock: Clock) -> None:
    """Add a schedule of one run a night."""
    now = dt.datetime.fromtimestamp(clock.now, dt.UTC)
    schedule = Schedule(
        "nightly", "0 2 * * *", "UTC", None, 0.0, CatchUp.LATEST, False, "/rosters/staff.csv", Options(), "",
        "https://api.example.com", "prod", "9900001", ("ops",), "ada", "desk", now, None, now,
        now + dt.timedelta(days=1),
    )  # fmt: skip
    ledger.schedules.add(schedule)


def run_at_night(ledger: Ledger, clock: Clock, number: int, days: int = 1) -> None:
    """Carry out a run of a schedule: a job, its notification, delivered, and a new version of its file."""
    clock.advance(days * DAY)
    name = "nightly"
    schedule = ledger.schedules.get(name)
    slot = schedule.next_slot
    assert slot is not None
    assert ledger.schedules.account_for(schedule, NewRun(slot, slot, slot + dt.timedelta(days)))
    run = ledger.schedules.claim(ledger.schedules.run(name, slot), "desk:1")
    assert run is not None
    job = ended(ledger, number, schedule=name, slot=slot)
    payload = {"schedule": name, "summary": {"counts": {"created": 11, "failed": 1}}}
    assert ledger.schedules.set_job(run, job.id, [(f"{number:064x}", "staff.csv")])
    assert ledger.schedules.end(run, End("not_in_place", "1 row failed", job.id, payload, ("ops",)))
    for channel in ledger.notifications.due():
        claim = ledger.notifications.claim_due(channel, "desk:1", 60)
        assert claim is not None
        assert ledger.notifications.delivered(claim)


def rows_of(ledger: Ledger) -> dict[str, int]:
    """Return how many rows each table has."""
    with ledger.store.read() as connection:
        count = "SELECT count(*) FROM {}"
        return {table: connection.execute(text(count.format(table))).scalar_one() for table in TABLES}


def file_size(ledger_url: str) -> int:
    """Return the bytes of a SQLite ledger with its log; 0 for PostgreSQL's."""
    path = Path(ledger_url.removeprefix("sqlite:///"))
    return sum(part.stat().st_size for part in path.parent.glob(f"{path.name}*")) if path.exists() else 0


def test_a_year_of_nights(ledger: Ledger, clock: Clock, ledger_url: str) -> None:
    """With 30 days of retention, tables and file are as large after a year of nights as after two months.

    PostgreSQL, which takes many times as long here, has a run every fifth night. Old jobs are removed after
    each seventh run, to save time.
    """
    nightly(ledger, clock)
    sizes, days = [], 5 if ledger.store.postgresql else 1
    for night in range(days, 366, days):
        run_at_night(ledger, clock, night, days)
        if night % (7 * days) == 0:
            ledger.chunks.shred_expired()
            ledger.retention.run_if_due(MONTH)
            sizes.append((rows_of(ledger), file_size(ledger_url)))
    (rows, size), (later, grown) = sizes[1 if days > 1 else 8], sizes[-1]
    assert later == rows
    assert rows["jobs"] == 30 // days
    assert rows["notifications"] == 30 // days + 1  # those of exactly 30 days ago stay
    assert rows["schedule_runs"] == max(30 // days, 10)
    versions = 305 * 400  # bytes: which versions of files were imported is never forgotten
    assert grown <= size * 1.05 + versions
    assert ledger.schedules.job_with("nightly", f"{days:064x}") is not None


def undo(ledger: Ledger, job: Job) -> None:
    """Hold the account of an ended job, as undo does."""
    work(ledger, job)
    ledger.accounts.acquire(job, "desk:1")


KEPT: dict[str, Callable[[Ledger, Job], object]] = {
    "a pause": lambda ledger, job: ledger.jobs.pause(job.id, AWAY),
    "work": lambda ledger, job: None,
    "a stop that can be resumed": lambda ledger, job: ledger.jobs.stop(job.id, OVER[JobState.STOPPED]),
    "an undo": undo,
    "requests in flight": lambda ledger, job: (
        ledger.chunks.claim(job.id, 0, "desk:1", 900), ledger.jobs.stop(job.id, OVER[JobState.CANCELLED]),
    ),
}  # fmt: skip


@pytest.mark.parametrize("why", KEPT)
def test_a_job_that_is_not_over_stays(ledger: Ledger, clock: Clock, why: str) -> None:
    """Whatever still works on a job, or can go on with it, keeps it in the ledger."""
    job = begun(ledger)
    KEPT[why](ledger, job)
    clock.advance(200)
    assert ledger.retention.run_if_due(Policy(100)) == []
    assert ledger.jobs.get(job.id).id == job.id


@pytest.mark.parametrize("why", ["a pause", "a stop that can be resumed"])
def test_a_job_that_expired_goes_in_its_time(ledger: Ledger, clock: Clock, why: str) -> None:
    """A job that nobody resumed is over, and then as old as any other."""
    job = begun(ledger)
    KEPT[why](ledger, job)
    clock.advance(30 * DAY + 1)
    ledger.chunks.shred_expired()
    clock.advance(30 * DAY)
    assert ledger.retention.run_if_due(MONTH) == [job.id]


def test_a_plan_stays_while_it_can_be_approved(ledger: Ledger, clock: Clock) -> None:
    """A saved plan goes when it has expired and has been over for long enough."""
    job = make_job()
    ledger.jobs.begin(job, "desk:1")
    ledger.jobs.save(job.id, 40 * DAY)
    clock.advance(40 * DAY)
    assert ledger.retention.removable(MONTH) == []
    clock.advance(1)
    ledger.chunks.shred_expired()
    assert ledger.retention.removable(MONTH) == []
    clock.advance(30 * DAY)
    assert ledger.retention.removable(MONTH) == [job.id]


def test_retries_stay_together(ledger: Ledger, clock: Clock) -> None:
    """A job stays as long as a retry of it does; then all of them go, the newest first."""
    first = ended(ledger, 1)
    clock.advance(20 * DAY)
    second = ended(ledger, 2, parent=first.id)
    third = ended(ledger, 3, parent=second.id)
    other = ended(ledger, 4)
    clock.advance(20 * DAY)
    assert ledger.retention.removable(MONTH) == []
    clock.advance(15 * DAY)
    assert ledger.retention.remove(MONTH, [third.id, second.id, first.id]) == [third.id, second.id, first.id]
    assert ledger.jobs.newest() == [other.id]


def test_the_newest_of_each_roster_and_schedule_stay(ledger: Ledger, clock: Clock) -> None:
    """--keep-last N keeps N jobs of each roster's name and of each schedule, of each account."""
    kinds: list[dict[str, Any]] = [
        {}, {"roster": "other.csv"}, {"schedule": "nightly"}, {"account": "9900002"},
        {"schedule": "nightly", "roster": "staff-2.csv"},
    ]  # fmt: skip
    jobs = []
    for number in range(15):
        jobs.append(ended(ledger, number, **kinds[number % 5]))
        clock.advance(60)
    clock.advance(31 * DAY)
    removed = ledger.retention.remove(Policy(30 * DAY, keep_last=2))
    kept = [jobs.index(ledger.jobs.get(job)) for job in ledger.jobs.newest()]
    assert kept == [14, 13, 12, 11, 10, 8, 6, 5]
    assert len(removed) == 7


def test_only_jobs_of_one_account(ledger: Ledger, clock: Clock) -> None:
    """--account leaves other accounts' jobs alone."""
    mine, theirs = ended(ledger, 1), ended(ledger, 2, account="9900002")
    clock.advance(31 * DAY)
    assert ledger.retention.remove(Policy(30 * DAY, account=theirs.account)) == [theirs.id]
    assert ledger.jobs.newest() == [mine.id]


def test_what_the_next_run_is_compared_with_stays(ledger: Ledger, clock: Clock) -> None:
    """A schedule that has not run for long keeps its newest done job, until it is removed itself."""
    nightly(ledger, clock)
    for night in range(1, 6):
        run_at_night(ledger, clock, night)
        if night in (1, 3):
            job = ledger.jobs.get(ledger.jobs.newest()[0])
            ledger.absences.add(job, "the roster", b"sealed")
    clock.advance(365 * DAY)
    ledger.retention.run_if_due(MONTH)
    assert [job[-1] for job in ledger.jobs.newest()] == ["5", "3"]
    found = ledger.absences.last(replace(job, id="the next one"), "the roster")
    assert found is not None
    assert found.job == job.id
    assert len(ledger.schedules.runs("nightly", 99)) == 5  # the newest runs stay, for `schedule show`
    ledger.schedules.remove("nightly")
    assert len(ledger.retention.removable(MONTH)) == 2


def test_no_run_is_forgotten_that_could_come_again(ledger: Ledger, clock: Clock) -> None:
    """Runs beyond the newest ten go; their slots are accounted for, so that none of them is run twice."""
    nightly(ledger, clock)
    for night in range(1, 16):
        run_at_night(ledger, clock, night)
    slots = [run.slot for run in ledger.schedules.runs("nightly", 99)]
    clock.advance(31 * DAY)
    ledger.retention.run_if_due(MONTH)
    assert [run.slot for run in ledger.schedules.runs("nightly", 99)] == slots[:10]
    assert ledger.schedules.get("nightly").accounted >= slots[0]


def test_once_an_hour_by_however_many_schedulers(ledger: Ledger, other_ledger: Ledger, clock: Clock) -> None:
    """If two schedulers are due at once, one removes old jobs; the next removal is an hour later."""
    for number in range(8):
        ended(ledger, number)
    clock.advance(31 * DAY)
    done: list[list[str]] = []
    both = [
        threading.Thread(target=lambda one=one: done.append(one.retention.run_if_due(MONTH)))
        for one in (ledger, other_ledger)
    ]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert sorted(map(len, done)) == [0, 8]
    late = ended(ledger, 99)
    clock.advance(40 * DAY)
    assert ledger.retention.run_if_due(MONTH) == [late.id]
    ended(ledger, 100)
    clock.advance(3599)
    assert other_ledger.retention.run_if_due(Policy(0)) == []
    clock.advance(2)
    assert len(other_ledger.retention.run_if_due(Policy(0))) == 1


def test_a_scheduler_has_other_things_to_do(ledger: Ledger, clock: Clock) -> None:
    """A removal that takes too long is continued at the next tick, not an hour later."""
    for number in range(3):
        ended(ledger, number)
    clock.advance(31 * DAY)
    removed = [ledger.retention.run_if_due(MONTH, budget=1e-9) for _ in range(3)]
    assert sum(map(len, removed)) < 3
    assert sum(map(len, removed)) + len(ledger.retention.run_if_due(MONTH)) == 3


def test_two_remove_the_same_jobs(ledger: Ledger, other_ledger: Ledger, clock: Clock) -> None:
    """Each job is removed by one of them, and neither fails."""
    for number in range(12):
        ended(ledger, number)
    clock.advance(31 * DAY)
    done: list[list[str]] = []
    both = [
        threading.Thread(target=lambda one=one: done.append(one.retention.remove(MONTH)))
        for one in (ledger, other_ledger)
    ]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert len({job for jobs in done for job in jobs}) == sum(map(len, done)) == 12
    assert ledger.jobs.newest() == []


def test_a_retry_that_begins_meanwhile(ledger: Ledger, clock: Clock) -> None:
    """A job that was chosen for removal and has got a retry since stays."""
    job = ended(ledger, 1)
    clock.advance(31 * DAY)
    chosen = ledger.retention.removable(MONTH)
    retry = begun(ledger, 2, parent=job.id)
    assert (chosen, ledger.retention.remove(MONTH, chosen)) == ([job.id], [])
    assert not ledger.retention._remove_one(MONTH, job.id, job.root)  # chosen just before the retry began
    assert ledger.jobs.newest() == [retry.id, job.id]


def test_a_locked_ledger(tmp_path: Path) -> None:
    """While another process holds SQLite's lock nothing is removed; afterwards it is, not an hour later."""
    url, clock = f"sqlite:///{tmp_path}/ledger.db", Clock()
    with closing(Ledger(url, clock)) as ledger, closing(sqlite3.connect(tmp_path / "ledger.db")) as other:
        job = ended(ledger)
        clock.advance(31 * DAY)
        with closing(Store(url, clock, lock_wait=0.1)) as impatient:
            retention = Retention(impatient, ledger.notifications)
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(LedgerAway):
                retention.run_if_due(MONTH)
            other.execute("ROLLBACK")
            assert retention.run_if_due(MONTH) == [job.id]


def grown(url: str, clock: Clock) -> tuple[Ledger, Path]:
    """Return a ledger with an old, large job, and its file."""
    ledger = Ledger(url, clock)
    rows = [make_chunk_row(line, password=secrets.token_hex(40)) for line in range(2, 12_000)]
    job = start_job(ledger, rows[:6000], rows[6000:])
    ledger.jobs.stop(job.id, OVER[JobState.CANCELLED])
    clock.advance(31 * DAY)
    ledger.store.clean()
    return ledger, Path(url.removeprefix("sqlite:///"))


def test_the_file_shrinks(tmp_path: Path) -> None:
    """A purge gives the space back, and leaves nothing of the removed rows in the file."""
    ledger, file = grown(f"sqlite:///{tmp_path}/ledger.db", Clock())
    with closing(ledger):
        before = file.stat().st_size
        assert before > 1_000_000
        assert len(ledger.retention.remove(MONTH)) == 1
        assert file.stat().st_size < before / 4
        assert file.with_name("ledger.db-wal").stat().st_size == 0


def old_file(path: Path) -> None:
    """Make the empty file of a ledger as earlier versions did: freed pages stay in it."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL)")
    path.chmod(0o600)


@pytest.mark.parametrize("at_work", [False, True])
def test_a_file_of_an_earlier_version_shrinks(tmp_path: Path, at_work: bool) -> None:
    """It is rewritten once, when nobody writes; from then on it gives space back by itself."""
    old_file(tmp_path / "ledger.db")
    clock = Clock()
    ledger, file = grown(f"sqlite:///{tmp_path}/ledger.db", clock)
    with closing(ledger):
        before = file.stat().st_size
        if at_work:
            begun(ledger, 7)
        ledger.retention.remove(MONTH)
        assert (file.stat().st_size < before / 4) is not at_work
        with closing(sqlite3.connect(file)) as connection:
            kind = connection.execute("PRAGMA auto_vacuum").fetchone()
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert kind == ((0,) if at_work else (2,))


def test_a_small_gain_is_not_worth_a_rewrite(tmp_path: Path) -> None:
    """A file of an earlier version with few free pages is left as it is."""
    old_file(tmp_path / "ledger.db")
    clock = Clock()
    with closing(Ledger(f"sqlite:///{tmp_path}/ledger.db", clock)) as ledger:
        ended(ledger)
        clock.advance(31 * DAY)
        assert len(ledger.retention.remove(MONTH)) == 1
        with closing(sqlite3.connect(tmp_path / "ledger.db")) as connection:
            assert connection.execute("PRAGMA auto_vacuum").fetchone() == (0,)
