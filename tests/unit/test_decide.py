"""The action for each row, by what is stored and ``--on-existing``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from tests.unit.jobs import HOST, OTHER_HOST, PASSWORD, RowsOf, make_row
from tests.unit.realms import BRANCH, OFFICE, Realms
from tests.unit.registrar import Registrar
from worker.importing.compare import wanted
from worker.importing.pipeline import Account, run_pipeline
from worker.importing.plan_summary import PlanSummary
from worker.importing.realms import JobRealms
from worker.model import Action, Family, OnExisting, Options, Problem, Row, Status

APP, OTHER_APP = "3f2b8c1e-7a64-4d0f-9b35-c1e8a2d47f60", "7b2f8f6e-1111-2222-3333-abcdefabcdef"
WRONG = (Problem("too_long", "a name of 33"), Problem("too_long", "a domain of 33"), Problem("mask", "****"))


def holding(row: Row, host: str = HOST, **otherwise: Any) -> Registrar:
    """Return a registrar that holds the row's user as wanted, except for these fields."""
    stored = Registrar()
    credential = wanted(row, host)
    stored.holds(replace(credential, **otherwise))
    return stored


def decided(rows: Iterable[Row], stored: Registrar, **options: Any) -> list[Row]:
    """Each row, with what will be done with it."""
    options_, rows = Options(**options), list(rows)
    source = Realms(OFFICE, replace(BRANCH, credentials=3), stored=stored)
    account = Account(source, JobRealms(source, None, "", options_))
    found: list[Row] = []
    run_pipeline(RowsOf(rows), account, options_, [found.extend])
    return found


ROW = make_row(2, "alice", application=APP)
OTHERWISE: dict[str, dict[str, Any]] = {
    "": {},
    "digest_differs": {"hash1": "c1" * 16},
    "application_differs": {"application": OTHER_APP},
    "digest_differs;application_differs": {"hash1b": "c1" * 16, "application": ""},
    "case_differs": {"user": "ALICE"},
    "case_differs;application_differs": {"user": "ALICE", "application": OTHER_APP},
    "realm_differs": {"host": OTHER_HOST},
}


@pytest.mark.parametrize("policy", OnExisting)
@pytest.mark.parametrize("codes", OTHERWISE)
def test_who_exists(codes: str, policy: OnExisting) -> None:
    """An existing user is unchanged if as wanted, updated if policy and PUT allow it, else left alone."""
    (planned,) = decided([ROW], holding(ROW, **OTHERWISE[codes]), on_existing=policy)
    settable = set(codes.split(";")) <= {"digest_differs", "application_differs"}
    assert planned.stored is not None
    assert planned.host == HOST
    assert ";".join(planned.differs) == codes
    if not codes:
        assert planned.action is Action.UNCHANGED
        assert planned.outcome is not None
        assert (planned.outcome.status, planned.outcome.credential_id) == (Status.UNCHANGED, "1")
    elif policy is OnExisting.UPDATE and settable:
        assert (planned.action, planned.outcome) == (Action.UPDATE, None)
    else:
        assert planned.action is Action.EXISTS
        assert planned.outcome is not None
        assert (planned.outcome.status, planned.outcome.code) == (Status.EXISTS, codes)
        assert planned.outcome.credential_id == "1"
        assert planned.outcome.error.count(";") == codes.count(";")


@pytest.mark.parametrize("policy", OnExisting)
def test_who_is_not_there_is_created(policy: OnExisting) -> None:
    """A user who doesn't exist is created, under every policy."""
    (planned,) = decided([make_row(2, "bob")], holding(ROW), on_existing=policy)
    assert (planned.action, planned.stored, planned.outcome) == (Action.CREATE, None, None)


