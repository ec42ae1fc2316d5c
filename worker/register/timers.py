"""Timers of requests, and the pace of rows."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

_GRAIN = 0.002
"""Seconds below which it isn't worth sleeping: the event loop's clock ticks in milliseconds."""


@dataclass(frozen=True, slots=True)
class Timers:
    """Timers of a non-INVITE transaction (RFC 3261, section 17.1.2.2 and table 4), in seconds."""

    t1: float = 0.5
    """The first wait before a datagram is sent again; each further one is twice as long."""
    t2: float = 4.0
    """The longest of these waits, and each of them once a provisional answer has come."""
    total: float = 32.0
    """Timer F, 64 times T1: the limit on the wait for an answer."""

    def waits(self, proceeding: Callable[[], bool]) -> Iterator[float]:
        """Yield the seconds to wait after each sending, ``total`` in all. ``proceeding``: a 1xx has come."""
        left, wait = self.total, self.t1
        while left > 0:
            yield min(wait, left)
            left -= wait
            wait = self.t2 if proceeding() else min(2 * wait, self.t2)


class Pace:
    """Spaces rows evenly, at most ``rate`` a second: the registrar is somebody's production system."""

    def __init__(self, rate: float, now: Callable[[], float] = time.monotonic) -> None:
        self.rate = rate
        self._gap = 1 / rate
        self._now = now
        self._next = 0.0

    def delay(self) -> float:
        """Reserve the next row's turn, and return the seconds until then; 0 means now."""
        now = self._now()
        turn = max(self._next, now)
        self._next = turn + self._gap
        return turn - now if turn - now > _GRAIN else 0.0
