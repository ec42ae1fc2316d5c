"""One rate and one cool-down: in this process alone, or for all workers on one Redis.

The rate is throttled-py's GCRA, asked without blocking, with a small burst and a wait of our own: its
blocking wait gave a tenth of the rate when it was measured, its token bucket let everything through.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from fractions import Fraction
from typing import Protocol, TypeVar

import redis
import throttled
from redis.backoff import NoBackoff
from redis.retry import Retry
from throttled.exceptions import StoreUnavailableError

from worker.model import WaitKind
from worker.reasons import reason_of
from worker.waits import HERE, Outage, Waits

T = TypeVar("T")

log = logging.getLogger(__name__)

BURST_SECONDS = 0.05
"""How late a waiter may wake without its turn being lost: the burst holds so many seconds of the rate."""

REDIS_TIMEOUT = 5.0
"""Seconds. Without a socket timeout a worker whose Redis stops answering hangs for ever."""

REDIS_PAUSE = 5.0
"""Seconds that a Redis which didn't answer is left alone: not every request may wait for its timeout."""

_SHORTEST_WAIT = 0.001

SLOWEST_RATE = 1 / 3600
"""Requests a second: the limiter's longest period is an hour."""

_WORTH_A_WORD = 1.0
"""Seconds from which on the wait for the next request is told."""

_LENGTHEN = """
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[1]) then
    redis.call('SET', KEYS[1], 1, 'PX', ARGV[1])
end
"""


class Cooling(Exception):
    """The cool-down lasts ``seconds``, longer than somebody would wait for it."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


class Throttle(Protocol):
    """When the next request may start."""

    def wait(self, longest: float = math.inf) -> None:
        """Return when one request may start: after the cool-down, at the rate.

        Raises Cooling, at once, where the cool-down lasts longer than ``longest`` seconds.
        """

    def cool(self, seconds: float) -> None:
        """Let nobody start a request for so many seconds. Never shortens a longer cool-down."""


def local(
    rate: float | None,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
    waits: Waits = HERE,
) -> Throttle:
    """A throttle for the threads of this process. ``rate``: requests a second; None: only the cool-down.

    A ``sleep`` that raises gives up the wait; what it raises comes out of ``wait``.
    """
    return _Turns(_Process(rate, clock), rate, sleep, waits)


def shared(
    redis_url: str, key: str, rate: float | None, sleep: Callable[[float], None] = time.sleep
) -> Throttle:
    """A throttle for all workers on this Redis that use the same ``key`` (host and account).

    While Redis can't be reached each process keeps the rate and the cool-downs it knows of by itself.
    """
    pace = _Fallback(_Redis(redis_url, key, rate), _Process(rate, time.monotonic))
    return _Turns(pace, rate, sleep, HERE)


class _Pace(Protocol):
    def cooling(self) -> float:
        """Seconds until the cool-down is over; 0: there is none."""

    def slot(self) -> float:
        """Seconds until it is worth asking again; 0: a request may start now, and is counted."""

    def cool(self, seconds: float) -> None: ...


class _Turns:
    """Makes a throttle of a pace: one thread asks, the others queue behind it and don't crowd the limiter."""

    def __init__(self, pace: _Pace, rate: float | None, sleep: Callable[[float], None], waits: Waits) -> None:
        self._pace = pace
        self._rate = rate
        self._sleep = sleep
        self._waits = waits
        self._turn = threading.Lock()

    def wait(self, longest: float = math.inf) -> None:
        with self._turn:
            while True:
                if cooling := self._pace.cooling():
                    self._cool_down(cooling, longest)
                elif seconds := self._pace.slot():
                    self._await_slot(seconds)
                else:
                    return

    def cool(self, seconds: float) -> None:
        self._pace.cool(seconds)

    def _await_slot(self, seconds: float) -> None:
        kind = WaitKind.PACED if seconds > _WORTH_A_WORD else None
        with self._waits.entered(kind, f"--rate {self._rate:g}", seconds):
            self._sleep(seconds)

    def _cool_down(self, seconds: float, longest: float) -> None:
        if seconds > longest:
            raise Cooling(seconds)
        with self._waits.entered(WaitKind.SLOWED, "HTTP 429 or 503", seconds):
            self._sleep(seconds)


