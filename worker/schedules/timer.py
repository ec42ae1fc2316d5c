"""The timer finds the slots that are due, and has each one run once.

Any number of timers may run at once, on any host, and each may be killed at any moment: a slot is accounted
for in one transaction of the ledger, and the run of a process that has died is claimed again.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import logging
from collections.abc import Callable
from itertools import islice
from typing import Protocol

from worker.errors import UsageError
from worker.ledger import Ledger
from worker.ledger.schedule_columns import CatchUp, End, NewRun, Run, Schedule
from worker.reasons import plural
from worker.schedules.results import RunResult, end_of
from worker.schedules.timetable import Timetable, time_zone

log = logging.getLogger(__name__)

_ON_TIME = dt.timedelta(minutes=5)
"""A slot that came longer ago was missed, and is not run with ``--catch-up none``."""


class Runner(Protocol):
    """A runner of claimed runs, each in a process of its own."""

    def free(self) -> int:
        """Return how many more runs may be started now."""

    def start(self, run: Run) -> None:
        """Start the process of a claimed run, which ends or releases the run itself."""


class Timer:
    """One scheduler's view of the schedules of a ledger.

    ``owner``: this process, as the owner of its claims. ``is_alive``: return whether the owner of a claim
    still runs; True for one on another machine, about which nothing is known.
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
        for schedule in self._ledger.schedules.with_due_slots():
            try:
                self._account_for_slots(schedule)
            except UsageError as error:  # a zone that this machine doesn't know must not hold up the others
                log.error("schedule %s: %s", schedule.name, error.message)
        self._end_claims_of_the_dead()
        for run in self._ledger.schedules.due(self._runner.free()):
            if claimed := self._ledger.schedules.claim(run, self._owner):
                self._runner.start(claimed)

    def _account_for_slots(self, schedule: Schedule) -> None:
        """Add the run of the latest slot that has come, if any; earlier ones are recorded as missed."""
        schedules = self._ledger.schedules
        now = schedules.now()
        slots = due_slots(schedule, now)
        if not slots:
            return
        slot = slots[-1]
        run = NewRun(slot, slot + delay(schedule, slot), first_slot(schedule, slot), missed=len(slots) - 1)
        end = self._end_before_start(schedule, run, now)
        if schedules.account_for(schedule, run, end) and end:
            log.warning("schedule %s: %s: %s", schedule.name, end.result, end.why)

    def _end_before_start(self, schedule: Schedule, run: NewRun, now: dt.datetime) -> End | None:
        """Return the end of a run that must not start; None if it may."""
        if earlier := self._ledger.schedules.going_on(schedule.name):
            why = f"the run of {earlier.slot:%Y-%m-%d %H:%M}Z has not ended"
            return end_of(schedule, run, RunResult.OVERLAP, why, earlier.job)
        if schedule.catch_up is CatchUp.NONE and now - run.slot > _ON_TIME:
            why = f"no scheduler was running; {plural(run.missed + 1, 'slot')} missed"
            return end_of(schedule, run, RunResult.MISSED, why)
        return None

    def _end_claims_of_the_dead(self) -> None:
        """End the claims of this machine's dead processes, rather than wait for their leases to expire."""
        for owner in self._ledger.schedules.owners():
            if not self._is_alive(owner):
                self._ledger.schedules.end_claims(owner)


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
    """Return the first ``number`` slots after a moment; fewer if the schedule ends."""
    if schedule.at:
        return [schedule.at] if schedule.at > moment else []
    return list(islice(Timetable(schedule.cron, time_zone(schedule.zone)).after(moment), number))


def first_slot(schedule: Schedule, moment: dt.datetime) -> dt.datetime | None:
    """Return the first slot after a moment; None if there is none."""
    return next(iter(next_slots(schedule, moment, 1)), None)
