"""One pace and one cool-down: in one process, and for all that share a Redis.

No test here asserts how fast anything is. That a rate is held is shown by what can't be faster: so
many requests take at least so long, however slow the machine is.
"""

from __future__ import annotations

import logging
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.servers import Redis
from worker import throttle
from worker.throttle import Throttle, Ticket
from worker.throttle.pace import TOLERANCE
from worker.waits import Wait, WaitKind, Waits

ROOT = Path(__file__).parents[2]
KEY = "api.example:9900001"


class Clock:
    """A clock that only a sleep moves."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


class Woken(Exception):
    """Raised by a sleep that must not go on."""


class Stop:
    """A sleep that a stopping process interrupts at once; it records what was asked of it."""

    def __init__(self) -> None:
        self.asked: list[float] = []

    def __call__(self, seconds: float) -> None:
        self.asked.append(seconds)
        raise Woken


def seconds_for(waits: int, one: Throttle, threads: int = 1) -> float:
    """Return how long so many requests wait, shared by so many threads."""
    start = time.monotonic()

    def work() -> None:
        for _ in range(waits // threads):
            one.wait()

    crowd = [threading.Thread(target=work) for _ in range(threads)]
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join()
    return time.monotonic() - start


def asked_to_wait(one: Throttle, stop: Stop) -> float:
    """Return the seconds that the throttle wants to sleep now, or 0."""
    stop.asked.clear()
    try:
        one.wait()
    except Woken:
        return stop.asked[0]
    return 0.0


# In this process


def test_without_a_rate_nothing_waits() -> None:
    """No rate and no cool-down: any number of requests may start at once."""
    clock = Clock()
    one = throttle.local(None, clock.sleep, clock)
    for _ in range(1000):
        one.wait()
    assert clock.slept == []


def test_a_cool_down_holds_everybody_and_never_shortens() -> None:
    """The longest cool-down counts, whatever is said after it; then nothing waits any more."""
    clock = Clock()
    one = throttle.local(None, clock.sleep, clock)
    one.cool(10)
    one.cool(3)
    one.wait()
    one.wait()
    assert clock.slept == [10]
    one.cool(3)
    one.wait()
    assert clock.slept == [10, 3]


@pytest.mark.parametrize(("rate", "waits"), [(40, 20), (200, 60), (12.5, 8)])
@pytest.mark.parametrize("threads", [1, 4])
def test_a_rate_is_not_exceeded(rate: float, waits: int, threads: int) -> None:
    """Each request waits its turn, for several threads together as for one."""
    assert seconds_for(waits, throttle.local(rate), threads) >= (waits - 1) / rate - TOLERANCE


@pytest.mark.parametrize(
    ("rate", "told"), [(0.05, ["--rate 0.05"]), (2, [])], ids=["told", "too short to tell"]
)
def test_the_wait_for_a_slow_rate_is_told(rate: float, told: list[str]) -> None:
    """A wait for our own rate of a second or more is reported, with its end."""
    waits = Waits()
    seen: list[Wait] = []

    def sleep(_seconds: float) -> None:
        seen.extend([wait] if (wait := waits.gravest()) else [])
        raise Woken

    slow = throttle.local(rate, sleep, waits=waits)

    def used_up() -> None:
        for _ in range(3):
            slow.wait()

    with pytest.raises(Woken):
        used_up()
    assert [wait.reason for wait in seen] == told
    assert all(wait.kind is WaitKind.PACED and wait.left and 15 < wait.left <= 20 for wait in seen)


def test_a_slowed_pace_is_told() -> None:
    """A thread that waits its turn because of a 429 reports it, with the rate."""
    waits, released = Waits(), threading.Event()

    def sleep(_seconds: float) -> None:
        released.wait(10)

    slow = throttle.local(None, sleep, waits=waits)
    slow.refused(slow.wait())
    crowd = [threading.Thread(target=slow.wait) for _ in range(2)]
    for thread in crowd:
        thread.start()
    end = time.monotonic() + 60
    while (wait := waits.gravest()) is None and time.monotonic() < end:
        time.sleep(0.01)
    released.set()
    for thread in crowd:
        thread.join()
    assert wait is not None
    assert (wait.kind, wait.reason) == (WaitKind.RATE_LIMITED, "429: slowed to 3 requests a second")


def test_two_throttles_of_one_process_are_two() -> None:
    """Two throttles of one process have a rate each, and share nothing."""
    stop = Stop()
    first, second = throttle.local(0.001, stop), throttle.local(0.001, stop)
    for one in (first, second):
        assert asked_to_wait(one, stop) == 0
        assert asked_to_wait(one, stop) > 0


def test_a_stopped_wait_lets_the_next_one_ask() -> None:
    """An exception raised by the sleep ends the wait, and nobody behind it is blocked for ever."""
    stop = Stop()
    one = throttle.local(None, stop)
    one.cool(60)
    for _ in range(3):
        with pytest.raises(Woken):
            one.wait()


# On a Redis


def test_workers_share_one_cool_down(redis_url: str) -> None:
    """A cool-down that one worker was given holds up the others, but no other account."""
    stop = Stop()
    first, second = (throttle.shared(redis_url, KEY, None, stop) for _ in range(2))
    other = throttle.shared(redis_url, "api.example:2", None, stop)
    first.cool(60)
    assert 50 < asked_to_wait(second, stop) <= 60
    second.cool(5)
    assert 50 < asked_to_wait(first, stop) <= 60
    second.cool(90)
    assert 80 < asked_to_wait(first, stop) <= 90
    assert asked_to_wait(other, stop) == 0


def test_a_shared_cool_down_ends(redis_url: str) -> None:
    """A shared cool-down ends by itself, and one of 0 seconds is none."""
    first, second = (throttle.shared(redis_url, KEY, None) for _ in range(2))
    first.cool(0.0)
    start = time.monotonic()
    first.cool(0.2)
    second.wait()
    assert time.monotonic() - start >= 0.19


def test_workers_share_one_rate(redis_url: str) -> None:
    """Two throttles on one Redis together keep the rate that each was given."""
    pair = [throttle.shared(redis_url, KEY, 50) for _ in range(2)]
    start = time.monotonic()
    crowd = [threading.Thread(target=seconds_for, args=(15, one)) for one in pair]
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join()
    assert time.monotonic() - start >= 29 / 50 - TOLERANCE


WORKER = """
import sys, time
from worker import throttle
one = throttle.shared(sys.argv[1], sys.argv[2], 50)
print("ready", flush=True)
sys.stdin.readline()
print(time.time())
for _ in range(10):
    one.wait()
