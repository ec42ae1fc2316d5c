"""The drawing of a job's pace: rows a second over time."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 720, 160
"""The drawing's size without its labels, in its own units."""
_BARS = 60
_GAP = 1.5


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar of the drawing: left, top, width and height."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Pace:
    """A drawing with what it says in words. Times are UTC, rates rows a second."""

    bars: Sequence[Bar]
    top: int
    """The rate at the drawing's upper edge."""
    begin: dt.datetime
    end: dt.datetime
    peak: float
    peak_at: dt.datetime
    rows: int
    seconds: float
    """Seconds that each bar covers."""


def pace_of(points: Sequence[tuple[float, int]], started: dt.datetime | None) -> Pace | None:
    """Return the drawing of rows by their times (epoch seconds); None if there are too few."""
    if len(points) < 2:
        return None
    first = min(points[0][0], started.timestamp()) if started else points[0][0]
    span = max(points[-1][0] - first, 0.1)
    number = max(2, min(_BARS, math.ceil(span / 0.5)))
    seconds = span / number
    rows = [0] * number
    for moment, answered in points:
        rows[min(number - 1, int((moment - first) / seconds))] += answered
    rates = [each / seconds for each in rows]
    top, wide = _round_up(max(rates)), WIDTH / number
    bars = [
        Bar(round(at * wide, 1), round(HEIGHT * (1 - rate / top), 1), round(wide - _GAP, 1),
            round(HEIGHT * rate / top, 1))
        for at, rate in enumerate(rates)
        if rate
    ]  # fmt: skip
    peak = max(rates)
    return Pace(
        bars, top, _moment(first), _moment(points[-1][0]), peak,
        _moment(first + rates.index(peak) * seconds), sum(rows), seconds,
    )  # fmt: skip


def _round_up(rate: float) -> int:
    """Return the next of 1, 2, 5, 10, 20 … that is not less."""
    scale = 10 ** max(0, math.floor(math.log10(rate))) if rate >= 1 else 1
    return next(step * scale for step in (1, 2, 5, 10) if step * scale >= rate)


def _moment(seconds: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(seconds, dt.UTC)
