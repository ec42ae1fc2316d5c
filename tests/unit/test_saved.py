"""A saved plan is carried out as approved, once; rows that changed since are refused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest

from tests.unit.jobs import (
    HOST,
    KEY,
    LAST_LINE,
    OVER,
    Clock,
    Facts,
    RowsOf,
    make_job,
    make_row,
    plan_job,
    rows_in,
)
from tests.unit.realms import BRANCH, OFFICE, Realms
from tests.unit.registrar import Registrar
from worker.errors import Conflict, LedgerError, UsageError
from worker.importing.compare import wanted
from worker.importing.job import new_job
from worker.importing.job_start import release_chunks
from worker.importing.plan_summary import PlanSummary
from worker.importing.saved import SavedRows
from worker.ledger import Ledger
from worker.ledger.codec import open_chunk
from worker.model import NO_REALM, Endpoint, Family, Job, JobState, OnExisting, Outcome, Problem, Row, Status
from worker.seal import Seal

SEAL = Seal([KEY])
DAY = 86_400.0
CHANGED = "changed_since_plan"
WRONG = (Problem("password_missing", "password: empty"), Problem("too_long", "33 characters"))


@pytest.fixture
def clock() -> Clock:
    """The clock of ``ledger``."""
    return Clock()


@pytest.fixture
def ledger(tmp_path_factory: pytest.TempPathFactory, clock: Clock) -> Iterator[Ledger]:
    """A new ledger."""
    with closing(Ledger(f"sqlite:///{tmp_path_factory.mktemp('saved')}/ledger.db", clock)) as ledger:
        yield ledger


def kept(ledger: Ledger, rows: list[Row], source: Realms, **options: Any) -> Job:
    """A saved plan of these rows."""
    job = make_job(**{"on_existing": OnExisting.UPDATE, **options})
    ledger.jobs.begin(job, "desk:1")
    plan_job(ledger, source, job, RowsOf(rows, len(rows)), saved=True)
    return ledger.jobs.get(job.id)


def carried_out(ledger: Ledger, saved: Job, source: Realms) -> tuple[Job, PlanSummary]:
    """Return the job that carries a plan out, and the summary of its own plan."""
    rows = SavedRows(ledger, SEAL, saved)
    endpoint = Endpoint(saved.host, saved.account)
    job = new_job(endpoint, saved.options, rows, SEAL.fingerprint, parent=saved.id)
    ledger.jobs.begin(job, "desk:1")
    draft = plan_job(ledger, source, job, rows, enforce=rows.enforcer())
    release_chunks(ledger, job, draft, saved.id)
    return ledger.jobs.get(job.id), draft.summary


def outcomes(ledger: Ledger, job: Job) -> dict[int, Outcome]:
    """Return the outcomes of the rows that need no request."""
    return ledger.rows.outcomes(job.id, 0, LAST_LINE)


def to_do(ledger: Ledger, job: Job) -> dict[int, str]:
    """Return the lines that wait for a worker, each with the action create or update."""
    settled = outcomes(ledger, job)
    found = {}
    for chunk in ledger.chunks.kept(job.id):
        for row in open_chunk(SEAL, job.id, chunk.seq, ledger.chunks.sealed(job.id, chunk.seq) or b""):
            if row.line not in settled:
                found[row.line] = "update" if row.stored else "create"
    return found


# Each planned action, and what has happened since

ALICE = make_row(2, "alice")
PLANNED: Mapping[str, Mapping[str, Any] | None] = {
    "create": None,
    "update": {"hash1": "c1" * 16},
    "unchanged": {},
    "exists": {"user": "ALICE"},
}
"""How alice is stored when the plan is made: None: not at all, else as wanted but for this."""
SINCE: Mapping[str, Mapping[str, Any] | None] = {
    "nothing": PLANNED["update"],
    "deleted": None,
    "made as wanted": {},
    "otherwise": {"hash1": "d1" * 16},
    "spelt otherwise": {"user": "AliCE", "hash1": "e1" * 16},
}
EXISTS, GONE = (Status.EXISTS, CHANGED), (Status.FAILED, CHANGED)
IN_PLACE = (Status.UNCHANGED, "")
BECOMES: Mapping[tuple[str, str], Any] = {
    ("create", "nothing"): "create",
    ("create", "made as wanted"): IN_PLACE,
    ("create", "otherwise"): EXISTS,
    ("create", "spelt otherwise"): EXISTS,
    ("update", "nothing"): "update",
    ("update", "deleted"): GONE,
    ("update", "made as wanted"): IN_PLACE,
    ("update", "otherwise"): EXISTS,
    ("update", "spelt otherwise"): EXISTS,
    ("unchanged", "nothing"): IN_PLACE,
    ("unchanged", "deleted"): GONE,
    ("unchanged", "made as wanted"): IN_PLACE,
    ("unchanged", "otherwise"): EXISTS,
    ("unchanged", "spelt otherwise"): EXISTS,
    ("exists", "nothing"): (Status.EXISTS, "case_differs"),
    ("exists", "deleted"): GONE,
    ("exists", "made as wanted"): IN_PLACE,
    ("exists", "otherwise"): EXISTS,
    ("exists", "spelt otherwise"): EXISTS,
}


def put(stored: Registrar, row: Row, how: Mapping[str, Any] | None) -> None:
    """Store the row's user with these fields, and nobody else."""
    stored.stored.clear()
    if how is not None:
        stored.holds(replace(wanted(row, HOST), **how))


