"""``schedule``: recurring imports, and single ones at a set time."""

from __future__ import annotations

import datetime as dt
import platform
import re
import sys
from collections.abc import Mapping
from contextlib import nullcontext, redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import click
from rich.table import Table
from rich.text import Text

from worker.commands import schedule_place
from worker.commands.context import Context, settings_options
from worker.commands.facts import print_json
from worker.commands.listing import asked
from worker.commands.monitoring import monitored, run_options
from worker.commands.option_values import from_file, parsed
from worker.commands.options import (
    absent_option,
    excel_option,
    json_option,
    posting_options,
    reading_options,
    yes_option,
)
from worker.commands.schedule_facts import NEXT, facts_of, in_words, run_facts
from worker.commands.schedule_notify import test_notify
from worker.commands.schedule_view import line_of, lines_of, options_of, result_of
from worker.commands.scheduled_run import carry_out, options_at
from worker.commands.screen import echo, on_stdout, print_on_stdout
from worker.commands.window import moment, shown
from worker.errors import Conflict, UsageError
from worker.importing.guards import MAX_FAILED_OF_SCHEDULES
from worker.importing.job import operator
from worker.importing.process_id import process_id
from worker.ledger.schedule_columns import CatchUp, Run, Schedule
from worker.model import Options, utc_now
from worker.roster import refuse_leavers
from worker.schedules.results import RunResult
from worker.schedules.timer import first_slot, next_slots
from worker.schedules.timetable import Timetable, time_zone, timetable

_is_name = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}").fullmatch


@click.group("schedule")
def schedule() -> None:
    """Manage recurring imports, and single ones at a set time.

    `siproster scheduler` carries them out, on any number of hosts; without a broker it does the work itself.
    """


schedule.add_command(test_notify)


@schedule.command("add", short_help="Make a schedule.")
@click.argument("name", metavar="NAME")
@click.argument("source", metavar="ROSTER")
@click.option("--every", metavar="CRON", default="", help="Cron expression, such as '30 2 * * 1-5'.")
@click.option("--at", metavar="TIME", default="", help="Run once, at this time, such as a cut-over night.")
@click.option(
    "--tz",
    "zone",
    metavar="ZONE",
    default="",
    help="Time zone of --every and of times without one, such as Europe/Berlin.  [default: UTC]",
)
@click.option(
    "--jitter",
    metavar="SECONDS",
    type=click.IntRange(0, 86_400),
    default=0,
    help="Delay each run by up to this many seconds, so that many schedules don't begin at once.",
)
@click.option(
    "--catch-up",
    type=click.Choice([one.value for one in CatchUp]),
    default=CatchUp.LATEST.value,
    show_default=True,
    help="What to do about slots that were missed because no scheduler ran: run the latest one, or none.",
)
@click.option("--again", is_flag=True, help="Import the roster each time, even if it has not changed.")
@click.option(
    "--notify",
    metavar="CHANNEL",
    multiple=True,
    help="Notify [notify.CHANNEL] from siproster.toml when a run ends (repeatable).",
)
@reading_options
@posting_options
@absent_option
@click.option(
    "--results",
    metavar="DIR",
    default="",
    help="Folder in which each run makes one for its result files.  [default: the current folder]",
)
@excel_option
@json_option
@settings_options
@click.pass_context
def add(ctx: click.Context, /, name: str, source: str, as_json: bool, **given: Any) -> None:
    """Import ROSTER regularly, or once at a set time, as schedule NAME.

    A version of a file is imported once; of a folder or a pattern, each run imports the files that are new.
    Nobody watches, so a run stops if more than 10% of the rows fail, unless you give --max-failed; use
    --max-changes and --require-rows, too.
    """
    context = Context(given)
    given = from_file(ctx, given, context.settings.options)
    made = _made(ctx, context, name, source, given)
    context.audit(name)
    context.ledger.schedules.add(made)
    if as_json:
        print_json(facts_of(context, made))
        return
    _print_times(made)
    if not made.options.max_changes:
        echo("  tip: --max-changes 10% holds a run back if a damaged export would change too much", "yellow")
    if made.at:
        echo("added; `siproster scheduler` runs it then")
    else:
        echo(f"added; `siproster scheduler` runs it then; to run it now: siproster schedule run {name}")
    if made.channels:
        echo(f"try its notifications: siproster schedule test-notify {name}")


