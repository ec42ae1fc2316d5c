"""Insert chunks and outcomes into the ledger, within the caller's transaction."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from sqlalchemy import Connection, text

from worker.ledger.store import Store
from worker.model import Outcome, Status
from worker.states import ChunkState

_ADD = text("""
    INSERT INTO chunks (job, seq, state, first_line, rows, settled, troubled, generation, owner,
        lease_until, attempts, barren, deaths, suspect, away, next_attempt_at, doubt, requests, retries,
        kept_until, lines)
    VALUES (:job, :seq, :state, :first_line, :rows, :settled, :troubled, 0, '', 0, 0, 0, 0, 0, 0, 0, '', 0, 0,
        :kept_until, :lines)""")
_ADD_ROWS = text("INSERT INTO chunk_rows (job, seq, sealed) VALUES (:job, :seq, :sealed)")
# Values go straight to the driver, and many rows are one statement: SQLite's driver releases the
# interpreter's lock for each, and named parameters would take several times as long.
_OUTCOMES = """
    INSERT INTO outcomes (job, chunk, line, status, credential_id, code, error, attempts)
    SELECT ?, ?, * FROM (VALUES {rows})"""
_OUTCOMES_ON_POSTGRESQL = """
    INSERT INTO outcomes (job, chunk, line, status, credential_id, code, error, attempts)
    SELECT %s, %s, * FROM unnest(
        %s::integer[], %s::text[], %s::text[], %s::text[], %s::text[], %s::integer[])"""

_ROWS_A_STATEMENT = 100
"""Rows in one statement: each connection keeps its statements, and longer ones would take megabytes."""


_TROUBLED = tuple(status for status in Status if status.counts_as_failed)


@dataclass(frozen=True, slots=True)
class NewChunk:
    """Rows that enter the ledger together: to be worked on, or already settled by their outcomes."""

    seq: int
    lines: Sequence[int]
    """Lines of the rows to be worked on, in rising order."""
    sealed: bytes | None
    """The rows; of settled ones only those to retain."""
    outcomes: Sequence[Outcome] = ()
    kept_for: float | None = 0.0
    """Seconds that settled rows stay sealed; None: until the job starts."""


def enter(connection: Connection, store: Store, job: str, chunk: NewChunk) -> None:
    """Insert a new chunk; it has ended if its rows have their outcomes."""
    if chunk.sealed is not None:
        connection.execute(_ADD_ROWS, {"job": job, "seq": chunk.seq, "sealed": chunk.sealed})
    if not chunk.outcomes:
        connection.execute(_ADD, _waiting(job, chunk))
        return
    outcomes = chunk.outcomes
    keeps = chunk.sealed is not None and chunk.kept_for is not None
    until = store.now(connection) + (chunk.kept_for or 0.0) if keeps else None
    connection.execute(_ADD, {
        "job": job, "seq": chunk.seq, "state": ChunkState.ENDED, "first_line": outcomes[0].line,
        "rows": len(outcomes), "settled": len(outcomes), "troubled": troubled(outcomes),
        "kept_until": until, "lines": "",
    })  # fmt: skip
    record(connection, job, chunk.seq, outcomes)


def record(connection: Connection, job: str, seq: int, outcomes: Sequence[Outcome]) -> None:
    """Insert outcomes of a chunk's rows."""
    rows = [(o.line, o.status.value, o.credential_id, o.code, o.error, o.attempts) for o in outcomes]
    if connection.dialect.name == "postgresql":
        columns = [list(column) for column in zip(*rows, strict=True)]
        connection.exec_driver_sql(_OUTCOMES_ON_POSTGRESQL, (job, seq, *columns))
        return
    for start in range(0, len(rows), _ROWS_A_STATEMENT):
        part = rows[start : start + _ROWS_A_STATEMENT]
        values = (job, seq, *itertools.chain.from_iterable(part))
        connection.exec_driver_sql(_inserting(len(part)), values)


@lru_cache(maxsize=64)
def _inserting(rows: int) -> str:
    """Return SQLite's statement that inserts so many outcomes."""
    return _OUTCOMES.format(rows=",".join(["(?,?,?,?,?,?)"] * rows))


def troubled(outcomes: Sequence[Outcome]) -> int:
    """Return how many of the outcomes ``--max-failed`` counts."""
    statuses = [outcome.status for outcome in outcomes]
    return sum(statuses.count(status) for status in _TROUBLED)


def _waiting(job: str, chunk: NewChunk) -> dict[str, object]:
    return {
        "job": job, "seq": chunk.seq, "state": ChunkState.WAITING, "first_line": chunk.lines[0],
        "rows": len(chunk.lines), "settled": 0, "troubled": 0, "kept_until": None,
        "lines": json.dumps(list(chunk.lines)),
    }  # fmt: skip