print(time.time())
"""


def test_processes_share_one_rate(redis_url: str) -> None:
    """Four processes that start together: forty requests of theirs take what one rate gives for forty."""
    command = [sys.executable, "-c", WORKER, redis_url, KEY]
    crowd = [
        subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    for one in crowd:
        assert one.stdout is not None
        assert one.stdout.readline() == "ready\n"
    for one in crowd:
        assert one.stdin is not None
        one.stdin.write("go\n")
        one.stdin.flush()
    moments = [float(word) for one in crowd for word in one.communicate(timeout=120)[0].split()]
    assert len(moments) == 8
    assert max(moments) - min(moments) >= 39 / 50 - TOLERANCE


def test_processes_share_what_a_429_teaches(redis_url: str) -> None:
    """When one process is refused at 50 requests a second, another keeps to the rate that it learned."""
    one = throttle.shared(redis_url, KEY, None)
    tickets = [one.wait() for _ in range(50)]
    one.refused(tickets[-1])
    command = [sys.executable, "-c", WORKER.replace("sys.argv[2], 50", "sys.argv[2], None"), redis_url, KEY]
    output = subprocess.run(command, cwd=ROOT, input="go\n", capture_output=True, text=True, check=True)
    start, end = map(float, output.stdout.split()[1:])
    assert end - start >= 9 / 100 - TOLERANCE  # unpaced it would be next to nothing; the rate may have grown
    assert one.wait().number == 61


class Doubles:
    """Two throttles that get the same calls at the same times: one in this process, one on Redis."""

    def __init__(self, redis_url: str, rate: float | None) -> None:
        self._clock = Clock()
        self._stops = Stop(), Stop()
        self._pair = (
            throttle.local(rate, self._stops[0], self._clock),
            throttle.shared(redis_url, KEY, rate, self._stops[1], clock=self._clock),
        )

    def wait(self) -> list[Ticket]:
        """Return the tickets of both once the time has come; assert that both have to wait equally long."""
        while True:
            tickets, waits = [], []
            for one, stop in zip(self._pair, self._stops, strict=True):
                try:
                    tickets.append(one.wait())
                except Woken:
                    waits.append(stop.asked[-1])
            if tickets:
                assert waits == []
                assert tickets[0][:2] == tickets[1][:2]
                return tickets
            assert waits[0] == pytest.approx(waits[1], rel=1e-9)
            self._clock.sleep(waits[0])

    def refused(self, tickets: list[Ticket]) -> None:
        """Report to both that their request got a 429."""
        for one, ticket in zip(self._pair, tickets, strict=True):
            one.refused(ticket)

    def pass_time(self, seconds: float) -> None:
        """Move the clock."""
        self._clock.sleep(seconds)


@pytest.mark.parametrize("rate", [None, 30])
@pytest.mark.parametrize("seed", [1, 2])
def test_redis_keeps_the_pace_that_a_process_keeps(redis_url: str, rate: float | None, seed: int) -> None:
    """The same requests, refusals and idle times give the same waits: the script is the function, in Lua."""
    pair, luck = Doubles(redis_url, rate), random.Random(seed)
    flying: list[list[Ticket]] = []
    for step in range(600):
        # Now and then a refusal, then none until the rate has passed the old limit, then nothing else.
        refusals = 0.3 if step % 280 < 40 else float(step >= 580)
        flying.append(pair.wait())
        pair.pass_time(luck.choice([0.0, 0.001, 0.01, 0.03, 0.3, 3.0] if luck.random() < 0.2 else [0.002]))
        if len(flying) > 5:
            tickets = flying.pop(0)
            if luck.random() < refusals:
                pair.refused(tickets)
                for burst in flying if luck.random() < 0.2 else ():
                    pair.refused(burst)


def test_a_wiped_redis_forgets_and_goes_on(redis_url: str, redis_server: Redis) -> None:
    """After FLUSHALL the cool-down and the scripts are gone, and the throttle goes on without an error."""
    stop = Stop()
    one = throttle.shared(redis_url, KEY, 100, stop)
    one.wait()
    one.cool(60)
    assert asked_to_wait(one, stop) > 0
    with redis_server.client() as client:
        client.flushall()
        client.script_flush()
    assert asked_to_wait(one, stop) == 0
    one.cool(30)
    assert 20 < asked_to_wait(one, stop) <= 30


# Without its Redis


def test_a_redis_that_is_gone_leaves_the_process_its_own_pace(
    make_redis: Callable[[], Redis], caplog: pytest.LogCaptureFixture
) -> None:
    """Rate and cool-downs go on in the process, and the log says so once, without the password."""
    caplog.set_level(logging.WARNING)
    server, stop = make_redis(), Stop()
    secret = server.url.replace("redis://", "redis://:canary-3ad1@")
    with server.client() as client:
        client.config_set("requirepass", "canary-3ad1")
    one = throttle.shared(secret, KEY, 0.001, stop)
    one.cool(60)
    assert 50 < asked_to_wait(one, stop) <= 60
    server.kill()
    assert 50 < asked_to_wait(one, stop) <= 60
    one.cool(90)
    assert 80 < asked_to_wait(one, stop) <= 90
    assert len(caplog.records) == 1
    assert "canary" not in caplog.text


def test_a_redis_that_is_gone_keeps_the_rate(make_redis: Callable[[], Redis]) -> None:
    """Without Redis a process has the whole rate for itself, not none at all."""
    server, stop = make_redis(), Stop()
    one = throttle.shared(server.url, KEY, 0.001, stop)
    server.kill()
    assert asked_to_wait(one, stop) == 0
    assert asked_to_wait(one, stop) > 0


def test_a_redis_that_is_gone_leaves_what_was_learned(make_redis: Callable[[], Redis]) -> None:
    """Without Redis a process goes on at the rate that 429s taught all of them."""
    server, stop = make_redis(), Stop()
    first, second = (throttle.shared(server.url, KEY, None, stop) for _ in range(2))
    first.refused(first.wait())
    assert 0 < asked_to_wait(second, stop) <= 1 / 3 + TOLERANCE
    server.kill()
    assert asked_to_wait(second, stop) == 0
    assert 0 < asked_to_wait(second, stop) <= 1 / 3 + TOLERANCE


def test_a_frozen_redis_holds_nobody_for_ever(make_redis: Callable[[], Redis]) -> None:
    """A Redis that accepts and never answers runs into the socket's timeout; the wait returns."""
    server = make_redis()
    one = throttle.shared(server.url, KEY, None)
    one.wait()
    server.process.send_signal(signal.SIGSTOP)
    done = threading.Thread(target=one.wait, daemon=True)
    done.start()
    done.join(60)
    assert not done.is_alive()


def test_a_redis_that_returns_is_used_again(make_redis: Callable[[], Redis]) -> None:
    """After a restart the workers share their cool-down again."""
    server, stop = make_redis(), Stop()
    first, second = (throttle.shared(server.url, KEY, None, stop) for _ in range(2))
    first.wait()
    server.kill()
    server.restart()
    first.cool(60)
    assert asked_to_wait(second, stop) > 50
