"""Removal of old jobs and of old records of schedules' runs, except those that are still needed."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, text

from worker.ledger.notifications import Notifications
from worker.ledger.store import Store

EVERY = 3600.0
"""Seconds between two removals, whatever the number of schedulers."""

_BUDGET = 5.0
"""Seconds after which a scheduler turns to its other tasks, and leaves the rest for a later call."""

_RUNS_KEPT = 10
"""Newest runs of each schedule that stay, for ``schedule show``."""

_WAIT_KEPT = 86_400.0
"""Seconds for which the last wait of a dead process is kept."""

# Not over for certain, or too young: running, resumable, held by a process (undo), requests in flight.
_STAYS = """(j.finished IS NULL OR j.finished > :before OR j.expires >= :now
    OR EXISTS (SELECT 1 FROM writers w WHERE w.job = j.id AND w.until >= :now)
    OR EXISTS (SELECT 1 FROM chunks c
        WHERE c.job = j.id AND c.state = 'claimed' AND c.lease_until >= :now))"""
# Jobs that retry one another stay together. A schedule's next run is compared with its last job that knows
# who was absent (Absences.last). Its newest done job, and the newest with all rows in place, stay, too.
_REMOVABLE = text(f"""
    WITH ranked AS (
        SELECT j.id, j.root, j.state, coalesce(nullif(j.schedule, ''), r.schedule, '') AS schedule,
            row_number() OVER (
                PARTITION BY j.host, j.account, j.schedule, CASE j.schedule WHEN '' THEN j.roster ELSE '' END
                ORDER BY j.created DESC, j.id DESC) AS nr,
            row_number() OVER (
                PARTITION BY coalesce(nullif(j.schedule, ''), r.schedule, ''), j.state
                ORDER BY j.created DESC, j.id DESC) AS nr_in_state
        FROM jobs j LEFT JOIN jobs r ON r.id = j.root
    ), in_place AS (
        SELECT job, row_number() OVER (PARTITION BY schedule ORDER BY slot DESC) AS nr
        FROM schedule_runs WHERE result = 'in_place' AND job <> ''
    ), compared AS (
        SELECT a.job, row_number() OVER (
            PARTITION BY a.host, a.account, a.schedule ORDER BY j.finished DESC, a.job DESC) AS nr
        FROM absent_users a JOIN jobs j ON j.id = a.job
        WHERE j.state = 'done' AND a.schedule IN (SELECT name FROM schedules)
    ), staying AS (
        SELECT root FROM ranked WHERE nr <= :keep_last
        UNION SELECT root FROM ranked
            WHERE state = 'done' AND nr_in_state = 1 AND schedule IN (SELECT name FROM schedules)
        UNION SELECT root FROM ranked WHERE id IN (SELECT job FROM in_place WHERE nr = 1)
        UNION SELECT root FROM ranked WHERE id IN (SELECT job FROM compared WHERE nr = 1)
        UNION SELECT j.root FROM jobs j WHERE {_STAYS}
    )
    SELECT id, root FROM jobs
    WHERE (:account = '' OR account = :account) AND finished <= :before
        AND root NOT IN (SELECT root FROM staying)
    ORDER BY created DESC, id DESC""")  # noqa: S608  no value comes in
_RESUMABLE = text("""
    SELECT id FROM jobs
    WHERE (:account = '' OR account = :account) AND finished <= :before AND expires >= :now
    ORDER BY created DESC, id DESC""")
# The lock keeps retries of the job from beginning until this transaction ends.
_LOCK = text("UPDATE jobs SET state = state WHERE root = :root")
_STILL_STAYS = text(f"SELECT 1 FROM jobs j WHERE j.root = :root AND {_STAYS} LIMIT 1")  # noqa: S608
_TURN = text("""
    INSERT INTO meta (name, value) VALUES ('retention_due', :due)
    ON CONFLICT (name) DO UPDATE SET value = excluded.value
        WHERE CAST(meta.value AS DOUBLE PRECISION) <= :now OR CAST(meta.value AS DOUBLE PRECISION) > :due""")
_DUE_NOW = text("UPDATE meta SET value = '0' WHERE name = 'retention_due'")
# A slot is never run again: it is not after what its schedule has accounted for.
_FORGET_RUNS = text("""
    DELETE FROM schedule_runs WHERE state = 'ended' AND finished <= :before
        AND slot <= coalesce((SELECT accounted FROM schedules s WHERE s.name = schedule), slot)
        AND (schedule, slot) IN (
            SELECT schedule, slot FROM (
                SELECT schedule, slot, result,
                    row_number() OVER (PARTITION BY schedule ORDER BY slot DESC) AS nr,
                    row_number() OVER (PARTITION BY schedule, result ORDER BY slot DESC) AS nr_of_result
                FROM schedule_runs) r
            WHERE nr > :keep AND NOT (result = 'in_place' AND nr_of_result = 1))""")
_FORGET_WAITS = text("DELETE FROM waits WHERE seen_at < :before")
_AT_WORK = text("""
    SELECT 1 WHERE EXISTS (SELECT 1 FROM jobs WHERE state = 'running')
        OR EXISTS (SELECT 1 FROM writers WHERE until >= :now)""")


_FORGET = (
    text("DELETE FROM outcomes WHERE job = :job"),
    text("DELETE FROM deeds WHERE job = :job"),
    text("DELETE FROM undone WHERE job = :job"),
    text("DELETE FROM registrations WHERE job = :job"),
    text("DELETE FROM chunks WHERE job = :job"),
    text("DELETE FROM chunk_rows WHERE job = :job"),
    text("DELETE FROM pages WHERE job = :job"),
    text("DELETE FROM realms WHERE job = :job"),
    text("DELETE FROM writers WHERE job = :job"),
    text("DELETE FROM waits WHERE job = :job"),
    text("DELETE FROM absent_users WHERE job = :job"),
)
_FORGET_JOB = text("DELETE FROM jobs WHERE id = :job")


@dataclass(frozen=True, slots=True)
class Policy:
    """The choice of jobs to remove."""

    seconds: float
    """The age, since their end, from which jobs are removed; jobs that retried them must be as old."""
    keep_last: int = 0
    """How many of the newest jobs of each schedule, and of each roster name, stay whatever their age."""
    account: str = ""
    """The account whose jobs are removed; empty: all accounts."""


class Retention:
    """The removal of old entries from one ledger."""

    def __init__(self, store: Store, notifications: Notifications) -> None:
        self._store = store
        self._notifications = notifications

    def removable(self, policy: Policy) -> list[str]:
        """Return the ids of the jobs to remove, newest first.

        Never one that may still write, can be resumed or carried out, is being undone, or has a retry that
        stays; nor the one that the next run of a schedule is compared with.
        """
        return [job for job, _ in self._removable(policy)]

    def resumable(self, policy: Policy) -> list[str]:
        """Return the ids of jobs that are old enough, but stay because they can still be resumed."""
        with self._store.read() as connection:
            return list(connection.execute(_RESUMABLE, self._values(connection, policy)).scalars())

    def remove(self, policy: Policy, among: Sequence[str] | None = None) -> list[str]:
        """Remove jobs and return their ids; only those of ``among``, if it is given.

        A job that has got a retry since, or is being undone, stays.
        """
        wanted = None if among is None else set(among)
        found = [one for one in self._removable(policy) if wanted is None or one[0] in wanted]
        removed, _ = self._remove(policy, found, math.inf)
        return removed

    def run_if_due(self, policy: Policy, budget: float = _BUDGET) -> list[str]:
        """Remove old entries, unless a scheduler has done so within the hour. Return the ids of removed jobs.

        Raises LedgerAway if the ledger is locked: then nothing is lost, and a later call goes on.
        """
        with self._store.begin() as connection:
            now = self._store.now(connection)
            if connection.execute(_TURN, {"now": now, "due": now + EVERY}).rowcount != 1:
                return []
        self._forget_records(policy)
        removed, all_done = self._remove(policy, self._removable(policy), budget)
        if not all_done:
            with self._store.begin() as connection:
                connection.execute(_DUE_NOW)
        return removed

    def shrink(self) -> None:
        """Give freed space back to the file system, unless that would hold up a running job."""
        with self._store.read() as connection:
            at_work = connection.execute(_AT_WORK, {"now": self._store.now(connection)}).one_or_none()
        self._store.shrink(idle=at_work is None)

    def _removable(self, policy: Policy) -> list[tuple[str, str]]:
        with self._store.read() as connection:
            found = connection.execute(_REMOVABLE, self._values(connection, policy)).all()
        return [(row.id, row.root) for row in found]

    def _remove(
        self, policy: Policy, found: Sequence[tuple[str, str]], budget: float
    ) -> tuple[list[str], bool]:
        """Remove jobs, given with their roots, for ``budget`` seconds; return which, and whether all."""
        end = time.monotonic() + budget
        removed, left = [], list(reversed(found))
        while left and time.monotonic() <= end:
            job, root = left.pop()
            if self._remove_one(policy, job, root):
                removed.append(job)
        if removed:
            self.shrink()
        return removed, not left

    def _remove_one(self, policy: Policy, job: str, root: str) -> bool:
        """Remove a job in a transaction of its own, so that no other process waits for long."""
        with self._store.begin() as connection:
            connection.execute(_LOCK, {"root": root})
            values = {**self._values(connection, policy), "root": root}
            if connection.execute(_STILL_STAYS, values).one_or_none():
                return False
            return forget_job(connection, job)

    def _forget_records(self, policy: Policy) -> None:
        """Remove the records of runs, except the newest, of their notifications, and of dead processes."""
        with self._store.begin() as connection:
            values = self._values(connection, policy)
            connection.execute(_FORGET_RUNS, {**values, "keep": max(_RUNS_KEPT, policy.keep_last)})
            connection.execute(_FORGET_WAITS, {"before": self._store.now(connection) - _WAIT_KEPT})
        self._notifications.forget(policy.seconds)

    def _values(self, connection: Connection, policy: Policy) -> dict[str, object]:
        now = self._store.now(connection)
        return {"now": now, "before": now - policy.seconds, "keep_last": policy.keep_last,
                "account": policy.account}  # fmt: skip


def forget_job(connection: Connection, job: str, *, keep_job: bool = False) -> bool:
    """Delete a job with all its rows, and return whether it was there; ``keep_job``: only the rows."""
    for statement in _FORGET:
        connection.execute(statement, {"job": job})
    return not keep_job and connection.execute(_FORGET_JOB, {"job": job}).rowcount == 1
