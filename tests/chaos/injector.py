"""Does to the world what the schedule says, and puts right what it broke."""

from __future__ import annotations

import contextlib
import heapq
import itertools
import random
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from typing import Protocol

import psutil
import redis

from tests.chaos import weather
from tests.chaos.schedule import Event, Fault
from tests.chaos.tally import DUPLICATES, Tally
from tests.chaos.world import Service, World

_LONGER_THAN_A_LEASE = 130.0
"""Seconds: a claim holds for 120 (importing.chunk_session)."""

Change = Callable[[], None]


class Work(Protocol):
    """The job under faults, as far as they need it."""

    @property
    def command(self) -> subprocess.Popen[str]: ...
    @property
    def job(self) -> str: ...


class Injector:
    """Strikes when it is time. ``tick`` has to be called often; nothing here blocks for long."""

    def __init__(self, world: World, tally: Tally, work: Work, events: Sequence[Event]) -> None:
        self._world = world
        self._tally = tally
        self._work = work
        self._began = time.monotonic()
        self._order = itertools.count()
        self._due: list[tuple[float, int, Change]] = []
        self._mending: dict[int, Change] = {}
        self._redis_away = False
        for event in events:
            self._later(event.at, lambda event=event: self._strike(event))  # type: ignore[misc]

    def tick(self) -> None:
        """Do all that is due; start again what ended by itself."""
        while self._due and self._due[0][0] <= self._elapsed():
            heapq.heappop(self._due)[2]()
        self._tally.add("restarts by the supervisor", self._world.supervise())

    def mend(self) -> None:
        """End every fault that is still there; nothing strikes any more."""
        self._due.clear()
        for deed in list(self._mending.values()):
            deed()
        self._world.sandbox.knobs(**weather.CALM)

    def _elapsed(self) -> float:
        return time.monotonic() - self._began

    def _later(self, at: float, deed: Change) -> int:
        number = next(self._order)
        heapq.heappush(self._due, (at, number, deed))
        return number

    def _mend_in(self, seconds: float, deed: Change) -> None:
        """Call ``deed``, which repairs something, after ``seconds`` or as soon as everything is repaired."""

        def once() -> None:
            if self._mending.pop(number, None):
                deed()

        number = self._later(self._elapsed() + seconds, once)
        self._mending[number] = once

    def _strike(self, event: Event) -> None:
        if _DEEDS[event.fault](self, random.Random(event.luck)):
            self._tally.add(event.fault)

    # -- the faults: each says whether it struck

    def kill_group(self, luck: random.Random) -> bool:
        """SIGKILL to a whole worker group that is up; another one starts in its place soon."""
        group = self._pick(luck)
        if group is None:
            return False
        self._tally.add("claims in the hands of killed groups", self._world.claims(group))
        self._world.kill(group)
        failpoints = ""
        if luck.random() < 0.25:
            point = luck.choice(["claimed", "answered", "answered", "recorded", "ending"])
            failpoints = f"{point}=kill@{luck.randint(2, 9)}"
            self._tally.add("worker groups started with a deadly failpoint")
        self._mend_in(luck.uniform(0, 1), lambda: group.start(failpoints))
        return True

    def kill_pool_process(self, luck: random.Random) -> bool:
        """SIGKILL to one process of a pool."""
        group = self._pick(luck)
        pool = group.pool() if group else []
        if not pool:  # it has just begun, or is about to end
            return False
        with contextlib.suppress(psutil.NoSuchProcess):
            psutil.Process(luck.choice(pool)).kill()
        return True

    def kill_command(self, luck: random.Random) -> bool:
        """SIGKILL to the command that the user has running."""
        if self._work.command.poll() is not None:
            return False
        self._work.command.kill()
        return True

    def kill_scheduler(self, luck: random.Random) -> bool:
        """SIGKILL to the scheduler; another one starts some time later."""
        scheduler = self._world.scheduler
        if scheduler.down:
            return False
        self._world.kill(scheduler)
        self._mend_in(luck.uniform(0, 8), scheduler.start)
        return True

    def kill_redis(self, luck: random.Random) -> bool:
        """SIGKILL to Redis, which is started again on what it had saved."""
        if self._redis_away:
            return False
        self._redis_away = True
        self._world.redis.kill()
        self._mend_in(luck.uniform(0.2, 4), self._start_redis)
        return True

    def _start_redis(self) -> None:
        self._world.redis.restart()
        self._redis_away = False

    def wipe_redis(self, luck: random.Random) -> bool:
        """FLUSHALL."""
        if self._redis_away:
            return False
        with self._world.redis.client() as client:
            client.flushall()
        return True

    def freeze_redis(self, luck: random.Random) -> bool:
        """SIGSTOP to Redis: connections stay, answers don't come."""
        if self._redis_away:
            return False
        self._redis_away = True
        self._world.redis.process.send_signal(signal.SIGSTOP)
        self._mend_in(luck.uniform(1, 14), self._thaw_redis)
        return True

    def _thaw_redis(self) -> None:
        self._world.redis.process.send_signal(signal.SIGCONT)
        self._redis_away = False

    def outlive_claims(self, luck: random.Random) -> bool:
        """A worker group is frozen, its leases end, others take its chunks; then it wakes."""
        group = self._pick(luck)
        if group is None or not self._world.claims(group):
            return False
        self._freeze(group, luck.uniform(4, 12))
        ended = self._world.end_leases(group)
        self._tally.add("leases ended under frozen workers", ended)
        self._tally.add("workers frozen in the middle of a transaction", not ended)
        return True

    def outsleep_lease(self, luck: random.Random) -> bool:
        """A worker group is frozen until its leases are over by themselves; tried until one has some."""
        group = self._pick(luck)
        if group is None or not self._world.claims(group):
            self._later(
                self._elapsed() + 0.5, lambda: self._strike(Event(0, Fault.OUTSLEPT, luck.getrandbits(32)))
            )
            return False
        self._freeze(group, _LONGER_THAN_A_LEASE)
        return True

    def _freeze(self, group: Service, seconds: float) -> None:
        process = group.process
        group.signal(signal.SIGSTOP)

        def thaw() -> None:
            if group.process is process:
                group.signal(signal.SIGCONT)

        self._mend_in(seconds, thaw)

    def deliver_again(self, luck: random.Random) -> bool:
        """Queue three more messages for each of some chunks, in whatever state they are."""
        seqs = self._world.chunks(self._work.job) if self._work.job and not self._redis_away else []
        if not seqs:
            return False
        chosen = luck.sample(seqs, min(3, len(seqs)))
        with contextlib.suppress(redis.RedisError):
            self._world.deliver(self._work.job, chosen, 3)
        self._tally.add(DUPLICATES, 3 * len(chosen))
        return True

    def change_weather(self, luck: random.Random) -> bool:
        """Other faults of the service."""
        name, knobs = weather.bad(luck)
        self._world.sandbox.knobs(**knobs)
        self._tally.add(f"weather: {name}")
        return True

    def _pick(self, luck: random.Random) -> Service | None:
        """A worker group that is up and not frozen."""
        up = [group for group in self._world.groups if not group.frozen and group.pool()]
        return luck.choice(up) if up else None


_DEEDS: dict[Fault, Callable[[Injector, random.Random], bool]] = {
    Fault.GROUP_KILLED: Injector.kill_group,
    Fault.POOL_KILLED: Injector.kill_pool_process,
    Fault.COMMAND_KILLED: Injector.kill_command,
    Fault.SCHEDULER_KILLED: Injector.kill_scheduler,
    Fault.REDIS_KILLED: Injector.kill_redis,
    Fault.REDIS_WIPED: Injector.wipe_redis,
    Fault.REDIS_FROZEN: Injector.freeze_redis,
    Fault.CLAIM_OUTLIVED: Injector.outlive_claims,
    Fault.OUTSLEPT: Injector.outsleep_lease,
    Fault.DUPLICATED: Injector.deliver_again,
    Fault.WEATHER: Injector.change_weather,
}
