"""Times of windows, in many zones: gaps and folds of clock changes, times of day, and what is refused."""

from __future__ import annotations

import datetime as dt
from contextlib import suppress
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.commands.window import moment, shown
from worker.errors import UsageError

BERLIN = ZoneInfo("Europe/Berlin")
ZONES = sorted(available_timezones() - {"localtime", "posixrules", "Factory"})


def utc(text: str) -> dt.datetime:
    """A time in UTC."""
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


NOON = utc("2026-11-22T12:00")


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("2026-11-22T05:30Z", "2026-11-22T05:30"),
        ("2026-11-22T05:30+05:45", "2026-11-21T23:45"),
        ("2026-11-22 05:30 Europe/Berlin", "2026-11-22T04:30"),
        ("2026-11-22T05:30[America/New_York]", "2026-11-22T10:30"),
        ("2026-11-22T05:30", "2026-11-22T04:30"),
        ("2026-11-22", "2026-11-21T23:00"),
        ("05:30", "2026-11-23T04:30"),
        ("13:00", "2026-11-23T12:00"),  # now: the next one is tomorrow
        ("13:01", "2026-11-22T12:01"),
        ("05:30 Asia/Kathmandu", "2026-11-22T23:45"),
        ("00:30 Pacific/Kiritimati", "2026-11-23T10:30"),
    ],
)
def test_times(value: str, found: str) -> None:
    """With an offset, with a zone, with neither, and times of day."""
    assert moment("--at", value, NOON, BERLIN) == utc(found)


@pytest.mark.parametrize(
    "value",
    ["", "soon", "24:00", "5:30", "05:30:10", "2026-02-30", "2026-11-22T05:30Z Europe/Berlin",
     "0001-01-01T00:00", "9999-12-31T23:59-14:00", "05:30 Mars/Olympus", "2026-11-22T05:30 Europe/../Berlin"],
)  # fmt: skip
def test_what_is_no_time(value: str) -> None:
    """The option and its value are named."""
    with pytest.raises(UsageError) as refused:
        moment("--at", value, NOON, BERLIN)
    assert "is not a" in refused.value.message


@pytest.mark.parametrize(
    ("zone", "gap", "later"),
    [
        ("Europe/Berlin", "2027-03-28T02:30", "2027-03-28T01:30"),
        ("America/New_York", "2027-03-14T02:15", "2027-03-14T07:15"),
        ("Australia/Lord_Howe", "2027-10-03T02:10", "2027-10-02T15:40"),  # by half an hour
        ("America/Santiago", "2027-09-05T00:00", "2027-09-05T04:00"),  # at midnight
    ],
)
def test_gaps(zone: str, gap: str, later: str) -> None:
    """A time that a clock change leaves out is refused; a schedule's is as much later."""
    place, before = ZoneInfo(zone), utc(later) - dt.timedelta(hours=8)
    for value in (gap, gap[11:]):
        with pytest.raises(UsageError, match="does not exist"):
            moment("--at", value, before, place)
    assert moment("--at", gap[11:], before, place, shift=True) == utc(later)


@pytest.mark.parametrize(
    ("zone", "fold", "first", "second"),
    [
        ("Europe/Berlin", "2026-10-25T02:30", "2026-10-25T00:30", "2026-10-25T01:30"),
        ("America/New_York", "2026-11-01T01:30", "2026-11-01T05:30", "2026-11-01T06:30"),
        ("Australia/Lord_Howe", "2027-04-04T01:45", "2027-04-03T14:45", "2027-04-03T15:15"),
    ],
)
def test_folds(zone: str, fold: str, first: str, second: str) -> None:
    """A time that happens twice is refused, and both are named; of a schedule's the first one counts."""
    place, before = ZoneInfo(zone), utc(first) - dt.timedelta(hours=8)
    with pytest.raises(UsageError, match="happens twice") as refused:
        moment("--at", fold, before, place)
    for one in (first, second):
        assert f"{utc(one).astimezone(place):%Y-%m-%dT%H:%M%z}" in refused.value.hint
    assert moment("--at", fold[11:], before, place, shift=True) == utc(first)
    assert moment("--at", fold[11:], utc(first), place, shift=True) == utc(second)


def test_a_time_of_day_that_is_over() -> None:
    """On the day of a clock change, a time of day that has passed is tomorrow's, whatever it was today."""
    after_gap, after_fold = utc("2027-03-28T08:00"), utc("2026-10-25T08:00")
    assert moment("--at", "02:30", after_gap, BERLIN) == utc("2027-03-29T00:30")
    assert moment("--at", "02:30", after_fold, BERLIN) == utc("2026-10-26T01:30")


@given(
    zone=st.sampled_from(ZONES),
    now=st.datetimes(dt.datetime(1990, 1, 1), dt.datetime(2037, 1, 1)),
    of_day=st.times(),
)
def test_times_of_day_in_any_zone(zone: str, now: dt.datetime, of_day: dt.time) -> None:
    """The next one comes within two days, and shows the time of day there, unless it doesn't exist."""
    after, place = now.replace(tzinfo=dt.UTC), ZoneInfo(zone)
    found = moment("--at", f"{of_day:%H:%M}", after, place, shift=True)
    assert after < found <= after + dt.timedelta(hours=50)
    local = found.astimezone(place).replace(tzinfo=None)
    if f"{local:%H:%M}" != f"{of_day:%H:%M}":
        before = (found - dt.timedelta(hours=25)).astimezone(place).utcoffset()
        assert before != found.astimezone(place).utcoffset()
    with suppress(UsageError):  # left out, or repeated
        assert moment("--at", f"{of_day:%H:%M}", after, place) == found


def test_shown() -> None:
    """Local and in UTC; in UTC alone where that is the same."""
    assert shown(utc("2026-11-22T04:30"), BERLIN) == "2026-11-22 05:30 CET (04:30Z)"
    assert shown(utc("2026-11-22T23:30"), BERLIN) == "2026-11-23 00:30 CET (2026-11-22 23:30Z)"
    assert shown(utc("2026-11-22T04:30"), ZoneInfo("UTC")) == "2026-11-22 04:30Z"
