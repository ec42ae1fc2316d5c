"""Planning a roster into the ledger: every row once, with all its problems, and nothing sent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.jobs import (
    HOST,
    KEY,
    LAST_LINE,
    OTHER_HOST,
    OVER,
    PASSWORD,
    Clock,
    RowsOf,
    make_job,
    make_row,
    plan_job,
)
from tests.unit.realms import BRANCH, OFFICE, Realms
from worker.commands.plans import exit_code
from worker.errors import Conflict, NotFound, UsageError
from worker.importing.compare import wanted
from worker.importing.job_start import release_chunks
from worker.importing.plan_summary import PlanSummary
from worker.importing.realms import JobRealms
from worker.importing.validation import validated_pages
from worker.ledger import Ledger
from worker.ledger.codec import open_chunk, open_page
from worker.model import (
    Action,
    Family,
    Job,
    JobState,
    OnExisting,
    Options,
    Outcome,
    Problem,
    Realm,
    Row,
    Status,
)  # fmt: skip
from worker.seal import Seal

SEAL = Seal([KEY])
WRONG = (Problem("password_missing", "password: empty, but every row needs one"),)


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    """One ledger; each test's job has an account of its own."""
    with closing(Ledger(f"sqlite:///{tmp_path_factory.mktemp('plan')}/ledger.db")) as ledger:
        yield ledger


def begun(ledger: Ledger, account: str = "", **options: Any) -> Job:
    """Return a job that can be planned."""
    job = make_job(account or f"account of job {len(ledger.jobs.newest())}", **options)
    ledger.jobs.begin(job, "desk:1")
    return job


def planned(
    ledger: Ledger, rows: Iterable[Row], source: Realms | None = None, **options: Any
) -> tuple[Job, PlanSummary]:
    """Return a job with these rows, and the summary of its plan."""
    job = begun(ledger, **options)
    draft = plan_job(ledger, source or Realms(), job, RowsOf(rows))
    release_chunks(ledger, job, draft)
    return ledger.jobs.get(job.id), draft.summary


def pages_of(ledger: Ledger, job: Job) -> list[Row]:
    """Return the rows from which the results are written, in their order."""
    pages = ledger.rows.pages(job.id)
    return [row for page in pages for row in open_page(SEAL, job.id, page.seq, page.sealed)]


def chunks_of(ledger: Ledger, job: Job) -> list[list[Row]]:
    """The rows of each chunk that is still sealed."""
    kept = [(chunk.seq, ledger.chunks.sealed(job.id, chunk.seq)) for chunk in ledger.chunks.kept(job.id)]
    return [open_chunk(SEAL, job.id, seq, sealed) for seq, sealed in kept if sealed]


def refusals(ledger: Ledger, job: Job) -> dict[int, Outcome]:
    """The outcomes of rows that will never be sent."""
    return ledger.rows.outcomes(job.id, 0, LAST_LINE)


def problems_of(rows: Iterable[Row], family: Family, source: Realms | None = None) -> dict[int, list[str]]:
    """Return the codes of each row's problems, once the whole roster and the account were read."""
    realms = JobRealms(source or Realms(), None, "", make_job(api=family).options)
    return {
        row.line: [problem.code for problem in row.problems]
        for page in validated_pages(RowsOf(rows), realms, family)
        for row in page
    }


# Every row once

drawn_rows = st.lists(
    st.tuples(st.integers(0, 30), st.sampled_from(["office", "branch", "", "nowhere"]), st.booleans()),
    min_size=1,
    max_size=60,
)


