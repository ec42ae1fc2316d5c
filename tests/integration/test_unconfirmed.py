"""Unconfirmed rows are looked up by pages if that takes fewer requests, with the same results."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace

import pytest

from tests.integration.deliveries import process, told
from tests.unit.jobs import HOST, REALM, Clock, digests_of, make_chunk_row, start_job
from tests.unit.registrar import Registrar, lose
from worker.errors import Refused, Unavailable
from worker.ledger import Claim, Ledger
from worker.model import Credential, Family, Job, JobState, Row, Status, Stored
from worker.waits import HERE, WaitKind

CREATED, UNPROVEN = (Status.CREATED, ""), (Status.UNCHANGED, "origin_unknown")
EXISTS = (Status.EXISTS, "digest_differs")


def rows_of(number: int, first: int = 2) -> list[Row]:
    """Return so many rows, from a line on."""
    return [make_chunk_row(line) for line in range(first, first + number)]


def store(api: Registrar, rows: Sequence[Row], family: Family = Family.ACCOUNT) -> None:
    """Store these rows, as if the service had done what it was asked and its answers were lost."""
    realm = REALM.id if family is Family.REALM else ""
    for row in rows:
        api.holds(Credential(row.user, "", HOST, *digests_of(row)), family, realm)


def crowd(api: Registrar, number: int) -> None:
    """Other users of the account."""
    for one in range(number):
        api.holds(Credential(f"other{one}", "", HOST, "c1" * 16, "d1" * 16))


def claimed(ledger: Ledger, job: Job, seq: int) -> Claim:
    """A claim of another process."""
    claim = ledger.chunks.claim(job.id, seq, "desk:9", 60)
    assert claim
    return claim


def given_back(ledger: Ledger, job: Job, seq: int, rows: Sequence[Row]) -> None:
    """Let another process's claim end after it sent these rows and heard nothing."""
    ledger.chunks.release(claimed(ledger, job, seq), 0, [row.line for row in rows], 0, 0)


def work(ledger: Ledger, job: Job, api: Registrar, *seqs: int, threads: int = 4) -> None:
    """Work on these chunks, or on all that exist, until none is left."""
    with process(ledger, job, api, threads=threads) as worker:
        for seq in seqs:
            worker.deliver(seq)
        while not seqs and (due := ledger.chunks.due(job.id, idle=True, patience=-1)):
            for seq in due:
                worker.deliver(seq)


@pytest.mark.parametrize("family", Family)
def test_one_listing_for_all_chunks(ledger: Ledger, family: Family) -> None:
    """Ten chunks with 100 unconfirmed rows each: the account's pages are read once, and nothing is sent."""
    api = Registrar()
    chunks = [rows_of(100, first=2 + 100 * seq) for seq in range(10)]
    job = start_job(ledger, *chunks, api=family)
    for seq, rows in enumerate(chunks):
        given_back(ledger, job, seq, rows)
        store(api, rows, family)
    work(ledger, job, api)
    assert (api.pages, api.looks, api.posts) == (2, [], [])
    assert set(told(ledger, job).values()) == {UNPROVEN}
    assert ledger.jobs.state(job.id) is JobState.DONE


def test_a_killed_process(ledger: Ledger) -> None:
    """Rows that a killed process stored are found by pages, the rest is sent; split chunks list once more."""
    api = Registrar()
    chunks = [rows_of(400, first=2 + 400 * seq) for seq in range(4)]
    job = start_job(ledger, *chunks)
    for seq, rows in enumerate(chunks):
        claimed(ledger, job, seq)
        store(api, rows[:300])
    ledger.chunks.free(job.id, "desk:9")
    work(ledger, job, api)
    found = told(ledger, job)
    assert len(found) == len(api.stored) == 1600
    assert {line for line, one in found.items() if one == UNPROVEN} == {
        row.line for rows in chunks for row in rows[:300]
    }
    assert sum(map(len, api.posts)) == 400
    assert api.looks == []
    assert api.pages <= 8  # 3 or 4 for all that was held, and again for the halves that were split off


