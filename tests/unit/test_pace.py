"""The pace that 429s teach, against simulated services, with a clock that only the simulation moves."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable

import pytest

from worker.throttle.pace import TOLERANCE, Pace, next_slot, slow_down

IN_FLIGHT = 8


class Bucket:
    """A service that fills a bucket at its rate, and takes one out for each request."""

    def __init__(self, rate: float, burst_seconds: float) -> None:
        self.rate = rate
        self._burst_seconds = burst_seconds
        self._filled = 0.0
        self._level = math.inf

    def accepts(self, now: float) -> bool:
        """Whether a request that arrives now is not answered 429."""
        most = max(1.0, self.rate * self._burst_seconds)
        self._level = min(most, self._level + (now - self._filled) * self.rate)
        self._filled = now
        accepted = self._level >= 1
        self._level -= accepted
        return accepted


class Windows:
    """A service that takes so many requests in each second of its clock."""

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self._window = -1
        self._taken = 0

    def accepts(self, now: float) -> bool:
        """Whether a request that arrives now is not answered 429."""
        window = math.floor(now + 0.37)
        if window != self._window:
            self._window, self._taken = window, 0
        self._taken += 1
        return self._taken <= self.rate


Service = Bucket | Windows
SERVICES: dict[str, Callable[[float], Service]] = {
    "bucket": lambda rate: Bucket(rate, 0.25),
    "large bucket": lambda rate: Bucket(rate, 5),
    "windows": Windows,
}


class Run:
    """Threads that send requests one after the other at a pace; keeps the results by time."""

    def __init__(self, service: Service, latency: float, bound: float = math.inf) -> None:
        self.pace = Pace()
        self.now = 0.0
        self.accepted: list[float] = []
        self.refused: list[float] = []
        self._service = service
        self._latency = latency
        self._bound = bound
        self._next = 0.0
        self._flying: list[tuple[float, int, float, bool]] = []
        self._free = [0.0] * IN_FLIGHT

    def until(self, end: float) -> None:
        """Go on until the clock shows ``end``."""
        while self.now < end:
            self._free.sort()
            start = max(self._next, self._free[0]) if self._free else math.inf
            if self._flying and self._flying[0][0] <= start:
                self._answer(*heapq.heappop(self._flying))
            else:
                self.now = max(self.now, start)
                self._start()

    def share(self, start: float, end: float) -> float:
        """Return the share of the service's limit that was used between two times."""
        return sum(start <= at < end for at in self.accepted) / (end - start) / self._service.rate

    def refusals(self, start: float, end: float) -> float:
        """Return the share of the requests from ``start`` to ``end`` that was refused."""
        refused, accepted = (sum(start <= at < end for at in one) for one in (self.refused, self.accepted))
        return refused / (refused + accepted)

    def _start(self) -> None:
        wait = next_slot(self.pace, self._bound, self.now)
        # A sleeping thread wakes late, now more and now less.
        self._next = self.now + (wait + (self.pace.started * 7 % 10) * 0.0005 if wait else 0.0002)
        if wait:
            return
        self._free.pop(0)
        accepted = self._service.accepts(self.now + self._latency / 2)
        (self.accepted if accepted else self.refused).append(self.now)
        answer = (self.now + self._latency, self.pace.started, self.now, accepted)
        heapq.heappush(self._flying, answer)

    def _answer(self, now: float, number: int, started: float, accepted: bool) -> None:
        self.now = max(self.now, now)
        if not accepted:
            slow_down(self.pace, self._bound, number, started, self.now)
        # One that was refused is tried again a little later.
        self._free.append(self.now + (0.001 if accepted else 0.5))


@pytest.mark.parametrize("kind", SERVICES)
@pytest.mark.parametrize("limit", [2, 20, 200, 500])
def test_a_limit_is_found_within_ten_seconds(kind: str, limit: int) -> None:
    """After ten seconds at least 90% of the limit is used, and less than 2% of requests are refused."""
    run = Run(SERVICES[kind](limit), latency=min(0.05, 2 / limit))
    end = 10 + max(60, 400 / limit)
    run.until(end)
    assert limit < 5 or 0.9 <= run.share(10, 20) < 1.12
    assert run.share(10, end) >= 0.9
    assert run.refusals(10, end) < 0.02