@given(drawn_rows, st.integers(1, 12), st.sampled_from(Family))
def test_every_row_is_in_exactly_one_chunk(
    ledger: Ledger, drawn: list[tuple[int, str, bool]], size: int, family: Family
) -> None:
    """Each row is on a page, in its order, and in exactly one chunk, with or without an outcome."""
    rows = [
        make_row(line, f"user{number}", realm=realm, problems=() if right else WRONG)
        for line, (number, realm, right) in enumerate(drawn, 2)
    ]
    job, summary = planned(ledger, rows, api=family, chunk_size=size)
    assert [row.line for row in pages_of(ledger, job)] == [row.line for row in rows]
    chunks = chunks_of(ledger, job)
    assert sorted(row.line for chunk in chunks for row in chunk) == [row.line for row in rows]
    refused = refusals(ledger, job)
    to_send = [chunk for chunk in chunks if chunk[0].line not in refused]
    assert sum(map(len, to_send)) == summary.to_send == len(rows) - len(refused) == job.rows - summary.invalid
    assert max(map(len, to_send), default=0) <= size
    assert {outcome.status for outcome in refused.values()} <= {Status.INVALID}
    if family is Family.REALM:
        assert all(len({row.realm for row in chunk}) == 1 for chunk in to_send)
    ledger.jobs.forget(job.id)


def test_a_long_roster(ledger: Ledger) -> None:
    """Over many pages no row is lost or doubled, and a name of an earlier page is still known."""
    rows = [make_row(line) for line in range(2, 2402)]
    rows.append(make_row(2402, "USER5"))
    job, summary = planned(ledger, rows, chunk_size=700)
    assert (summary.rows, summary.to_send, job.rows) == (2401, 2400, 2401)
    assert [row.line for row in pages_of(ledger, job)] == list(range(2, 2403))
    lines = Counter(row.line for chunk in chunks_of(ledger, job) for row in chunk)
    assert lines == Counter(range(2, 2403))
    assert refusals(ledger, job)[2402].error == "line 5 already has user USER5"


def test_what_a_row_needs_is_in_its_place(ledger: Ledger) -> None:
    """The chunk has user, domain, realm, application and password; the page has the carried cells."""
    given = {"domain": "example.com", "realm": "branch", "application": "app", "password": "canary"}
    row = make_row(7, "alice", cells=("A", "B"), **given)
    job, _ = planned(ledger, [row])
    assert chunks_of(ledger, job) == [[Row(7, "alice", "example.com", "", "app", "canary", realm_key=0)]]
    assert pages_of(ledger, job) == [Row(7, "alice", "example.com", "", "app", "", ("A", "B"), realm_key=0)]
    assert ledger.jobs.realms(job.id)[0].host == OTHER_HOST


def test_many_realms_wait_for_no_full_chunk(ledger: Ledger) -> None:
    """Rows of many realms that fill no chunk are not all kept in memory: the fullest is written first."""
    rows = [make_row(line, realm=("office", "branch", "branch")[line % 3]) for line in range(2, 50_012)]
    job, _ = planned(ledger, rows, api=Family.REALM, chunk_size=60_000)
    chunks = chunks_of(ledger, job)
    assert [len({row.realm for row in chunk}) for chunk in chunks] == [1, 1, 1]
    assert len({row.line for chunk in chunks for row in chunk}) == sum(map(len, chunks)) == 50_010
    ledger.jobs.forget(job.id)


# Users that are there twice


def test_a_name_is_unique_on_the_account() -> None:
    """Account family: the first row of a name is sent, whatever its case, realm or spelling."""
    rows = [
        make_row(2, "alice", realm="office"),
        make_row(3, "Alice", realm="office"),
        make_row(4, "alice", realm="branch"),
        make_row(5, "bob", domain="example.com"),
        make_row(6, "bob@example.com"),
        make_row(7, "bob"),
    ]
    twice = [line for line, codes in problems_of(rows, Family.ACCOUNT).items() if codes]
    assert twice == [3, 4, 6]


def test_a_name_is_unique_on_its_realm() -> None:
    """Realm family: one name may be on two realms, whatever a realm is called."""
    rows = [
        make_row(2, "alice", realm="office"),
        make_row(3, "alice", realm="branch"),
        make_row(4, "ALICE", realm=HOST),
        make_row(5, "alice", realm="18"),
        make_row(6, "alice"),
        make_row(7, "bob"),
    ]
    codes = problems_of(rows, Family.REALM)
    assert codes == {2: [], 3: [], 4: ["duplicate_in_file"], 5: ["duplicate_in_file"],
                     6: ["duplicate_in_file"], 7: []}  # fmt: skip


