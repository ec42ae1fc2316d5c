"""An undo reverts what is still as the job left it, and nothing else, however often it is interrupted."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from tests.integration.deliveries import process, told
from tests.integration.test_deliver_updates import Died, held_rows
from tests.unit.jobs import HOST, KEY, OVER, Clock, digests_of, make_chunk_row, start_job
from tests.unit.registrar import Batch, Registrar, lose, respells
from worker.errors import Conflict, JobBusy, NotAllowed, SiprosterError, Unavailable
from worker.importing.change_log import change_of
from worker.importing.undo import Undo, UndoTerms
from worker.ledger import Changes, Ledger
from worker.ledger.codec import seal_changes
from worker.model import Credential, Family, Job, JobState, Outcome, Row, Status
from worker.seal import Seal

APP, OTHER_APP = "3f2b8c1e-7a64-4d0f-9b35-c1e8a2d47f60", "7b2f8f6e-1111-2222-3333-abcdefabcdef"
REMOVED, RESTORED, LOST = ("removed", ""), ("restored", ""), ("failed", "answer_lost")
UNPROVEN = ("kept", "origin_unknown")


def done(ledger: Ledger, registrar: Registrar, *chunks: list[Row], **options: Any) -> Job:
    """Return a job that has done these rows."""
    job = start_job(ledger, *chunks, looked=True, **options)
    with process(ledger, job, registrar) as worker:
        for seq in range(len(chunks)):
            worker.deliver(seq)
    assert ledger.jobs.state(job.id) is JobState.DONE
    return ledger.jobs.get(job.id)


Results = dict[int, tuple[str, str]]


def undo(ledger: Ledger, job: Job, api: Registrar, **more: Any) -> Results:
    """Undo the job, and return each line's result so far."""
    given = {"permit": lambda deadline: None, "stopping": threading.Event(), "concurrency": 1, **more}
    clock = given.pop("clock", time.monotonic)
    undoing = Undo(ledger, Seal([KEY]), api, job, UndoTerms(**given), clock)
    try:
        list(undoing.run())
    finally:
        results = results_of(ledger, job)
    return results


def results_of(ledger: Ledger, job: Job) -> Results:
    """Return the recorded results of an undo."""
    found = ledger.undone.results(job.id, 0, 10_000)
    return {line: (one.result, one.code) for line, one in found.items()}


def rows_of(number: int, first: int = 2, **fields: Any) -> list[Row]:
    """Return rows of users who don't exist."""
    return [make_chunk_row(line, **fields) for line in range(first, first + number)]


def somebody_sets(api: Registrar, user: str, **changes: Any) -> None:
    """Change a user past the program."""
    (place,) = (place for place, one in api.stored.items() if one.composite == user)
    api.stored[place] = replace(api.stored[place], **changes)


# As it was before


@pytest.mark.parametrize("family", Family)
def test_everything_is_as_before(ledger: Ledger, family: Family) -> None:
    """Created users are deleted and updated ones restored, last first, each with a permit."""
    api = Registrar()
    old = held_rows(api, 3)
    before = dict(api.stored)
    job = done(ledger, api, old, rows_of(3, first=5, application=APP), api=family)
    permits: list[float] = []
    results = undo(ledger, job, api, permit=permits.append)
    assert results == dict.fromkeys((2, 3, 4), RESTORED) | dict.fromkeys((5, 6, 7), REMOVED)
    assert api.stored == before
    assert api.deletions == ["user7", "user6", "user5"]
    assert api.puts[3:] == ["user4", "user3", "user2"]
    assert permits == [30.0] * 6
    assert ledger.undone.counts(job.id) == {"restored": 3, "removed": 3}


@pytest.mark.parametrize("had", ["", OTHER_APP])
def test_the_application_is_as_before(ledger: Ledger, had: str) -> None:
    """The earlier application is restored, or the job's cleared if there was none (guard: ``clear=True``)."""
    api = Registrar()
    (row,) = held_rows(api, 1)
    somebody_sets(api, "user2", application=had)
    (before,) = api.stored.values()
    job = done(ledger, api, [replace(row, application=APP, stored=before)])
    assert [one.application for one in api.stored.values()] == [APP]
    assert undo(ledger, job, api) == {2: RESTORED}
    assert list(api.stored.values()) == [before]


