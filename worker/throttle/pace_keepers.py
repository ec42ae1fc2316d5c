"""Keepers of a pace: the interface, and the pace that this process keeps by itself."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import NamedTuple, Protocol

from worker.throttle.pace import Pace, next_slot, slow_down, start_at


class Ticket(NamedTuple):
    """Permission for one request to start."""

    number: int
    started: float
    """By the pace's clock."""
    shared: bool = False
    """True if the pace in Redis gave it."""


class Hold(NamedTuple):
    """A wait: no request may start for so many seconds."""

    seconds: float
    cooling: bool = False
    """True if the wait is a cool-down."""


class PaceKeeper(Protocol):
    """An interface for a pace with a cool-down."""

    @property
    def learned(self) -> float:
        """Return the requests per second learned from 429s, as of the last answer; 0 if none were."""

    def ask(self) -> Ticket | Hold:
        """Return a ticket, which counts as one request, or how long to wait before asking again."""

    def refused(self, ticket: Ticket) -> float:
        """Learn that this request was answered 429. Return the new rate, or 0 if it stays."""

    def cool(self, seconds: float) -> None:
        """Give no ticket for so many seconds."""


class LocalPace:
    """The pace of this process. Threads may share it."""

    def __init__(self, bound: float, clock: Callable[[], float]) -> None:
        self._bound = bound
        self._clock = clock
        self._pace = Pace()
        self._until = clock()
        self._lock = threading.Lock()

    @property
    def learned(self) -> float:
        return self._pace.rate

    def ask(self) -> Ticket | Hold:
        with self._lock:
            now = self._clock()
            if now < self._until:
                return Hold(self._until - now, cooling=True)
            wait = next_slot(self._pace, self._bound, now)
            return Hold(wait) if wait else Ticket(self._pace.started, now)

    def refused(self, ticket: Ticket) -> float:
        with self._lock:
            number, started, _ = ticket
            changed = slow_down(self._pace, self._bound, number, started, self._clock())
            return self._pace.rate if changed else 0.0

    def cool(self, seconds: float) -> None:
        with self._lock:
            self._until = max(self._until, self._clock() + seconds)

    def start_at(self, rate: float) -> None:
        """Begin with a rate that was learned elsewhere, unless this process knows one."""
        with self._lock:
            if rate and not self._pace.rate:
                start_at(self._pace, rate, self._clock())