def test_a_wrong_row_is_nothing_else() -> None:
    """An invalid row has each code once and every text, and is never compared with what is stored."""
    wrong = replace(ROW, problems=WRONG)
    (planned,) = decided([wrong], holding(ROW), on_existing=OnExisting.UPDATE)
    assert (planned.action, planned.differs) == (Action.INVALID, ())
    assert planned.outcome is not None
    assert (planned.outcome.status, planned.outcome.code) == (Status.INVALID, "too_long;mask")
    assert planned.outcome.error == "a name of 33; a domain of 33; ****"


def test_a_realm_that_is_to_be_made_holds_nobody() -> None:
    """With a realm still to be made, an account-wide name of another realm's user counts as existing."""
    rows = [replace(ROW, realm="depot"), make_row(3, "bob", realm="depot")]
    options = {"realm": "depot", "create_realm": True, "on_existing": OnExisting.UPDATE}
    alice, bob = decided(rows, holding(ROW), **options)
    assert (alice.action, alice.differs, alice.host) == (Action.EXISTS, ("realm_differs",), "depot")
    assert (bob.action, bob.host) == (Action.CREATE, "")
    there = decided(rows, holding(ROW), api=Family.REALM, **options)
    assert [one.action for one in there] == [Action.CREATE, Action.CREATE]


def test_a_realm_that_can_not_be_used_is_told_as_the_row_names_it() -> None:
    """A realm that can't be used has no host, so that plan.csv shows the row's own word for it."""
    (planned,) = decided([replace(ROW, realm="nowhere")], Registrar(), realm="office")
    assert (planned.action, planned.host, planned.realm) == (Action.INVALID, "", "nowhere")


def test_nobody_has_looked() -> None:
    """Without an account, only a row's own problems are known."""
    rows = [ROW, replace(ROW, line=3, user="bob", problems=WRONG)]
    page: list[Row] = []
    summary = run_pipeline(RowsOf(rows), None, Options(), [page.extend])
    right, wrong = page
    assert (right.action, right.host, right.outcome) == (None, "", None)
    assert (wrong.action, wrong.outcome and wrong.outcome.code) == (Action.INVALID, "too_long;mask")
    assert (summary.looked_up, summary.to_send, summary.invalid, summary.in_trouble) == (False, 1, 1, 1)


def test_no_secret_shows() -> None:
    """A planned row shows neither password nor digest, however it is printed."""
    (planned,) = decided([ROW], holding(ROW, hash1="c1" * 16), on_existing=OnExisting.UPDATE)
    shown = repr(planned) + str(planned)
    assert planned.stored is not None
    assert not [secret for secret in (PASSWORD, "c1" * 16, str(planned.stored.hash1b)) if secret in shown]


def test_what_it_comes_to() -> None:
    """The summary counts every action: what is sent, what is in trouble, and what differs."""
    rows = {action: make_row(at, action.value) for at, action in enumerate(Action, 2)}
    stored = Registrar()
    held = {
        Action.UPDATE: {"hash1": "c1" * 16},
        Action.UNCHANGED: {},
        Action.EXISTS: {"user": "EXISTS", "application": OTHER_APP},
    }
    for action, otherwise in held.items():
        stored.holds(replace(wanted(rows[action], HOST), **otherwise))
    rows[Action.INVALID] = replace(rows[Action.INVALID], problems=WRONG)
    trunk = Problem("trunk", "a provider's account")
    rows[Action.SKIP] = replace(rows[Action.SKIP], problems=(trunk,), skipped=trunk)
    planned = decided(rows.values(), stored, on_existing=OnExisting.UPDATE)
    assert [one.action for one in planned] == list(rows)
    assert (planned[-1].outcome and planned[-1].outcome.status) is Status.SKIPPED
    summary = PlanSummary()
    summary.add(planned)
    assert (summary.rows, summary.looked_up, summary.invalid, summary.skipped) == (6, True, 1, 1)
    assert (summary.to_send, summary.in_trouble) == (2, 2)
    assert dict(summary.differs) == {"digest_differs": 1, "case_differs": 1}
    assert dict(summary.problems) == {"too_long": 2, "mask": 1}
    assert PlanSummary().looked_up
