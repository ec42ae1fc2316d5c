"""Updates of existing users: recorded first, resumed after a death, never done by a late worker."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable

import pytest
from sqlalchemy import text

from tests.integration.deliveries import outcomes_of, process, told
from tests.unit.jobs import HOST, KEY, Clock, digests_of, make_chunk_row, start_job
from tests.unit.registrar import Batch, Registrar, lose, respells
from worker.importing.chunk_session import LEASE
from worker.ledger import Ledger
from worker.ledger.codec import Change, open_changes
from worker.model import Credential, Family, Job, JobState, Row, Status, Stored
from worker.seal import Seal

UPDATED, CREATED = (Status.UPDATED, ""), (Status.CREATED, "")
UNPROVEN = (Status.UNCHANGED, "origin_unknown")


class Died(BaseException):
    """Raised in place of a SIGKILL: the program doesn't catch it, and the claim stays as it was."""


def held_rows(api: Registrar, number: int, first: int = 2) -> list[Row]:
    """Rows of users who are there with another password."""
    lines = range(first, first + number)
    for line in lines:
        api.holds(Credential(f"user{line}", "", HOST, f"{line:032x}", "b1" * 16))
    stored = {one.composite: one for one in api.stored.values()}
    return [make_chunk_row(line, before=stored[f"user{line}"]) for line in lines]


def changes_of(ledger: Ledger, job: Job) -> list[Change]:
    """Return the changes recorded for the job, in the order in which they would be undone."""
    seal = Seal([KEY])
    return [
        change
        for key, sealed in ledger.changes.backwards(job.id)
        for change in open_changes(seal, job.id, key.chunk, key.nr, sealed)
    ]


def stored_before(rows: list[Row]) -> dict[int, Stored | None]:
    """Return each row's user as it was stored before."""
    return {row.line: row.stored for row in rows}


def test_created_and_updated_side_by_side(ledger: Ledger) -> None:
    """In a chunk with both kinds, each row has its outcome and its change, with the earlier state if any."""
    api = Registrar()
    rows = [*held_rows(api, 5), *(make_chunk_row(line) for line in range(7, 12))]
    job = start_job(ledger, rows, looked=True, batch_size=2)
    with process(ledger, job, api, threads=4) as worker:
        worker.deliver()
    assert told(ledger, job) == dict.fromkeys(range(2, 7), UPDATED) | dict.fromkeys(range(7, 12), CREATED)
    assert api.digests() == {row.composite: digests_of(row) for row in rows}
    changes = changes_of(ledger, job)
    assert {change.line: change.before for change in changes} == stored_before(rows)
    assert len(changes) == ledger.changes.rows(job.id) == 10
    assert {change.line: change.id for change in changes} == {
        line: outcome.credential_id for line, outcome in outcomes_of(ledger, job).items()
    }
    assert ledger.chunks.kept(job.id) == []


def test_what_was_not_made_is_no_change(ledger: Ledger) -> None:
    """A user who was there before, was refused, or turned up meanwhile is no change to be undone."""
    api, rows = Registrar(), [make_chunk_row(line) for line in range(2, 7)]
    job = start_job(ledger, rows, looked=True)
    api.refuses = {"user2": "23019"}
    api.holds(Credential("user3", "", HOST, *digests_of(rows[1])))
    api.holds(Credential("user4", "", HOST, "a1" * 16, "b1" * 16))
    api.holds(Credential("USER5", "", HOST, *digests_of(rows[3])))
    with process(ledger, job, api) as worker:
        worker.deliver()
    assert {line: status for line, (status, _) in told(ledger, job).items()} == {
        2: Status.FAILED, 3: Status.UNCHANGED, 4: Status.EXISTS, 5: Status.EXISTS, 6: Status.CREATED,
    }  # fmt: skip
    assert [change.line for change in changes_of(ledger, job)] == [6]