def test_a_row_that_is_not_sent_takes_no_name() -> None:
    """A row that can't be sent doesn't take its name from a later one that can."""
    rows = [make_row(2, "alice", problems=WRONG), make_row(3, "alice"), make_row(4, "alice", realm="nowhere")]
    codes = problems_of(rows, Family.ACCOUNT)
    assert codes == {2: ["password_missing"], 3: [], 4: ["realm_unknown", "duplicate_in_file"]}


def test_all_problems_of_a_row_are_told(ledger: Ledger) -> None:
    """A row that is wrong in several ways has each of its codes and texts in its outcome."""
    rows = [make_row(2, "alice"), make_row(3, "alice", realm="nowhere", problems=WRONG)]
    job, summary = planned(ledger, rows)
    outcome = refusals(ledger, job)[3]
    assert outcome.code == "password_missing;realm_unknown;duplicate_in_file"
    assert outcome.error.count("; ") == 3
    assert dict(summary.problems) == {"password_missing": 1, "realm_unknown": 1, "duplicate_in_file": 1}


def test_a_name_is_told_with_the_line_it_was_first_on(ledger: Ledger) -> None:
    """A duplicate names the line of the row that is sent, not of another duplicate."""
    job, _ = planned(ledger, [make_row(2), make_row(5, "alice"), make_row(9, "alice"), make_row(12, "alice")])
    assert {line: outcome.error[:6] for line, outcome in refusals(ledger, job).items()} == {
        9: "line 5", 12: "line 5",
    }  # fmt: skip


# Realms


@pytest.mark.parametrize("family", Family)
def test_realms_are_listed_once(ledger: Ledger, family: Family) -> None:
    """Realms are listed once, however many the rows name; names are kept exactly."""
    source = Realms()
    rows = [make_row(line, realm=("office", "branch", "", "nowhere")[line % 4]) for line in range(2, 42)]
    job, _ = planned(ledger, rows, source, api=family)
    assert source.listings == 1
    assert {realm.host for realm in ledger.jobs.realms(job.id).values()} == {HOST, OTHER_HOST}


TWIN = replace(BRANCH, id="19", host="branch.0a1b2c.auth.bandwidth.com")


@pytest.mark.parametrize(
    ("realms", "code"),
    [
        ((OFFICE,), "realm_unknown"),
        ((OFFICE, BRANCH, TWIN), "realm_unknown"),
        ((OFFICE, replace(BRANCH, status="CREATE_PENDING")), "realm_not_active"),
    ],
)
def test_a_row_whose_realm_can_not_be_used(realms: tuple[Realm, ...], code: str) -> None:
    """A realm that is missing, ambiguous or not ACTIVE makes only its own rows invalid."""
    rows = [make_row(2, realm="branch"), make_row(3, realm="office")]
    assert problems_of(rows, Family.ACCOUNT, Realms(*realms)) == {2: [code], 3: []}


def test_no_default_realm(ledger: Ledger) -> None:
    """If a row names no realm and the account has no default realm, nothing is planned at all."""
    job = begun(ledger)
    with pytest.raises(NotFound, match="no default realm"):
        plan_job(ledger, Realms(BRANCH), job, RowsOf([make_row(2, realm="branch"), make_row(3)]))
    assert ledger.jobs.state(job.id) is JobState.PLANNING
    assert ledger.chunks.claim(job.id, 0, "desk:1", 60) is None


@pytest.mark.parametrize(
    ("source", "error"),
    [(Realms(OFFICE), NotFound), (Realms(replace(BRANCH, status="DELETE_PENDING")), Conflict)],
)
def test_the_realm_of_the_option_must_be_right(
    ledger: Ledger, source: Realms, error: type[Exception]
) -> None:
    """A wrong --realm is the command's error, not the rows': nothing is read."""
    job = begun(ledger, realm="branch")

    rows: Iterator[Row] = (pytest.fail("the roster was read") for _ in range(1))
    with pytest.raises(error):
        plan_job(ledger, source, job, RowsOf(rows))


