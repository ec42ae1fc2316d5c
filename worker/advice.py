"""Advice about a job and its rows, each as a command to type, derived from the job's summary."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from worker import codes
from worker.codes import Cure
from worker.importing.process_id import is_alive
from worker.ledger import UNCONFIRMED, shown
from worker.model import JobState, OnExisting, Status, utc_now
from worker.reasons import plural
from worker.states import Reason

_GUARDS = (Reason.MAX_CHANGES, Reason.REQUIRE_ROWS)
"""Reasons why a job was held back as a plan."""
_WITHOUT_THEM = "after that `retry` needs the roster again (--roster FILE)"


@dataclass(frozen=True, slots=True)
class Advice:
    """Rows of one status with the same code; ``code`` is empty if they have none."""

    code: str
    rows: int
    text: str


def of_status(summary: Mapping[str, Any], status: Status) -> tuple[list[Advice], list[str]]:
    """Return what is wrong with the rows of a status, the most frequent code first, and commands to type."""
    joined = summary["codes"].get(status, {})
    if not status.in_trouble or summary["undo_state"]:
        return [], []
    retried = _is_retry(summary)
    found = [
        Advice(name, rows, sentence(codes.of_row(name), retried=retried))
        for name, rows in counted(joined).items()
    ]
    if JobState(summary["state"]).active or summary["saved"]:
        return found, []
    stopped = summary["state"] == JobState.STOPPED
    cures = {
        codes.of_row(name).after(retried=retried)[1]
        for names in joined
        for name in codes.decisive(names)
        if not (stopped and name == UNCONFIRMED)  # resuming asks for those
    }
    # Rows without a code have no known fault; those of a stopped job are resumed.
    if sum(joined.values()) < summary["counts"][status] and not stopped:
        cures.add(Cure.RETRY)
    commands = dict.fromkeys(_command(summary, cure) for cure in Cure if cure in cures)
    return found, [command for command in commands if command]


def commands(summary: Mapping[str, Any]) -> list[str]:
    """Return every command that may bring rows into place, each once."""
    found = (command for name in summary["counts"] for command in of_status(summary, Status(name))[1])
    return list(dict.fromkeys(found))


def next_step(summary: Mapping[str, Any]) -> str:
    """Return what to do about the job as a whole, with the command to type, or an empty text."""
    job, state = summary["job"], summary["state"]
    if summary["undo_state"]:
        return _undo_step(summary)
    if summary["saved"]:
        return _plan_step(summary)
    if state in (JobState.PAUSED, JobState.STOPPED):
        return f"continue with: siproster resume {job}"
    if state == JobState.RUNNING and summary.get("waits"):
        return ""  # what it waits for is said instead
    if state == JobState.RUNNING:
        return f"the job is running; follow it with: siproster status {job} --follow"
    if state == JobState.PLANNING:
        return f"its roster is being read; if that command has ended, continue with: siproster resume {job}"
    return ""


def approval(job: str) -> str:
    """Return what to do about a job that a guard has kept as a plan."""
    return f"look at it: siproster report {job}; if it is right, approve it: siproster import --plan {job}"


def password_retention(summary: Mapping[str, Any]) -> str:
    """Return until when passwords are kept, and what is not possible afterwards, or an empty text."""
    job, until = summary["job"], _moment(summary["resumable_until"])
    if summary["undo_state"]:
        return ""
    if until and summary["saved"]:
        return f"the plan is kept until {until:%Y-%m-%d %H:%M}Z"
    if until and summary["state"] in (JobState.PAUSED, JobState.STOPPED):
        return f"its passwords are kept until {until:%Y-%m-%d %H:%M}Z; after that it can't be resumed"
    if summary["saved"] or JobState(summary["state"]).active or not _unsent_or_failed(summary):
        return ""
    kept = _moment(summary["kept_until"])
    if kept and summary["reason"] != Reason.EXPIRED:
        when = f"{kept:%Y-%m-%d %H:%M}Z"
        return f"the passwords of rows that are not in place are kept until {when}; {_WITHOUT_THEM}"
    return f"the passwords of rows that are not in place are shredded: siproster retry {job} --roster FILE"


def of_stop(summary: Mapping[str, Any]) -> str:
    """Return what to do about the reason why a job stopped, or an empty text."""
    found = codes.of_reason(summary["reason"]) if summary["state"] == JobState.STOPPED else None
    return found.advice if found else ""


def a_code(summary: Mapping[str, Any]) -> str:
    """Return the most frequent code of the rows that are not in place; empty: they have none."""
    return next(iter(of_trouble(summary["codes"])), "")


def of_trouble(codes_by_status: Mapping[Any, Mapping[str, int]]) -> Counter[str]:
    """Return the rows that are not in place by code, the most frequent first.

    ``codes_by_status``: rows by status and codes; several codes of one row are joined with ``;``.
    """
    joined: Counter[str] = Counter()
    for status, rows in codes_by_status.items():
        if Status(status).in_trouble:
            joined.update(rows)
    return counted(joined)


def all_in_place(users: int) -> str:
    """Return the sentence, without a full stop, about a roster with no user left to bring into place."""
    if not users:
        return "There are no phone users in this roster"
    return f"All {users:,} users are in place" if users > 1 else "The one user is in place"


def left_out(entries: int) -> str:
    """Return the sentence about a roster's entries that were skipped."""
    return f"{plural(entries, 'entry was', 'entries were')} left out on purpose: not phone users."


