"""Read a job's progress: counts, rate, time left, and what it waits for, read from the ledger."""

from __future__ import annotations

import math
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from worker.ledger import Ledger, Progress
from worker.model import Absent, Job, JobState
from worker.progress.job_waits import JobWaits, Patience
from worker.waits import HERE, WITHOUT_STOP, Wait, Waits, is_news, worded

_WINDOW = 10.0
"""Seconds over which the rate is measured, at least once so many have passed."""

_CHANGES = 3
"""Changes that the window holds, at least: large batches come seldom."""

_SOONEST = 3.0
"""Seconds of work before which there is no rate: too few to say what is left."""

_LOOK_AT_WAITS_EVERY = 0.5
"""Seconds between two looks at what the job waits for."""

_SHARE_OF_COUNTING = 15.0
"""Counting rows by status reads all outcomes, so that it may only take this part of the time."""


@dataclass(frozen=True, slots=True)
class ProgressFacts:
    """The progress of a job at one moment."""

    job: str
    """Empty: rows are worked on that belong to no job."""
    state: JobState
    rows: int
    """While the roster is being read: the rows so far."""
    settled: int
    """Rows that have their outcome, at the moment of ``counts``."""
    counts: Mapping[str, int]
    """Rows by status, without zeros; up to a few seconds old in a large job."""
    rate: float | None
    """Rows a second; None: not known yet, or the job waits."""
    rate_seconds: float | None
    """The time over which the rate was measured."""
    seconds_left: float | None
    """At this rate; None: not known, or the job waits."""
    waits: str
    """The wait, in words; empty: it waits for nothing."""
    wait_kind: str
    """A ``WaitKind``; empty: it waits for nothing."""

    def as_json(self) -> dict[str, Any]:
        """Return the facts as JSON has them, with rounded numbers."""
        return {
            **asdict(self),
            "state": self.state.value,
            "counts": dict(self.counts),
            "rate": None if self.rate is None else round(self.rate, 1),
            "rate_seconds": None if self.rate_seconds is None else round(self.rate_seconds, 1),
            "seconds_left": None if self.seconds_left is None else math.ceil(self.seconds_left),
        }


class Pace:
    """The rate at which rows get their outcomes, over the last seconds. ``clock``: monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._changes: deque[tuple[float, int]] = deque()

    def look(self, settled: int) -> None:
        """Note how many rows have their outcome now."""
        now = self._clock()
        if not self._changes or self._changes[-1][1] != settled:
            self._changes.append((now, settled))
        while len(self._changes) > _CHANGES and self._changes[1][0] <= now - _WINDOW:
            self._changes.popleft()

    def restart(self) -> None:
        """Forget what was measured: the job waits, and its rate afterwards may be another one."""
        self._changes.clear()

    @property
    def seconds(self) -> float:
        """Return the time over which the rate is measured."""
        return self._clock() - self._changes[0][0] if self._changes else 0.0

    @property
    def rate(self) -> float | None:
        """Return rows a second; None: not known yet."""
        if len(self._changes) < 2 or self.seconds < _SOONEST:
            return None
        return (self._changes[-1][1] - self._changes[0][1]) / self.seconds


CountRows = Callable[[], Mapping[str, int]]
"""Count the rows by status."""


class _Counts:
    """Counts of rows by status, taken now and then: counting may take long."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._due = -math.inf
        self._counts: Mapping[str, int] = {}
        self._settled = 0
        self._final = False

    def taken(self, count: CountRows, settled: int, *, final: bool) -> tuple[Mapping[str, int], int]:
        """Return the counts, and how many rows were settled when they were taken, so that both agree.

        ``final``: nothing changes any more, so that they must be of now.
        """
        now = self._clock()
        if now >= self._due or (final and not self._final):
            self._counts, self._settled, self._final = count(), settled, final
            took = self._clock() - now
            self._due = self._clock() + _SHARE_OF_COUNTING * took
        return self._counts, self._settled


class RowsProgress:
    """The progress of a command that works on rows itself, as ``verify``. ``clock``: monotonic seconds."""

    def __init__(self, count: CountRows, job: str = "", clock: Callable[[], float] = time.monotonic) -> None:
        self._job = job
        self._count = count
        self._counts = _Counts(clock)
        self._pace = Pace(clock)

    def look(self, rows: int, settled: int) -> ProgressFacts:
        """Return the progress now, with what this process waits for."""
        wait = HERE.gravest()
        wait = wait if wait and is_news(wait) else None
        self._pace.look(settled)
        counts = self._counts.taken(self._count, settled, final=settled >= rows)
        return _facts(self._job, JobState.RUNNING, Progress(rows, settled, 0), counts, self._pace, wait)