@pytest.mark.parametrize("family", Family)
def test_a_realm_is_made_after_the_reading(ledger: Ledger, family: Family) -> None:
    """--create-realm creates the realm after the whole roster was read, and its rows are sent there."""
    source = Realms(OFFICE)

    def rows() -> Iterator[Row]:
        for line in (2, 3):
            yield make_row(line, realm="branch")
            assert source.made == []

    job, summary = planned(ledger, rows(), source, api=family, realm="branch", create_realm=True)
    assert [(realm.host, realm.default) for realm in source.made] == [(OTHER_HOST, False)]
    assert summary.to_send == 2
    realm = ledger.jobs.realms(job.id)[chunks_of(ledger, job)[0][0].realm_key]
    assert (realm.host, realm.looked) == (OTHER_HOST, True)


def test_an_unreadable_roster_leaves_no_realm_behind(ledger: Ledger) -> None:
    """If reading the roster fails, no realm was created, and no chunk can be claimed."""
    source = Realms(OFFICE)
    job = begun(ledger, realm="branch", create_realm=True, chunk_size=1)

    def rows() -> Iterator[Row]:
        yield make_row(2, realm="branch")
        raise UsageError("staff.csv changed while it was read")

    with pytest.raises(UsageError):
        plan_job(ledger, source, job, RowsOf(rows))
    assert source.made == []
    assert ledger.jobs.state(job.id) is JobState.PLANNING


def test_a_realm_that_no_row_needs_is_not_made(ledger: Ledger) -> None:
    """--create-realm creates nothing if every row is invalid, on another realm, or has an existing user."""
    source = Realms(OFFICE)
    source.stored.holds(wanted(make_row(2, "alice"), HOST))
    rows = [
        make_row(2, "alice", realm="depot"),
        make_row(3, "bob", realm="office"),
        make_row(4, "carol", realm="Depot", problems=(Problem("bad_characters", "username: no"),)),
    ]
    job, summary = planned(ledger, rows, source, realm="depot", create_realm=True)
    assert summary.actions == {Action.EXISTS: 1, Action.CREATE: 1, Action.INVALID: 1}
    assert (source.made, job.state) == ([], JobState.RUNNING)


@pytest.mark.parametrize(
    "ref", ["a\x01b", "a<b", "a/b", "..", "a b", "a?b#c", "é", "x" * 65, "\ud800", "-", "a\n"]
)
@pytest.mark.parametrize("family", Family)
def test_what_can_be_no_realm_is_asked_of_nobody(family: Family, ref: str) -> None:
    """Text that can be no realm's name makes its own row invalid, and the service isn't asked."""
    source = Realms()
    rows = [make_row(2, realm=ref), make_row(3, realm="office"), make_row(4, "d", realm=ref)]
    code = "too_long" if len(ref) > 64 else "bad_characters"
    assert problems_of(rows, family, source) == {2: [code], 3: [], 4: [code]}
    assert source.listings == 1


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"realm": "a<b"}, UsageError),
        ({"realm": "a/b", "create_realm": True}, UsageError),
        ({"realm": "depot.example.com", "create_realm": True}, UsageError),
        ({"realm": "depot"}, NotFound),
    ],
)
def test_an_option_that_can_be_no_realm(options: dict[str, Any], kind: type[Exception]) -> None:
    """--realm must follow the same rules before anything is read; with --create-realm, those of a name."""
    with pytest.raises(kind):
        JobRealms(Realms(), None, "", Options(**options))


def test_a_realm_that_is_there_is_not_made(ledger: Ledger) -> None:
    """--create-realm with a realm that exists uses it."""
    source = Realms()
    job, _ = planned(ledger, [make_row(2, realm="office")], source, realm="office", create_realm=True)
    assert source.made == []
    assert ledger.jobs.realms(job.id)[0].host == HOST


# When work may begin


def test_no_chunk_is_to_be_had_before_the_end(ledger: Ledger) -> None:
    """While the roster is read, no worker gets a chunk that is in the ledger already."""
    job = begun(ledger, chunk_size=1)
    seen = []

    def rows() -> Iterator[Row]:
        for line in range(2, 2002):
            yield make_row(line)
        seen.append(ledger.chunks.progress(job.id).rows)
        assert ledger.chunks.claim(job.id, 0, "desk:1", 60) is None

    release_chunks(ledger, job, plan_job(ledger, Realms(), job, RowsOf(rows)))
    assert seen == [2000]
    assert ledger.chunks.claim(job.id, 0, "desk:1", 60) is not None