@pytest.mark.parametrize("held", ["given back", "asleep"])
def test_a_listing_older_than_the_doubt_does_not_serve(ledger: Ledger, clock: Clock, held: str) -> None:
    """Rows sent after a listing began, by another claim or by one that woke up, are looked up anew."""
    api = Registrar()
    first, second = rows_of(20), rows_of(20, first=50)
    job = start_job(ledger, first, second)
    given_back(ledger, job, 0, first)
    sleeper = claimed(ledger, job, 1) if held == "asleep" else None
    if sleeper is None:
        given_back(ledger, job, 1, second)
    clock.advance(61)
    with process(ledger, job, api) as worker:
        worker.deliver(0)
        assert (api.pages, len(api.posts)) == (1, 1)
        if sleeper:
            ledger.chunks.renew(sleeper, 60)
        else:
            given_back(ledger, job, 1, second)
        store(api, second)
        clock.advance(61)
        worker.deliver(1)
    assert (api.pages, len(api.posts)) == (2, 1)
    assert {told(ledger, job)[row.line] for row in second[:10]} == {UNPROVEN}


def test_an_old_listing_puts_nobody_in_place(ledger: Ledger) -> None:
    """A user that a listing showed minutes ago may be gone: the list is read again (guard: _SHOWN_FOR)."""
    api = Registrar()
    first, second = rows_of(20), rows_of(20, first=50)
    job = start_job(ledger, first, second)
    for seq, rows in enumerate((first, second)):
        given_back(ledger, job, seq, rows)
        store(api, rows)
    with process(ledger, job, api) as worker:
        worker.deliver(0)
        api.stored.clear()
        worker.clock.advance(301)
        worker.deliver(1)
    assert api.pages == 2
    assert {told(ledger, job)[row.line] for row in second} == {CREATED}


def test_rows_that_show_up_late(ledger: Ledger) -> None:
    """Rows that a lagging list doesn't show are sent, refused as existing, and don't count as created."""
    api, rows = Registrar(), rows_of(20)
    job = start_job(ledger, rows)
    given_back(ledger, job, 0, rows)
    store(api, rows)
    api.lists = lambda one: None if one.composite in ("user5", "user6") else one
    work(ledger, job, api)
    assert (api.posts, api.looks) == ([["user5", "user6"]], ["user5", "user6"])
    assert set(told(ledger, job).values()) == {UNPROVEN}
    assert len(api.stored) == 20


def test_what_a_list_shows_otherwise_is_asked_for(ledger: Ledger) -> None:
    """A user that a list shows with another digest or spelling is read singly, and that read counts."""
    api, rows = Registrar(), rows_of(20)
    job = start_job(ledger, rows)
    given_back(ledger, job, 0, rows)
    store(api, rows)
    api.holds(Credential("user7", "", HOST, "c1" * 16, "d1" * 16))
    api.stored["", "user8"] = replace(api.stored["", "user8"], composite="USER8")
    api.lists = lambda one: replace(one, hash1="e1" * 16) if one.composite == "user5" else one
    work(ledger, job, api)
    assert sorted(api.looks) == ["user5", "user7", "user8"]
    found = told(ledger, job)
    assert (found[7], found[8]) == (EXISTS, (Status.EXISTS, "case_differs;origin_unknown"))
    assert {one for line, one in found.items() if line not in (7, 8)} == {UNPROVEN}


@pytest.mark.parametrize("family", Family)
def test_a_list_without_digests(ledger: Ledger, family: Family) -> None:
    """Digests that a list leaves out are read singly."""
    api, rows = Registrar(), rows_of(20)
    job = start_job(ledger, rows, api=family)
    given_back(ledger, job, 0, rows)
    store(api, rows[:10], family)

    def half(one: Stored) -> Stored:
        return replace(one, hash1b=None)

    api.lists = half
    work(ledger, job, api)
    assert (api.pages, sorted(api.reads), api.looks) == (1, sorted(row.user for row in rows[:10]), [])
    assert {told(ledger, job)[row.line] for row in rows[:10]} == {UNPROVEN}
    assert {told(ledger, job)[row.line] for row in rows[10:]} == {CREATED}


@pytest.mark.parametrize(("rows", "others"), [(4, 0), (10, 6000)])
def test_few_rows_are_asked_for_singly(ledger: Ledger, rows: int, others: int) -> None:
    """Rows are looked up singly if the account has more pages than rows, or few rows are unconfirmed."""
    api, sent = Registrar(), rows_of(rows)
    crowd(api, others)
    job = start_job(ledger, sent)
    given_back(ledger, job, 0, sent)
    store(api, sent)
    work(ledger, job, api)
    assert (api.pages, len(api.looks), api.posts) == (0, rows, [])
    assert set(told(ledger, job).values()) == {UNPROVEN}


