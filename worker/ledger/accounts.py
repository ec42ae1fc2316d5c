"""Accounts: which job may write to one now, and which process holds it for the job."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, text

from worker.errors import JobBusy
from worker.ledger.store import Store
from worker.model import Job

# Acquired if nobody holds the account, if the hold has expired, or if it is this job's own.
_TAKE = text("""
    INSERT INTO writers (host, account, job, owner, until)
    VALUES (:host, :account, :job, :owner, :until)
    ON CONFLICT (host, account) DO UPDATE
        SET job = excluded.job, owner = excluded.owner, until = excluded.until
        WHERE writers.until < :now OR writers.until > :far OR writers.job = excluded.job""")
_WRITER = text("SELECT job, owner, until FROM writers WHERE host = :host AND account = :account")
_RENEW = text("UPDATE writers SET until = :until WHERE job = :job")
_RELEASE = text("DELETE FROM writers WHERE job = :job")
_RELEASE_OF = text("DELETE FROM writers WHERE job = :job AND owner = :owner")
_OWN = text("UPDATE writers SET owner = :owner WHERE job = :job")
WRITER_LEASE = 300.0
"""Seconds that a job may write to its account without renewing its hold."""

_LONGEST_HOLD = WRITER_LEASE + 60.0
"""Seconds: a hold that ends later was acquired before the clock was set back, and counts as over."""


@dataclass(frozen=True, slots=True)
class Writer:
    """The job and process that write to an account now."""

    job: str
    owner: str
    left: float
    """Seconds until the hold ends, unless it is renewed."""


def shown(owner: str) -> str:
    """Return the owner of a hold or a lease in words: ``process 30587 on vm``."""
    machine, _, process = owner.rpartition(":")
    return f"process {process.partition('.')[0]} on {machine}" if machine else owner


class Accounts:
    """The holds on accounts in one ledger: at most one job writes to an account."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def writer(self, host: str, account: str) -> Writer | None:
        """Return the writer of this account now; None if there is none."""
        with self._store.read() as connection:
            row = connection.execute(_WRITER, {"host": host, "account": account}).one_or_none()
            left = row.until - self._store.now(connection) if row else -1.0
        # Later than any hold can end: the clock was set back since.
        return Writer(row.job, row.owner, left) if row and 0 <= left <= _LONGEST_HOLD else None

    def holder_of(self, job: Job) -> str:
        """Return the process that holds the account for the job; empty if none does."""
        writer = self.writer(job.host, job.account)
        return writer.owner if writer and writer.job == job.id else ""

    def acquire(self, job: Job, owner: str) -> None:
        """Acquire the account, again if need be. Raises JobBusy, which names the job that holds it."""
        with self._store.begin() as connection:
            self.take(connection, job, owner)

    def renew(self, job: str) -> bool:
        """Renew the job's hold on its account; return False if it has lost it."""
        with self._store.begin() as connection:
            until = self._store.now(connection) + WRITER_LEASE
            return connection.execute(_RENEW, {"job": job, "until": until}).rowcount == 1

    def release(self, job: str) -> None:
        """Release the account: the job does not write for now."""
        with self._store.begin() as connection:
            self.let_go(connection, job)

    def release_dead(self, job: str, owner: str) -> None:
        """Release the job's account from a process that is known to be dead."""
        with self._store.begin() as connection:
            connection.execute(_RELEASE_OF, {"job": job, "owner": owner})

    def hand_over(self, job: str, owner: str) -> None:
        """Transfer the job's hold on its account to another process."""
        with self._store.begin() as connection:
            connection.execute(_OWN, {"job": job, "owner": owner})

    def take(self, connection: Connection, job: Job, owner: str) -> None:
        """Acquire the account in a transaction of the caller. Raises JobBusy."""
        now = self._store.now(connection)
        values = {"host": job.host, "account": job.account, "job": job.id, "owner": owner, "now": now,
                  "until": now + WRITER_LEASE, "far": now + _LONGEST_HOLD}  # fmt: skip
        if connection.execute(_TAKE, values).rowcount == 1:
            return
        other = connection.execute(_WRITER, values).one()
        raise JobBusy(
            f"job {other.job} is writing to account {job.account} on {job.host} "
            f"({shown(other.owner)}); its hold ends in {other.until - now:.0f} s, unless it goes on",
            f"wait for it: siproster status {other.job} --follow; or end it: siproster cancel {other.job}",
        )

    def let_go(self, connection: Connection, job: str) -> None:
        """Release the account in a transaction of the caller."""
        connection.execute(_RELEASE, {"job": job})