def test_the_account_is_held_while_the_roster_is_read(tmp_path: Path) -> None:
    """The account's hold is renewed with each page, however long reading takes (guard: ``keep``)."""
    clock = Clock()
    with closing(Ledger(f"sqlite:///{tmp_path}/ledger.db", clock)) as ledger:
        job = begun(ledger)
        held = ledger.accounts.writer(job.host, job.account)
        assert held is not None

        def rows() -> Iterator[Row]:
            clock.advance(held.left - 1)
            yield make_row(2)

        plan_job(ledger, Realms(), job, RowsOf(rows))
        assert ledger.accounts.writer(job.host, job.account) == held


def test_nothing_but_wrong_rows(ledger: Ledger) -> None:
    """A roster with only invalid rows is done at once."""
    job, summary = planned(ledger, [make_row(2, problems=WRONG), make_row(3, realm="nowhere")])
    assert (job.state, summary.to_send, summary.invalid) == (JobState.DONE, 0, 2)
    assert ledger.rows.counts(job.id, job.rows) == {Status.INVALID: 2}


def test_cancelled_while_it_is_read(ledger: Ledger) -> None:
    """A job cancelled while reading creates no realm and stays cancelled; each row is unprocessed."""
    source = Realms(OFFICE)
    job = begun(ledger, realm="branch", create_realm=True)

    def rows() -> Iterator[Row]:
        yield make_row(2, realm="branch")
        ledger.jobs.stop(job.id, OVER[JobState.CANCELLED])
        yield make_row(3, realm="branch")

    release_chunks(ledger, job, plan_job(ledger, source, job, RowsOf(rows)))
    cancelled = ledger.jobs.get(job.id)
    assert (source.made, cancelled.state, cancelled.rows) == ([], JobState.CANCELLED, 2)
    assert ledger.rows.counts(job.id, cancelled.rows) == {Status.UNPROCESSED: 2}


def test_what_reading_came_to() -> None:
    """The summary counts rows, problems and warnings, with each warning's first lines."""
    summary = PlanSummary()
    weak = (Problem("weak_password", "password: short"),)
    for line in range(2, 12):
        row = make_row(line, warnings=weak, problems=WRONG if line > 9 else ())
        row.action = Action.INVALID if line > 9 else Action.CREATE
        summary.add([row])
    assert (summary.rows, summary.to_send, summary.invalid) == (10, 8, 2)
    assert (dict(summary.problems), dict(summary.warnings)) == (
        {"password_missing": 2},
        {"weak_password": 10},
    )
    assert summary.warned_lines == {"weak_password": [2, 3, 4, 5, 6]}


def test_without_an_account_the_file_alone_is_checked() -> None:
    """Without an account, realms are not looked up, but names must still be unique."""
    rows = [make_row(2, "alice", realm="x"), make_row(3, "alice", realm="y"), make_row(4, "ALICE", realm="x")]
    for family, expected in ((Family.ACCOUNT, {3, 4}), (Family.REALM, {4})):
        pages = validated_pages(RowsOf(rows), None, family)
        assert {row.line for page in pages for row in page if row.problems} == expected


# Rows that need no request


def settled_account() -> tuple[list[Row], Realms]:
    """A row of each kind, and the account that makes it so."""
    rows = [make_row(line, user) for line, user in enumerate(("new", "same", "otherwise", "wrong"), 2)]
    rows[3] = replace(rows[3], problems=WRONG)
    source = Realms()
    for row, changes in ((rows[1], {}), (rows[2], {"hash1": "c1" * 16}), (rows[3], {})):
        source.stored.holds(replace(wanted(row, HOST), **changes))
    return rows, source


