"""A schedule and its runs as ``--json`` has them."""

from __future__ import annotations

from typing import Any

from worker.commands import schedule_place
from worker.commands.context import Context
from worker.commands.window import shown
from worker.ledger.schedule_columns import Run, Schedule
from worker.model import utc_now
from worker.schedules.timer import next_slots
from worker.schedules.timetable import Timetable, time_zone

NEXT = 5
"""Coming runs that are shown."""


def facts_of(context: Context, one: Schedule, runs: int = 1) -> dict[str, Any]:
    """Return a schedule as ``--json`` prints it."""
    return {
        "name": one.name,
        "every": one.cron or None,
        "at": one.at.isoformat() if one.at else None,
        "zone": one.zone,
        "in_words": in_words(one),
        "roster": schedule_place.shown(one.source),
        "account": one.account,
        "profile": one.profile or None,
        "channels": list(one.channels),
        "paused": one.paused.isoformat() if one.paused else None,
        "next": [slot.isoformat() for slot in next_slots(one, utc_now(), NEXT)] if not one.paused else [],
        "runs": [run_facts(context, run) for run in context.ledger.schedules.runs(one.name, runs)],
    }


def run_facts(context: Context, run: Run) -> dict[str, Any]:
    """Return a run as ``--json`` prints it."""
    return {
        "slot": run.slot.isoformat(),
        "cause": run.cause,
        "state": run.state,
        "result": run.result or None,
        "why": run.why,
        "job": run.job or None,
        "missed": run.missed,
        "started": run.started.isoformat() if run.started else None,
        "finished": run.finished.isoformat() if run.finished else None,
        "notifications": [
            {"channel": one.channel, "state": one.state, "attempts": one.attempts, "error": one.error}
            for one in context.ledger.notifications.of_run(run.schedule, run.slot.timestamp())
        ],
    }


def in_words(one: Schedule) -> str:
    """Return when a schedule runs, in words."""
    if one.at:
        return f"once, at {shown(one.at, time_zone(one.zone))}"
    words = Timetable(one.cron, time_zone(one.zone)).in_words()
    return f"{words[0].lower()}{words[1:]} ({one.zone})"