@schedule.command("list", short_help="List the schedules.")
@json_option
@settings_options
def list_(as_json: bool, **given: Any) -> None:
    """List the schedules in this ledger."""
    context = Context(given)
    found = context.ledger.schedules.all()
    if as_json:
        print_json([facts_of(context, one) for one in found])
        return
    if not found:
        echo("no schedules yet; add one with: siproster schedule add nightly staff.csv --every '30 2 * * *'")
        return
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("schedule", "when", "next", "account", "last run", "result"):
        table.add_column(heading, no_wrap=heading in ("schedule", "next"))
    for one in found:
        last = next(iter(context.ledger.schedules.runs(one.name, 1)), None)
        table.add_row(*map(Text, (
            one.name, in_words(one), _next(one), one.account,
            f"{last.slot:%Y-%m-%d %H:%MZ}" if last else "-", result_of(last) if last else "-",
        )))  # fmt: skip
    on_stdout().print(table)


@schedule.command("show", short_help="Show a schedule's times, runs and notifications.")
@click.argument("name", metavar="NAME")
@click.option("--runs", metavar="N", type=click.IntRange(0, 1000), default=10, show_default=True,
              help="Number of runs to show, the newest first.")  # fmt: skip
@json_option
@settings_options
def show(name: str, runs: int, as_json: bool, **given: Any) -> None:
    """Show a schedule: its next times, its last runs and their results."""
    context = Context(given)
    one = context.ledger.schedules.get(name)
    if as_json:
        print_json(facts_of(context, one, runs))
        return
    _print_times(one)
    for run in context.ledger.schedules.runs(name, runs):
        for line in lines_of(context.ledger, run):
            print_on_stdout(f"  {line}")


@schedule.command("remove", short_help="Remove a schedule; its jobs stay.")
@click.argument("name", metavar="NAME")
@yes_option
@json_option
@settings_options
def remove(name: str, yes: bool, as_json: bool, **given: Any) -> None:
    """Remove a schedule and the record of its runs; its jobs stay in the ledger."""
    context = Context(given)
    facts = facts_of(context, context.ledger.schedules.get(name))
    if going_on := context.ledger.schedules.going_on(name):
        end = f", or end it: siproster cancel {going_on.job}" if going_on.job else ""
        raise Conflict(
            f"a run of schedule {name} is going on",
            f"wait until it has ended (siproster schedule show {name}){end}",
        )
    asked(f"Remove schedule {name}?", yes=yes)
    context.audit(name)
    context.ledger.schedules.remove(name)
    echo(f"schedule {name} is removed")
    if as_json:
        print_json({"removed": facts})


@schedule.command("pause", short_help="Pause a schedule: no further run starts.")
@click.argument("name", metavar="NAME")
@json_option
@settings_options
def pause(name: str, as_json: bool, **given: Any) -> None:
    """Stop further runs of a schedule from starting until it is resumed; a run that has started continues."""
    context = Context(given)
    context.ledger.schedules.get(name)
    context.audit(name)
    if context.ledger.schedules.pause(name):
        echo(f"schedule {name} is paused; resume it with: siproster schedule resume {name}")
    else:
        echo(f"schedule {name} is already paused")
    if as_json:
        print_json(facts_of(context, context.ledger.schedules.get(name)))


@schedule.command("resume", short_help="Resume a paused schedule.")
@click.argument("name", metavar="NAME")
@json_option
@settings_options
def resume(name: str, as_json: bool, **given: Any) -> None:
    """Resume a paused schedule. Runs that were due in between are not made up for."""
    context = Context(given)
    one = context.ledger.schedules.get(name)
    context.audit(name)
    now = context.ledger.schedules.now()
    upcoming = first_slot(one, now)
    if context.ledger.schedules.resume(name, now, upcoming):
        echo(f"schedule {name} is resumed; next: {_shown(one, upcoming) if upcoming else 'never'}")
    else:
        echo(f"schedule {name} is not paused")
    if as_json:
        print_json(facts_of(context, context.ledger.schedules.get(name)))


