"""A pace that all processes on one Redis share, with this process's own to fall back on.

A module of its own, since loading Redis's client takes a tenth of a second, and embedded jobs need none.
"""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from worker.reasons import reason_of
from worker.throttle import pace_lua
from worker.throttle.pace_keepers import Hold, LocalPace, Ticket
from worker.waits import Outage

T = TypeVar("T")

log = logging.getLogger(__name__)

REDIS_TIMEOUT = 5.0
"""Seconds. Without a socket timeout a worker whose Redis stops answering hangs for ever."""

REDIS_PAUSE = 5.0
"""Seconds that a Redis which didn't answer is left alone: not every request may wait for its timeout."""


@functools.lru_cache(maxsize=4)
def _client(url: str) -> redis.Redis:
    """Return this process's client of a Redis, which the paces of all its accounts share."""
    # Retry once, at once: after a restart of Redis the first command finds a dead connection.
    # Not after a timeout, which would wait for a frozen Redis twice.
    retry = Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,))
    return redis.Redis.from_url(
        url, socket_timeout=REDIS_TIMEOUT, socket_connect_timeout=REDIS_TIMEOUT, retry=retry
    )


def existing(url: str, keys: Sequence[str]) -> int:
    """Return how many of these keys exist; 0 while Redis does not answer."""
    try:
        return int(_client(url).exists(*keys))
    except redis.RedisError:  # the pace logs the outage
        return 0


class RedisPace:
    """The pace of all processes on one Redis."""

    def __init__(self, url: str, key: str, bound: float, clock: Callable[[], float] | None) -> None:
        client = _client(url)
        self._next_slot = client.register_script(pace_lua.NEXT_SLOT)
        self._slow_down = client.register_script(pace_lua.SLOW_DOWN)
        self._lengthen = client.register_script(pace_lua.LENGTHEN)
        self._keys = [f"siproster:pace:{key}", f"siproster:cool:{key}"]
        self._bound = bound
        self._clock = clock
        self.learned = 0.0

    def ask(self) -> Ticket | Hold:
        answer = self._next_slot(keys=self._keys, args=self._given())
        cooling, wait, number, started, self.learned = map(float, answer.split())
        if cooling:
            return Hold(cooling, cooling=True)
        return Hold(wait) if wait else Ticket(int(number), started, shared=True)

    def refused(self, ticket: Ticket) -> float:
        args = [*self._given(), str(ticket.number), repr(ticket.started)]
        return float(self._slow_down(keys=self._keys, args=args))

    def cool(self, seconds: float) -> None:
        milliseconds = int(seconds * 1000)
        if milliseconds > 0:
            self._lengthen(keys=[self._keys[1]], args=[milliseconds])

    def _given(self) -> list[str]:
        return [repr(self._bound), repr(self._clock()) if self._clock else ""]


class Fallback:
    """The shared pace while Redis answers, else this process's own, which learns of all cool-downs."""

    def __init__(self, common: RedisPace, own: LocalPace) -> None:
        self._common = common
        self._own = own
        self._ask_again = 0.0
        self._outage = Outage(log, "Redis", "this process keeps pace and cool-down by itself")

    @property
    def learned(self) -> float:
        return self._common.learned

    def ask(self) -> Ticket | Hold:
        answer = self._try(self._common.ask)
        if answer is None:
            self._own.start_at(self._common.learned)
            return self._own.ask()
        return answer

    def refused(self, ticket: Ticket) -> float:
        if ticket.shared:
            return self._try(lambda: self._common.refused(ticket)) or 0.0
        return self._own.refused(ticket)

    def cool(self, seconds: float) -> None:
        self._own.cool(seconds)
        self._try(lambda: self._common.cool(seconds))

    def _try(self, question: Callable[[], T]) -> T | None:
        """Return its answer, or None while Redis is away."""
        if time.monotonic() < self._ask_again:
            return None
        try:
            answer = question()
        except redis.RedisError as error:
            self._ask_again = time.monotonic() + REDIS_PAUSE
            self._outage.gone(reason_of(error))
            return None
        self._outage.back()
        return answer
