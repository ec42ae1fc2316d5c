"""Every slot of a schedule is run once, by several schedulers that are killed, on a clock that jumps."""

from __future__ import annotations

import datetime as dt
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event

from worker.ledger import Ledger
from worker.ledger.schedule_columns import CatchUp, End, Run, RunState, Schedule
from worker.model import Options
from worker.schedules.timer import Timer, first_slot, next_slots
from worker.schedules.timetable import Timetable, time_zone

START = dt.datetime(2027, 3, 1, tzinfo=dt.UTC)
SLOTS = 1000
MANY = 200

HOURLY = [
    ("berlin", "17 1-4 * * *", "Europe/Berlin"),  # clocks go forward on 28 March at 02:00
    ("new-york", "30 0-3 * * *", "America/New_York"),  # forward on 14 March at 02:00
    ("lord-howe", "*/45 1-3 * * *", "Australia/Lord_Howe"),  # back on 4 April, by half an hour
]


class Killed(BaseException):
    """The scheduler is gone, in the middle of whatever it did."""


@dataclass
class Clock:
    """A clock that all processes share, and that can be set."""

    now: float = START.timestamp()

    def __call__(self) -> float:
        return self.now


@dataclass
class Carrier:
    """Carries out runs at once, and remembers each effect. Dies when it is told to."""

    ledger: Ledger
    dice: random.Random
    effects: Counter[tuple[str, dt.datetime]]
    deadly: bool = False
    room: int = 4

    def free(self) -> int:
        return self.room

    def start(self, run: Run) -> None:
        """Die before, or after the effect and before its record, or do it all."""
        fate = self.dice.choice(["before", "claimed"]) if self.deadly else "all"
        if fate == "before":
            raise Killed
        if not self.ledger.schedules.set_job(run, f"job-{run.slot:%m%d-%H%M}"):
            return
        if fate == "claimed":
            raise Killed
        if self.ledger.schedules.end(run, End("in_place", job=f"job-{run.slot:%m%d-%H%M}")):
            self.effects[run.schedule, run.slot] += 1


@dataclass
class World:
    """One ledger, its clock, and three schedulers."""

    ledger: Ledger
    clock: Clock
    dice: random.Random
    effects: Counter[tuple[str, dt.datetime]] = field(default_factory=Counter)
    alive: dict[str, bool] = field(default_factory=dict)
    killed: int = 0

    def scheduler(self) -> tuple[Timer, Carrier, str]:
        """A new scheduler process."""
        owner = f"host:{len(self.alive)}"
        self.alive[owner] = True
        carrier = Carrier(self.ledger, self.dice, self.effects)
        return Timer(self.ledger, carrier, owner, lambda one: self.alive.get(one, False)), carrier, owner


def schedule(name: str, cron: str, zone: str, catch_up: CatchUp = CatchUp.LATEST) -> Schedule:
    """A schedule that begins at START."""
    made = Schedule(
        name=name, cron=cron, zone=zone, at=None, jitter=0, catch_up=catch_up, again=False, source="/r.csv",
        options=Options(), profile="", host="https://h", environment="prod", account="9900001", channels=(),
        operator="o", machine="m", created=START, paused=None, accounted=START, next_slot=None,
    )  # fmt: skip
    return Schedule(**{**{n: getattr(made, n) for n in made.__slots__}, "next_slot": first_slot(made, START)})