@pytest.mark.parametrize("policy", [OnExisting.SKIP, OnExisting.UPDATE])
def test_no_password_is_kept_of_a_row_in_place(ledger: Ledger, policy: OnExisting) -> None:
    """Only rows that may be run again keep their password, and only updates the user's earlier state."""
    rows, source = settled_account()
    job, summary = planned(ledger, rows, source, on_existing=policy)
    kept = {row.line: row for chunk in chunks_of(ledger, job) for row in chunk}
    assert kept.keys() == {2, 4, 5}
    statuses = {line: outcome.status for line, outcome in refusals(ledger, job).items()}
    updates = policy is OnExisting.UPDATE
    exists = {} if updates else {4: Status.EXISTS}
    assert statuses == {3: Status.UNCHANGED, **exists, 5: Status.INVALID}
    assert {line: row.stored is not None for line, row in kept.items()} == {2: False, 4: updates, 5: False}
    assert summary.to_send == (2 if updates else 1)
    assert ledger.chunks.progress(job.id).troubled == 1


def test_a_saved_plan_keeps_every_row(ledger: Ledger) -> None:
    """A saved plan keeps every row with the user as stored, so that changes are noticed later."""
    rows, source = settled_account()
    job = begun(ledger)
    plan_job(ledger, source, job, RowsOf(rows), saved=True)
    kept = {row.line: row for chunk in chunks_of(ledger, job) for row in chunk}
    assert {line: row.stored is not None for line, row in kept.items()} == {
        2: False,
        3: True,
        4: True,
        5: False,
    }
    assert {row.password for row in kept.values()} == {PASSWORD}


def test_rows_in_place_alone_are_a_job_that_is_done(ledger: Ledger) -> None:
    """If all rows are in place, the job is done, nothing is sent and nothing stays sealed."""
    rows, source = settled_account()
    job, summary = planned(ledger, rows[1:2], source)
    assert (job.state, summary.to_send, ledger.chunks.kept(job.id)) == (JobState.DONE, 0, [])
    assert ledger.rows.counts(job.id, job.rows) == {Status.UNCHANGED: 1}


def test_fail_sends_nothing_where_somebody_exists(ledger: Ledger) -> None:
    """--on-existing fail cancels the job before a realm is created, if any user exists."""
    rows, source = settled_account()
    source.known = [OFFICE]
    options: dict[str, Any] = {"on_existing": OnExisting.FAIL, "realm": "depot", "create_realm": True}
    job, _ = planned(ledger, [replace(row, realm="depot") for row in rows[:2]], source, **options)
    assert (job.state, source.made, job.why and job.why.reason) == (JobState.CANCELLED, [], "exists")
    assert ledger.rows.counts(job.id, 2) == {Status.EXISTS: 1, Status.UNPROCESSED: 1}
    job, _ = planned(ledger, rows[:2], on_existing=OnExisting.FAIL)
    assert job.state is JobState.RUNNING


def test_who_is_absent_is_counted_and_kept(ledger: Ledger) -> None:
    """The number of absent users is kept with the job, or None if it is not known."""
    rows, source = settled_account()
    job, summary = planned(ledger, rows[:2], source)
    assert job.absent == summary.absent == 2
    source.known = [replace(OFFICE, credentials=600_000)]  # asked row by row
    job, summary = planned(ledger, rows[:2], source)
    assert (job.absent, summary.absent) == (None, None)


# How a plan ends


@pytest.mark.parametrize(
    ("actions", "code", "on_change"),
    [
        ([], 0, 0),
        ([Action.UNCHANGED], 0, 0),
        ([Action.CREATE], 0, 10),
        ([Action.UPDATE, Action.UNCHANGED], 0, 10),
        ([Action.EXISTS, Action.CREATE], 10, 10),
        ([Action.INVALID], 10, 10),
    ],
)
def test_a_plan_ends_with_10_for_rows_that_stay_out_of_place(
    actions: list[Action], code: int, on_change: int
) -> None:
    """Changes to come count only with ``on_change``; users who are not in the roster never do."""
    summary = PlanSummary(absent=3)
    for line, action in enumerate(actions, 2):
        summary.add([make_row(line, action=action)])
    assert (exit_code(summary, on_change=False), exit_code(summary, on_change=True)) == (code, on_change)
