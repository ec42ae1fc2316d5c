"""Jobs: their stored facts and their states."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from sqlalchemy import text

from worker.errors import Conflict, NotFound
from worker.ledger.accounts import Accounts
from worker.ledger.expiry import PAUSED_SO_FAR, resumable_until, start_retention
from worker.ledger.job_columns import JobRealm, columns_of, columns_of_why, job_of
from worker.ledger.retention import forget_job
from worker.ledger.store import Store
from worker.model import Job, JobState, Options, Realm
from worker.states import Reason, Why

_INSERT = text("""
    INSERT INTO jobs (id, state, reason, why, host, environment, account, options, operator, machine, version,
        key, roster, source, sha256, columns, warnings, rows, parent, root, schedule, slot, created, expires)
    VALUES (:id, :state, :reason, :why, :host, :environment, :account, :options, :operator, :machine,
        :version, :key, :roster, :source, :sha256, :columns, '{}', :rows, :parent, :root, :schedule, :slot,
        :created, :expires)""")
# The lock keeps a purge from removing the parent while its retry begins.
_LOCK_PARENT = text("UPDATE jobs SET state = state WHERE id = :job RETURNING root")
_SELECT = text("""
    SELECT j.*,
        look_requests + (SELECT coalesce(sum(requests), 0) FROM chunks c WHERE c.job = j.id) AS requests,
        look_retries + (SELECT coalesce(sum(retries), 0) FROM chunks c WHERE c.job = j.id) AS retries
    FROM jobs j WHERE j.id = :job""")
_KEYS = text("SELECT DISTINCT key FROM jobs ORDER BY key")
_NEWEST = text("SELECT id FROM jobs ORDER BY created DESC, id DESC")
_ACTIVE = text("SELECT id FROM jobs WHERE state IN ('running', 'paused') ORDER BY created")
_READ = text("""
    UPDATE jobs SET rows = :rows, warnings = :warnings, look_requests = :requests, look_retries = :retries
    WHERE id = :job""")
_ABSENT = text("UPDATE jobs SET absent = :absent WHERE id = :job")
_UNDONE = text("UPDATE jobs SET undone = :now WHERE id = :job")
_SAVE = text("""
    UPDATE jobs SET saved = :now, expires = :until, reason = :reason, why = :why
    WHERE id = :job AND state = 'planning'""")
_KEEP_ALL_UNTIL = text("UPDATE chunks SET kept_until = :until WHERE job = :job")
_CARRIED_OUT = text("""
    UPDATE jobs SET state = 'cancelled', carried_out_by = :by, finished = :now, expires = NULL,
        reason = :reason, why = :why
    WHERE id = :job AND state = 'planning'""")
_SHRED = text("DELETE FROM chunk_rows WHERE job = :job")
# Rows that were kept only for the case that a guard holds the job back (Chunks without ``kept_until``).
_SHRED_IN_PLACE = text("""
    DELETE FROM chunk_rows WHERE job = :job AND EXISTS (
        SELECT 1 FROM chunks c
        WHERE c.job = chunk_rows.job AND c.seq = chunk_rows.seq AND c.state = 'ended'
            AND c.kept_until IS NULL)""")
# A retry's schedule is that of the first job of its family.
_OVERTAKEN = text("""
    SELECT newer.id FROM jobs mine JOIN jobs first ON first.id = mine.root
    JOIN jobs newer ON newer.schedule = first.schedule
    WHERE mine.id = :job AND first.schedule <> '' AND newer.root <> first.id
        AND newer.created > first.created AND newer.started IS NOT NULL
    ORDER BY newer.created DESC LIMIT 1""")
_CHILDREN = text("SELECT id FROM jobs WHERE parent = :job ORDER BY created, id")
# Another job of the account with chunks that were worked on since this one was added.
_DISTURBED = text("""
    SELECT 1 FROM jobs mine
    JOIN jobs j ON j.host = mine.host AND j.account = mine.account AND j.id <> mine.id
    JOIN chunks c ON c.job = j.id AND c.generation > 0
    WHERE mine.id = :job AND (j.started > mine.created OR c.lease_until > mine.created + :lease) LIMIT 1""")
_WARNINGS = text("SELECT warnings FROM jobs WHERE id = :job")
_PAUSED = text("SELECT reason, why, paused FROM jobs WHERE id = :job AND state = 'paused'")
_STATE = text("SELECT state FROM jobs WHERE id = :job")
_START = text(f"""
    UPDATE jobs SET state = 'running', reason = '', why = '', paused_seconds = paused_seconds
            + CASE WHEN finished IS NULL THEN {PAUSED_SO_FAR}
                WHEN :now > finished THEN :now - finished ELSE 0 END,
        paused = NULL, finished = NULL, expires = NULL, started = coalesce(started, :now)
    WHERE id = :job AND state IN ('planning', 'running', 'paused', 'stopped')""")  # noqa: S608  no value comes in
_PAUSE = text("""
    UPDATE jobs SET state = 'paused', reason = :reason, why = :why, paused = coalesce(paused, :now),
        expires = CASE WHEN paused IS NULL THEN :expires ELSE expires END
    WHERE id = :job AND state IN ('running', 'paused')""")
_STOP = text(f"""
    UPDATE jobs SET state = :state, reason = :reason, why = :why,
        paused_seconds = paused_seconds + {PAUSED_SO_FAR}, paused = NULL, finished = :now, expires = :expires
    WHERE id = :job AND state IN ('planning', 'running', 'paused')""")  # noqa: S608  no value comes in
_STOP_AGAIN = text("UPDATE jobs SET reason = :reason, why = :why WHERE id = :job AND state = 'stopped'")
_CLOSE = text("""
    UPDATE jobs SET state = 'cancelled', reason = :reason, why = :why, expires = NULL
    WHERE id = :job AND state = 'stopped'""")
_OPTIONS = text("SELECT options FROM jobs WHERE id = :job")
_BOUNDS = text("UPDATE jobs SET options = :options WHERE id = :job")
_FINISH = text("""
    UPDATE jobs SET state = 'done', reason = '', why = '', paused = NULL, finished = :now, expires = NULL
    WHERE id = :job AND state IN ('running', 'paused')
        AND NOT EXISTS (SELECT 1 FROM chunks WHERE job = :job AND state <> 'ended')""")
_BOUND = text("""
    UPDATE jobs SET batch_bound = :bound
    WHERE id = :job AND (batch_bound IS NULL OR batch_bound > :bound)""")
_REALM = text("""
    INSERT INTO realms (job, key, ref, id, host, looked) VALUES (:job, :key, :ref, :id, :host, :looked)""")
_REALMS = text("SELECT key, id, host, looked FROM realms WHERE job = :job ORDER BY key")


@dataclass(frozen=True, slots=True)
class Pause:
    """The reason why a job waits, and how long it has waited (seconds)."""

    why: Why
    waited: float


class Jobs:
    """The jobs of one ledger."""

    def __init__(self, store: Store, accounts: Accounts) -> None:
        self._store = store
        self._accounts = accounts

    def begin(self, job: Job, owner: str) -> None:
        """Add a new job and acquire its account. Raises JobBusy, and NotFound if its parent was removed."""
        with self._store.begin() as connection:
            root: str | None = job.id
            if job.parent:
                root = connection.execute(_LOCK_PARENT, {"job": job.parent}).scalar_one_or_none()
            if root is None:
                raise _no_job(job.parent)
            self._accounts.take(connection, job, owner)
            # By the ledger's clock, as all its times, since they are compared with each other.
            now = self._store.now(connection)
            expires = now + job.options.resume_days * 86_400
            connection.execute(_INSERT, {**columns_of(job), "root": root, "created": now, "expires": expires})

    def get(self, job: str) -> Job:
        """Return the job. Raises NotFound if the ledger has none with that id."""
        with self._store.read() as connection:
            row = connection.execute(_SELECT, {"job": job}).mappings().one_or_none()
        if row is None:
            raise _no_job(job)
        return job_of(dict(row))

    def options_text(self, job: str) -> str:
        """Return the job's options as they are stored, to see whether they have changed. Raises NotFound."""
        with self._store.read() as connection:
            found: str | None = connection.execute(_OPTIONS, {"job": job}).scalar_one_or_none()
        if found is None:
            raise _no_job(job)
        return found

    def newest(self) -> list[str]:
        """Return the ids of all jobs, newest first."""
        with self._store.read() as connection:
            return list(connection.execute(_NEWEST).scalars())

    def sealed_with(self) -> list[str]:
        """Return the fingerprints of the keys that the jobs' rows are sealed with."""
        with self._store.read() as connection:
            return list(connection.execute(_KEYS).scalars())

    def running(self) -> list[str]:
        """Return the ids of the jobs that are running or paused, oldest first."""
        with self._store.read() as connection:
            return list(connection.execute(_ACTIVE).scalars())

    def state(self, job: str) -> JobState:
        """Return the job's state."""
        with self._store.read() as connection:
            return JobState(connection.execute(_STATE, {"job": job}).scalar_one())

    def has_read(
        self, job: str, rows: int, warnings: Mapping[str, int], requests: int = 0, retries: int = 0
    ) -> None:
        """Record that the whole roster was read: its rows, rows per warning, and the look-up's requests."""
        values = {"job": job, "rows": rows, "warnings": json.dumps(dict(warnings)), "requests": requests,
                  "retries": retries}  # fmt: skip
        with self._store.begin() as connection:
            connection.execute(_READ, values)

    def set_absent(self, job: str, absent: int) -> None:
        """Record how many users are stored on the roster's realms and not in the roster."""
        with self._store.begin() as connection:
            connection.execute(_ABSENT, {"job": job, "absent": absent})

    def set_undone(self, job: str) -> None:
        """Record that all of the job's changes were undone, or kept with a reason."""
        with self._store.begin() as connection:
            connection.execute(_UNDONE, {"job": job, "now": self._store.now(connection)})

    def save(self, job: str, kept_for: float, why: Why | None = None) -> None:
        """Save a planned job for later approval, for so many seconds; others may write to the account.

        ``why``: the guard that holds it back.
        """
        with self._store.begin() as connection:
            now = self._store.now(connection)
            why = why or Why(Reason.SAVED, f"siproster import --plan {job} carries it out")
            until = {"job": job, "until": now + kept_for}
            connection.execute(_SAVE, {"now": now, **until, **columns_of_why(why)})
            connection.execute(_KEEP_ALL_UNTIL, until)
            self._accounts.let_go(connection, job)

    def warnings(self, job: str) -> dict[str, int]:
        """Return how many rows drew each warning when the roster was read."""
        with self._store.read() as connection:
            return dict(json.loads(connection.execute(_WARNINGS, {"job": job}).scalar_one()))

    def start(self, job: str, carries_out: str = "") -> bool:
        """Release the job's chunks to workers, after planning, a pause or a stop; False if it has ended.

        ``carries_out``: the saved plan that it executes; that one is over then, and its rows are shredded.
        Raises Conflict, and starts nothing, if the saved plan was over before.
        """
        with self._store.begin() as connection:
            now = self._store.now(connection)
            started = connection.execute(_START, {"job": job, "now": now}).rowcount == 1
            if started:
                connection.execute(_SHRED_IN_PLACE, {"job": job})
            if started and carries_out:
                why = Why(Reason.CARRIED_OUT, f"by job {job}")
                values = {"job": carries_out, "by": job, "now": now, **columns_of_why(why)}
                if connection.execute(_CARRIED_OUT, values).rowcount != 1:
                    raise Conflict(
                        f"plan {carries_out} was carried out or cancelled meanwhile",
                        f"see it with: siproster status {carries_out}",
                    )
                connection.execute(_SHRED, {"job": carries_out})
            return started

    def overtaken_by(self, job: str) -> str | None:
        """Return the newest job that has imported the roster of the job's schedule since, if any has."""
        with self._store.read() as connection:
            found: str | None = connection.execute(_OVERTAKEN, {"job": job}).scalar_one_or_none()
            return found

    def children(self, job: str) -> list[str]:
        """Return the jobs that retried it, or carried it out, oldest first."""
        with self._store.read() as connection:
            return list(connection.execute(_CHILDREN, {"job": job}).scalars())

    def undisturbed(self, job: str, lease: float) -> bool:
        """Return whether no other job of this ledger has written to the account since the job began.

        ``lease``: seconds of a claim. Only then are users who appeared since the job's work.
        """
        with self._store.read() as connection:
            found = connection.execute(_DISTURBED, {"job": job, "lease": lease})
            return found.one_or_none() is None

    def set_options(self, job: str, options: Options) -> None:
        """Change the bounds for the rest of the job; how its rows are read and sent never changes."""
        with self._store.begin() as connection:
            connection.execute(_BOUNDS, {"job": job, "options": json.dumps(asdict(options))})

    def pause(self, job: str, why: Why) -> None:
        """Pause the job: the service is away, or the command was interrupted; its rows are not at fault."""
        with self._store.begin() as connection:
            now = self._store.now(connection)
            expires = resumable_until(connection, job, now)
            connection.execute(_PAUSE, {"job": job, **columns_of_why(why), "now": now, "expires": expires})

    def paused(self, job: str) -> Pause | None:
        """Return why the job waits; None if it doesn't."""
        with self._store.read() as connection:
            row = connection.execute(_PAUSED, {"job": job}).one_or_none()
            if row is None:
                return None
            return Pause(Why(Reason(row.reason), row.why), max(0.0, self._store.now(connection) - row.paused))

    def stop(self, job: str, why: Why) -> bool:
        """Stop the job early, in the reason's state, and release its account."""
        with self._store.begin() as connection:
            now = self._store.now(connection)
            cancelled = why.reason.state is JobState.CANCELLED
            expires = None if cancelled else resumable_until(connection, job, now)
            values = {"job": job, "state": why.reason.state, **columns_of_why(why), "now": now,
                      "expires": expires}  # fmt: skip
            stopped = connection.execute(_STOP, values).rowcount == 1
            if stopped:
                self._accounts.let_go(connection, job)
            if stopped and cancelled:
                start_retention(connection, job, now)
            return stopped

    def stop_again(self, job: str, why: Why) -> None:
        """Record another reason for a stopped job that is not resumed."""
        with self._store.begin() as connection:
            connection.execute(_STOP_AGAIN, {"job": job, **columns_of_why(why)})

    def close(self, job: str, why: Why) -> None:
        """Close a stopped job, so that it can't be resumed any more, and start its rows' retention."""
        with self._store.begin() as connection:
            if connection.execute(_CLOSE, {"job": job, **columns_of_why(why)}).rowcount == 1:
                start_retention(connection, job, self._store.now(connection))

    def finish(self, job: str) -> bool:
        """Mark the job as done if each of its chunks has ended.

        A transaction of its own: of two workers that end the last two chunks at the same moment
        neither sees the other's, unless it looks again after its own is committed.
        """
        with self._store.begin() as connection:
            done = connection.execute(_FINISH, {"job": job, "now": self._store.now(connection)}).rowcount == 1
            if done:
                self._accounts.let_go(connection, job)
        if done:
            self._store.clean()
        return done

    def forget(self, job: str, *, keep_job: bool = False) -> None:
        """Delete a job whose roster turned out to be unreadable; ``keep_job``: delete only the rows read."""
        with self._store.begin() as connection:
            forget_job(connection, job, keep_job=keep_job)
        self._store.clean()

    def learn_batch_limit(self, job: str, bound: int) -> None:
        """Store the most entries that the service accepts in one request (code 23003)."""
        with self._store.begin() as connection:
            connection.execute(_BOUND, {"job": job, "bound": bound})

    def add_realm(self, job: str, key: int, ref: str, realm: Realm, *, looked: bool = True) -> None:
        """Store a realm's id and host name with the job, so that they can't change during it."""
        values = {"job": job, "key": key, "ref": ref, "id": realm.id, "host": realm.host,
                  "looked": int(looked)}  # fmt: skip
        with self._store.begin() as connection:
            connection.execute(_REALM, values)

    def hosts(self, job: str) -> dict[int, str]:
        """Return the host names of the job's realms by their key."""
        return {key: realm.host for key, realm in self.realms(job).items()}

    def realms(self, job: str) -> dict[int, JobRealm]:
        """Return the job's realms by their key."""
        with self._store.read() as connection:
            rows = connection.execute(_REALMS, {"job": job}).all()
        return {row.key: JobRealm(row.key, row.id, row.host, bool(row.looked)) for row in rows}


def _no_job(job: str) -> NotFound:
    return NotFound(f"there is no job {job} in this ledger", "`siproster jobs` lists them")
