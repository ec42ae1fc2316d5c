"""The ledger's tables and their numbered migrations, forward only, the same for SQLite and PostgreSQL.

A released migration is never edited: add the next number.
Times are epoch seconds; booleans are 0 and 1; ``{blob}`` is the database's word for bytes.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, text

from worker.errors import LedgerError

Statement = str | Mapping[str, str]
"""One statement for both databases, or one for each by its name."""

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
    # The roster's rows in its order, without passwords: the source of the results.
    """
    CREATE TABLE pages (
        job TEXT NOT NULL, seq INTEGER NOT NULL, first_line INTEGER NOT NULL,
        last_line INTEGER NOT NULL, sealed {blob} NOT NULL, PRIMARY KEY (job, seq)
    )""",
    # The same rows with their passwords, in the chunks that workers process.
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

_WHAT_EXISTS = (
    # looked: the credentials stored there were looked up before the job began.
    "ALTER TABLE realms RENAME COLUMN empty TO looked",
    # Requests of the look-up; users who are stored and not in the roster; when a plan was saved, and
    # the job that has carried it out.
    "ALTER TABLE jobs ADD COLUMN look_requests INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE jobs ADD COLUMN look_retries INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE jobs ADD COLUMN absent INTEGER",
    "ALTER TABLE jobs ADD COLUMN saved DOUBLE PRECISION",
    "ALTER TABLE jobs ADD COLUMN carried_out_by TEXT NOT NULL DEFAULT ''",
    # The last result of trying its rows on a registrar.
    "ALTER TABLE jobs ADD COLUMN verified TEXT NOT NULL DEFAULT ''",
    # When all its changes were undone.
    "ALTER TABLE jobs ADD COLUMN undone DOUBLE PRECISION",
    # A job's changes to the service, in their order: undo needs them to reverse a change, and to know that
    # nobody has changed the credential since.
    """
    CREATE TABLE deeds (
        job TEXT NOT NULL, chunk INTEGER NOT NULL, nr INTEGER NOT NULL, rows INTEGER NOT NULL,
        sealed {blob} NOT NULL, PRIMARY KEY (job, chunk, nr)
    )""",
    # The result of undo for each row.
    """
    CREATE TABLE undone (
        job TEXT NOT NULL, line INTEGER NOT NULL, result TEXT NOT NULL, code TEXT NOT NULL,
        error TEXT NOT NULL, PRIMARY KEY (job, line)
    )""",
)

_AUDIT: tuple[Statement, ...] = (
    {
        name: f"""
    CREATE TABLE audit (
        nr {number}, at DOUBLE PRECISION NOT NULL, operator TEXT NOT NULL, machine TEXT NOT NULL,
        origin TEXT NOT NULL, version TEXT NOT NULL, command TEXT NOT NULL, options TEXT NOT NULL,
        host TEXT NOT NULL, account TEXT NOT NULL, subject TEXT NOT NULL
    )"""
        for name, number in (
            ("sqlite", "INTEGER PRIMARY KEY"),
            ("postgresql", "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY"),
        )
    },
    # Append-only: the database itself refuses changes.
    {
        "sqlite": """
    CREATE TRIGGER audit_never_changes BEFORE UPDATE ON audit
    BEGIN SELECT RAISE(ABORT, 'the audit is added to only'); END""",
        "postgresql": """
    CREATE FUNCTION siproster_added_to_only() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'the audit is added to only'; END $$""",
    },
    {
        "sqlite": """
    CREATE TRIGGER audit_never_shrinks BEFORE DELETE ON audit
    BEGIN SELECT RAISE(ABORT, 'the audit is added to only'); END""",
        "postgresql": """
    CREATE TRIGGER audit_never_changes BEFORE UPDATE OR DELETE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION siproster_added_to_only()""",
    },
    {
        # REPLACE deletes without firing the trigger for deletions.
        "sqlite": """
    CREATE TRIGGER audit_never_replaced BEFORE INSERT ON audit
    WHEN EXISTS (SELECT 1 FROM audit WHERE nr = NEW.nr)
    BEGIN SELECT RAISE(ABORT, 'the audit is added to only'); END""",
        "postgresql": """
    CREATE TRIGGER audit_never_emptied BEFORE TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION siproster_added_to_only()""",
    },
)

# lines: those of a chunk's rows, as a JSON list, so that the rows that were sent are known without the key
# if the chunk never ended. Empty: a chunk of an earlier program.
_LINES = ("ALTER TABLE chunks ADD COLUMN lines TEXT NOT NULL DEFAULT ''",)

_WAITS = (
    # The current wait of each process that works on a job.
    """
    CREATE TABLE waits (
        job TEXT NOT NULL, process TEXT NOT NULL, kind TEXT NOT NULL, reason TEXT NOT NULL,
        since DOUBLE PRECISION NOT NULL, until DOUBLE PRECISION, seen_at DOUBLE PRECISION NOT NULL,
        PRIMARY KEY (job, process)
    )""",
    # Seconds that a chunk has waited for the service without any progress, and why (``code: sentence``).
    "ALTER TABLE chunks ADD COLUMN unanswered DOUBLE PRECISION NOT NULL DEFAULT 0",
    "ALTER TABLE chunks ADD COLUMN waits_for TEXT NOT NULL DEFAULT ''",
    # Seconds since its start in which a job was idle: paused, or stopped and resumed.
    "ALTER TABLE jobs ADD COLUMN paused_seconds DOUBLE PRECISION NOT NULL DEFAULT 0",
)

# The reason, which was the first word of ``why`` and of ``waits_for`` (``code: sentence``). The words are
# those of earlier versions, whichever exist now.
_REASONS = (
    "ALTER TABLE jobs ADD COLUMN reason TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE chunks ADD COLUMN waits_reason TEXT NOT NULL DEFAULT ''",
    *(
        f"UPDATE {table} SET {to} = '{word}', {text} = substr({text}, {len(word) + 3}) "  # noqa: S608  all ours
        f"WHERE {to} = '' AND substr({text}, 1, {len(word) + 2}) = '{word}: '"
        for table, text, to, words in (
            ("chunks", "waits_for", "waits_reason", ("unavailable", "throttled")),
            ("jobs", "why", "reason", (
                "authentication_refused", "account_not_found", "not_allowed", "stopped", "seal_broken",
                "max_failed", "not_after", "unavailable", "broker", "no_worker", "account_busy", "throttled",
                "interrupted", "cancelled", "exists", "saved", "carried_out", "undone",
            )),
        )
        for word in words
    ),
    # Unknown words are kept as the sentence, so that they aren't lost.
    "UPDATE chunks SET waits_reason = 'unavailable' WHERE waits_reason = '' AND waits_for <> ''",
    "UPDATE jobs SET reason = 'stopped' WHERE reason = '' AND why <> ''",
)  # fmt: skip

_ROWS_OF_CHUNKS = (
    # How many parts of the change log belong to a chunk, which is the number of the next one.
    "ALTER TABLE chunks ADD COLUMN changes INTEGER NOT NULL DEFAULT 0",
    """
    UPDATE chunks SET changes = (
        SELECT coalesce(max(nr) + 1, 0) FROM deeds d WHERE d.job = chunks.job AND d.chunk = chunks.seq)""",
    # A chunk's sealed rows, apart from its state: SQLite would write them again with each answered batch.
    """
    CREATE TABLE chunk_rows (
        job TEXT NOT NULL, seq INTEGER NOT NULL, sealed {blob} NOT NULL, PRIMARY KEY (job, seq)
    )""",
    "INSERT INTO chunk_rows (job, seq, sealed) SELECT job, seq, sealed FROM chunks WHERE sealed IS NOT NULL",
    "UPDATE chunks SET sealed = NULL",  # overwritten (secure_delete), which dropping a column doesn't promise
    "ALTER TABLE chunks DROP COLUMN sealed",
)

_SCHEDULES = (
    # source and options: those of the import; channels: names of notification channels, as JSON lists.
    # at: the time of a single run, then cron is empty. accounted: slots up to this time were run, or told
    # as missed. next_slot: the first one after it, so that those that are due are found among many.
    """
    CREATE TABLE schedules (
        name TEXT PRIMARY KEY, cron TEXT NOT NULL, zone TEXT NOT NULL, at DOUBLE PRECISION,
        jitter DOUBLE PRECISION NOT NULL, catch_up TEXT NOT NULL, again INTEGER NOT NULL,
        source TEXT NOT NULL, options TEXT NOT NULL, profile TEXT NOT NULL,
        host TEXT NOT NULL, environment TEXT NOT NULL, account TEXT NOT NULL, channels TEXT NOT NULL,
        operator TEXT NOT NULL, machine TEXT NOT NULL, created DOUBLE PRECISION NOT NULL,
        paused DOUBLE PRECISION, accounted DOUBLE PRECISION NOT NULL, next_slot DOUBLE PRECISION
    )""",
    "CREATE INDEX schedules_by_slot ON schedules (next_slot)",
    # One run for each slot, however many schedulers there are. files: the versions that its job imports,
    # hash and name, as JSON.
    """
    CREATE TABLE schedule_runs (
        schedule TEXT NOT NULL, slot DOUBLE PRECISION NOT NULL, cause TEXT NOT NULL, state TEXT NOT NULL,
        owner TEXT NOT NULL, generation INTEGER NOT NULL, lease_until DOUBLE PRECISION NOT NULL,
        attempts INTEGER NOT NULL, not_before DOUBLE PRECISION NOT NULL, missed INTEGER NOT NULL,
        job TEXT NOT NULL, files TEXT NOT NULL, result TEXT NOT NULL, why TEXT NOT NULL,
        started DOUBLE PRECISION, finished DOUBLE PRECISION, PRIMARY KEY (schedule, slot)
    )""",
    "CREATE INDEX schedule_runs_by_state ON schedule_runs (state, not_before)",
    # The versions of files that a schedule has imported.
    """
    CREATE TABLE schedule_files (
        schedule TEXT NOT NULL, sha256 TEXT NOT NULL, name TEXT NOT NULL, job TEXT NOT NULL,
        at DOUBLE PRECISION NOT NULL, PRIMARY KEY (schedule, sha256)
    )""",
    # Notifications to be delivered, until they are or are given up. channel: its name in the settings file,
    # which has its address and its secret; profile: that of the schedule, which may have channels of its own.
    """
    CREATE TABLE notifications (
        id TEXT PRIMARY KEY, schedule TEXT NOT NULL, slot DOUBLE PRECISION NOT NULL, job TEXT NOT NULL,
        profile TEXT NOT NULL, channel TEXT NOT NULL, payload TEXT NOT NULL, state TEXT NOT NULL,
        owner TEXT NOT NULL, generation INTEGER NOT NULL, lease_until DOUBLE PRECISION NOT NULL,
        attempts INTEGER NOT NULL, next_attempt_at DOUBLE PRECISION NOT NULL, error TEXT NOT NULL,
        created DOUBLE PRECISION NOT NULL, finished DOUBLE PRECISION
    )""",
    "CREATE INDEX notifications_by_state ON notifications (state, next_attempt_at)",
    "CREATE INDEX notifications_by_run ON notifications (schedule, slot)",
    # Users who were absent when a job read its roster, for comparison with the next run of the roster.
    """
    CREATE TABLE absent_users (
        job TEXT PRIMARY KEY, host TEXT NOT NULL, account TEXT NOT NULL, schedule TEXT NOT NULL,
        roster TEXT NOT NULL, sealed {blob} NOT NULL
    )""",
    "CREATE INDEX absent_users_by_roster ON absent_users (host, account, roster)",
    # The schedule that made a job, and its slot.
    "ALTER TABLE jobs ADD COLUMN schedule TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE jobs ADD COLUMN slot DOUBLE PRECISION",
    "CREATE INDEX jobs_by_parent ON jobs (parent)",
    "CREATE INDEX jobs_by_schedule ON jobs (schedule, slot)",
)

_FAMILIES: tuple[Statement, ...] = (
    # The first job of those that retried it, or carried it out, and of their retries.
    "ALTER TABLE jobs ADD COLUMN root TEXT NOT NULL DEFAULT ''",
    """
    WITH RECURSIVE family (id, root) AS (
        SELECT id, id FROM jobs WHERE NOT EXISTS (SELECT 1 FROM jobs p WHERE p.id = jobs.parent)
        UNION ALL SELECT j.id, f.root FROM jobs j JOIN family f ON j.parent = f.id)
    UPDATE jobs SET root = family.root FROM family WHERE family.id = jobs.id""",
    "CREATE INDEX jobs_by_root ON jobs (root, created)",
    "CREATE INDEX jobs_by_end ON jobs (finished)",
    # When a job that has not gone on is ended and its passwords are shredded. Jobs of earlier versions, which
    # never were, have 30 days from now.
    "ALTER TABLE jobs ADD COLUMN expires DOUBLE PRECISION",
    "CREATE INDEX jobs_by_expiry ON jobs (expires)",
    {
        name: f"UPDATE jobs SET expires = 2592000 + {now} "  # noqa: S608  all ours
        "WHERE saved IS NULL AND state IN ('planning', 'paused', 'stopped')"
        for name, now in (
            ("sqlite", "CAST(strftime('%s', 'now') AS INTEGER)"),
            ("postgresql", "extract(epoch FROM now())"),
        )
    },
    """
    UPDATE jobs SET expires = (SELECT max(kept_until) FROM chunks c WHERE c.job = jobs.id)
    WHERE saved IS NOT NULL AND state = 'planning'""",
)

# When the worker that has a chunk claimed it.
_CLAIMS = ("ALTER TABLE chunks ADD COLUMN claimed_at DOUBLE PRECISION",)

_UPLOADS = (
    # Rosters, and corrections of a retry, given to the page. received: when it was complete; NULL: it is
    # being received since ``begun``. touched: when somebody last did something with it; changes: how often
    # that changed its plan. settings and authors: JSON. plan: the plan that was saved of it as it is now.
    """
    CREATE TABLE uploads (
        id TEXT PRIMARY KEY, person TEXT NOT NULL, name TEXT NOT NULL, kind TEXT NOT NULL,
        size BIGINT NOT NULL, sha256 TEXT NOT NULL, begun DOUBLE PRECISION NOT NULL,
        received DOUBLE PRECISION, touched DOUBLE PRECISION NOT NULL,
        changes INTEGER NOT NULL, settings TEXT NOT NULL, authors TEXT NOT NULL, plan TEXT NOT NULL,
        job TEXT NOT NULL, shredded DOUBLE PRECISION
    )""",
    "CREATE INDEX uploads_by_plan ON uploads (plan)",
    """
    CREATE TABLE upload_blocks (
        upload TEXT NOT NULL, nr INTEGER NOT NULL, sealed {blob} NOT NULL, PRIMARY KEY (upload, nr)
    )""",
    # Cells that were corrected on the page. subject: ``upload:ID`` or ``job:ID``; name: the column's.
    """
    CREATE TABLE cell_corrections (
        subject TEXT NOT NULL, line INTEGER NOT NULL, name TEXT NOT NULL, sealed {blob} NOT NULL,
        person TEXT NOT NULL, at DOUBLE PRECISION NOT NULL, PRIMARY KEY (subject, line, name)
    )""",
    # The last step of each upload, job or schedule that the page was asked for: one at a time. child: the
    # process at work on it; server: the one that records its end. result: sealed, the JSON of each kind.
    """
    CREATE TABLE steps (
        subject TEXT PRIMARY KEY, step TEXT NOT NULL, state TEXT NOT NULL, person TEXT NOT NULL,
        origin TEXT NOT NULL, authors TEXT NOT NULL, arguments TEXT NOT NULL, server TEXT NOT NULL,
        child TEXT NOT NULL, seen DOUBLE PRECISION NOT NULL, started DOUBLE PRECISION NOT NULL,
        ended DOUBLE PRECISION, error TEXT NOT NULL, result {blob}
    )""",
    "CREATE INDEX steps_by_state ON steps (state)",
    "CREATE INDEX jobs_by_source ON jobs (source)",
)

_REPORT_PAGE = (
    # When the rows of a chunk were answered, as ``seconds rows;`` for each transaction, up to a length; the
    # others were by the time it ended. Only for the drawing of a job's pace.
    "ALTER TABLE chunks ADD COLUMN answers TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE chunks ADD COLUMN ended_at DOUBLE PRECISION",
    # The result of each row of a job that was last tried on a registrar. phones: NULL if it is not known.
    """
    CREATE TABLE registrations (
        job TEXT NOT NULL, line INTEGER NOT NULL, verdict TEXT NOT NULL, phones INTEGER, error TEXT NOT NULL,
        PRIMARY KEY (job, line)
    )""",
)

_PAGE = (
    # Who may sign in to the page. key: the name without regard to case; token_hash: SHA-256, in hex.
    """
    CREATE TABLE people (
        key TEXT PRIMARY KEY, name TEXT NOT NULL, role TEXT NOT NULL, token_hash TEXT NOT NULL,
        created DOUBLE PRECISION NOT NULL, signed_in DOUBLE PRECISION
    )""",
    """
    CREATE TABLE page_sessions (
        token_hash TEXT PRIMARY KEY, person TEXT NOT NULL, seen DOUBLE PRECISION NOT NULL,
        ends DOUBLE PRECISION NOT NULL
    )""",
)

MIGRATIONS: tuple[tuple[Statement, ...], ...] = (
    _JOBS_AND_ROWS, (*_WHAT_EXISTS, *_AUDIT), (*_LINES, *_WAITS), _REASONS,
    _ROWS_OF_CHUNKS, (*_SCHEDULES, *_FAMILIES, *_CLAIMS, *_REPORT_PAGE, *_UPLOADS, *_PAGE),
)  # fmt: skip
"""Statements that lead from version N to N + 1, N being the index."""

_META = "CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL)"


def migrate(connection: Connection, identity: str) -> str:
    """Migrate the ledger to this program's version and return its identity.

    ``identity`` is used if the ledger is new. Raises LedgerError for a ledger of a newer program.
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
            own = statement if isinstance(statement, str) else statement[connection.dialect.name]
            connection.execute(text(own.replace("{blob}", blob)))
    remember = text(
        "INSERT INTO meta (name, value) VALUES (:name, :value) "
        "ON CONFLICT (name) DO UPDATE SET value = excluded.value"
    )
    if version < len(MIGRATIONS):
        connection.execute(remember, {"name": "version", "value": str(len(MIGRATIONS))})
    if "identity" not in meta:
        connection.execute(remember, {"name": "identity", "value": identity})
    return meta.get("identity", identity)