@schedule.command("run")
@click.argument("name", metavar="NAME")
@run_options
@json_option
@settings_options
def run(name: str, slot: float | None, counts: Path | None, as_json: bool, **given: Any) -> int:
    """Run a schedule now, and wait for its end. Guards apply, and its channels are notified."""
    with monitored(name, counts, given, started_by_scheduler=slot is not None) as context:
        claimed = _claimed(context, name, slot)
        with redirect_stdout(sys.stderr) if as_json else nullcontext():  # the job's summary
            result = carry_out(context, claimed)
        if as_json:
            print_json(run_facts(context, context.ledger.schedules.run(name, claimed.slot)))
    return _EXIT_CODES.get(result, 10) if result else 5


def _claimed(context: Context, name: str, slot: float | None) -> Run:
    """Return the run that the scheduler has claimed for this process, or one that is claimed now."""
    schedules = context.ledger.schedules
    if slot is not None:
        return schedules.run(name, dt.datetime.fromtimestamp(slot, dt.UTC))
    schedules.get(name)
    if going_on := context.ledger.schedules.going_on(name):
        raise Conflict(
            f"a run of schedule {name} is going on: {line_of(going_on)}",
            f"see it with: siproster schedule show {name}",
        )
    context.audit(name)
    return schedules.claim(schedules.add_manual(name), process_id()) or _claimed_by_others(name)


_EXIT_CODES = {
    RunResult.IN_PLACE: 0, RunResult.NOTHING_NEW: 0, RunResult.APPROVAL_NEEDED: 11, RunResult.STOPPED: 11,
    RunResult.FAILED: 6, RunResult.UNAVAILABLE: 5, RunResult.ACCOUNT_BUSY: 5,
}  # fmt: skip
"""The exit code of ``schedule run`` for each result; of others 10."""


def _claimed_by_others(name: str) -> Run:
    raise Conflict(
        f"a scheduler has claimed this run of schedule {name}, and carries it out",
        f"see it with: siproster schedule show {name}",
    )


def _made(ctx: click.Context, context: Context, name: str, source: str, given: dict[str, Any]) -> Schedule:
    """Return the schedule that the options describe, checked. Raises UsageError."""
    if not _is_name(name):
        raise UsageError(
            f"{name}: is not a name for a schedule", "use letters, digits, dots, dashes and underscores"
        )
    if bool(given["every"]) == bool(given["at"]):
        raise UsageError("give --every CRON or --at TIME", "for example --every '30 2 * * 1-5'")
    if source == "-":
        raise UsageError("a schedule can't read standard input", "give a file, a folder or a URL")
    zone = given["zone"] or "UTC"
    now = context.ledger.schedules.now()
    cron = _cron(given, zone, now) if given["every"] else ""
    where = time_zone(zone)
    at = _future("--at", moment("--at", given["at"], now, where), now, where) if given["at"] else None
    for channel in given["notify"]:
        _check_channel(context, channel)
    endpoint, place, options = context.endpoint, schedule_place.absolute(source), _options(ctx, given)
    refuse_leavers(place, options)
    made = Schedule(
        name=name, cron=cron, zone=zone, at=at, jitter=given["jitter"], catch_up=CatchUp(given["catch_up"]),
        again=given["again"], source=schedule_place.closed(context.seal, name, place), options=options,
        profile=given["profile"], host=endpoint.host, environment=endpoint.environment,
        account=endpoint.account, channels=tuple(dict.fromkeys(given["notify"])), operator=operator(),
        machine=platform.node(), created=now, paused=None, accounted=now, next_slot=None,
    )  # fmt: skip
    schedule_place.refuse_shared(made, context.ledger.schedules.all())
    first = first_slot(made, now)
    _check_window(made, first or now)
    return replace(made, next_slot=first)