def test_more_than_a_window(ledger: Ledger) -> None:
    """Several hundred rows are undone side by side, each once."""
    api = Registrar()
    job = done(ledger, api, rows_of(250), rows_of(30, first=300))
    results = undo(ledger, job, api, concurrency=8)
    assert (len(results), set(results.values()), api.stored) == (280, {REMOVED}, {})
    assert len(api.deletions) == 280


def test_a_second_undoing_asks_nothing(ledger: Ledger) -> None:
    """A second undo requests nothing, even if somebody has created a user of that name since."""
    api = Registrar()
    job = done(ledger, api, rows_of(3))
    undo(ledger, job, api)
    api.holds(Credential("user3", "", HOST, *digests_of(make_chunk_row(3))))
    asked = len(api.reads)
    assert set(undo(ledger, job, api).values()) == {REMOVED}
    assert (len(api.reads), len(api.deletions), len(api.stored)) == (asked, 3, 1)


def test_a_row_that_was_begun_twice_is_undone_once(ledger: Ledger, clock: Clock) -> None:
    """If two claims recorded changes of one row, the later one counts (guard: ``Undo._open``)."""
    api = Registrar()
    (row,) = held_rows(api, 1)
    job = start_job(ledger, [row], looked=True)
    assert row.stored
    for attempt in (1, 2):
        claim = ledger.chunks.claim(job.id, 0, f"desk:{attempt}", 60)
        assert claim is not None
        target = Credential("user2", "", HOST, *digests_of(row))
        change = change_of(2, 0, row.stored.id, target, row.stored)
        changes = Changes(1, lambda nr, change=change: seal_changes(Seal([KEY]), job.id, 0, nr, [change]))  # type: ignore[misc]
        ledger.chunks.record_before_image(claim, 60, changes)
        clock.advance(61)
    somebody_sets(api, "user2", hash1=digests_of(row)[0], hash1b=digests_of(row)[1])
    ledger.jobs.stop(job.id, OVER[JobState.CANCELLED])
    assert undo(ledger, job, api, include_unproven=True) == {2: RESTORED}
    assert (api.puts, len(api.reads)) == (["user2"], 2)


def test_begun_and_never_done(ledger: Ledger) -> None:
    """A change that was recorded, but whose PUT was never sent, needs no PUT to be undone."""
    api = Registrar()
    rows = held_rows(api, 2)
    before = dict(api.stored)
    job = start_job(ledger, rows, looked=True)

    def die(batch: Batch) -> None:
        raise Died

    api.before = die
    with process(ledger, job, api) as worker, suppress(Died):
        worker.deliver()
    ledger.jobs.stop(job.id, OVER[JobState.CANCELLED])
    puts = len(api.puts)
    assert undo(ledger, job, api) == {2: RESTORED}
    assert (len(api.puts), api.stored) == (puts, before)


def test_what_was_made_wrongly_goes_too(ledger: Ledger) -> None:
    """A user stored under another spelling than was sent was made by the job, and is removed."""
    api = Registrar()
    respells(api)
    job = done(ledger, api, rows_of(1))
    assert told(ledger, job) == {2: (Status.FAILED, "case_differs")}
    assert undo(ledger, job, api) == {2: REMOVED}
    assert api.stored == {}


# Changes that are kept

MADE, SET = False, True
KEPT: dict[str, tuple[bool, dict[str, Any], str]] = {
    "a made one's password": (MADE, {"hash1": "c1" * 16}, "digest_differs"),
    "a made one's other digest": (MADE, {"hash1b": None}, "digest_differs"),
    "a set one's password": (SET, {"hash1": "c1" * 16}, "digest_differs"),
    "a made one's application": (MADE, {"application": OTHER_APP}, "application_differs"),
    "a set one's application": (SET, {"application": OTHER_APP}, "application_differs"),
    "a made one's id": (MADE, {"id": "77"}, "id_differs"),
    "a set one's id": (SET, {"id": "77"}, "id_differs"),
    "a set one is gone": (SET, {}, "user_gone"),
}
"""Whether the job had set a user or made it, what somebody changes, and the reason to leave it alone."""


