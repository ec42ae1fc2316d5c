"""A claim on a chunk while it holds: its lease, its unconfirmed rows, and the outcomes recorded so far.

Creating and updating share it. The ledger refuses every write (Fenced) once another worker has claimed the
chunk, so a worker that wakes up late changes nothing.
"""

from __future__ import annotations

import itertools
import logging
import random
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter
from typing import Protocol

from worker.errors import Stopping, Throttled, TryLater
from worker.failpoints import hit
from worker.importing.api_protocols import Source
from worker.importing.change_log import change_of, is_confirmed, is_unproven
from worker.importing.compare import fill_digests, wanted
from worker.importing.stop_rules import (
    is_past,
    retention,
    stop_at_end_of_window,
    stop_when_too_many_failed,
)
from worker.ledger import Changes, Claim, JobRealm, Ledger, Unanswered
from worker.ledger.codec import Change, open_changes, seal_changes, seal_chunk
from worker.ledger.new_chunks import troubled
from worker.meter import METER
from worker.model import Family, Job, JobState, Outcome, Row, Status, Stored
from worker.reasons import plural
from worker.seal import Seal
from worker.states import Reason, Why

log = logging.getLogger(__name__)

LEASE = 120.0
"""Seconds that a claim holds without renewal: well over the deadline of one request."""

TURN = 200.0
"""Seconds after which a chunk is released with its outcomes so far, below Celery's task limits."""

SHORT_TURN = 10.0
"""The same where another account needs the process."""

_LONGEST_WAIT = 300.0
"""Most seconds until a chunk that met an unavailable service is tried again."""

_LONGEST_ASKED = 3600.0
"""Most seconds that the service may ask a chunk to wait: a distant date must not delay it for ever."""


class ChunkYield(Exception):
    """Raised when no further request of this chunk should start now; outcomes recorded so far stay."""


@dataclass(frozen=True, slots=True)
class WorkerProcess:
    """The resources that a worker process works with. ``stopping`` is set when it is asked to stop."""

    ledger: Ledger
    seal: Seal
    api: Source
    executor: Executor
    """The executor, which bounds the requests in flight of the whole process."""
    id: str
    stopping: threading.Event
    count: Callable[[], tuple[int, int]]
    """Return the requests and retries since the last call."""
    clock: Callable[[], float] = time.monotonic
    others_wait: Callable[[], bool] = bool
    """Return whether another account needs this process; by default none does."""


@dataclass(slots=True)
class _Recording:
    """Outcomes of one answered batch on their way into the ledger."""

    outcomes: Sequence[Outcome]
    state: JobState | None = None
    """The job's state, once they are committed."""
    error: BaseException | None = None


class Lease:
    """The time left on a claim, by this process's own clock, so that it notices when it wakes up late."""

    def __init__(self, ledger: Ledger, claim: Claim, claimed_at: float, clock: Callable[[], float]) -> None:
        self._ledger = ledger
        self._claim = claim
        self._clock = clock
        self._until = claimed_at + LEASE
        self._lock = threading.Lock()
        self._waiting = deque[_Recording]()

    def permit(self, deadline: float) -> None:
        """Renew the lease if it would end before a request of ``deadline`` seconds does. Raises Fenced."""
        with self._lock:
            if self._until - self._clock() > deadline:
                return
            began = self._clock()
            self._ledger.chunks.renew(self._claim, LEASE)
            self._until = began + LEASE

    def record(
        self, outcomes: Sequence[Outcome], changes_of: Callable[[Sequence[Outcome]], Changes | None]
    ) -> JobState:
        """Commit outcomes and their changes, which renews the lease, and return the job's state.

        Batches that are answered while another one is being committed share the next transaction. Raises
        Fenced.
        """
        recording = _Recording(outcomes)
        self._waiting.append(recording)
        with self._lock:
            if recording.state is None and recording.error is None:
                self._commit([self._waiting.popleft() for _ in range(len(self._waiting))], changes_of)
        if recording.error:
            raise recording.error
        return recording.state or JobState.RUNNING

    def _commit(
        self, group: Sequence[_Recording], changes_of: Callable[[Sequence[Outcome]], Changes | None]
    ) -> None:
        outcomes = list(itertools.chain.from_iterable(one.outcomes for one in group))
        began = self._clock()
        try:
            state = self._ledger.chunks.record(self._claim, outcomes, LEASE, changes_of(outcomes))
        except BaseException as error:  # each of their threads raises it
            for one in group:
                one.error = error
            return
        self._until = began + LEASE
        for one in group:
            one.state = state

    def record_before_image(self, changes: Changes) -> None:
        """Commit the state of a credential before it is changed, and renew the lease. Raises Fenced."""
        with self._lock:
            began = self._clock()
            self._ledger.chunks.record_before_image(self._claim, LEASE, changes)
            self._until = began + LEASE


