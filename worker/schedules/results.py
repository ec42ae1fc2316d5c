"""Results of a schedule's runs, and the notification about the end of each run."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from worker.ledger.schedule_columns import End, NewRun, Run, Schedule

RUN_ENDED = "siproster.run.ended"
"""The type of the event (docs/notifications.md)."""


class RunResult(StrEnum):
    """The result of a run."""

    IN_PLACE = "in_place"
    """Every row is in place."""
    NOT_IN_PLACE = "not_in_place"
    """The job is done, and some rows are not in place."""
    STOPPED = "stopped"
    """The job stopped before its end."""
    APPROVAL_NEEDED = "approval_needed"
    """A guard held it back before anything was sent; its plan waits for approval."""
    NOTHING_NEW = "nothing_new"
    """This version of the roster was imported before."""
    OVERLAP = "overlap"
    """The run before it had not ended."""
    MISSED = "missed"
    """No scheduler ran at its time."""
    ACCOUNT_BUSY = "account_busy"
    """Another job wrote to the account all the time."""
    UNAVAILABLE = "unavailable"
    """The service, the broker or the ledger did not answer in time."""
    FAILED = "failed"
    """The roster or the settings can't be used."""

    @property
    def trouble(self) -> bool:
        """Return whether somebody should look at it."""
        return self not in (RunResult.IN_PLACE, RunResult.NOTHING_NEW)


def end_of(
    schedule: Schedule, run: Run | NewRun, result: RunResult, why: str, job: str = "", **facts: Any
) -> End:
    """Return the end of a run with its notification, which has no secrets and no user names.

    ``facts``: more values of the notification, such as ``next`` and the job's ``summary``.
    """
    payload = {
        "type": RUN_ENDED,
        "schedule": schedule.name,
        "account": schedule.account,
        "slot": run.slot.isoformat(),
        "cause": run.cause,
        "result": result,
        "trouble": result.trouble,
        "why": why,
        "job": job,
        "missed": run.missed,
        "summary": None,
        **facts,
    }
    return End(result, why, job, payload, schedule.channels)