@pytest.mark.parametrize("what", KEPT)
def test_what_somebody_changed_is_kept(ledger: Ledger, what: str) -> None:
    """An undo leaves a credential alone if somebody else changed it, says why, and reverts the others."""
    was_set, changes, code = KEPT[what]
    api = Registrar()
    rows = held_rows(api, 2) if was_set else rows_of(2)
    job = done(ledger, api, [replace(row, application=APP) for row in rows])
    if changes:
        somebody_sets(api, "user2", **changes)
    else:
        del api.stored["", "user2"]
    left = {place: one for place, one in api.stored.items() if one.composite == "user2"}
    puts = len(api.puts)
    assert undo(ledger, job, api) == {2: ("kept", code), 3: RESTORED if was_set else REMOVED}
    assert {place: one for place, one in api.stored.items() if one.composite == "user2"} == left
    assert "user2" not in [*api.deletions, *api.puts[puts:]]


def test_a_made_one_that_is_gone(ledger: Ledger) -> None:
    """A created user whom somebody has deleted counts as removed."""
    api = Registrar()
    job = done(ledger, api, rows_of(1))
    api.stored.clear()
    assert undo(ledger, job, api) == {2: REMOVED}
    assert api.deletions == []


def test_an_application_that_the_job_could_not_set(ledger: Ledger) -> None:
    """If the service kept the old application, that is nobody's change, and the password is restored."""
    api = Registrar()
    (row,) = held_rows(api, 1)
    somebody_sets(api, "user2", application=OTHER_APP)
    (before,) = api.stored.values()
    api.keeps_applications = True
    job = done(ledger, api, [replace(row, application=APP, stored=before)])
    assert told(ledger, job) == {2: (Status.FAILED, "application_not_set")}
    assert undo(ledger, job, api) == {2: RESTORED}
    assert list(api.stored.values()) == [before]


def test_an_application_that_nobody_asked_for(ledger: Ledger) -> None:
    """A created user to whom somebody gave an application still has the job's digests, and is removed."""
    api = Registrar()
    job = done(ledger, api, rows_of(1))
    somebody_sets(api, "user2", application=OTHER_APP)
    assert undo(ledger, job, api) == {2: REMOVED}


# Doubt


@pytest.mark.parametrize("looked", [False, True])
def test_what_can_not_be_proven_is_kept(ledger: Ledger, *, looked: bool) -> None:
    """Unproven users are kept without a look-up; on request they are removed, if nobody was there before."""
    api, rows = Registrar(), rows_of(2)
    job = start_job(ledger, rows, looked=looked)
    api.after = lose(1)
    with process(ledger, job, api) as worker:
        worker.deliver()
    assert set(told(ledger, job).values()) == {(Status.UNCHANGED, "origin_unknown")}
    asked = len(api.looks)
    assert undo(ledger, job, api) == dict.fromkeys((2, 3), UNPROVEN)
    assert (len(api.stored), len(api.looks), ledger.undone.unproven(job.id)) == (2, asked, 2)
    expected = REMOVED if looked else UNPROVEN
    assert undo(ledger, job, api, include_unproven=True) == dict.fromkeys((2, 3), expected)
    assert len(api.stored) == (0 if looked else 2)


def test_what_another_ledger_has_made_is_kept(ledger: Ledger) -> None:
    """If another ledger's job made the users after ours lost its list, they are kept and named."""
    api, rows = Registrar(), rows_of(3)
    job = start_job(ledger, rows, looked=True)

    def overtaken(batch: Batch) -> None:
        for row in rows:
            api.holds(Credential(row.user, "", HOST, *digests_of(row)))
        api.before = lambda batch: None
        lose(1)(batch)

    api.before = overtaken
    with process(ledger, job, api) as worker:
        worker.deliver()
    theirs = dict(api.stored)
    assert undo(ledger, job, api) == dict.fromkeys((2, 3, 4), UNPROVEN)
    assert api.stored == theirs