@pytest.mark.parametrize(("action", "since"), BECOMES)
def test_what_has_happened_since(ledger: Ledger, action: str, since: str) -> None:
    """A row is done as approved, or not at all (guard: ``enforcer``); if as wanted by now, it is in place."""
    source = Realms(replace(OFFICE, credentials=3), BRANCH)
    put(source.stored, ALICE, PLANNED[action])
    saved = kept(ledger, [ALICE], source)
    if since != "nothing":
        put(source.stored, ALICE, SINCE[since])
    job, _ = carried_out(ledger, saved, source)
    expected = BECOMES[action, since]
    if isinstance(expected, str):
        assert to_do(ledger, job) == {2: expected}
        assert outcomes(ledger, job) == {}
    else:
        assert {(one.status, one.code) for one in outcomes(ledger, job).values()} == {expected}
        assert to_do(ledger, job) == {}
        if expected in (EXISTS, GONE):
            assert f"planned as {action}" in outcomes(ledger, job)[2].error


def test_somebody_made_again_is_somebody_else(ledger: Ledger) -> None:
    """A user with the same digests and another id is not the one that was approved."""
    source = Realms()
    put(source.stored, ALICE, PLANNED["update"])
    saved = kept(ledger, [ALICE], source)
    put(source.stored, ALICE, PLANNED["update"])
    job, _ = carried_out(ledger, saved, source)
    assert outcomes(ledger, job)[2].code == CHANGED


def test_a_user_of_another_realm_is_not_what_was_approved(ledger: Ledger) -> None:
    """A user of whom the plan knew no realm is not changed if it turns out to be on another one."""
    source = Realms()
    put(source.stored, ALICE, {"hash1": "c1" * 16, "host": ""})
    saved = kept(ledger, [ALICE], source)
    ((place, stored),) = source.stored.stored.items()
    source.stored.stored[place] = replace(stored, realm=BRANCH.host)
    job, _ = carried_out(ledger, saved, source)
    assert (outcomes(ledger, job)[2].code, to_do(ledger, job)) == (CHANGED, {})


def test_what_is_kept_as_the_update(ledger: Ledger) -> None:
    """The chunk has the user's earlier state, as planned, and the row's password."""
    source = Realms()
    put(source.stored, ALICE, PLANNED["update"])
    (stored,) = source.stored.stored.values()
    job, _ = carried_out(ledger, kept(ledger, [ALICE], source), source)
    (chunk,) = ledger.chunks.kept(job.id)
    (row,) = open_chunk(SEAL, job.id, chunk.seq, ledger.chunks.sealed(job.id, chunk.seq) or b"")
    assert (row.stored, row.password) == (stored, ALICE.password)


def test_wrong_rows_are_wrong_for_the_same_reasons(ledger: Ledger) -> None:
    """Code and text are those of the plan, each reported once."""
    rows = [
        make_row(2, "alice"),
        make_row(3, "bob", realm="nowhere"),
        make_row(4, "ALICE"),
        make_row(5, "", problems=WRONG),
        make_row(6, "carol", realm="nowhere", problems=WRONG),
        make_row(7, "alice", realm="nowhere", problems=WRONG),
    ]
    source = Realms()
    saved = kept(ledger, rows, source)
    planned = outcomes(ledger, saved)
    assert planned.keys() == {3, 4, 5, 6, 7}
    job, summary = carried_out(ledger, saved, source)
    assert outcomes(ledger, job) == planned
    assert (summary.rows, summary.invalid, to_do(ledger, job)) == (6, 5, {2: "create"})
    codes = [code for one in planned.values() for code in one.code.split(";")]
    assert dict(summary.problems) == {code: codes.count(code) for code in codes}


def test_a_realm_that_is_there_by_now_makes_no_row_right(ledger: Ledger) -> None:
    """A row approved as not sent isn't sent, even if its realm exists by now."""
    source = Realms(OFFICE)
    saved = kept(ledger, [make_row(2, "alice", realm="branch"), make_row(3, "bob")], source)
    source.known.append(BRANCH)
    job, _ = carried_out(ledger, saved, source)
    assert outcomes(ledger, job)[2].code == "realm_unknown"
    assert to_do(ledger, job) == {3: "create"}


# Its rows