@pytest.mark.parametrize("kind", SERVICES)
@pytest.mark.parametrize(("limit", "to"), [(20, 10), (20, 40), (200, 100), (200, 400)])
def test_a_limit_that_moves_is_found_again(kind: str, limit: int, to: int) -> None:
    """Ten seconds after a limit was halved or doubled, 90% of the new one is used."""
    service = SERVICES[kind](limit)
    run = Run(service, latency=min(0.05, 2 / max(limit, to)))
    run.until(40)
    service.rate = to
    run.until(100)
    assert run.share(50, 60) >= 0.9
    assert run.share(60, 100) >= 0.9
    assert run.refusals(50, 100) < 0.02


@pytest.mark.parametrize(("limit", "to"), [(2, 1), (2, 4)])
def test_a_low_limit_that_moves_is_found_again(limit: int, to: int) -> None:
    """A low limit that moves is found again within a hundred requests, as few tries may be refused."""
    service = Bucket(limit, 1)
    run = Run(service, latency=0.05)
    run.until(100)
    service.rate = to
    run.until(240)
    assert run.share(160, 240) >= 0.9


def test_without_a_429_nothing_waits() -> None:
    """Without a 429 requests are sent as fast as answers come."""
    run = Run(Bucket(1e6, 1), latency=0.1)
    run.until(10)
    assert len(run.accepted) >= 0.97 * IN_FLIGHT * 10 / 0.1
    assert run.pace.rate == 0


@pytest.mark.parametrize("rate", [2, 20, 200])
def test_a_bound_is_reached_and_not_exceeded(rate: float) -> None:
    """``--rate`` is reached to 98%, though threads wake late, and never exceeded."""
    run = Run(Bucket(rate, 1), latency=0.002, bound=rate)
    run.until(60)
    assert run.share(1, 60) >= 0.98
    assert len(run.accepted) <= rate * (60 + TOLERANCE) + 2
    assert run.refused == []


@pytest.mark.parametrize("kind", SERVICES)
def test_a_limit_below_the_bound_is_found(kind: str) -> None:
    """With ``--rate 40`` a limit of 20 is found as without it."""
    run = Run(SERVICES[kind](20), latency=0.05, bound=40)
    run.until(70)
    assert run.share(10, 70) >= 0.9
    assert run.refusals(10, 70) < 0.02
    assert run.pace.rate <= 40


def test_a_burst_of_refusals_counts_once() -> None:
    """Eight requests refused together lower the rate once."""
    pace = Pace()
    for _ in range(30):
        assert next_slot(pace, math.inf, 100.0) == 0
    assert slow_down(pace, math.inf, 23, 100.0, 100.1)
    rate = pace.rate
    assert not any(slow_down(pace, math.inf, number, 100.0, 100.1) for number in range(24, 31))
    assert pace.rate == rate == 22


def test_a_pause_instead_of_a_slower_rate() -> None:
    """If nothing was accepted since the last 429, the service's window is used up: the rate stays."""
    pace, now = Pace(), 0.0
    changes, pauses = [], []
    for _ in range(9):
        while wait := next_slot(pace, math.inf, now):
            now += wait
        changes.append(slow_down(pace, math.inf, pace.started, now, now))
        pauses.append(next_slot(pace, math.inf, now))
    assert changes == [True] + [False] * 8
    assert pauses == pytest.approx([1 / 3, 0.1, 0.2, 0.4, 0.8, 1, 1, 1, 1])


def test_an_idle_time_teaches_nothing() -> None:
    """An hour without a request neither raises the rate nor counts as slow."""
    run = Run(Bucket(20, 0.25), latency=0.05)
    run.until(30)
    before = run.pace.rate
    run.now += 3600
    run._free = [run.now] * IN_FLIGHT
    assert next_slot(run.pace, math.inf, run.now) == 0
    assert run.pace.rate == before
    start = run.now
    run.until(start + 30)
    assert run.share(start, start + 30) >= 0.9