def test_what_another_ledger_has_set_is_kept(ledger: Ledger) -> None:
    """A password that another ledger's job set after ours lost its request is not set back."""
    api = Registrar()
    rows = held_rows(api, 2)
    job = start_job(ledger, rows, looked=True)

    def overtaken(batch: Batch) -> None:
        user = batch[0].user
        somebody_sets(api, user, hash1=batch[0].hash1, hash1b=batch[0].hash1b)
        lost(batch)

    lost = lose(1)
    api.before = overtaken
    with process(ledger, job, api) as worker:
        worker.deliver()
    assert told(ledger, job)[2] == (Status.UNCHANGED, "origin_unknown")
    api.before = lambda batch: None
    assert undo(ledger, job, api) == {2: UNPROVEN, 3: RESTORED}


def test_a_made_one_without_an_id_that_is_gone(ledger: Ledger) -> None:
    """A user who was created without an id in the answer, and is gone since, has a result all the same."""
    api = Registrar()
    api.echo = lambda echo: replace(echo, id="")
    job = done(ledger, api, rows_of(1))
    api.stored.clear()
    assert undo(ledger, job, api) == {2: REMOVED}


def test_what_is_shredded_by_now_is_named(ledger: Ledger, clock: Clock) -> None:
    """Unconfirmed and unknown rows whose digests are shredded are kept and named, not passed over."""
    api, rows = Registrar(), [rows_of(3), rows_of(2, first=5)]
    job = start_job(ledger, *rows, looked=True)
    claims = [ledger.chunks.claim(job.id, seq, "desk:1", 60) for seq in (0, 1)]
    assert claims[0]
    assert claims[1]
    ledger.chunks.release(claims[0], 0, [3], 0, 0)
    ledger.chunks.record(claims[1], [Outcome(5, Status.UNKNOWN), Outcome(6, Status.FAILED)], 60)
    ledger.chunks.end(claims[1], claims[1].sealed, 60, 0, 0)
    ledger.jobs.stop(job.id, OVER[JobState.CANCELLED])
    clock.advance(8 * 86_400)
    assert ledger.chunks.shred_expired() == 2
    assert undo(ledger, job, api) == {3: UNPROVEN, 5: UNPROVEN}


def test_a_deletion_that_was_not_done(ledger: Ledger) -> None:
    """A deletion that was not done, though the service says so, fails, and is done the next time."""
    api = Registrar()
    job = done(ledger, api, rows_of(1))
    api.denies = 1
    assert undo(ledger, job, api) == {2: LOST}
    assert undo(ledger, job, api) == {2: REMOVED}
    assert api.stored == {}


def killed_after_its_work(ledger: Ledger, api: Registrar, rows: list[Row], *, looked: bool) -> Job:
    """Return a job cancelled after its worker died between the service's answer and the ledger."""
    job = start_job(ledger, rows, looked=looked, batch_size=2)

    def die(batch: Batch) -> None:
        if len(api.posts) == 2:
            raise Died

    api.after = die
    with process(ledger, job, api) as worker, suppress(Died):
        worker.deliver()
    api.after = lambda batch: None
    ledger.jobs.stop(job.id, OVER[JobState.CANCELLED])
    return ledger.jobs.get(job.id)


def test_lost_answers_of_a_killed_worker(ledger: Ledger) -> None:
    """Users with the job's digests after lost answers are kept and named, and removed only on request."""
    api, rows = Registrar(), rows_of(7)
    job = killed_after_its_work(ledger, api, rows, looked=True)
    assert len(api.stored) == 4
    somebody_sets(api, "user5", hash1="c1" * 16)
    api.holds(Credential("user7", "", HOST, "d1" * 16, "e1" * 16))
    results = {2: REMOVED, 3: REMOVED, 5: ("kept", "digest_differs"), 7: ("kept", "digest_differs")}
    assert undo(ledger, job, api) == results | {4: UNPROVEN}
    assert undo(ledger, job, api, include_unproven=True) == results | {4: REMOVED}
    assert api.digests().keys() == {"user5", "user7"}


