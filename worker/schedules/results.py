"""Results of a schedule's runs, and the facts that notifications carry."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from worker.ledger.schedules import Cause, Schedule

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


def payload_of(
    schedule: Schedule, slot: dt.datetime, facts: Mapping[str, Any], cause: Cause = Cause.SLOT
) -> dict[str, Any]:
    """Return the notification about the end of a run, without secrets and names of users.

    ``facts``: result, why, job and missed, and the job's summary if it has one.
    """
    return {
        "type": RUN_ENDED,
        "schedule": schedule.name,
        "account": schedule.account,
        "slot": slot.isoformat(),
        "cause": cause,
        "trouble": RunResult(facts["result"]).trouble,
        "summary": None,
        **facts,
    }