@pytest.mark.parametrize("family", Family)
def test_every_row_comes_again(ledger: Ledger, family: Family) -> None:
    """Every row is opened with its line, names, realm, application, password and cells."""
    refs = ("office", "branch", "")
    rows = [
        make_row(
            line, f"user{line}", realm=refs[line % 3], application=f"app{line}", password=f"Zq{line}xK9-",
            cells=(f"name {line}", ""), domain="example.com" if line % 2 else "",
        )
        for line in range(2, 2402)
    ]  # fmt: skip
    saved = kept(ledger, rows, Realms(), api=family, chunk_size=70)
    again = SavedRows(ledger, SEAL, saved)
    hosts = {"office": OFFICE.host, "branch": BRANCH.host, "": OFFICE.host}
    for _ in range(2):  # as often as it is asked
        assert rows_in(again) == [replace(row, realm=hosts[row.realm], realm_key=NO_REALM) for row in rows]
    facts = (again.name, again.sha256, again.columns, again.records, again.whole)
    assert facts == (Facts().name, Facts().sha256, Facts().columns, 2400, True)
    assert saved.id in again.source


def test_a_part_of_a_roster_stays_a_part(ledger: Ledger) -> None:
    """Users left out by --limit are not absent when the plan is carried out, either."""
    saved = kept(ledger, [ALICE], Realms(), limit=1)
    assert not SavedRows(ledger, SEAL, saved).whole


@pytest.mark.parametrize("family", Family)
def test_a_realm_is_made_when_it_is_carried_out(ledger: Ledger, family: Family) -> None:
    """A plan creates no realm; it is created when the plan is carried out, and its rows go there."""
    source = Realms(OFFICE)
    saved = kept(
        ledger, [make_row(2, "alice", realm="depot")], source, api=family, realm="depot", create_realm=True
    )
    assert source.made == []
    job, _ = carried_out(ledger, saved, source)
    assert [one.host.partition("-")[0] for one in source.made] == ["depot"]
    assert to_do(ledger, job) == {2: "create"}
    assert [one.host for one in ledger.jobs.realms(job.id).values()] == [source.made[0].host]


# Once, and in time


def test_it_is_over_with_its_job(ledger: Ledger) -> None:
    """A plan that was carried out is cancelled, names the job, and keeps no password."""
    saved = kept(ledger, [ALICE, make_row(3, "bob", problems=WRONG)], Realms())
    assert (saved.state, saved.saved is not None) == (JobState.PLANNING, True)
    job, _ = carried_out(ledger, saved, Realms())
    over = ledger.jobs.get(saved.id)
    assert (job.state, over.state, over.carried_out_by) == (JobState.RUNNING, JobState.CANCELLED, job.id)
    assert ledger.chunks.kept(saved.id) == []
    assert to_do(ledger, job) == {2: "create"}


@pytest.mark.parametrize("meanwhile", ["carried out", "cancelled"])
def test_two_can_not_carry_it_out(ledger: Ledger, clock: Clock, meanwhile: str) -> None:
    """If a plan was carried out or cancelled while another job waited for approval, that job never starts."""
    source = Realms()
    saved = kept(ledger, [ALICE], source)
    rows = SavedRows(ledger, SEAL, saved)
    first = new_job(Endpoint(saved.host, saved.account), saved.options, rows, SEAL.fingerprint, saved.id)
    ledger.jobs.begin(first, "desk:1")
    draft = plan_job(ledger, source, first, rows, enforce=rows.enforcer())
    clock.advance(600)
    if meanwhile == "carried out":
        second, _ = carried_out(ledger, saved, source)
        ledger.jobs.stop(second.id, OVER[JobState.STOPPED])
    else:
        ledger.jobs.stop(saved.id, OVER[JobState.CANCELLED])
    ledger.accounts.acquire(first, "desk:1")
    with pytest.raises(Conflict, match=saved.id):
        release_chunks(ledger, first, draft, saved.id)
    assert ledger.jobs.state(first.id) is JobState.PLANNING
    assert ledger.chunks.claim(first.id, 0, "desk:1", 60) is None


def test_expired(ledger: Ledger, clock: Clock) -> None:
    """After --keep-days a plan's rows are shredded, rows in place, too, and the error says so."""
    source = Realms()
    put(source.stored, ALICE, PLANNED["unchanged"])
    saved = kept(ledger, [ALICE, make_row(3, "bob")], source, keep_days=2.5)
    clock.advance(2.5 * DAY - 1)
    ledger.chunks.shred_expired()
    assert len(rows_in(SavedRows(ledger, SEAL, saved))) == 2
    clock.advance(2)
    ledger.chunks.shred_expired()
    with pytest.raises(UsageError, match=r"has expired: its rows were kept for 2\.5 days"):
        rows_in(SavedRows(ledger, SEAL, saved))


def test_another_key(ledger: Ledger) -> None:
    """With another key the rows don't open, and the error names the key that is missing."""
    saved = kept(ledger, [ALICE], Realms())
    with pytest.raises(LedgerError, match=SEAL.fingerprint):
        rows_in(SavedRows(ledger, Seal([bytes(32)]), saved))


def test_it_does_not_hold_the_account(ledger: Ledger) -> None:
    """While a plan waits for approval others may write, and no worker gets its chunks."""
    saved = kept(ledger, [ALICE], Realms())
    assert ledger.accounts.writer(saved.host, saved.account) is None
    assert ledger.chunks.claim(saved.id, 0, "desk:1", 60) is None
    assert saved.id not in ledger.jobs.running()