def state_word(summary: Mapping[str, Any]) -> str:
    """Return the state of a job, or of a plan, in a word or two."""
    if summary["saved"] and summary["carried_out_by"]:
        return "carried out"
    plan = {JobState.PLANNING: "planned", JobState.CANCELLED: "plan cancelled"} if summary["saved"] else {}
    return plan.get(summary["state"], str(summary["state"]))


def undo_word(summary: Mapping[str, Any]) -> str:
    """Return how far a job is undone, in a word or two; empty if that was never begun."""
    if summary["undo_state"] != "partly":
        return "undone" if summary["undo_state"] else ""
    return "being undone" if _at_work(summary) else "partly undone"


def counted(joined: Mapping[str, int]) -> Counter[str]:
    """Return rows by code, the most frequent first, out of rows by codes joined with ``;``."""
    found: Counter[str] = Counter()
    for names, rows in joined.items():
        for name in codes.decisive(names):
            found[name] += rows
    return Counter(dict(found.most_common()))


def sentence(code: codes.Code, *, retried: bool = False) -> str:
    """Return what a code means and what to do about it."""
    advice, _ = code.after(retried=retried)
    return f"{code.meaning} → {advice}" if advice != "nothing" else code.meaning


def _command(summary: Mapping[str, Any], cure: Cure) -> str:
    """Return the command of a cure. What the job has just done is not advised again."""
    retry = f"siproster retry {summary['job']}"
    if summary["reason"] == Reason.EXPIRED:
        retry += " --roster FILE"
    policy = summary["options"].get("on_existing")
    blocked = summary["reason"] == Reason.EXISTS  # by --on-existing fail, as a retry like it would be
    match cure:
        case Cure.CORRECT:
            return f"once corrected: {retry} --corrections {summary['files']['failed']}"
        case Cure.UPDATE if policy != OnExisting.UPDATE:
            return f"if the roster is right: {retry} --on-existing update"
        case Cure.RETRY if blocked:
            return f"to leave out users who exist: {retry} --on-existing skip"
        case Cure.RETRY | Cure.UPDATE:
            return f"run them with: {retry}"
    return ""


def _unsent_or_failed(summary: Mapping[str, Any]) -> bool:
    """Return whether a retry has rows to run."""
    return any(Status(status).in_trouble for status in summary["counts"])


def _moment(text: str | None) -> dt.datetime | None:
    """Return a moment of the summary that is still to come."""
    moment = dt.datetime.fromisoformat(text) if text else None
    return moment if moment and moment > utc_now() else None


def _is_retry(summary: Mapping[str, Any]) -> bool:
    return bool(summary["retries_job"])


def _plan_step(summary: Mapping[str, Any]) -> str:
    job = summary["job"]
    if summary["carried_out_by"]:
        return f"see its outcome with: siproster status {summary['carried_out_by']}"
    if summary["state"] == JobState.PLANNING and summary["reason"] in _GUARDS:
        return approval(job)
    if summary["state"] == JobState.PLANNING:
        return f"carry it out with: siproster import --plan {job}"
    return ""


def _undo_step(summary: Mapping[str, Any]) -> str:
    undo = f"siproster undo {summary['job']}"
    if summary["undo_state"] == "done":
        return ""
    if _at_work(summary):
        return f"undo is running ({shown(summary['undo_by'])}): {_taken_back(summary)}"
    failed = summary["undo"].get("failed", 0)
    if sum(summary["undo"].values()) >= summary["undo_rows"] and failed:
        return f"undo is incomplete: {_taken_back(summary)}; try again with: {undo}"
    return f"undo interrupted: {_taken_back(summary)}; continue with: {undo}"


def _taken_back(summary: Mapping[str, Any]) -> str:
    undo = summary["undo"]
    done = undo.get("removed", 0) + undo.get("restored", 0)
    rest = "".join(f", {undo[result]:,} {result}" for result in ("kept", "failed") if undo.get(result))
    return f"{done:,} of {summary['undo_rows']:,} undone{rest}"


def _at_work(summary: Mapping[str, Any]) -> bool:
    return bool(summary["undo_by"]) and is_alive(summary["undo_by"])
