"""The rate at which requests start: a bound that is given (``--rate``), and one that is learned from 429s.

No limit is published for this service (docs/bandwidth-api.md#rate-limits), so it is found out, by additive
increase and multiplicative decrease as TCP does it, with three changes that make it settle within seconds:

- **Slow down to what was measured.** A 429 says that at this moment the service has nothing left. What it
  accepted between two such moments, divided by the time between them, is its limit, whether it counts by
  fixed windows or fills a bucket. The new rate is KEEP of that, and never below CUT of the rate before, since
  few requests measure badly. Before the first 429 there is none: the last second or two are measured.
- **Speed up slowly where the limit is known, and fast where it isn't.** The rate grows exponentially, by
  ``gain`` a second. The first 429 says least (a burst may have been accepted, or refused), so the gain begins
  at SEARCH. Each 429 divides it by DOUBT, down to a gain with which the rate takes ``_settling`` seconds to
  come back to the limit: so long that less than 2% of the requests are refused. Without a 429 the gain
  doubles every half of that time, and faster above the old limit, so one that was raised is found within some
  10 seconds, or 100 requests where it is low.
- **A burst counts once.** Requests that had started before the rate was lowered say nothing about the new
  one. If nothing was accepted since, a window is used up: then requests pause, and the rate stays.

Requests are spaced by GCRA. Only time in which requests waited for their turn counts, as growth and as
measured: an idle process learns nothing.

``pace_lua.py`` is the same in Lua, for processes that share a Redis. A test drives both side by side.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

TOLERANCE = 0.05
"""Seconds that a request may wake late without its turn being lost: the next ones are as much earlier."""

SLOWEST = 0.5
"""Requests a second below which the rate is never learned; pauses do the rest."""

START = 3.0
"""Requests a second after the first 429, at least."""

KEEP = 0.97
"""Share of the measured limit that is used."""

CUT = 0.75
"""Share of the rate that is left after a 429, at least."""

SEARCH = 1.4
"""The largest gain, a second: four times as fast each second."""

DOUBT = 3.0
"""The divisor of the gain at a 429."""

RISE = 0.03
"""The share by which the rate grows, roughly, in ``_settling`` seconds after a 429."""

SHORTEST_SETTLING, LONGEST_SETTLING = 4.0, 40.0
"""Seconds."""

SETTLING_REQUESTS = 100.0
"""Requests between two 429s, at least: one in so many is refused."""

MOVED = 1.05
"""The factor above the last limit at which the rate shows that the limit has moved."""

MOVED_GAIN = 0.1
"""The gain from there on, at least."""

PAUSE, LONGEST_PAUSE = 0.1, 1.0
"""Seconds without a request where none is accepted: the first time, and at most."""


@dataclass(slots=True)
class Pace:
    """The state of a pace. Times are seconds of any one clock; requests are numbered from 1."""

    rate: float = 0.0
    """Requests a second, learned; 0: no 429 was heard of."""
    gain: float = 0.0
    limit: float = 0.0
    """The rate at the last 429."""
    slot: float = -math.inf
    """The time of the next request's turn."""
    last: float = -math.inf
    """The time at which the last request started."""
    started: int = 0
    heard: int = 0
    """Requests that had started at the last 429."""
    since: float = -math.inf
    """Since when is measured."""
    first: int = 0
    """The number of the request at which measuring began."""
    older_since: float = -math.inf
    older_first: int = 0
    """The same of the second before. Used until the first 429."""
    refused: int = 0
    """Requests that were refused since measuring began."""
    pause: float = PAUSE


def next_slot(pace: Pace, bound: float, now: float) -> float:
    """Return the seconds to wait before asking again; 0: a request starts now, and is counted.

    ``bound``: requests a second that are never exceeded, or infinity.
    """
    rate = min(pace.rate or bound, bound)
    if now < pace.slot - TOLERANCE:
        return pace.slot - TOLERANCE - now
    if pace.rate:
        _grow(pace, rate, bound, now)
    elif now - pace.since > 1.0:
        idle = now - pace.since > 2.0
        pace.older_since, pace.older_first = (now, pace.started) if idle else (pace.since, pace.first)
        pace.since, pace.first = now, pace.started
    pace.slot = max(now, pace.slot) + 1 / rate
    pace.last = now
    pace.started += 1
    return 0.0


def slow_down(pace: Pace, bound: float, number: int, started: float, now: float) -> bool:
    """Note that the request with this number got a 429; return whether that changes the rate.

    ``started``: when the request started.
    """
    if number <= pace.heard:
        pace.refused += number > pace.first
        return False
    pace.heard = pace.started
    accepted = number - 1 - pace.first - pace.refused
    if not pace.rate:
        in_last_second = (number - 1 - pace.older_first) / max(1.0, started - pace.older_since)
        pace.limit, pace.gain = bound, SEARCH
        pace.rate = min(bound, max(START, in_last_second))
    elif accepted <= 0:
        pace.refused += 1
        pace.last = now + pace.pause
        pace.slot = pace.last + TOLERANCE
        pace.pause = min(LONGEST_PAUSE, 2 * pace.pause)
        return False
    else:
        measured = (accepted + 0.5) / max(started - pace.since, 0.001)
        pace.limit = pace.rate
        pace.rate = max(SLOWEST, KEEP * min(pace.rate, max(measured, CUT * pace.rate)))
        pace.gain = max(RISE / _settling(pace.rate), pace.gain / DOUBT)
    pace.last, pace.slot = now, now + 1 / pace.rate + TOLERANCE
    pace.since, pace.first, pace.refused, pace.pause = started, number, 0, PAUSE
    return True


def start_at(pace: Pace, rate: float, now: float) -> None:
    """Begin with a rate that was learned elsewhere."""
    pace.rate = pace.limit = rate
    pace.gain = RISE / _settling(rate)
    pace.slot = pace.since = pace.last = now


def _grow(pace: Pace, rate: float, bound: float, now: float) -> None:
    idle = now - pace.slot
    if idle > 1 / rate:
        pace.since += idle
        return
    seconds = min(now - pace.last, 2 / rate)
    moved = pace.rate > MOVED * pace.limit
    half = (SHORTEST_SETTLING if moved else _settling(pace.rate)) / 2
    pace.rate = min(bound, pace.rate * math.exp(pace.gain * seconds))
    pace.gain = min(SEARCH, max(pace.gain * 2 ** (seconds / half), MOVED_GAIN if moved else 0.0))


def _settling(rate: float) -> float:
    return min(LONGEST_SETTLING, max(SHORTEST_SETTLING, SETTLING_REQUESTS / rate))
