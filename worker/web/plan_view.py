"""A plan in words: what would be done, and what speaks against it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from worker import codes
from worker.ledger import Ledger
from worker.model import Absent, Action, Job, OnExisting
from worker.reasons import plural
from worker.states import Reason
from worker.web.job_view import ReasonRow, reason_rows
from worker.web.words import BAD, GOOD, PLAIN, WARN, Number, sentence

ACTIONS: Mapping[Action, tuple[str, str]] = {
    Action.CREATE: ("To create", GOOD),
    Action.UPDATE: ("To change", WARN),
    Action.UNCHANGED: ("Already up to date", PLAIN),
    Action.EXISTS: ("Left alone", BAD),
    Action.INVALID: ("Invalid", BAD),
    Action.SKIP: ("Skipped", PLAIN),
}

WARNINGS = {code.name: sentence(code.meaning.partition(";")[0]) for code in codes.WARNINGS}
"""Warning code to its meaning, in short."""

_ADVICE = {code.name: sentence(code.advice) for code in codes.WARNINGS}

_UNREGISTERED = "Their phones will no longer be able to register."
_OUTDATED = "Phones with the old password will no longer be able to register."


@dataclass(frozen=True, slots=True)
class PlanView:
    """The texts and numbers on the page of a plan."""

    numbers: Sequence[Number]
    sentences: Sequence[str]
    """The consequences of approving it."""
    held: str
    """Why an import would have been held back; empty: it would not."""
    warnings: Sequence[ReasonRow]
    """Why rows should be looked at although they would be sent."""
    reasons: Sequence[ReasonRow]
    can_import: bool
    """Whether there is anything to be sent."""
    button: str
    troubled: bool
    """Whether some rows would not be in place."""
    reasons_title: str = "Why rows would not be in place"


def plan_view(ledger: Ledger, job: Job, actions: Mapping[str, int]) -> PlanView:
    """Return a saved plan's view. ``actions``: its rows by action."""
    to_send = actions.get(Action.CREATE, 0) + actions.get(Action.UPDATE, 0)
    leavers = sum(ledger.rows.leaver_counts(job.id).values()) if job.options.absent is Absent.DELETE else 0
    held = job.why.text if job.why and job.why.reason is not Reason.SAVED else ""
    return PlanView(
        [Number("Rows", job.rows), *(Number(word, rows, kind) for action, (word, kind) in ACTIONS.items()
                                     if (rows := actions.get(action, 0)))],
        list(_sentences(job, actions, leavers)), sentence(held), list(_warnings(ledger, job)),
        reason_rows(ledger.rows.codes(job.id), job.id), bool(to_send or leavers),
        f"Approve and import {plural(to_send, 'row')}" if to_send else "Approve",
        any(actions.get(action, 0) for action in (Action.EXISTS, Action.INVALID)),
    )  # fmt: skip


def _sentences(job: Job, actions: Mapping[str, int], leavers: int) -> Iterator[str]:
    """Yield what approving a plan means, the gravest first."""
    create, update = actions.get(Action.CREATE, 0), actions.get(Action.UPDATE, 0)
    if leavers:
        yield f"{plural(leavers, 'user')} not in the roster will be deleted. {_UNREGISTERED}"
    if update:
        users = plural(update, "existing user")
        yield f"{users} will get a different password or application. {_OUTDATED}"
    elif create:
        yield "No existing user will be changed."
    if create:
        yield f"{plural(create, 'new user')} will be created."
    if exists := actions.get(Action.EXISTS, 0):
        users = plural(exists, "user exists", "users exist")
        yield f"{users} with a different password or application, and will be left alone."
    if invalid := actions.get(Action.INVALID, 0):
        yield f"{plural(invalid, 'row')} will not be sent. The table below says why."
    if job.options.create_realm:
        yield f"The realm {job.options.realm} will be created if it doesn't exist."
    if not (create or update or leavers):
        yield "There is nothing to send."
    if exists and job.options.on_existing is OnExisting.FAIL:
        yield "The import would send nothing, because users exist with other settings (--on-existing fail)."


def _warnings(ledger: Ledger, job: Job) -> Iterator[ReasonRow]:
    for name, rows in ledger.jobs.warnings(job.id).items():
        yield ReasonRow(name, rows, WARNINGS.get(name, ""), _ADVICE.get(name, ""))