@pytest.mark.parametrize("lost", [0, 1])
def test_what_was_made_wrongly_is_a_change(ledger: Ledger, lost: int) -> None:
    """A user whose name the service respelt can't register: the row fails, and undo can revert the change."""
    api = Registrar()
    job = start_job(ledger, [make_chunk_row(2)], looked=True)
    respells(api)
    respell, gone = api.after, lose(lost)

    def after(batch: Batch) -> None:
        respell(batch)
        gone(batch)

    api.after = after
    with process(ledger, job, api) as worker:
        worker.deliver()
    unproven = (Status.EXISTS, "case_differs;origin_unknown")
    assert told(ledger, job)[2] == (unproven if lost else (Status.FAILED, "case_differs"))
    assert [(change.line, change.before) for change in changes_of(ledger, job)] == [(2, None)]
    assert ledger.changes.rows(job.id) == (0 if lost else 1)


# Deaths


def work_off(ledger: Ledger, clock: Clock, job: Job, api: Registrar, threads: int = 1) -> int:
    """Deliver what is due, by a new process after each death, until the job is done; return the deaths."""
    deaths = 0
    while ledger.jobs.state(job.id).active and deaths < 20:
        for seq in ledger.chunks.due(job.id, idle=True):
            with process(ledger, job, api, threads=threads) as worker:
                try:
                    worker.deliver(seq)
                except Died:
                    deaths += 1
        clock.advance(LEASE + 1)
    assert ledger.jobs.state(job.id) is JobState.DONE
    return deaths


def dying_at(*moments: int) -> Callable[[object], None]:
    """Kills the process at the numbered calls."""
    calls = itertools.count()

    def die(_: object) -> None:
        if next(calls) in moments:
            raise Died

    return die


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("family", Family)
def test_a_death_between_keeping_and_recording(
    ledger: Ledger, clock: Clock, when: str, family: Family
) -> None:
    """Killed before or after a PUT, each user is updated once, with one change that has the earlier state."""
    api = Registrar()
    rows = held_rows(api, 4)
    job = start_job(ledger, rows, looked=True, api=family)
    setattr(api, when, dying_at(1))
    assert work_off(ledger, clock, job, api) == 1
    begun = UPDATED if when == "before" else UNPROVEN
    assert told(ledger, job) == dict.fromkeys(range(2, 6), UPDATED) | {3: begun}
    assert api.digests() == {row.composite: digests_of(row) for row in rows}
    assert len(api.puts) == (5 if when == "before" else 4)
    assert {change.line: change.before for change in changes_of(ledger, job)} == stored_before(rows)


class AllDie:
    """For ``after``: let so many requests be done together, then kill their process before any answer."""

    def __init__(self, number: int) -> None:
        self._together = threading.Barrier(number)
        self._left = number

    def __call__(self, batch: Batch) -> None:
        if self._left:
            self._together.wait(timeout=30)
            self._left = 0
            raise Died


def test_a_death_with_several_on_their_way(ledger: Ledger, clock: Clock) -> None:
    """After a death the chunk is split; its parts keep the begun changes (guard: split's changes)."""
    api = Registrar()
    rows = held_rows(api, 4)
    job = start_job(ledger, rows, looked=True, batch_size=1)
    api.after = AllDie(4)
    assert work_off(ledger, clock, job, api, threads=4) == 1
    assert len(ledger.waits.leases(job.id)) == 0
    assert told(ledger, job) == dict.fromkeys(range(2, 6), UNPROVEN)
    assert (len(api.puts), ledger.changes.rows(job.id)) == (4, 4)
    assert {change.line: change.before for change in changes_of(ledger, job)} == stored_before(rows)


def test_death_after_death(ledger: Ledger, clock: Clock) -> None:
    """Split again and again, each row is updated, and the recorded state is the first one."""
    api = Registrar()
    rows = held_rows(api, 8)
    job = start_job(ledger, rows, looked=True, batch_size=1)
    api.after, api.looking = AllDie(8), dying_at(8, 9, 11, 13)
    assert work_off(ledger, clock, job, api, threads=8) >= 3
    assert told(ledger, job) == dict.fromkeys(range(2, 10), UNPROVEN)
    assert (len(api.puts), ledger.changes.rows(job.id)) == (8, 8)
    assert {change.line: change.before for change in changes_of(ledger, job)} == stored_before(rows)


# Late workers