@pytest.mark.parametrize("resumed", [False, True])
def test_lost_answers_whose_users_another_job_has_made(
    ledger: Ledger, clock: Clock, *, resumed: bool
) -> None:
    """Users that a second import of the same roster created are not removed when the first job is undone."""
    api, rows = Registrar(), rows_of(4)
    job = start_job(ledger, rows, looked=True)
    claim = ledger.chunks.claim(job.id, 0, "desk:1", 60)
    assert claim is not None
    ledger.chunks.release(claim, 0, [row.line for row in rows], 0, 0)
    ledger.accounts.release(job.id)
    clock.advance(1)
    done(ledger, api, rows)
    made = dict(api.stored)
    if resumed:
        ledger.accounts.acquire(job, "desk:1")
        with process(ledger, job, api) as worker:
            worker.deliver()
        assert set(told(ledger, job).values()) == {(Status.UNCHANGED, "origin_unknown")}
    ledger.jobs.stop(job.id, OVER[JobState.CANCELLED])
    for include in (False, True):  # this ledger knows of the other job, whatever somebody says
        results = undo(ledger, job, api, include_unproven=include)
        assert results == dict.fromkeys((2, 3, 4, 5), UNPROVEN)
    assert api.stored == made


def test_lost_answers_where_nobody_had_looked(ledger: Ledger) -> None:
    """Users with equal digests are kept if nobody looked before the job: they may have been there."""
    api, rows = Registrar(), rows_of(4)
    api.holds(Credential("user5", "", HOST, *digests_of(rows[3])))
    job = killed_after_its_work(ledger, api, rows, looked=False)
    results = undo(ledger, job, api, include_unproven=True)
    assert results == {2: REMOVED, 3: REMOVED, 4: UNPROVEN, 5: UNPROVEN}
    assert api.digests().keys() == {"user4", "user5"}


def test_only_rows_in_doubt_are_asked_for(ledger: Ledger) -> None:
    """Only the unconfirmed rows of a chunk that was released in order are looked up."""
    api, rows = Registrar(), rows_of(4)
    job = start_job(ledger, rows, looked=True)
    claim = ledger.chunks.claim(job.id, 0, "desk:1", 60)
    assert claim is not None
    ledger.chunks.release(claim, 0, [3], 0, 0)
    ledger.jobs.stop(job.id, OVER[JobState.CANCELLED])
    for row in rows:
        api.holds(Credential(row.user, "", HOST, *digests_of(row)))
    assert undo(ledger, job, api, include_unproven=True) == {3: REMOVED}
    assert (api.looks, api.deletions) == (["user3"], ["user3"])


def test_an_unknown_row_that_is_there(ledger: Ledger) -> None:
    """A row that was sent and never settled is named if a user with the job's digests exists."""
    api, rows = Registrar(), rows_of(3)
    job = start_job(ledger, rows, looked=True)
    claim = ledger.chunks.claim(job.id, 0, "desk:1", 60)
    assert claim is not None
    ledger.chunks.record(
        claim, [Outcome(2, Status.UNKNOWN), Outcome(3, Status.FAILED), Outcome(4, Status.UNKNOWN)], 60
    )
    ledger.chunks.end(claim, claim.sealed, 60, 0, 0)
    ledger.jobs.finish(job.id)
    for row in rows[:2]:
        api.holds(Credential(row.user, "", HOST, *digests_of(row)))
    assert undo(ledger, job, api) == {2: UNPROVEN}
    assert undo(ledger, job, api, include_unproven=True) == {2: REMOVED}
    assert api.digests().keys() == {"user3"}


# Answers and refusals


