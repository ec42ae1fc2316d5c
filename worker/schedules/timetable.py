"""Slots of a schedule: the times at which it runs, from a cron expression in a time zone."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import islice, pairwise, takewhile
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError

from worker.errors import UsageError

_NAMED = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
"""The names that cron knows for common expressions (crontab(5)), save for @reboot."""

_AHEAD = dt.timedelta(days=400)
"""Clock changes up to this time ahead are told."""

_LOOKED_AT = 60
"""Slots among which the shortest time between two is found."""

_AROUND = dt.timedelta(hours=4)
"""Slots this long before and after a clock change show how it is handled; clocks change by less."""


@dataclass(frozen=True, slots=True)
class Timetable:
    """The slots of a cron expression in a time zone, as cron itself would run them.

    An expression for fixed hours runs once where clocks go back, and as soon as they have gone forward if its
    time is left out; one for every so many minutes or hours follows the elapsed time (crontab(5) of Debian).
    """

    cron: str
    zone: ZoneInfo

    def after(self, moment: dt.datetime) -> Iterator[dt.datetime]:
        """Yield the slots after a moment, in UTC, without end unless the expression has one."""
        slots = CronSim(_expression(self.cron), moment.astimezone(self.zone))
        last = moment
        for slot in slots:
            found = slot.astimezone(dt.UTC)
            if found > last:
                last = found
                yield found

    def due(self, accounted: dt.datetime, now: dt.datetime) -> list[dt.datetime]:
        """Return the slots after ``accounted`` up to now, oldest first."""
        return list(takewhile(lambda slot: slot <= now, self.after(accounted)))

    def in_words(self) -> str:
        """Return the expression as a sentence in English."""
        expression = _expression(self.cron)
        words = CronSim(expression, dt.datetime(2000, 1, 1, tzinfo=dt.UTC)).explain()
        _, _, day_of_month, _, day_of_week = expression.split()
        # crontab(5): two fields that name days are alternatives, unless one of them begins with a star.
        either = not day_of_month.startswith("*") and not day_of_week.startswith("*")
        return f"{words}, on each day that is one of the two" if either else words

    def closest(self, moment: dt.datetime) -> dt.timedelta:
        """Return the shortest time between two of the next slots."""
        slots = list(islice(self.after(moment), _LOOKED_AT))
        return min((later - earlier for earlier, later in pairwise(slots)), default=dt.timedelta.max)

    def clock_changes(self, now: dt.datetime) -> list[str]:
        """Return a sentence for each clock change ahead that touches a slot, and how that slot runs then."""
        return [
            sentence for change in _changes(self.zone, now, now + _AHEAD) if (sentence := self._told(change))
        ]

    def _told(self, change: _Change) -> str:
        """Return how the slots in the hour that is left out or repeated run; empty if there are none."""
        first, last = change.wall
        naive = CronSim(_expression(self.cron), first - dt.timedelta(seconds=1))
        touched = list(takewhile(lambda slot: slot < last, naive))
        if not touched:
            return ""
        day, at = f"{change.before:%Y-%m-%d}", f"{change.before:%H:%M}"
        which = f"{day}: clocks in {self.zone.key} go {change.direction} at {at}"
        return f"{which}; {_times(touched)} {self._effect(change, touched)}"

    def _effect(self, change: _Change, touched: list[dt.datetime]) -> str:
        """Return the end of the sentence about slots in the hour that is left out or repeated."""
        first, last = change.wall
        slots = [slot.replace(tzinfo=None) for slot in self._local(change)]
        if not change.forward:
            repeated = sum(first <= slot < last for slot in slots)
            return "happens twice" if repeated > len(touched) else "happens once, the first time"
        naive = CronSim(_expression(self.cron), last - dt.timedelta(seconds=1))
        moved = last in slots and next(naive) != last
        return f"happens once, at {last:%H:%M}" if moved else "is left out"

    def _local(self, change: _Change) -> list[dt.datetime]:
        end = change.instant + _AROUND
        found = takewhile(lambda slot: slot <= end, self.after(change.instant - _AROUND))
        return [slot.astimezone(self.zone) for slot in found]


@dataclass(frozen=True, slots=True)
class _Change:
    """A change of a zone's clocks."""

    instant: dt.datetime
    """UTC: the first second with the new offset."""
    before: dt.datetime
    """Local time, without a zone, at which the clocks are changed."""
    after_change: dt.datetime
    """Local time, without a zone, to which they are set."""

    @property
    def forward(self) -> bool:
        """Return whether an hour is left out, not repeated."""
        return self.after_change > self.before

    @property
    def direction(self) -> str:
        """Return ``forward`` or ``back``."""
        return "forward" if self.forward else "back"

    @property
    def wall(self) -> tuple[dt.datetime, dt.datetime]:
        """Return the local times that are left out or repeated: from the first up to before the second."""
        return min(self.before, self.after_change), max(self.before, self.after_change)