def _check_window(made: Schedule, slot: dt.datetime) -> None:
    """Raise UsageError if the times of the window are none, or it is over before the only run begins.

    For a recurring schedule that is a warning: `schedule run` may be within it.
    """
    options = options_at(made, slot)
    begins = max(slot, dt.datetime.fromisoformat(options.not_before)) if options.not_before else slot
    ends = dt.datetime.fromisoformat(options.not_after) if options.not_after else None
    if ends is None or ends > begins:
        return
    late = f"--not-after {_shown(made, ends)}: runs may only send from {_shown(made, begins)} on"
    hint = "give a time of day, such as --not-after 05:30: it is the next one after each run begins"
    if made.at:
        raise UsageError(late, hint)
    echo(f"warning: {late}; they will fail. {hint.capitalize()}", "yellow")


def _cron(given: Mapping[str, Any], zone: str, now: dt.datetime) -> str:
    """Return the cron expression, checked. Raises UsageError, also if a delayed run could meet the next."""
    table = timetable(given["every"], zone)
    apart = table.closest(now).total_seconds()
    if given["jitter"] >= apart:
        raise UsageError(
            f"--jitter {given['jitter']}: must be less than the {apart:.0f} seconds between two runs",
            "each run has to begin before the next one's time",
        )
    return table.cron


def _options(ctx: click.Context, given: dict[str, Any]) -> Options:
    """Return the options of each run; the times of its window stay as they were typed."""
    options = parsed(ctx, {**given, "not_before": "", "not_after": ""})
    return replace(
        options,
        not_before=given["not_before"],
        not_after=given["not_after"],
        max_failed=options.max_failed or MAX_FAILED_OF_SCHEDULES,
        results=options.results or str(Path.cwd()),
    )


def _check_channel(context: Context, channel: str) -> None:
    if channel in context.settings.unusable_channels:
        raise context.settings.unusable_channels[channel]
    if channel not in context.settings.channels:
        known = ", ".join(context.settings.channels) or "none yet"
        raise UsageError(
            f"--notify {channel}: siproster.toml has no [notify.{channel}]",
            f"channels: {known}; docs/notifications.md tells how to add one",
        )


def _future(option: str, at: dt.datetime, now: dt.datetime, zone: ZoneInfo) -> dt.datetime:
    if at <= now:
        raise UsageError(f"{option} {shown(at, zone)}: is in the past", f"it is {shown(now, zone)} now")
    return at


def _print_times(one: Schedule) -> None:
    """Print when a schedule runs: in words, its next times, and what happens at clock changes."""
    print_on_stdout(f"{one.name}: {in_words(one)}")
    print_on_stdout(f"  roster   {schedule_place.shown(one.source)}")
    print_on_stdout(
        f"  account  {one.account} at {one.host}" + (f", profile {one.profile}" * bool(one.profile))
    )
    print_on_stdout(f"  results  {one.options.results}/siproster-JOB/")
    print_on_stdout(f"  options  {options_of(one) or '-'}")
    print_on_stdout(f"  notifies {', '.join(one.channels) or 'nobody'}")
    if one.paused:
        print_on_stdout(f"  paused since {_shown(one, one.paused)}")
    slots = next_slots(one, utc_now(), NEXT)
    print_on_stdout("  next runs:" if slots else "  no more runs")
    for slot in slots:
        print_on_stdout(f"    {_shown(one, slot)}{_window(one, slot)}")
    if one.cron:
        for sentence in Timetable(one.cron, time_zone(one.zone)).clock_changes(utc_now()):
            print_on_stdout(f"  {sentence}")


def _window(one: Schedule, slot: dt.datetime) -> str:
    """Return the window of a slot, in words."""
    options = options_at(one, slot)
    parts = [("from", options.not_before), ("until", options.not_after)]
    words = [f"{word} {_shown(one, dt.datetime.fromisoformat(at))}" for word, at in parts if at]
    return f", sending {' '.join(words)}" if words else ""


def _next(one: Schedule) -> str:
    if one.paused:
        return "paused"
    slots = next_slots(one, max(one.accounted, utc_now()), 1)
    return f"{slots[0]:%Y-%m-%d %H:%MZ}" if slots else "-"


def _shown(one: Schedule, time: dt.datetime) -> str:
    return shown(time, time_zone(one.zone))