class ProgressReader:
    """Reads the progress of one job again and again, and measures its rate. ``clock``: monotonic seconds."""

    def __init__(
        self, ledger: Ledger, job: Job, waits: JobWaits, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.waits = waits
        self._ledger = ledger
        self._job = job
        self._clock = clock
        self._pace = Pace(clock)
        self._counts = _Counts(clock)
        self._waits_due = -math.inf

    def look(self, *, momentary: bool = False) -> ProgressFacts:
        """Return the progress now. ``momentary``: with waits that have just begun, too. Raises LedgerAway."""
        if self._job.state is JobState.PLANNING:  # its number of rows is not known yet
            self._job = self._ledger.jobs.get(self._job.id)
        state = self._ledger.jobs.state(self._job.id)
        progress = self._ledger.chunks.progress(self._job.id)
        if self._clock() >= self._waits_due:
            self.waits.look(progress.settled)
            self._waits_due = self._clock() + _LOOK_AT_WAITS_EVERY
        wait = self._wait(state)
        wait = wait if wait and (momentary or is_news(wait)) else None
        if state is JobState.RUNNING:
            self._pace.look(progress.settled)
        else:
            self._pace.restart()
        counts = self._counts.taken(
            lambda: _counts(self._ledger, self._job, progress), progress.settled, final=not state.active
        )
        return _facts(self._job.id, state, progress, counts, self._pace, wait)

    def _wait(self, state: JobState) -> Wait | None:
        held = state is JobState.PAUSED and self._ledger.accounts.holder_of(self._job)
        return self.waits.current() if held or state in (JobState.PLANNING, JobState.RUNNING) else None


def _facts(
    job: str,
    state: JobState,
    progress: Progress,
    taken: tuple[Mapping[str, int], int],
    pace: Pace,
    wait: Wait | None,
) -> ProgressFacts:
    counts, settled = taken
    stands = wait is not None and wait.kind not in WITHOUT_STOP
    if wait and stands and wait.waited > _WINDOW:  # shorter pauses are part of the rate
        pace.restart()
    rate = None if stands else pace.rate
    return ProgressFacts(
        job, state, progress.rows, settled, counts, rate, None if rate is None else pace.seconds,
        (progress.rows - progress.settled) / rate if rate else None,
        worded(wait) if wait else "", wait.kind if wait else "",
    )  # fmt: skip


def observed(ledger: Ledger, job: Job) -> ProgressReader:
    """Return a reader for an observer who knows the ledger alone, without a broker."""
    # It can't tell workers that are gone from those that are there, so it never asks for them.
    return ProgressReader(ledger, job, JobWaits(ledger, job, Patience(math.inf), list, Waits()))


def facts_of(ledger: Ledger, job: Job, waits: JobWaits | None = None) -> ProgressFacts:
    """Return the progress of a job now, with its rate since it started.

    ``waits``: what is known of its waits, already gathered; None: as much as the ledger knows. Follow a job
    with a ``ProgressReader``, which measures the present rate.
    """
    reader = ProgressReader(ledger, job, waits) if waits else observed(ledger, job)
    facts = reader.look(momentary=True)
    if facts.state is not JobState.RUNNING or not job.started or _stands(facts):
        return facts
    progress = ledger.chunks.progress(job.id)
    with ledger.store.read() as connection:  # by its clock, which has set the job's times
        worked = ledger.store.now(connection) - job.started.timestamp() - job.paused_seconds
    done = progress.settled - progress.known
    if not done or worked < 1:
        return facts
    return _at_rate(facts, done / worked, worked)


def _at_rate(facts: ProgressFacts, rate: float, seconds: float) -> ProgressFacts:
    left = (facts.rows - facts.settled) / rate
    return replace(facts, rate=rate, rate_seconds=seconds, seconds_left=left)


def _stands(facts: ProgressFacts) -> bool:
    """Return whether the job waits, so that its rate so far says nothing about the time left."""
    return bool(facts.waits) and facts.wait_kind not in WITHOUT_STOP


def _counts(ledger: Ledger, job: Job, progress: Progress) -> Mapping[str, int]:
    """Return the rows by status, and the leavers among them: they count as progress."""
    counts = Counter(ledger.rows.counts(job.id, job.rows or progress.rows))
    if job.options.absent is Absent.DELETE:
        counts += Counter(ledger.rows.leaver_counts(job.id))
    return {status.value: rows for status, rows in counts.items()}
