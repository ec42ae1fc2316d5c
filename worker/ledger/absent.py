"""Users who were absent from a roster when a job read it, as sealed hashes of their names."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import text

from worker.ledger.store import Store
from worker.model import Job

_ADD = text("""
    INSERT INTO absent_users (job, host, account, schedule, roster, sealed)
    VALUES (:job, :host, :account, :schedule, :roster, :sealed)""")
_LAST = """
    SELECT a.job, a.sealed FROM absent_users a JOIN jobs j ON j.id = a.job
    WHERE a.host = :host AND a.account = :account AND {same} AND j.state = 'done' AND a.job <> :job
    ORDER BY j.finished DESC, a.job DESC LIMIT 1"""
_LAST_OF_SCHEDULE = text(_LAST.format(same="a.schedule = :schedule AND a.schedule <> ''"))
_LAST_OF_ROSTER = text(_LAST.format(same="a.roster = :roster"))
# New jobs are only compared with the last finished job of their schedule or roster.
_DROP_OLD = text("""
    DELETE FROM absent_users
    WHERE host = :host AND account = :account AND roster = :roster AND schedule = :schedule
        AND job NOT IN (:job, :last)
        AND job IN (SELECT id FROM jobs WHERE state IN ('done', 'cancelled'))""")


@dataclass(frozen=True, slots=True)
class AbsentUsers:
    """The sealed hashes of the names of the users who were absent when a job read its roster."""

    job: str
    sealed: bytes


class Absences:
    """The absent users of the last jobs, by schedule and by roster."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def add(self, job: Job, roster: str, sealed: bytes) -> None:
        """Record a job's absent users. ``roster``: its roster's key (``importing.absent.roster_key``)."""
        last = self.last(job, roster)
        values = {**_values(job, roster), "sealed": sealed, "last": last.job if last else ""}
        with self._store.begin() as connection:
            connection.execute(_ADD, values)
            connection.execute(_DROP_OLD, values)

    def last(self, job: Job, roster: str) -> AbsentUsers | None:
        """Return those of the last finished job of the same schedule or, without one, of the same roster."""
        with self._store.read() as connection:
            for statement in (_LAST_OF_SCHEDULE, _LAST_OF_ROSTER):
                if row := connection.execute(statement, _values(job, roster)).one_or_none():
                    return AbsentUsers(row.job, bytes(row.sealed))
        return None


def _values(job: Job, roster: str) -> dict[str, str]:
    return {"job": job.id, "host": job.host, "account": job.account, "schedule": job.schedule,
            "roster": roster}  # fmt: skip