def test_no_change_starts_without_the_lease(ledger: Ledger, other_ledger: Ledger, clock: Clock) -> None:
    """A worker that wakes after its lease, with its PUT next, sends nothing (guard: ``permit``)."""
    api = Registrar()
    job = start_job(ledger, held_rows(api, 2), looked=True)
    before = api.digests()
    with process(ledger, job, api) as late:

        def oversleep() -> None:
            late.clock.advance(LEASE + 1)
            clock.advance(LEASE + 1)
            assert other_ledger.chunks.claim(job.id, 0, "other:1", LEASE) is not None

        api.waiting = oversleep
        late.deliver()
    assert (api.puts, outcomes_of(ledger, job), api.digests()) == ([], {}, before)


def test_a_late_worker_keeps_nothing(ledger: Ledger, other_ledger: Ledger, clock: Clock) -> None:
    """A worker that loses its claim between reading and recording changes nothing (guard: intend's fence)."""
    api = Registrar()
    job = start_job(ledger, held_rows(api, 2), looked=True)
    with process(ledger, job, api) as late:

        def oversleep(composite: str) -> None:
            clock.advance(LEASE + 1)
            assert other_ledger.chunks.claim(job.id, 0, "other:1", LEASE) is not None

        api.looking = oversleep
        late.deliver()
    assert (api.puts, outcomes_of(ledger, job), changes_of(ledger, job)) == ([], {}, [])


def test_of_many_deliveries_at_once_one_sets(ledger: Ledger, other_ledger: Ledger) -> None:
    """The same chunk three times at once: each user is set once."""
    api = Registrar()
    job = start_job(ledger, held_rows(api, 4), looked=True)
    with process(ledger, job, api) as one, process(other_ledger, job, api, owner="desk:2") as other:
        api.looking = lambda composite: other.deliver()
        one.deliver()
        other.deliver()
    assert told(ledger, job) == dict.fromkeys(range(2, 6), UPDATED)
    assert sorted(api.puts) == sorted(f"user{line}" for line in range(2, 6))
    assert len(changes_of(ledger, job)) == 4


# Given back


def test_an_outage_fails_nothing(ledger: Ledger, clock: Clock) -> None:
    """After two lost answers the job pauses; the next claim updates the row, recorded once."""
    api = Registrar()
    rows = held_rows(api, 3)
    job = start_job(ledger, rows, looked=True)
    api.before = lose(2)
    with process(ledger, job, api) as worker:
        worker.deliver()
        assert ledger.jobs.state(job.id) is JobState.PAUSED
        clock.advance(600)
        worker.deliver()
    assert told(ledger, job) == dict.fromkeys(range(2, 5), UPDATED)
    assert {change.line: change.before for change in changes_of(ledger, job)} == stored_before(rows)
    assert len(changes_of(ledger, job)) == 3


def test_the_old_digests_are_in_no_table(ledger: Ledger) -> None:
    """No table holds the digests that were there before or that were set, during the job or after it."""
    api = Registrar()
    rows = held_rows(api, 2)
    job = start_job(ledger, rows, looked=True)
    secrets = {digest for one in api.digests().values() for digest in one if digest}
    secrets |= {digest for row in rows for digest in digests_of(row)}
    seen: list[str] = []
    api.after = lambda batch: seen.append(contents(ledger))
    with process(ledger, job, api) as worker:
        worker.deliver()
    seen.append(contents(ledger))
    assert len(seen) == 3
    assert not [digest for digest in secrets for content in seen if digest in content]
    assert "user2" not in seen[-1]


def contents(ledger: Ledger) -> str:
    """Every cell of every table, as text, bytes in hexadecimal and as they are."""
    parts = []
    for table in ("jobs", "chunks", "pages", "outcomes", "realms", "deeds", "undone", "audit", "meta"):
        with ledger.store.read() as connection:
            for row in connection.execute(text(f"SELECT * FROM {table}")):  # noqa: S608
                for cell in row:
                    is_bytes = isinstance(cell, bytes | memoryview)
                    parts += [bytes(cell).hex(), bytes(cell).decode("latin-1")] if is_bytes else [str(cell)]
    return "\n".join(parts)
