"""Times of a maintenance window: ``--not-before``, ``--not-after`` and ``--at``, in any zone."""

from __future__ import annotations

import datetime as dt
import math
import re
import time
from zoneinfo import ZoneInfo

from worker import report
from worker.commands.terminal import echo
from worker.errors import UsageError
from worker.model import Job
from worker.schedules.timetable import time_zone
from worker.waits import span

_SAY_EVERY = 600.0
"""Seconds between two lines about the wait for a window."""

_LOOK_EVERY = 5.0
"""Seconds between two looks at the clock, which may be set, and stands while a machine is suspended."""

_EXAMPLE = "for example 2026-11-22T05:30, 2026-11-22T05:30Z, '2026-11-22 05:30 Europe/Berlin', or 05:30"
_WITH_ZONE = re.compile(r"(?P<time>.*?)(?: |\[)(?P<zone>[A-Za-z][A-Za-z0-9_+-]*(?:/[A-Za-z0-9_+-]+)*)\]?")
_of_day = re.compile(r"([01]\d|2[0-3]):([0-5]\d)").fullmatch


def moment(
    option: str, value: str, after: dt.datetime, zone: ZoneInfo | None = None, *, shift: bool = False
) -> dt.datetime:
    """Return the time that an option's value names, in UTC.

    ``value``: ISO 8601, with an offset, a zone's name behind it, or neither: then it is a time in ``zone``,
    by default this machine's. A time of day, such as ``05:30``, is the next one after ``after``; ``shift``:
    one that a clock change leaves out is as much later, and of one that it repeats the first counts.

    Raises:
        UsageError: it is none of them, or a local time that a clock change leaves out or repeats.
    """
    found = _WITH_ZONE.fullmatch(value.strip())
    text = found["time"] if found else value.strip()
    zone = time_zone(found["zone"], f"{option} {value}") if found else zone
    try:
        if day := _of_day(text):
            return _next_time_of_day(option, dt.time(int(day[1]), int(day[2])), after, zone, shift=shift)
        given = dt.datetime.fromisoformat(text)
        if given.tzinfo and not found:
            return given.astimezone(dt.UTC)
        if given.tzinfo:
            raise ValueError("an offset and a zone")
        return _unambiguous(option, given, zone)
    except (ValueError, OverflowError):  # the latter: before the year 1 or after 9999 in UTC
        raise UsageError(f"{option} {value}: is not a valid time", _EXAMPLE) from None


def shown(moment_: dt.datetime, zone: ZoneInfo | None = None) -> str:
    """Return a time for people, local and in UTC: ``2026-11-22 05:30 CET (04:30Z)``."""
    local, utc = moment_.astimezone(zone), moment_.astimezone(dt.UTC)
    if not local.utcoffset():
        return f"{utc:%Y-%m-%d %H:%MZ}"
    same_day = local.date() == utc.date()
    return f"{local:%Y-%m-%d %H:%M %Z} ({utc:{'%H:%MZ' if same_day else '%Y-%m-%d %H:%MZ'}})"


def wait_for_window(job: Job) -> None:
    """Wait until the window of a job that is about to begin has come, and print until when."""
    if not job.options.not_before:
        return
    try:
        _wait_until(dt.datetime.fromisoformat(job.options.not_before))
    except KeyboardInterrupt:
        report.forget_folder(job)
        raise


def _wait_until(begins: dt.datetime) -> None:
    said = -math.inf
    while (left := (begins - dt.datetime.now(dt.UTC)).total_seconds()) > 0:
        if time.monotonic() - said >= _SAY_EVERY:
            said = time.monotonic()
            echo(f"sending begins at {shown(begins)}, in {span(left)}; Ctrl-C ends this, and nothing is sent")
        time.sleep(min(left, _LOOK_EVERY))


def _next_time_of_day(
    option: str, of_day: dt.time, after: dt.datetime, zone: ZoneInfo | None, *, shift: bool
) -> dt.datetime:
    """Return the next time of day after a moment."""
    now = after.astimezone(zone)
    day = now.date()
    if (
        _both_folds(dt.datetime.combine(day, of_day), zone)[1] <= after
    ):  # today's is over, even if it is repeated
        day += dt.timedelta(days=1)
    local = dt.datetime.combine(day, of_day)
    first, second = _both_folds(local, zone)
    if shift:
        return first if after < first else second
    return _unambiguous(option, local, zone)


def _both_folds(local: dt.datetime, zone: ZoneInfo | None) -> tuple[dt.datetime, dt.datetime]:
    """Return the two UTC times of a local time; they are equal unless a clock change repeats it.

    A time that a clock change skips is as much later as clocks go forward: 02:30 becomes 03:30.
    """
    first, second = (local.replace(fold=fold, tzinfo=zone).astimezone(dt.UTC) for fold in (0, 1))
    return (first, second) if first <= second else (first, first)


def _unambiguous(option: str, local: dt.datetime, zone: ZoneInfo | None) -> dt.datetime:
    """Return a local time in UTC. Raises UsageError if a clock change leaves it out, or repeats it."""
    first, second = (local.replace(fold=fold, tzinfo=zone).astimezone(dt.UTC) for fold in (0, 1))
    if first == second:
        return first
    where = f"in {zone.key}" if zone else "here"
    both = " or ".join(f"{one.astimezone(zone):%Y-%m-%dT%H:%M%z}" for one in (first, second))
    if first > second:
        raise UsageError(
            f"{option} {local:%Y-%m-%dT%H:%M}: does not exist {where}: clocks go forward over it",
            f"use {both}",
        )
    raise UsageError(
        f"{option} {local:%Y-%m-%dT%H:%M}: happens twice {where}: clocks go back over it", f"use {both}"
    )