@pytest.mark.parametrize(("others", "pages", "looks"), [(0, 1, 0), (3000, 3, 60)])
def test_a_count_that_is_not_told(ledger: Ledger, others: int, pages: int, looks: int) -> None:
    """If the realms don't count users, a tenth of the requests is spent on listing, once."""
    api = Registrar()
    api.counts = False
    crowd(api, others)
    chunks = [rows_of(30), rows_of(30, first=50)]
    job = start_job(ledger, *chunks)
    for seq, rows in enumerate(chunks):
        given_back(ledger, job, seq, rows)
        store(api, rows)
    api.stored = dict(reversed(api.stored.items()))
    work(ledger, job, api)
    assert (api.pages <= 2 * pages, len(api.looks), api.posts) == (True, looks, [])
    assert api.pages >= pages
    assert set(told(ledger, job).values()) == {UNPROVEN}


def test_a_list_that_is_refused(ledger: Ledger) -> None:
    """If the list is refused, each row is looked up singly, and no list is tried again."""
    api, chunks = Registrar(), [rows_of(20), rows_of(20, first=50)]
    job = start_job(ledger, *chunks)

    def refuse() -> None:
        raise Refused("23012", "bad page")

    api.listing = refuse
    for seq, rows in enumerate(chunks):
        given_back(ledger, job, seq, rows)
        store(api, rows)
    work(ledger, job, api)
    assert (api.pages, len(api.looks), api.posts) == (1, 40, [])


def test_answers_that_are_lost_now(ledger: Ledger) -> None:
    """Each batch whose answer was lost needs a listing begun after the loss; other rows need none."""
    api = Registrar()
    job = start_job(ledger, rows_of(60), batch_size=20)
    api.after = lose(2)
    work(ledger, job, api, threads=1)
    assert (api.pages, api.looks, len(api.posts)) == (2, [], 3)
    assert sorted(told(ledger, job).values(), key=str) == [CREATED] * 20 + [UNPROVEN] * 40


def test_a_service_that_goes_away_meanwhile(ledger: Ledger, clock: Clock) -> None:
    """If the service goes away meanwhile, all rows stay unconfirmed, and the next claim lists again."""
    api, rows = Registrar(), rows_of(20)
    job = start_job(ledger, rows)
    given_back(ledger, job, 0, rows)
    store(api, rows)

    def away() -> None:
        raise Unavailable("HTTP 503")

    api.listing = away
    with process(ledger, job, api) as worker:
        worker.deliver()
        assert (ledger.jobs.state(job.id), told(ledger, job), api.posts) == (JobState.PAUSED, {}, [])
        api.listing = lambda: None
        clock.advance(300)
        worker.deliver()
    assert (set(told(ledger, job).values()), api.posts) == ({UNPROVEN}, [])


def test_asked_to_end_meanwhile(ledger: Ledger) -> None:
    """After a stop no page and no look-up begins, and the chunk is released as it was."""
    api, rows = Registrar(), rows_of(20)
    crowd(api, 1000)
    job = start_job(ledger, rows)
    given_back(ledger, job, 0, rows)
    with process(ledger, job, api) as worker:
        api.listing = worker.stopping.set
        worker.deliver()
    assert (api.pages, api.looks, api.posts, told(ledger, job)) == (1, [], [], {})
    assert ledger.chunks.claim(job.id, 0, "desk:2", 60) is not None


def test_single_look_ups_side_by_side(ledger: Ledger) -> None:
    """Single look-ups run as many at a time as the process allows, and what they wait for is reported."""
    api, rows, said = Registrar(), rows_of(12), []
    crowd(api, 8000)
    job = start_job(ledger, rows)
    given_back(ledger, job, 0, rows)
    store(api, rows)
    together = threading.Barrier(4, timeout=20)

    def looking(composite: str) -> None:
        together.wait()
        if wait := HERE.gravest():
            said.append((wait.kind, wait.reason))

    api.looking = looking
    work(ledger, job, api, threads=4)
    assert (api.pages, len(api.looks)) == (0, 12)
    assert set(told(ledger, job).values()) == {UNPROVEN}
    assert set(said) == {(WaitKind.ASKING, "12 rows whose answer was lost")}
