"""Expiry of sealed passwords: when a job can no longer be resumed, or its rows can no longer be retried."""

from __future__ import annotations

import datetime as dt
import json

from sqlalchemy import Connection, text

from worker.ledger.job_columns import columns_of_why, options_of
from worker.model import Options
from worker.states import Reason, Why

PAUSED_SO_FAR = "CASE WHEN :now > paused THEN :now - paused ELSE 0 END"
"""Seconds for which a job has been paused; 0 if the clock was set back meanwhile."""

_OPTIONS = text("SELECT options FROM jobs WHERE id = :job")
_KEEP_OPEN = text("""
    UPDATE chunks SET kept_until = :until WHERE job = :job AND (state <> 'ended' OR kept_until IS NULL)""")
_EARLIEST = text("""
    SELECT min(kept_until) FROM chunks JOIN chunk_rows USING (job, seq) WHERE job = :job""")
# A job that is being planned doesn't expire while its process holds the account, such as at a question.
_EXPIRED = text("""
    SELECT id, expires, saved FROM jobs WHERE expires < :now AND (saved IS NOT NULL OR state <> 'planning'
        OR NOT EXISTS (SELECT 1 FROM writers w WHERE w.job = jobs.id AND w.until >= :now))""")
_END = text(f"""
    UPDATE jobs SET state = 'cancelled', reason = :reason, why = :why, expires = NULL,
        paused_seconds = paused_seconds + {PAUSED_SO_FAR}, paused = NULL, finished = coalesce(finished, :now)
    WHERE id = :job AND expires = :expires AND state IN ('planning', 'paused', 'stopped')""")  # noqa: S608  no value comes in
_RELEASE = text("DELETE FROM writers WHERE job = :job")
_SHRED_OPEN = text("""
    DELETE FROM chunk_rows WHERE job = :job
        AND (:all = 1 OR seq IN (SELECT seq FROM chunks WHERE job = :job AND state <> 'ended'))""")
_SHRED_EXPIRED = text("""
    DELETE FROM chunk_rows WHERE EXISTS (
        SELECT 1 FROM chunks c
        WHERE c.job = chunk_rows.job AND c.seq = chunk_rows.seq AND c.kept_until < :now)""")


def resumable_until(connection: Connection, job: str, now: float) -> float:
    """Return until when a job that is paused or stopped now can be resumed, in epoch seconds."""
    return now + _options(connection, job).resume_days * 86_400


def start_retention(connection: Connection, job: str, now: float) -> None:
    """Start the retention of a cancelled job's rows; other jobs' begins when their chunks end."""
    until = now + _options(connection, job).keep_days * 86_400
    connection.execute(_KEEP_OPEN, {"job": job, "until": until})


def kept_until(connection: Connection, job: str) -> dt.datetime | None:
    """Return when the first rows that are kept for a retry are shredded; None if no time is set."""
    found: float | None = connection.execute(_EARLIEST, {"job": job}).scalar_one()
    return None if found is None else dt.datetime.fromtimestamp(found, dt.UTC)


def shred_expired(connection: Connection, now: float) -> int:
    """End the jobs that nobody has resumed, shred expired rows, and return the number of their chunks."""
    expired = connection.execute(_EXPIRED, {"now": now}).all()
    shredded = sum(_end(connection, row.id, row.expires, row.saved is not None, now) for row in expired)
    return shredded + connection.execute(_SHRED_EXPIRED, {"now": now}).rowcount


def _end(connection: Connection, job: str, expires: float, saved: bool, now: float) -> int:
    """End an expired job, unless it was resumed meanwhile, and shred the rows that it has not sent."""
    until = dt.datetime.fromtimestamp(expires, dt.UTC)
    why = Why(Reason.EXPIRED, f"its passwords were kept until {until:%Y-%m-%d %H:%M}Z")
    values = {"job": job, "expires": expires, "now": now, **columns_of_why(why)}
    if connection.execute(_END, values).rowcount != 1:
        return 0
    connection.execute(_RELEASE, {"job": job})
    return connection.execute(_SHRED_OPEN, {"job": job, "all": int(saved)}).rowcount


def _options(connection: Connection, job: str) -> Options:
    return options_of(json.loads(connection.execute(_OPTIONS, {"job": job}).scalar_one()))