def test_lost_answers_are_looked_at(ledger: Ledger) -> None:
    """After a lost answer, a change that shows counts as undone; another fails, and the next undo does it."""
    api = Registrar()
    job = done(ledger, api, held_rows(api, 2), rows_of(2, first=4))
    lost_before, lost_after = lose(2), lose(4)

    def lost(batch: Batch) -> None:
        if api.deletions[-1:] == ["user5"] or (batch and batch[0].user == "user3"):
            lost_before(batch)

    api.before, api.after = lost, lost_after
    assert undo(ledger, job, api) == {2: RESTORED, 3: LOST, 4: REMOVED, 5: LOST}
    api.before = lambda batch: None
    assert undo(ledger, job, api) == {2: RESTORED, 3: RESTORED, 4: REMOVED, 5: REMOVED}
    assert {held.hash1 for held in api.stored.values()} == {f"{line:032x}" for line in (2, 3)}


def test_an_application_that_does_not_go_back(ledger: Ledger) -> None:
    """If the old password is set but the old application is not, the row fails and says so."""
    api = Registrar()
    (row,) = held_rows(api, 1)
    job = done(ledger, api, [replace(row, application=APP)])
    api.keeps_applications = True
    assert undo(ledger, job, api) == {2: ("failed", "application_not_set")}
    assert [one.hash1 for one in api.stored.values()] == [f"{2:032x}"]
    api.keeps_applications = False
    assert undo(ledger, job, api) == {2: RESTORED}
    assert list(api.stored.values()) == [row.stored]


def test_an_application_that_somebody_set_where_the_job_had_left_it(ledger: Ledger) -> None:
    """If the job set only the password, an application that somebody has set since is not overwritten."""
    api = Registrar()
    rows = held_rows(api, 2)
    somebody_sets(api, "user3", application=APP)
    stored = {one.composite: one for one in api.stored.values()}
    job = done(ledger, api, [replace(row, stored=stored[row.user]) for row in rows])
    for row in rows:
        somebody_sets(api, row.user, application=OTHER_APP)
    assert undo(ledger, job, api) == dict.fromkeys((2, 3), ("kept", "application_differs"))
    assert {one.application for one in api.stored.values()} == {OTHER_APP}


def test_reads_that_lag_behind(ledger: Ledger) -> None:
    """A restored user that still shows the job's digests is waited for, then fails, then is restored."""
    api = Registrar()
    job = done(ledger, api, held_rows(api, 1))
    api.behind = 3 + 1  # one of them is the read before
    assert undo(ledger, job, api)[2] in (RESTORED, LOST)
    api.behind = 0
    assert undo(ledger, job, api) == {2: RESTORED}


def test_refusals(ledger: Ledger) -> None:
    """Rows that can't be reverted each have their reason, and the others are reverted."""
    api = Registrar()
    job = done(ledger, api, held_rows(api, 3), rows_of(1, first=5))
    api.refuses = {"user2": "23019"}

    def move(batch: Batch) -> None:
        if batch and batch[0].user == "user3":
            raise Conflict("user3 is on realm (not told), not on office")

    api.before = move
    assert undo(ledger, job, api) == {
        2: ("failed", "23019"), 3: ("failed", "realm_differs"), 4: RESTORED, 5: REMOVED,
    }  # fmt: skip


@pytest.mark.parametrize("error", [Unavailable("HTTP 503"), NotAllowed("403"), JobBusy("another job")])
def test_what_ends_it_keeps_what_was_done(ledger: Ledger, error: SiprosterError) -> None:
    """A service that stays away, or another's account, ends the undo; what was done is kept."""
    api = Registrar()
    job = done(ledger, api, rows_of(5))
    permits = iter([None, None, error, error, error])

    def permit(deadline: float) -> None:
        if refusal := next(permits):
            raise refusal

    with pytest.raises(type(error)):
        undo(ledger, job, api, permit=permit)
    assert results_of(ledger, job) == {6: REMOVED, 5: REMOVED}
    assert set(undo(ledger, job, api).values()) == {REMOVED}
    assert api.deletions == [f"user{line}" for line in (6, 5, 4, 3, 2)]
