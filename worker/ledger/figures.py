"""Figures about a whole ledger, for monitoring: backlog, schedules, notifications, and who works on what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import text

from worker.ledger.chunks import LONGEST_AHEAD
from worker.ledger.store import Store
from worker.ledger.waits import FRESH
from worker.waits import Wait, WaitKind

_HELD = "c.state = 'claimed' AND c.lease_until BETWEEN :now AND :far"
_OPEN = """chunks c JOIN jobs j ON j.id = c.job
        WHERE c.state IN ('waiting', 'claimed') AND j.state IN ('running', 'paused')"""
# Due since it was put on the queue; if it was not, since it may be: from its time, or from the job's start.
_BACKLOG = text(f"""
    SELECT account, sum(held) AS held, count(*) - sum(held) AS waiting,
        sum(CASE WHEN held = 0 THEN rows ELSE 0 END) AS rows,
        max(CASE WHEN held = 1 THEN :now - began END) AS chunk_age,
        max(CASE WHEN held = 0 AND due <= :now THEN :now - due END) AS queue_age
    FROM (
        SELECT j.account, c.rows - c.settled AS rows, coalesce(c.claimed_at, :now) AS began,
            CASE WHEN {_HELD} THEN 1 ELSE 0 END AS held,
            CASE WHEN c.state = 'claimed' THEN c.lease_until WHEN c.enqueued_at IS NOT NULL THEN c.enqueued_at
                WHEN c.next_attempt_at > coalesce(j.started, 0) THEN c.next_attempt_at
                ELSE coalesce(j.started, :now) END AS due
        FROM {_OPEN}) AS open
    GROUP BY account""")  # noqa: S608  all ours
_JOBS = text("""
    SELECT account, state, count(*) AS jobs FROM jobs
    WHERE state IN ('planning', 'running', 'paused') GROUP BY account, state""")
_NOTIFICATIONS = text("SELECT state, count(*) AS number FROM notifications GROUP BY state")
_RUNS = text("""
    SELECT schedule, result, count(*) AS runs, max(finished) AS finished FROM schedule_runs
    WHERE state = 'ended' GROUP BY schedule, result""")
_SCHEDULES = text("SELECT name, account, created, paused, next_slot FROM schedules")
_LAST_RESULTS = text("""
    SELECT schedule, result FROM schedule_runs r WHERE state = 'ended' AND slot = (
        SELECT max(slot) FROM schedule_runs o WHERE o.schedule = r.schedule AND o.state = 'ended')""")
_WORK = text(f"""
    SELECT c.owner, c.job, c.seq, j.account, c.rows, c.settled,
        :now - coalesce(c.claimed_at, :now) AS seconds,
        w.kind, w.reason, :now - w.since AS waited, w.until - :now AS until
    FROM chunks c JOIN jobs j ON j.id = c.job
    LEFT JOIN waits w ON w.job = c.job AND w.process = c.owner AND w.seen_at >= :fresh
    WHERE {_HELD} ORDER BY c.owner""")  # noqa: S608  all ours
_RUNS_GOING_ON = text("""
    SELECT owner, schedule, slot, job, :now - coalesce(started, :now) AS seconds FROM schedule_runs
    WHERE state = 'claimed' AND lease_until >= :now ORDER BY schedule""")


@dataclass(frozen=True, slots=True)
class Backlog:
    """The chunks of an account's jobs that have not ended. Ages are seconds; 0: there is none."""

    account: str
    waiting: int
    """Chunks that no worker has claimed."""
    rows: int
    """Rows in them without an outcome."""
    held: int
    """Chunks that a worker is working on."""
    queue_age: float
    """How long the oldest chunk has been due."""
    chunk_age: float
    """How long the oldest claim has been worked on."""


@dataclass(frozen=True, slots=True)
class ScheduleFigures:
    """A schedule and its last run. Times are epoch seconds; None: never."""

    name: str
    account: str
    created: float
    paused: bool
    next_slot: float | None
    last_run: float | None
    last_result: str
    ended: Mapping[str, float]
    """Result to the time of the last run that ended with it."""
    runs: Mapping[str, int]
    """Result to the number of runs that the ledger still records."""


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of a ledger at one moment."""

    backlogs: Sequence[Backlog]
    jobs: Mapping[tuple[str, str], int]
    """Account and state to the number of jobs that have not ended."""
    notifications: Mapping[str, int]
    schedules: Sequence[ScheduleFigures]


@dataclass(frozen=True, slots=True)
class Work:
    """A chunk that a process is working on, for so many seconds."""

    process: str
    job: str
    chunk: int
    account: str
    rows: int
    rows_done: int
    seconds: float
    wait: Wait | None


@dataclass(frozen=True, slots=True)
class RunWork:
    """A scheduled run that a process is carrying out, for so many seconds. ``slot``: epoch seconds."""

    process: str
    schedule: str
    slot: float
    job: str
    seconds: float


class FiguresReader:
    """Reader of figures about one ledger."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def read(self) -> Figures:
        """Return all figures, read in one transaction. Raises LedgerError."""
        with self._store.read() as connection:
            now = self._store.now(connection)
            open_chunks = connection.execute(_BACKLOG, {"now": now, "far": now + LONGEST_AHEAD}).all()
            jobs = connection.execute(_JOBS).all()
            notifications = connection.execute(_NOTIFICATIONS).all()
            runs = connection.execute(_RUNS).all()
            last = {row.schedule: row.result for row in connection.execute(_LAST_RESULTS)}
            schedules = connection.execute(_SCHEDULES).all()
        ended: dict[str, dict[str, float]] = {}
        numbers: dict[str, dict[str, int]] = {}
        for row in runs:
            ended.setdefault(row.schedule, {})[row.result] = row.finished
            numbers.setdefault(row.schedule, {})[row.result] = row.runs
        return Figures(
            [Backlog(row.account, int(row.waiting), int(row.rows), int(row.held),
                     max(0.0, row.queue_age or 0.0), max(0.0, row.chunk_age or 0.0)) for row in open_chunks],
            {(row.account, row.state): row.jobs for row in jobs},
            {row.state: row.number for row in notifications},
            [ScheduleFigures(row.name, row.account, row.created, row.paused is not None, row.next_slot,
                             max(ended.get(row.name, {}).values(), default=None), last.get(row.name, ""),
                             ended.get(row.name, {}), numbers.get(row.name, {})) for row in schedules],
        )  # fmt: skip

    def work(self) -> list[Work]:
        """Return the chunks that are being worked on. Raises LedgerError."""
        with self._store.read() as connection:
            now = self._store.now(connection)
            values = {"now": now, "far": now + LONGEST_AHEAD, "fresh": now - FRESH}
            rows = connection.execute(_WORK, values).all()
        return [
            Work(row.owner, row.job, row.seq, row.account, row.rows, row.settled, max(0.0, row.seconds),
                 Wait(WaitKind(row.kind), row.reason, max(0.0, row.waited), row.until) if row.kind else None)
            for row in rows
        ]  # fmt: skip

    def runs(self) -> list[RunWork]:
        """Return the scheduled runs that are being carried out. Raises LedgerError."""
        with self._store.read() as connection:
            rows = connection.execute(_RUNS_GOING_ON, {"now": self._store.now(connection)}).all()
        return [RunWork(row.owner, row.schedule, row.slot, row.job, max(0.0, row.seconds)) for row in rows]
