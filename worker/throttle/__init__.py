"""Timing of requests: one pace and one cool-down, for this process or for all workers on one Redis.

::

    PacedThrottle ── LocalPace                    a pace (pace.py) in this process
                  └─ Fallback ── RedisPace        the same in Redis (pace_lua.py)
                              └─ LocalPace        while Redis is away
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from worker.errors import GivingWay
from worker.throttle.pace_keepers import Hold, LocalPace, PaceKeeper, Ticket
from worker.waits import HERE, WaitKind, Waits

__all__ = ["SLOWEST_RATE", "Cooling", "Throttle", "Ticket", "local", "shared"]

log = logging.getLogger(__name__)

SLOWEST_RATE = 1 / 3600
"""Requests a second: the slowest rate that may be given."""

_SHORTEST_WAIT = 0.001

_WORTH_A_WORD = 1.0
"""Seconds from which the wait for the next request is reported."""

_LINGERS = 2.0
"""Seconds for which one request that had to wait because of earlier 429s is reported."""

GIVES_WAY = 3.0
"""Seconds that a wait may last in a process that another account needs."""


class Cooling(Exception):
    """Raised for a cool-down of ``seconds``, longer than the caller would wait."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


class Throttle(Protocol):
    """A throttle, which decides when the next request may start."""

    def wait(self, longest: float = math.inf) -> Ticket:
        """Return when one request may start: after the cool-down, at the pace.

        Raises Cooling, at once, if the cool-down lasts longer than ``longest_wait(longest)``, and GivingWay
        if another account needs the process and the pace itself takes longer than that.
        """

    def longest_wait(self, longest: float) -> float:
        """Return the seconds that a wait may last: ``longest``, or few if others need the process."""

    def refused(self, ticket: Ticket) -> None:
        """Learn that this request was answered 429."""

    def cool(self, seconds: float) -> None:
        """Let no request start for so many seconds. Never shortens a longer cool-down."""


def _never() -> bool:
    return False


def local(
    rate: float | None,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
    waits: Waits = HERE,
) -> Throttle:
    """Return a throttle for the threads of this process.

    ``rate``: requests per second that are never exceeded; None for no bound but what 429s teach. If ``sleep``
    raises, ``wait`` gives up and the exception propagates.
    """
    bound = math.inf if rate is None else rate
    return PacedThrottle(LocalPace(bound, clock), bound, sleep, waits)


def shared(
    redis_url: str,
    key: str,
    rate: float | None,
    sleep: Callable[[float], None] = time.sleep,
    others_wait: Callable[[], bool] = _never,
    clock: Callable[[], float] | None = None,
) -> Throttle:
    """Return a throttle for all workers on this Redis that use the same ``key`` (host and account).

    ``others_wait``: whether another account needs this process. ``clock``: in place of Redis's own. While
    Redis can't be reached each process keeps the pace and the cool-downs that it knows of by itself.
    """
    from worker.throttle.redis_pace import Fallback, RedisPace

    bound = math.inf if rate is None else rate
    common = RedisPace(redis_url, key, bound, clock)
    pace = Fallback(common, LocalPace(bound, clock or time.monotonic))
    return PacedThrottle(pace, bound, sleep, HERE, others_wait, clock or time.monotonic)


class PacedThrottle:
    """A throttle on top of a pace: one thread asks, the others queue behind it."""

    def __init__(
        self,
        pace: PaceKeeper,
        bound: float,
        sleep: Callable[[float], None],
        waits: Waits,
        others_wait: Callable[[], bool] = _never,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pace = pace
        self._bound = bound
        self._sleep = sleep
        self._waits = waits
        self._others_wait = others_wait
        self._clock = clock
        self._turn = threading.Lock()

    def wait(self, longest: float = math.inf) -> Ticket:
        began = self._clock()
        with self._in_turn():
            while isinstance(answer := self._pace.ask(), Hold):
                self._hold(answer, longest, self._clock() - began)
            return answer

    def longest_wait(self, longest: float) -> float:
        return GIVES_WAY if longest > GIVES_WAY and self._others_wait() else longest

    def refused(self, ticket: Ticket) -> None:
        if rate := self._pace.refused(ticket):
            log.info(_slowed_to(rate))

    def cool(self, seconds: float) -> None:
        self._pace.cool(seconds)

    @contextmanager
    def _in_turn(self) -> Iterator[None]:
        if not self._turn.acquire(blocking=False):
            if slowed := self._slowed():
                with self._waits.entered(WaitKind.RATE_LIMITED, slowed):
                    self._turn.acquire()
            else:
                self._turn.acquire()
        try:
            yield
        finally:
            self._turn.release()

    def _hold(self, hold: Hold, longest: float, waited: float) -> None:
        """Wait. ``waited``: seconds so far, behind other requests of this process, too."""
        expected = hold.seconds if hold.cooling else waited + hold.seconds
        if expected > GIVES_WAY:
            bound = self.longest_wait(longest if hold.cooling else math.inf)
            if hold.cooling and expected > bound:
                raise Cooling(hold.seconds)
            if expected > bound:
                raise GivingWay("other accounts need the process", "", hold.seconds)
        seconds = max(hold.seconds, _SHORTEST_WAIT)
        with self._waits.entered(*self._reason(hold), seconds):
            self._sleep(seconds)

    def _reason(self, hold: Hold) -> tuple[WaitKind | None, str]:
        if hold.cooling:
            return WaitKind.SLOWED, "429 or 503"
        if slowed := self._slowed():
            self._waits.linger(WaitKind.RATE_LIMITED, slowed, hold.seconds + _LINGERS)
            return WaitKind.RATE_LIMITED, slowed
        if hold.seconds <= _WORTH_A_WORD:
            return None, ""
        return WaitKind.PACED, f"--rate {self._bound:g}"

    def _slowed(self) -> str:
        learned = self._pace.learned
        return _slowed_to(learned) if 0 < learned < self._bound else ""


def _slowed_to(rate: float) -> str:
    return f"429: slowed to {rate:.3g} requests a second"