@pytest.fixture(params=["sqlite", "postgresql"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """A world on each kind of ledger."""
    clock = Clock()
    url = f"sqlite:///{tmp_path / 'ledger'}"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres_url")
    ledger = Ledger(url, clock)
    yield World(ledger, clock, random.Random(7))
    ledger.close()


def test_every_slot_once(world: World) -> None:
    """Three schedulers, one killed at each slot, the clock set forward and back: no slot twice, none lost."""
    for name, cron, zone in HOURLY:
        world.ledger.schedules.add(schedule(name, cron, zone))
    schedulers = [world.scheduler() for _ in range(3)]
    furthest = world.clock.now
    while len(world.effects) < SLOTS:
        world.clock.now = max(world.clock.now, _first(world)) + world.dice.choice([0, 1, 30])
        if world.dice.random() < 0.02:
            world.clock.now += world.dice.choice([-7200, -3600, 3600, 5 * 3600])
        furthest = max(furthest, world.clock.now)
        world.dice.shuffle(schedulers)
        due = bool(world.ledger.schedules.with_due_slots())
        schedulers[0][1].deadly = due
        for place, (timer, carrier, owner) in enumerate(list(schedulers)):
            try:
                timer.tick()
            except Killed:
                world.killed += 1
                world.alive[owner] = False
                schedulers[place] = world.scheduler()
            carrier.deadly = False
    assert world.killed > SLOTS / 2
    assert set(world.effects.values()) == {1}
    end = dt.datetime.fromtimestamp(furthest, dt.UTC)
    for name, cron, zone in HOURLY:
        _check_accounts(world, name, Timetable(cron, time_zone(zone)).due(START, end))


def _first(world: World) -> float:
    """The time of the first slot to come."""
    return min(one.next_slot.timestamp() for one in world.ledger.schedules.all() if one.next_slot)


def _check_accounts(world: World, name: str, slots: list[dt.datetime]) -> None:
    """Each slot of the timetable was run, or is counted as missed by the run after it."""
    runs = world.ledger.schedules.runs(name, 10_000)[::-1]
    ran = [run.slot for run in runs]
    unfinished = [run for run in runs if run.state is not RunState.ENDED]
    assert len(unfinished) <= 1
    seen, number = [], 0
    for run in runs:
        number += run.missed + 1
        seen.append(slots[number - 1])
    assert ran == seen  # as many slots lie between two runs as the later one calls missed
    assert len(slots) - number <= 1  # the last tick may have come before the last slot


def test_clock_changes_are_slots_like_others(world: World) -> None:
    """Around each change there is one run for each slot: no hour lost, none run twice."""
    cases = [
        ("Europe/Berlin", "30 2 * * *", dt.datetime(2027, 3, 27, tzinfo=dt.UTC)),
        ("America/New_York", "30 1 * * *", dt.datetime(2027, 11, 6, tzinfo=dt.UTC)),
        ("Australia/Lord_Howe", "45 1 * * *", dt.datetime(2027, 4, 3, tzinfo=dt.UTC)),
    ]
    for zone, cron, start in cases:
        slots = next_slots(schedule("one", cron, zone), start, 4)
        days = [slot.astimezone(time_zone(zone)).date() for slot in slots]
        assert [(b - a).days for a, b in pairwise(days)] == [1, 1, 1], zone


def test_none_to_catch_up(world: World) -> None:
    """With ``--catch-up none`` a slot that was missed is recorded, told, and not run."""
    world.ledger.schedules.add(schedule("nightly", "0 2 * * *", "UTC", CatchUp.NONE))
    timer, _, _ = world.scheduler()
    world.clock.now += 3 * 86_400
    timer.tick()
    [run] = world.ledger.schedules.runs("nightly", 10)
    assert (run.state, run.result, run.missed) == (RunState.ENDED, "missed", 2)
    world.clock.now = dt.datetime(2027, 3, 4, 2, 0, 30, tzinfo=dt.UTC).timestamp()
    timer.tick()
    assert dict(world.effects) == {("nightly", dt.datetime(2027, 3, 4, 2, tzinfo=dt.UTC)): 1}


def test_overlap(world: World) -> None:
    """A slot that comes while the run before it goes on is recorded as an overlap, and not run."""
    world.ledger.schedules.add(schedule("often", "*/10 * * * *", "UTC"))
    timer, carrier, _ = world.scheduler()
    carrier.room = 0
    for _ in range(3):
        world.clock.now += 600
        timer.tick()
    results = [run.result for run in world.ledger.schedules.runs("often", 10)]
    assert results == ["overlap", "overlap", ""]
    carrier.room = 1
    timer.tick()
    assert world.effects == Counter({("often", START + dt.timedelta(minutes=10)): 1})


def test_a_paused_schedule(world: World) -> None:
    """No slot of a paused schedule is run, and none is caught up."""
    schedules = world.ledger.schedules
    schedules.add(schedule("often", "*/10 * * * *", "UTC"))
    timer, _, _ = world.scheduler()
    assert schedules.pause("often")
    assert not schedules.pause("often")
    world.clock.now += 3600
    timer.tick()
    now = schedules.now()
    assert schedules.resume("often", now, first_slot(schedules.get("often"), now))
    timer.tick()
    assert not world.effects
    world.clock.now += 600
    timer.tick()
    assert len(world.effects) == 1


def test_a_zone_that_is_not_there(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """A schedule in a zone that this machine doesn't know is logged, and holds no other one up."""
    for name, zone in (("a", "Mars/Olympus"), ("b", "UTC")):
        made = replace(schedule(name, "0 2 * * *", "UTC"), zone=zone)
        world.ledger.schedules.add(made)
    timer, _, _ = world.scheduler()
    world.clock.now += 86_400
    timer.tick()
    assert {name for name, _ in world.effects} == {"b"}
    assert "schedule a: Mars/Olympus: this is not a time zone" in caplog.text


def test_a_late_process(world: World) -> None:
    """A process that wakes up after its claim has passed to another one can't end the run."""
    schedules = world.ledger.schedules
    schedules.add(schedule("nightly", "0 2 * * *", "UTC"))
    run = schedules.add_manual("nightly")
    first = schedules.claim(run, "host:1")
    assert first
    assert schedules.claim(run, "host:2") is None
    world.clock.now += 61
    second = schedules.claim(run, "host:2")
    assert second
    assert not schedules.renew(first, "host:1")
    assert not schedules.end(first, End("in_place"))
    assert schedules.end(second, End("in_place"))


def test_many_schedules(world: World) -> None:
    """A tick asks the ledger a few questions when nothing is due, and a few for each slot when all are."""
    for number in range(MANY):
        world.ledger.schedules.add(schedule(f"site-{number}", "0 2 * * *", "Europe/Berlin"))
    timer, carrier, _ = world.scheduler()
    carrier.room = 10
    idle = _statements(timer)
    world.clock.now += 3 * 3600
    due = _statements(timer)
    assert idle < 10
    assert due < MANY * 10
    assert len(world.effects) == 10
    for _ in range(MANY // 10 - 1):
        timer.tick()
    assert len(world.effects) == MANY
    assert set(world.effects.values()) == {1}


def _statements(timer: Timer) -> int:
    """The number of statements of a tick."""
    found: list[str] = []

    def note(*given: Any) -> None:
        found.append(given[2])

    event.listen(Engine, "before_cursor_execute", note)
    timer.tick()
    event.remove(Engine, "before_cursor_execute", note)
    return len(found)


def test_a_process_that_gave_its_run_back(world: World) -> None:
    """Only deaths count as attempts: waiting for an account for hours uses none of them up."""
    schedules = world.ledger.schedules
    schedules.add(schedule("nightly", "0 2 * * *", "UTC"))
    run = schedules.add_manual("nightly")
    for _ in range(20):
        claimed = schedules.claim(run, "host:1")
        assert claimed
        assert schedules.release(claimed, 30, "busy")
        world.clock.now += 31
    for deaths in range(3):
        claimed = schedules.claim(run, "host:1")
        assert claimed
        assert claimed.attempts == 2 + deaths
        assert schedules.release(claimed, 0, "died", died=True)
