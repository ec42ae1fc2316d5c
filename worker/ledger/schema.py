"""The ledger's tables and their numbered migrations, forward only, the same for SQLite and PostgreSQL.

A migration that has been released is never edited: add the next number.
Times are epoch seconds; booleans are 0 and 1; ``{blob}`` is the database's word for bytes.
"""

from __future__ import annotations

from sqlalchemy import Connection, text

from worker.errors import LedgerError

_JOBS_AND_ROWS = (
    """
    CREATE TABLE jobs (
        id TEXT PRIMARY KEY, state TEXT NOT NULL, why TEXT NOT NULL,
        host TEXT NOT NULL, environment TEXT NOT NULL, account TEXT NOT NULL,
        options TEXT NOT NULL, operator TEXT NOT NULL, machine TEXT NOT NULL, version TEXT NOT NULL,
        key TEXT NOT NULL, roster TEXT NOT NULL, source TEXT NOT NULL, sha256 TEXT NOT NULL,
        columns TEXT NOT NULL, warnings TEXT NOT NULL, rows INTEGER NOT NULL, parent TEXT NOT NULL,
        batch_bound INTEGER, created DOUBLE PRECISION NOT NULL, started DOUBLE PRECISION,
        paused DOUBLE PRECISION, finished DOUBLE PRECISION
    )""",
    # One writing job at a time per host and account.
    """
    CREATE TABLE writers (
        host TEXT NOT NULL, account TEXT NOT NULL, job TEXT NOT NULL, owner TEXT NOT NULL,
        until DOUBLE PRECISION NOT NULL, PRIMARY KEY (host, account)
    )""",
    # empty: nothing was stored there when the job began, which proves later that the job made what is there.
    """
    CREATE TABLE realms (
        job TEXT NOT NULL, key INTEGER NOT NULL, ref TEXT NOT NULL, id TEXT NOT NULL,
        host TEXT NOT NULL, empty INTEGER NOT NULL, PRIMARY KEY (job, key)
    )""",
    # The roster's rows in its order, without passwords: what the results are written from.
    """
    CREATE TABLE pages (
        job TEXT NOT NULL, seq INTEGER NOT NULL, first_line INTEGER NOT NULL,
        last_line INTEGER NOT NULL, sealed {blob} NOT NULL, PRIMARY KEY (job, seq)
    )""",
    # The same rows with their passwords, as they are worked on.
    """
    CREATE TABLE chunks (
        job TEXT NOT NULL, seq INTEGER NOT NULL, state TEXT NOT NULL,
        first_line INTEGER NOT NULL, rows INTEGER NOT NULL,
        settled INTEGER NOT NULL, troubled INTEGER NOT NULL,
        generation INTEGER NOT NULL, owner TEXT NOT NULL, lease_until DOUBLE PRECISION NOT NULL,
        attempts INTEGER NOT NULL, barren INTEGER NOT NULL,
        deaths INTEGER NOT NULL, suspect INTEGER NOT NULL, away INTEGER NOT NULL,
        next_attempt_at DOUBLE PRECISION NOT NULL, enqueued_at DOUBLE PRECISION,
        doubt TEXT NOT NULL, requests INTEGER NOT NULL, retries INTEGER NOT NULL,
        sealed {blob}, kept_until DOUBLE PRECISION, PRIMARY KEY (job, seq)
    )""",
    "CREATE INDEX chunks_by_state ON chunks (state, next_attempt_at)",
    """
    CREATE TABLE outcomes (
        job TEXT NOT NULL, line INTEGER NOT NULL, chunk INTEGER NOT NULL, status TEXT NOT NULL,
        credential_id TEXT NOT NULL, code TEXT NOT NULL, error TEXT NOT NULL,
        attempts INTEGER NOT NULL, PRIMARY KEY (job, line)
    )""",
)

MIGRATIONS: tuple[tuple[str, ...], ...] = (_JOBS_AND_ROWS,)
"""Statements that lead from version N to N + 1, N being the index."""

_META = "CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL)"


def migrate(connection: Connection, identity: str) -> str:
    """Bring the ledger to this program's version and return its identity.

    ``identity`` is used when the ledger is new. Raises LedgerError for a ledger of a newer program.
    """
    if connection.dialect.name == "postgresql":  # two workers may start at the same moment
        connection.execute(text("SELECT pg_advisory_xact_lock(7360718)"))
    connection.execute(text(_META))
    meta: dict[str, str] = {
        row.name: row.value for row in connection.execute(text("SELECT name, value FROM meta"))
    }
    version = int(meta.get("version", "0"))
    if version > len(MIGRATIONS):
        raise LedgerError(
            f"the ledger has schema version {version}; this siproster knows {len(MIGRATIONS)}",
            "update siproster on this machine, or name another ledger with SIPROSTER_LEDGER",
        )
    blob = "BYTEA" if connection.dialect.name == "postgresql" else "BLOB"
    for statements in MIGRATIONS[version:]:
        for statement in statements:
            connection.execute(text(statement.replace("{blob}", blob)))
    remember = text(
        "INSERT INTO meta (name, value) VALUES (:name, :value) "
        "ON CONFLICT (name) DO UPDATE SET value = excluded.value"
    )
    if version < len(MIGRATIONS):
        connection.execute(remember, {"name": "version", "value": str(len(MIGRATIONS))})
    if "identity" not in meta:
        connection.execute(remember, {"name": "identity", "value": identity})
    return meta.get("identity", identity)
