"""Guards that hold a job back before anything is sent, and the other reasons why a job is not started.

A roster that was cut off must not cost a company its users, and one with other passwords must not replace
everybody's. A job that a guard holds back becomes a saved plan; ``import --plan`` approves it.
"""

from __future__ import annotations

from worker.importing.plan_summary import PlanSummary
from worker.importing.stop_rules import allowed, too_many_failed
from worker.model import Action, OnExisting, Options
from worker.reasons import plural
from worker.states import Reason, Why

MAX_FAILED_OF_SCHEDULES = "10%"
"""``--max-failed`` of schedules that were added without it, since nobody watches their runs."""


def why_not_started(options: Options, summary: PlanSummary) -> Why | None:
    """Return why a job whose roster was read must not be started; None if it may."""
    return (
        why_held_back(options, summary)
        or too_many_failed(options, summary.invalid, summary.rows)
        or _some_exist(options, summary)
    )


def why_held_back(options: Options, summary: PlanSummary) -> Why | None:
    """Return why a guard holds the job back as a plan to be approved; None if none does."""
    found = [why for why in (_too_few_rows(options, summary), _too_many_changes(options, summary)) if why]
    if not found:
        return None
    return Why(found[0].reason, "; ".join([*(why.text for why in found), "nothing was sent"]))


def _too_few_rows(options: Options, summary: PlanSummary) -> Why | None:
    """Return why the roster is too short. ``--max-changes`` implies at least one row."""
    rows, needed = summary.rows - summary.skipped, options.require_rows or int(bool(options.max_changes))
    if rows >= needed:
        return None
    option = f"--require-rows {needed}" if options.require_rows else "--max-changes needs one"
    return Why(Reason.REQUIRE_ROWS, f"the roster has {plural(rows, 'row')} for users ({option})")


def _too_many_changes(options: Options, summary: PlanSummary) -> Why | None:
    base = max(summary.rows, summary.stored)
    if not options.max_changes or summary.changes <= allowed(options.max_changes, base):
        return None
    counts = {
        "to create": summary.actions[Action.CREATE],
        "to update": summary.actions[Action.UPDATE],
        "to delete": summary.leavers,
        "suddenly absent from the roster": summary.suddenly_absent - summary.sudden_leavers,
    }
    figures = ", ".join(f"{number:,} {what}" for what, number in counts.items() if number)
    percent = f" of {plural(base, 'user')}" if options.max_changes.endswith("%") else ""
    bound = f"--max-changes allows {options.max_changes}{percent}"
    return Why(Reason.MAX_CHANGES, f"{plural(summary.changes, 'change')} ({figures}); {bound}")


def _some_exist(options: Options, summary: PlanSummary) -> Why | None:
    others = summary.actions[Action.EXISTS]
    if options.on_existing is not OnExisting.FAIL or not others:
        return None
    users = plural(others, "user is", "users are")
    text = f"{users} there with another password or application, so nothing was sent (--on-existing fail)"
    return Why(Reason.EXISTS, text)