class RowSession(Protocol):
    """The part of a chunk's session that creating and updating rows need."""

    unconfirmed: set[int]

    @property
    def family(self) -> Family: ...
    @property
    def realms(self) -> Mapping[int, JobRealm]: ...
    @property
    def earlier_attempts(self) -> int: ...
    @property
    def changes_begun(self) -> Sequence[Change]: ...
    def permit(self, deadline: float) -> None: ...
    def check_continue(self) -> None: ...
    def record(self, outcomes: Sequence[Outcome]) -> None: ...
    def record_before_image(self, row: Row, now: Stored) -> None: ...
    def learn_batch_limit(self, limit: int) -> None: ...


class ChunkSession:
    """One claim on one chunk and its rows, from opening the seal to the end. Shared by threads."""

    def __init__(
        self,
        job: Job,
        process: WorkerProcess,
        claim: Claim,
        rows: list[Row],
        realms: dict[int, JobRealm],
        claimed_at: float,
    ) -> None:
        self.job = job
        self.claim = claim
        self.rows = rows
        self.realms = realms
        self.over = False
        """Return whether no further batch should begin."""
        self.unconfirmed = {
            row.line for row in rows if claim.is_unconfirmed(row.line)
        } - claim.recorded.keys()
        """Lines that were, or may have been, sent and whose answer is still missing."""
        self._process = process
        self._ledger = process.ledger
        self._began = self._answered = claimed_at
        self._lease = Lease(process.ledger, claim, claimed_at, process.clock)
        self._statuses: dict[int, Status] = dict(claim.recorded)
        self._state = JobState.RUNNING
        self._by_line = {row.line: row for row in rows}

    @property
    def family(self) -> Family:
        """Return the job's endpoint family."""
        return self.job.options.api

    @property
    def earlier_attempts(self) -> int:
        """Return how many claims the chunk had before this one."""
        return self.claim.attempts - 1

    def begun(self) -> None:
        """Log that work on the chunk begins."""
        if log.isEnabledFor(logging.INFO):
            rows, attempts = plural(len(self.open_rows()), "row"), self.claim.attempts
            again = f" to go, claim {attempts}" if attempts > 1 else ""
            log.info("chunk %s/%d begins: %s%s", self.job.id, self.claim.seq, rows, again)

    def open_rows(self) -> list[Row]:
        """Return the rows without an outcome."""
        return [row for row in self.rows if row.line not in self._statuses]

    def permit(self, deadline: float) -> None:
        """Allow a writing request of at most ``deadline`` seconds to start. Raises Fenced."""
        self._lease.permit(deadline)

    def check_continue(self) -> None:
        """Raise ChunkYield if the job or the chunk's turn is over, or the process was asked to stop."""
        if is_past(self.job.options.not_after):
            stop_at_end_of_window(self._ledger, self.job)
            self._state = JobState.STOPPED
        stopped = self.over or self._process.stopping.is_set() or self._state is not JobState.RUNNING
        if stopped or self._turn_is_over():
            raise ChunkYield

    def _turn_is_over(self) -> bool:
        elapsed = self._process.clock() - self._began
        return elapsed > SHORT_TURN and (elapsed > TURN or self._process.others_wait())

    def record(self, outcomes: Sequence[Outcome]) -> None:
        """Commit outcomes, and the changes that they prove, in one transaction. Raises Fenced."""
        if not outcomes:
            return
        self._state = self._lease.record(outcomes, self._changes_of)
        self._answered = self._process.clock()
        statuses = [outcome.status for outcome in outcomes]
        self._statuses.update(zip([outcome.line for outcome in outcomes], statuses, strict=True))
        if METER.on:
            for status in Status:
                if rows := statuses.count(status):
                    METER.count("rows", rows, self.job.account, status.value)
        if self.unconfirmed:
            self.unconfirmed.difference_update([outcome.line for outcome in outcomes])
        if troubled(outcomes) and stop_when_too_many_failed(self._ledger, self.job):
            self._state = JobState.STOPPED
        hit("recorded")

    def record_before_image(self, row: Row, now: Stored) -> None:
        """Commit a credential's state before it is changed, so that it can be restored. Raises Fenced."""
        change = change_of(row.line, row.realm_key, now.id, wanted(row, row.host), now)
        self._lease.record_before_image(self._sealed([change], 1))

    def learn_batch_limit(self, limit: int) -> None:
        """Store with the job the most entries that the service accepts in one request (code 23003)."""
        self._ledger.jobs.learn_batch_limit(self.job.id, limit)

    @property
    def batch_size(self) -> int:
        """Return the number of rows in one request: the option's, or less if the service takes less."""
        size = self.job.options.batch_size
        return min(size, self.claim.batch_limit or size)

    @cached_property
    def changes_begun(self) -> list[Change]:
        """Return the changes that an earlier claim was about to make, and so may have made."""
        if not any(map(attrgetter("stored"), self.rows)):
            return []
        job, seq, seal = self.job.id, self.claim.seq, self._process.seal
        sealed = self._ledger.changes.of_chunk(job, seq)
        return [
            change
            for key, part in sealed
            for change in open_changes(seal, job, seq, key.nr, part)
            if change.before
        ]

    @property
    def of_leavers(self) -> bool:
        """Return whether the chunk holds leavers; they are never in a chunk with rows of the roster."""
        return self.rows[0].line < 0

    def end(self) -> None:
        """End the chunk, whose rows all have outcomes, and shred the rows in place. Raises Fenced."""
        left = [] if self.of_leavers else [row for row in self.rows if not self._statuses[row.line].in_place]
        claim = self.claim
        sealed = seal_chunk(self._process.seal, claim.job, claim.seq, left) if left else None
        hit("ending")
        self._ledger.chunks.end(claim, sealed, retention(self.job.options), *self._process.count())
        self._log_end("ended")
        if self._ledger.jobs.finish(claim.job):
            log.info("job %s has ended: every row has an outcome", claim.job)

    def give_back(self, later: TryLater | None = None) -> None:
        """Release the chunk with its outcomes so far. Raises Fenced.

        ``later``: the service is away, or (Stopping) only this process can't go on.
        """
        away = None if isinstance(later, Stopping) else later
        waited = self._process.clock() - self._answered
        unanswered = Unanswered(why_later(away), waited) if away else None
        delay = self._delay(away) if away else _asked(later)
        unconfirmed = sorted(self.unconfirmed)
        self._ledger.chunks.release(self.claim, delay, unconfirmed, *self._process.count(), unanswered)
        why = f": {later.message}; tried again in {delay:.0f} s" if later else ""
        self._log_end(f"given back with {plural(len(self.open_rows()), 'open row')}{why}")

    def _log_end(self, how: str) -> None:
        seconds = self._process.clock() - self._began
        METER.count("chunk_seconds", seconds, self.job.account)
        if log.isEnabledFor(logging.INFO):
            counts = Counter([status.value for status in self._statuses.values()])
            told = ", ".join(f"{rows:,} {status}" for status, rows in sorted(counts.items())) or "no outcome"
            log.info("chunk %s/%d %s after %.1f s: %s", self.job.id, self.claim.seq, how, seconds, told)

    def _delay(self, later: TryLater) -> float:
        # Jitter, so that the chunks of a long outage don't all come back at the same moment.
        doubled = 2.0 ** min(self.claim.claims_without_progress, 9)
        grown = min(_LONGEST_WAIT, doubled) * random.uniform(0.5, 1.0)  # noqa: S311
        return max(grown, _asked(later))

    def _changes_of(self, outcomes: Sequence[Outcome]) -> Changes | None:
        """Return the changes for what this job created, including wrong results, and may have created."""
        by_line = self._by_line
        created = [
            (by_line[outcome.line], outcome, confirmed)
            for outcome, confirmed in zip(outcomes, map(is_confirmed, outcomes), strict=True)
            if (confirmed or is_unproven(outcome)) and not by_line[outcome.line].stored
        ]
        if not created:
            return None
        fill_digests([row for row, *_ in created])  # rows that were looked up and not sent have none yet
        changes = [
            change_of(row.line, row.realm_key, outcome.credential_id, row) for row, outcome, _ in created
        ]
        return self._sealed(changes, sum([confirmed for *_, confirmed in created]))

    def _sealed(self, changes: Sequence[Change], rows: int) -> Changes:
        """Return the changes, to be sealed for their place in the log; ``rows``: how many are done."""
        job, seq, seal = self.job.id, self.claim.seq, self._process.seal
        return Changes(rows, lambda nr: seal_changes(seal, job, seq, nr, changes))


def _asked(later: TryLater | None) -> float:
    """Return the seconds after which the chunk should be tried again, as far as that is known."""
    return min(later.retry_after or 0.0, _LONGEST_ASKED) if later else 0.0


def why_later(later: TryLater) -> Why:
    """Return the reason why a job or chunk waits, as the ledger records it."""
    reason = Reason.THROTTLED if isinstance(later, Throttled) else Reason.UNAVAILABLE
    return Why(reason, later.message)
