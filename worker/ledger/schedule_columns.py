"""Schedules and their runs as plain data, and their conversion from the ledger's columns."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from worker.ledger.job_columns import options_of
from worker.model import Options


class CatchUp(StrEnum):
    """The treatment of slots that were missed because no scheduler ran."""

    LATEST = "latest"
    """The latest of them is run, once."""
    NONE = "none"
    """None of them is run."""


class Cause(StrEnum):
    """The cause of a run."""

    SLOT = "slot"
    """A slot of the cron expression, or the time of a single run."""
    MANUAL = "manual"
    """``siproster schedule run``."""


class RunState(StrEnum):
    """The state of a run."""

    DUE = "due"
    """To be carried out, from its ``not_before`` on."""
    CLAIMED = "claimed"
    """A process carries it out until its lease ends."""
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Schedule:
    """A recurring import, or a single one at a set time. Times are in UTC."""

    name: str
    cron: str
    """The cron expression; empty for a single run."""
    zone: str
    at: dt.datetime | None
    """The time of a single run."""
    jitter: float
    """Seconds by which a run is delayed at most."""
    catch_up: CatchUp
    again: bool
    """Whether a version of the roster that was imported before is imported again."""
    source: str
    options: Options
    profile: str
    host: str
    environment: str
    account: str
    channels: tuple[str, ...]
    operator: str
    machine: str
    created: dt.datetime
    paused: dt.datetime | None
    accounted: dt.datetime
    """Slots up to this time, a whole second, were run, or recorded as missed."""
    next_slot: dt.datetime | None
    """The first slot after ``accounted``; None if there is none."""


@dataclass(frozen=True, slots=True)
class NewRun:
    """A run to be added."""

    slot: dt.datetime
    not_before: dt.datetime
    """The slot, delayed by the schedule's jitter."""
    next_slot: dt.datetime | None = None
    """The slot that follows; None if there is none."""
    missed: int = 0
    cause: Cause = Cause.SLOT


@dataclass(frozen=True, slots=True)
class Run:
    """A run of a schedule. Times are in UTC."""

    schedule: str
    slot: dt.datetime
    cause: Cause
    state: RunState
    owner: str
    generation: int
    attempts: int
    """Claims since a process last released the run itself, counting that process's claim."""
    not_before: dt.datetime
    missed: int
    """The slots before this one that were missed, and are not run."""
    job: str
    files: tuple[tuple[str, str], ...]
    """Hash (SHA-256) and name of each file that the job imports."""
    result: str
    why: str
    started: dt.datetime | None
    finished: dt.datetime | None


@dataclass(frozen=True, slots=True)
class End:
    """The end of a run: its result with the details, and what is to be recorded with it."""

    result: str
    why: str = ""
    job: str = ""
    payload: Mapping[str, Any] = field(default_factory=dict)
    """The notification."""
    channels: Sequence[str] = ()
    """The notification channels that get it."""


def epoch_of(moment: dt.datetime | None) -> float | None:
    """Return a moment as the ledger stores it; None stays None."""
    return None if moment is None else moment.timestamp()


def moment_of(epoch: float) -> dt.datetime:
    """Return a moment that the ledger stores, in UTC."""
    return dt.datetime.fromtimestamp(epoch, dt.UTC)


def _moment_or_none(epoch: float | None) -> dt.datetime | None:
    return None if epoch is None else moment_of(epoch)


def schedule_of(row: Any) -> Schedule:
    """Return the schedule of a database row."""
    return Schedule(
        name=row["name"], cron=row["cron"], zone=row["zone"], at=_moment_or_none(row["at"]),
        jitter=row["jitter"], catch_up=CatchUp(row["catch_up"]), again=bool(row["again"]),
        source=row["source"], options=options_of(json.loads(row["options"])), profile=row["profile"],
        host=row["host"], environment=row["environment"], account=row["account"],
        channels=tuple(json.loads(row["channels"])), operator=row["operator"], machine=row["machine"],
        created=moment_of(row["created"]), paused=_moment_or_none(row["paused"]),
        accounted=moment_of(row["accounted"]), next_slot=_moment_or_none(row["next_slot"]),
    )  # fmt: skip


def run_of(row: Any) -> Run:
    """Return the run of a database row."""
    return Run(
        schedule=row["schedule"], slot=moment_of(row["slot"]), cause=Cause(row["cause"]),
        state=RunState(row["state"]), owner=row["owner"], generation=row["generation"],
        attempts=row["attempts"], not_before=moment_of(row["not_before"]), missed=row["missed"],
        job=row["job"], files=tuple((sha256, name) for sha256, name in json.loads(row["files"])),
        result=row["result"], why=row["why"], started=_moment_or_none(row["started"]),
        finished=_moment_or_none(row["finished"]),
    )  # fmt: skip
