"""The current waits of the processes that work on a job, for commands that show the job's state."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import text

from worker.ledger.chunks import LONGEST_AHEAD
from worker.ledger.store import Store
from worker.states import Reason, Why
from worker.waits import Wait, WaitKind

FRESH = 15.0
"""Seconds after which a wait that its process has not repeated is over, or its process dead."""

_TELL = text("""
    INSERT INTO waits (job, process, kind, reason, since, until, seen_at)
    VALUES (:job, :process, :kind, :reason, :since, :until, :now)
    ON CONFLICT (job, process) DO UPDATE SET kind = excluded.kind, reason = excluded.reason,
        since = excluded.since, until = excluded.until, seen_at = excluded.seen_at""")
_CLEAR = text("DELETE FROM waits WHERE job = :job AND process = :process")
_OF_JOB = text("""
    SELECT kind, reason, since, until FROM waits
    WHERE job = :job AND seen_at BETWEEN :from AND :to""")

# A chunk on the queue waits for a worker, and not for the service.
_AWAY_OF = text("""
    SELECT seq, unanswered, waits_reason, waits_for, next_attempt_at,
        CASE WHEN state = 'claimed' OR (next_attempt_at > :now AND next_attempt_at <= :far) THEN 1 ELSE 0 END
        AS waits
    FROM chunks WHERE job = :job AND state <> 'ended' AND waits_reason <> ''""")
_LEASES = text("SELECT owner, max(lease_until) AS until FROM chunks WHERE job = :job AND state = 'claimed' "
               "GROUP BY owner")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Away:
    """A chunk that waits for the service, or has waited for it and made no progress since."""

    seq: int
    unanswered: float
    """Seconds that it had waited when it was last released."""
    why: Why
    left: float
    """Seconds until it is tried again; below 0: it is on the queue, or being tried."""
    waits: bool
    """Whether it waits for the service at this moment, and not for its turn."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The longest claim of a process on a job's chunks; ``left``: seconds until it ends."""

    owner: str
    left: float


class LedgerWaits:
    """The waits of all processes of one ledger; each reports its most serious one."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def tell(self, job: str, process: str, wait: Wait | None) -> None:
        """Record a process's current wait; None: nothing. It is reported again every few seconds."""
        with self._store.begin() as connection:
            if wait is None:
                connection.execute(_CLEAR, {"job": job, "process": process})
                return
            now = self._store.now(connection)
            connection.execute(_TELL, {
                "job": job, "process": process, "kind": wait.kind, "reason": wait.reason, "now": now,
                "since": now - wait.waited, "until": None if wait.left is None else now + wait.left,
            })  # fmt: skip

    def of(self, job: str) -> list[Wait]:
        """Return the current waits of the job's processes, as far as reported recently."""
        with self._store.read() as connection:
            now = self._store.now(connection)
            values = {"job": job, "from": now - FRESH, "to": now + FRESH}
            rows = connection.execute(_OF_JOB, values).all()
        return [
            Wait(
                WaitKind(row.kind), row.reason, max(0.0, now - row.since),
                None if row.until is None else row.until - now,
            )
            for row in rows
        ]  # fmt: skip

    def away(self, job: str) -> list[Away]:
        """Return the chunks that wait for the service."""
        with self._store.read() as connection:
            now = self._store.now(connection)
            rows = connection.execute(_AWAY_OF, {"job": job, "now": now, "far": now + LONGEST_AHEAD}).all()
        return [
            Away(
                row.seq, row.unanswered, Why(Reason(row.waits_reason), row.waits_for),
                row.next_attempt_at - now, bool(row.waits),
            )
            for row in rows
        ]  # fmt: skip

    def leases(self, job: str) -> list[Lease]:
        """Return the owners of claims on the job's chunks, and how long each still holds."""
        with self._store.read() as connection:
            now = self._store.now(connection)
            rows = connection.execute(_LEASES, {"job": job}).all()
        return [Lease(row.owner, row.until - now) for row in rows]