def timetable(cron: str, zone: str) -> Timetable:
    """Return the timetable of a cron expression, checked.

    Raises:
        UsageError: the expression has another number of fields than five, or none of its times ever comes.
    """
    expression = _expression(cron)
    if len(expression.split()) != 5:
        raise UsageError(
            f"--every {cron}: must be a cron expression with five fields",
            "minute hour day-of-month month day-of-week: '30 2 * * 1-5' is 02:30 on Monday through Friday",
        )
    checked = Timetable(cron, time_zone(zone))
    try:
        next(checked.after(dt.datetime.now(dt.UTC)))
    except (CronSimError, StopIteration) as error:
        why = str(error) or "none of its times ever comes"
        raise UsageError(
            f"--every {cron}: is not a cron expression: {why}",
            "minute hour day-of-month month day-of-week: '30 2 * * *' is 02:30 every day",
        ) from None
    return checked


def time_zone(name: str, given: str = "") -> ZoneInfo:
    """Return a time zone of the IANA database. Raises UsageError if there is none of that name.

    ``given``: the option and value that it is from, for the message.
    """
    try:
        return ZoneInfo(name)
    except (ValueError, OSError):  # ZoneInfoNotFoundError is a KeyError: below
        pass
    except KeyError:
        pass
    close = get_close_matches(name, available_timezones(), n=1)
    raise UsageError(
        f"{given or name}: {name if given else 'this'} is not a time zone",
        f"did you mean {close[0]}?" if close else "use a name of the IANA database, such as Europe/Berlin",
    )


def _expression(cron: str) -> str:
    return _NAMED.get(cron.strip().lower(), cron)


def _changes(zone: ZoneInfo, start: dt.datetime, end: dt.datetime) -> Iterator[_Change]:
    """Yield the zone's clock changes between two moments, found hour by hour, then to the minute."""
    hour, minute = dt.timedelta(hours=1), dt.timedelta(minutes=1)
    at = start.astimezone(dt.UTC).replace(minute=0, second=0, microsecond=0)
    while at < end:
        if _offset(zone, at) != _offset(zone, at + hour):
            instant = at
            while _offset(zone, instant) == _offset(zone, at):
                instant += minute
            old, new = _offset(zone, at), _offset(zone, instant)
            naive = instant.replace(tzinfo=None)
            yield _Change(instant, naive + old, naive + new)
        at += hour


def _offset(zone: ZoneInfo, moment: dt.datetime) -> dt.timedelta:
    return moment.astimezone(zone).utcoffset() or dt.timedelta()


def _times(touched: list[dt.datetime]) -> str:
    """Return local times as the subject of a sentence."""
    if len(touched) == 1:
        return f"the run of {touched[0]:%H:%M}"
    return f"each run from {touched[0]:%H:%M} to {touched[-1]:%H:%M}"
