"""The states of jobs, chunks and rows, and the reasons for which a job does not go on."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Self


class JobState(StrEnum):
    """The state of a job."""

    PLANNING = "planning"
    """The roster is being read; nothing is on the queue yet."""
    RUNNING = "running"
    PAUSED = "paused"
    """Waiting for the service, or interrupted; ``resume`` goes on."""
    DONE = "done"
    """Every row has its outcome."""
    STOPPED = "stopped"
    """Stopped before the end for the reason in ``why``; ``resume`` goes on."""
    CANCELLED = "cancelled"
    """Cancelled by the user; only ``retry`` continues it."""

    @property
    def active(self) -> bool:
        """Return whether the job may still write to the service."""
        return self in (JobState.PLANNING, JobState.RUNNING, JobState.PAUSED)


class ChunkState(StrEnum):
    """The state of a chunk of a job."""

    WAITING = "waiting"
    """To be worked on, from its ``next_attempt_at`` on."""
    CLAIMED = "claimed"
    """A worker works on it until its ``lease_until``."""
    ENDED = "ended"
    """Every row of it has its outcome."""


class Status(StrEnum):
    """The result for a row; the values of ``bw__status``."""

    CREATED = "created"
    """New, and made by this job: an answer of the service names it."""
    UPDATED = "updated"
    """It existed; this job set its digests or its application."""
    UNCHANGED = "unchanged"
    """It exists with exactly these digests; not provably made by this job."""
    EXISTS = "exists"
    """It exists with other digests and was left alone."""
    INVALID = "invalid"
    """Never sent: the row itself is wrong."""
    DELETED = "deleted"
    """A stored user who is not in the roster; this job deleted it. Only in absent.csv."""
    SKIPPED = "skipped"
    """Never sent: the entry is not a phone user, such as a trunk of a PBX export."""
    FAILED = "failed"
    """The service refused it."""
    UNKNOWN = "unknown"
    """Sent, the answer was lost, and looking it up has not settled it, or not yet."""
    UNPROCESSED = "unprocessed"
    """Not attempted. Never stored: it means that there is no outcome."""

    @property
    def in_place(self) -> bool:
        """Return whether the row's user can register with the row's password."""
        return self in (Status.CREATED, Status.UNCHANGED, Status.UPDATED, Status.DELETED)

    @property
    def in_trouble(self) -> bool:
        """Return whether the row should be in place, and is not."""
        return not (self.in_place or self is Status.SKIPPED)

    @property
    def counts_as_failed(self) -> bool:
        """Return whether ``--max-failed`` counts the row."""
        return self is Status.FAILED or self is Status.UNKNOWN or self is Status.INVALID


class Action(StrEnum):
    """The action that a plan states for a row."""

    CREATE = "create"
    """No user of that name exists."""
    UPDATE = "update"
    """It exists with other digests or another application, which the job sets."""
    UNCHANGED = "unchanged"
    """It exists as wanted."""
    EXISTS = "exists"
    """It exists with other digests, and is left alone."""
    INVALID = "invalid"
    """Not sent: the row itself is wrong."""
    SKIP = "skip"
    """Not sent: the entry is not a phone user."""

    @property
    def writes(self) -> bool:
        """Return whether the row needs a writing request."""
        return self in (Action.CREATE, Action.UPDATE)

    @property
    def leads_to_trouble(self) -> bool:
        """Return whether the row should be in place, and would not be afterwards."""
        return self in (Action.EXISTS, Action.INVALID)


class Reason(StrEnum):
    """The reason why a job does not go on; ``codes.REASONS`` has its meaning and what to do about it.

    ``state`` is the state in which it leaves the job, ``exit_code`` that of a command which ends so.
    """

    state: JobState
    exit_code: int

    def __new__(cls, code: str, state: JobState = JobState.STOPPED, exit_code: int = 1) -> Self:
        """Make a member whose value is the code alone."""
        member = str.__new__(cls, code)
        member._value_ = code
        member.state, member.exit_code = state, exit_code
        return member

    AUTHENTICATION_REFUSED = "authentication_refused", JobState.STOPPED, 2
    """The service refused the credentials."""
    ACCOUNT_NOT_FOUND = "account_not_found", JobState.STOPPED, 3
    """The account is unknown or locked."""
    NOT_ALLOWED = "not_allowed", JobState.STOPPED, 4
    """The account is not set up for SIP credentials."""
    STOPPED = "stopped", JobState.STOPPED, 1
    """The other side is not the service, or its answers make no sense."""
    SEAL_BROKEN = "seal_broken", JobState.STOPPED, 1
    """Sealed rows of a chunk don't open."""
    MAX_FAILED = "max_failed", JobState.STOPPED, 11
    """More rows than ``--max-failed`` went wrong."""
    MAX_CHANGES = "max_changes", JobState.PLANNING, 11
    """More than ``--max-changes`` would have changed; the job is a plan that waits for approval."""
    REQUIRE_ROWS = "require_rows", JobState.PLANNING, 11
    """The roster has fewer rows than ``--require-rows``; the job is a plan that waits for approval."""
    NOT_AFTER = "not_after", JobState.STOPPED, 11
    """The window of ``--not-after`` has ended."""
    UNAVAILABLE = "unavailable", JobState.PAUSED, 5
    """The service can't be reached, or fails."""
    BROKER = "broker", JobState.PAUSED, 5
    """Redis does not answer."""
    NO_WORKER = "no_worker", JobState.PAUSED, 5
    """No worker answers for the account."""
    ACCOUNT_BUSY = "account_busy", JobState.PAUSED, 5
    """Another job writes to the account."""
    THROTTLED = "throttled", JobState.PAUSED, 7
    """The service limits the rate."""
    INTERRUPTED = "interrupted", JobState.PAUSED, 130
    """Ctrl-C, or the command was ended."""
    CANCELLED = "cancelled", JobState.CANCELLED, 10
    """Cancelled by ``cancel``."""
    EXISTS = "exists", JobState.CANCELLED, 10
    """``--on-existing fail``, and some users exist with another password or application."""
    SAVED = "saved", JobState.PLANNING, 0
    """A plan that waits to be carried out; exit code 10 if some rows would not be in place afterwards."""
    CARRIED_OUT = "carried_out", JobState.CANCELLED, 10
    """A plan that another job has carried out."""
    EXPIRED = "expired", JobState.CANCELLED, 10
    """It was not resumed, or the plan not carried out, while its passwords were kept."""
    UNDONE = "undone", JobState.CANCELLED, 10
    """``undo`` reverses a stopped job's changes, so it can't be resumed any more."""


@dataclass(frozen=True, slots=True)
class Why:
    """The reason why a job, or one of its chunks, does not go on, and a sentence with the details."""

    reason: Reason
    text: str

    def __str__(self) -> str:
        """Return ``code: sentence``, as people and ``--json`` see it."""
        return f"{self.reason}: {self.text}"