class _Process:
    """The pace of this process."""

    def __init__(self, rate: float | None, clock: Callable[[], float]) -> None:
        self.slot = _slots(rate, throttled.MemoryStore(), "process")
        self._clock = clock
        self._until = clock()
        self._lock = threading.Lock()

    def cooling(self) -> float:
        return max(0.0, self._until - self._clock())

    def cool(self, seconds: float) -> None:
        with self._lock:
            self._until = max(self._until, self._clock() + seconds)


class _Redis:
    """The pace of all processes: a rate and a key that lives as long as the cool-down."""

    def __init__(self, url: str, key: str, rate: float | None) -> None:
        # One more try at once: after a restart of Redis the first command finds a dead connection.
        # Not after a timeout: a frozen Redis would be waited for twice.
        retry = Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,))
        self._client = redis.Redis.from_url(
            url, socket_timeout=REDIS_TIMEOUT, socket_connect_timeout=REDIS_TIMEOUT, retry=retry
        )
        options = {
            "SOCKET_TIMEOUT": REDIS_TIMEOUT,
            "SOCKET_CONNECT_TIMEOUT": REDIS_TIMEOUT,
            "CONNECTION_POOL_KWARGS": {"retry": retry},
        }
        self.slot = _slots(rate, throttled.RedisStore(server=url, options=options), key)
        self._lengthen = self._client.register_script(_LENGTHEN)
        self._key = f"siproster:cool:{key}"

    def cooling(self) -> float:
        return max(0, self._client.pttl(self._key)) / 1000  # below 0: no such key

    def cool(self, seconds: float) -> None:
        milliseconds = int(seconds * 1000)
        if milliseconds > 0:
            self._lengthen(keys=[self._key], args=[milliseconds])


class _Fallback:
    """The shared pace while Redis answers, else this process's own; it hears of every cool-down anyway."""

    def __init__(self, common: _Redis, own: _Process) -> None:
        self._common = common
        self._own = own
        self._ask_again = 0.0
        self._outage = Outage(log, "Redis", "this process keeps rate and cool-down by itself")

    def cooling(self) -> float:
        answer = self._ask(self._common.cooling)
        return self._own.cooling() if answer is None else answer

    def slot(self) -> float:
        answer = self._ask(self._common.slot)
        return self._own.slot() if answer is None else answer

    def cool(self, seconds: float) -> None:
        self._own.cool(seconds)
        self._ask(lambda: self._common.cool(seconds))

    def _ask(self, question: Callable[[], T]) -> T | None:
        """Return its answer, or None while Redis is away."""
        if time.monotonic() < self._ask_again:
            return None
        try:
            answer = question()
        except (redis.RedisError, StoreUnavailableError) as error:
            self._ask_again = time.monotonic() + REDIS_PAUSE
            self._outage.gone(reason_of(error))
            return None
        self._outage.back()
        return answer


def _slots(rate: float | None, store: throttled.BaseStore, key: str) -> Callable[[], float]:
    """What gives 0 and counts one request, or gives the seconds until the next one may start."""
    if rate is None:
        return lambda: 0.0
    # A quota's period is whole seconds, so 2.5 a second has to be said as 5 in 2.
    share = max(Fraction(rate).limit_denominator(3600), Fraction(1, 3600))
    quota = throttled.per_duration(
        timedelta(seconds=share.denominator),
        share.numerator,
        burst=max(2, round(rate * BURST_SECONDS)),
    )
    limiter = throttled.Throttled(key=key, using="gcra", quota=quota, store=store, key_prefix="siproster")

    def slot() -> float:
        result = limiter.limit()
        return max(result.state.retry_after, _SHORTEST_WAIT) if result.limited else 0.0

    return slot
