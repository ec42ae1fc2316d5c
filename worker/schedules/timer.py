"""The timer: finds the slots that are due, and has each one carried out once.

Any number of timers may run at once, on any host, and each may be killed at any moment: a slot is accounted
for in one transaction of the ledger, and a run that nobody carries out any more is claimed again.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import logging
from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any, Protocol

from worker.errors import UsageError
from worker.ledger import Ledger
from worker.ledger.schedules import CatchUp, End, NewRun, Run, Schedule
from worker.reasons import plural
from worker.schedules.results import RunResult, payload_of
from worker.schedules.timetable import Timetable, time_zone

log = logging.getLogger(__name__)

_ON_TIME = dt.timedelta(minutes=5)
"""Slots that began longer ago were missed; with ``--catch-up none`` they are not run."""


class Runner(Protocol):
    """What carries out runs, in processes of their own."""

    def free(self) -> int:
        """Return how many more runs may be started now."""

    def start(self, run: Run) -> None:
        """Start carrying out a claimed run; it ends or releases the run itself."""


class Timer:
    """One scheduler's view of the schedules of a ledger.

    ``owner``: this process, as the owner of its claims; ``is_alive``: whether an owner on this machine still
    runs.
    """

    def __init__(
        self, ledger: Ledger, runner: Runner, owner: str, is_alive: Callable[[str], bool] = lambda owner: True
    ) -> None:
        self._ledger = ledger
        self._runner = runner
        self._owner = owner
        self._is_alive = is_alive

    def tick(self) -> None:
        """Account for the slots that have come, and start the runs that are due."""
        for schedule in self._ledger.schedules.come():
            try:
                self._account(schedule)
            except UsageError as error:  # a zone that this machine doesn't know must not hold up the others
                log.error("schedule %s: %s", schedule.name, error.message)
        self._free_the_dead()
        for run in self._ledger.schedules.due(self._runner.free()):
            if claimed := self._ledger.schedules.claim(run, self._owner):
                self._runner.start(claimed)

    def _account(self, schedule: Schedule) -> None:
        """Add the run of the latest slot that has come, if any; earlier ones are recorded as missed."""
        schedules = self._ledger.schedules
        now = schedules.now()
        slots = due_slots(schedule, now)
        if not slots:
            return
        slot, missed = slots[-1], len(slots) - 1
        run = NewRun(slot + delay(schedule, slot), first_slot(schedule, slot), missed)
        end = self._not_run(schedule, slot, missed, now)
        if schedules.account(schedule, slot, run, end) and end:
            log.warning("schedule %s: %s: %s", schedule.name, end.result, end.why)

    def _not_run(self, schedule: Schedule, slot: dt.datetime, missed: int, now: dt.datetime) -> End | None:
        """Return the end of a run that is not to begin, or None."""
        if going_on := self._ledger.schedules.going_on(schedule.name):
            why = f"the run of {going_on.slot:%Y-%m-%d %H:%M}Z has not ended"
            return self._ended(schedule, slot, RunResult.OVERLAP, missed, why, going_on.job)
        if schedule.catch_up is CatchUp.NONE and now - slot > _ON_TIME:
            why = f"no scheduler was running; {plural(missed + 1, 'slot')} missed"
            return self._ended(schedule, slot, RunResult.MISSED, missed, why, "")
        return None

    def _ended(
        self, schedule: Schedule, slot: dt.datetime, result: RunResult, missed: int, why: str, job: str
    ) -> End:  # fmt: skip
        facts: Mapping[str, Any] = {"result": result, "why": why, "job": job, "missed": missed}
        return End(result, why, job, payload_of(schedule, slot, facts), schedule.channels)

    def _free_the_dead(self) -> None:
        """End the claims of this machine's dead processes, which would otherwise run their full time."""
        for owner in self._ledger.schedules.owners():
            if not self._is_alive(owner):
                self._ledger.schedules.free(owner)


def due_slots(schedule: Schedule, now: dt.datetime) -> list[dt.datetime]:
    """Return the schedule's slots that have come and are not accounted for, oldest first."""
    if schedule.at:
        return [schedule.at] if schedule.accounted < schedule.at <= now else []
    return Timetable(schedule.cron, time_zone(schedule.zone)).due(schedule.accounted, now)


def delay(schedule: Schedule, slot: dt.datetime) -> dt.timedelta:
    """Return the jitter of a slot: the same for every scheduler, however often it is computed."""
    digest = hashlib.sha256(f"{schedule.name} {slot.timestamp()}".encode()).digest()
    return dt.timedelta(seconds=schedule.jitter * int.from_bytes(digest[:4]) / 2**32)


def next_slots(schedule: Schedule, moment: dt.datetime, number: int) -> list[dt.datetime]:
    """Return the next so many slots after a moment."""
    if schedule.at:
        return [schedule.at] if schedule.at > moment else []
    return list(islice(Timetable(schedule.cron, time_zone(schedule.zone)).after(moment), number))


def first_slot(schedule: Schedule, moment: dt.datetime) -> dt.datetime | None:
    """Return the first slot after a moment; None if there is none."""
    return next(iter(next_slots(schedule, moment, 1)), None)
