"""Schedules, their runs and their notifications, as text and as JSON."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

from worker.commands.context import Context
from worker.commands.schedule_source import public_source
from worker.commands.scheduled_run import options_at
from worker.commands.screen import print_on_stdout
from worker.commands.window import shown
from worker.ledger.notifications import Notification
from worker.ledger.schedules import Run, RunState, Schedule
from worker.model import utc_now
from worker.schedules.timer import next_slots
from worker.schedules.timetable import Timetable, time_zone

_NEXT = 5
"""Coming slots that are shown."""


def print_schedule(one: Schedule) -> None:
    """Print when a schedule runs: in words, its next times, and the effect of clock changes."""
    print_on_stdout(f"{one.name}: {in_words(one)}")
    print_on_stdout(f"  roster   {public_source(one.source)}")
    print_on_stdout(
        f"  account  {one.account} at {one.host}" + (f", profile {one.profile}" * bool(one.profile))
    )
    print_on_stdout(f"  results  {one.options.results}/siproster-JOB/")
    print_on_stdout(f"  notifies {', '.join(one.channels) or 'nobody'}")
    if one.paused:
        print_on_stdout(f"  paused since {local_and_utc(one, one.paused)}")
    slots = next_slots(one, utc_now(), _NEXT)
    print_on_stdout("  next runs:" if slots else "  no more runs")
    for slot in slots:
        print_on_stdout(f"    {local_and_utc(one, slot)}{_window(one, slot)}")
    if one.cron:
        for sentence in Timetable(one.cron, time_zone(one.zone)).clock_changes(utc_now()):
            print_on_stdout(f"  {sentence}")


def _window(one: Schedule, slot: dt.datetime) -> str:
    """Return the window of a slot, in words."""
    options = options_at(one, slot)
    parts = [("from", options.not_before), ("until", options.not_after)]
    words = [f"{word} {local_and_utc(one, dt.datetime.fromisoformat(at))}" for word, at in parts if at]
    return f", sending {' '.join(words)}" if words else ""


def in_words(one: Schedule) -> str:
    """Return when a schedule runs, in words."""
    if one.at:
        return f"once, at {local_and_utc(one, one.at)}"
    words = Timetable(one.cron, time_zone(one.zone)).in_words()
    return f"{words[0].lower()}{words[1:]} ({one.zone})"


def next_slot_text(one: Schedule) -> str:
    """Return the next slot in UTC, ``paused``, or ``-`` if there is none."""
    if one.paused:
        return "paused"
    slots = next_slots(one, max(one.accounted, utc_now()), 1)
    return f"{slots[0]:%Y-%m-%d %H:%MZ}" if slots else "-"


def local_and_utc(one: Schedule, time: dt.datetime) -> str:
    """Return a time in the schedule's zone and in UTC."""
    return shown(time, time_zone(one.zone))


def result_of(run: Run) -> str:
    """Return the result of a run, or that it waits or goes on."""
    return run.result or ("waiting" if run.state is RunState.DUE else "going on")


def run_line(run: Run) -> str:
    """Return a run in one line: its slot, its result, its job and the details."""
    missed = f"{run.missed} missed before it" if run.missed else ""
    cause = "" if run.cause == "slot" else "by hand"
    parts: Sequence[str] = (result_of(run), run.job, cause, missed, run.why)
    return f"{run.slot:%Y-%m-%d %H:%MZ}  " + "  ".join(filter(None, parts))


def notification_line(one: Notification) -> str:
    """Return the state of a notification in one line."""
    if one.finished:
        return f"{one.channel}: {one.state.replace('_', ' ')}" + (f": {one.error}" if one.error else "")
    if not one.attempts:
        return f"{one.channel}: not delivered yet"
    again = dt.datetime.fromtimestamp(one.next_attempt_at, dt.UTC)
    return f"{one.channel}: attempt {one.attempts} failed: {one.error}; next at {again:%H:%MZ}"


def schedule_facts(context: Context, one: Schedule, runs: int = 1) -> dict[str, Any]:
    """Return a schedule as ``--json`` prints it."""
    return {
        "name": one.name,
        "every": one.cron or None,
        "at": one.at.isoformat() if one.at else None,
        "zone": one.zone,
        "in_words": in_words(one),
        "roster": public_source(one.source),
        "account": one.account,
        "profile": one.profile or None,
        "channels": list(one.channels),
        "paused": one.paused.isoformat() if one.paused else None,
        "next": [slot.isoformat() for slot in next_slots(one, utc_now(), _NEXT)] if not one.paused else [],
        "runs": [_run_facts(context, run) for run in context.ledger.schedules.runs(one.name, runs)],
    }


def _run_facts(context: Context, run: Run) -> dict[str, Any]:
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
