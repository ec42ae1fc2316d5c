"""The log of the changes that jobs made to the service, and the results of undoing them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import bindparam, text

from worker.ledger.chunks import unconfirmed_lines
from worker.ledger.rows import unsettled_lines
from worker.ledger.store import Store

# Roughly in reverse order: chunks are processed in parallel.
_CHUNKS = text("SELECT DISTINCT chunk FROM deeds WHERE job = :job ORDER BY chunk DESC")
_OF_CHUNK = text("SELECT nr, sealed FROM deeds WHERE job = :job AND chunk = :chunk ORDER BY nr")
_ROWS = text("SELECT coalesce(sum(rows), 0) FROM deeds WHERE job = :job")
_RESULT = text("""
    INSERT INTO undone (job, line, result, code, error) VALUES (:job, :line, :result, :code, :error)
    ON CONFLICT (job, line) DO UPDATE
        SET result = excluded.result, code = excluded.code, error = excluded.error""")
_RESULTS = text("""
    SELECT line, result, code, error FROM undone
    WHERE job = :job AND line BETWEEN :first AND :last ORDER BY line""")
_OF_LINES = text(
    "SELECT line, result, code, error FROM undone WHERE job = :job AND line IN :lines"
).bindparams(bindparam("lines", expanding=True))
_COUNTS = text("SELECT result, count(*) AS rows FROM undone WHERE job = :job GROUP BY result")
_BEGUN = text("SELECT 1 FROM undone WHERE job = :job LIMIT 1")
_UNPROVEN = text(
    "SELECT count(*) FROM undone WHERE job = :job AND result = 'kept' AND code = 'origin_unknown'"
)
# Chunks, still sealed, with rows that the job may have created: without an answer that settled them.
_UNCONFIRMED = text("""
    SELECT seq FROM chunks JOIN chunk_rows USING (job, seq) WHERE job = :job AND (
        (state <> 'ended' AND (doubt <> '' OR state = 'claimed'))
        OR EXISTS (SELECT 1 FROM outcomes o
            WHERE o.job = :job AND o.chunk = seq AND o.status = 'unknown'))
    ORDER BY seq DESC""")
# Rows that the job may have created and that can't be checked: without a proof, or no longer sealed.
_KEEP_REST = text("""
    INSERT INTO undone (job, line, result, code, error)
    SELECT o.job, o.line, 'kept', 'origin_unknown', :error FROM outcomes o
    WHERE o.job = :job AND (o.code LIKE '%origin_unknown%'
            OR (o.status = 'unknown' AND NOT EXISTS (
                SELECT 1 FROM chunk_rows r WHERE r.job = o.job AND r.seq = o.chunk)))
        AND NOT EXISTS (SELECT 1 FROM undone u WHERE u.job = o.job AND u.line = o.line)""")
_SHREDDED = text("""
    SELECT seq, state, doubt, lines FROM chunks c
    WHERE job = :job AND state <> 'ended' AND (doubt <> '' OR state = 'claimed')
        AND NOT EXISTS (SELECT 1 FROM chunk_rows r WHERE r.job = c.job AND r.seq = c.seq)""")
_KEEP_LINE = text("""
    INSERT INTO undone (job, line, result, code, error)
    VALUES (:job, :line, 'kept', 'origin_unknown', :error) ON CONFLICT (job, line) DO NOTHING""")
_REVERSED = text("""
    SELECT count(*) FROM undone u JOIN outcomes o ON o.job = u.job AND o.line = u.line
    WHERE u.job = :job AND u.result IN ('removed', 'restored')
        AND o.status IN ('created', 'updated', 'unchanged')""")
_CHUNK = text("""
    SELECT state, doubt, sealed FROM chunks JOIN chunk_rows USING (job, seq)
    WHERE job = :job AND seq = :seq""")
_STATUSES = text("SELECT line, status FROM outcomes WHERE job = :job AND chunk = :seq")


@dataclass(frozen=True, slots=True)
class ChangeKey:
    """The position of sealed changes in the change log."""

    chunk: int
    nr: int


@dataclass(frozen=True, slots=True)
class UnconfirmedChunk:
    """A chunk with rows that may have been sent without an answer that settled them."""

    seq: int
    sealed: bytes
    statuses: dict[int, str]
    sent: frozenset[int] | None
    """Lines that may have been sent; None: any without an outcome."""

    def holds(self, line: int) -> bool:
        """Return whether a row of the chunk is unconfirmed."""
        status = self.statuses.get(line)
        return status == "unknown" or (status is None and (self.sent is None or line in self.sent))


@dataclass(frozen=True, slots=True)
class Undone:
    """The result of undoing one row: ``removed``, ``restored``, ``kept`` or ``failed``, and why."""

    line: int
    result: str
    code: str = ""
    error: str = ""


class ChangeLog:
    """The sealed changes that the jobs of one ledger made to the service."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def backwards(self, job: str) -> Iterator[tuple[ChangeKey, bytes]]:
        """Yield all changes of a job, sealed, newest first."""
        with self._store.read() as connection:
            chunks = list(connection.execute(_CHUNKS, {"job": job}).scalars())
        for chunk in chunks:
            yield from reversed(self.of_chunk(job, chunk))

    def of_chunk(self, job: str, chunk: int) -> list[tuple[ChangeKey, bytes]]:
        """Return the changes made, or begun, for one chunk, sealed."""
        with self._store.read() as connection:
            rows = connection.execute(_OF_CHUNK, {"job": job, "chunk": chunk}).all()
        return [(ChangeKey(chunk, row.nr), bytes(row.sealed)) for row in rows]

    def rows(self, job: str) -> int:
        """Return how many rows the job has created or updated."""
        with self._store.read() as connection:
            return int(connection.execute(_ROWS, {"job": job}).scalar_one())

    def unconfirmed(self, job: str) -> Iterator[UnconfirmedChunk]:
        """Yield the chunks, if still sealed, with rows that may have been created without a proof."""
        with self._store.read() as connection:
            seqs = list(connection.execute(_UNCONFIRMED, {"job": job}).scalars())
        for seq in seqs:
            yield self._unconfirmed(job, seq)

    def _unconfirmed(self, job: str, seq: int) -> UnconfirmedChunk:
        with self._store.read() as connection:
            key = {"job": job, "seq": seq}
            chunk = connection.execute(_CHUNK, key).one()
            statuses = {row.line: row.status for row in connection.execute(_STATUSES, key)}
        return UnconfirmedChunk(
            seq, bytes(chunk.sealed), statuses, unconfirmed_lines(chunk.state, chunk.doubt)
        )


class UndoResults:
    """The results of undoing the rows of jobs."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def record(self, job: str, results: Sequence[Undone]) -> None:
        """Record the results of some rows, replacing earlier ones."""
        with self._store.begin() as connection:
            connection.execute(_RESULT, [
                {"job": job, "line": one.line, "result": one.result, "code": one.code, "error": one.error}
                for one in results
            ])  # fmt: skip

    def results(self, job: str, first: int, last: int) -> dict[int, Undone]:
        """Return the results so far of the lines from ``first`` to ``last``."""
        with self._store.read() as connection:
            rows = connection.execute(_RESULTS, {"job": job, "first": first, "last": last}).all()
        return {row.line: Undone(row.line, row.result, row.code, row.error) for row in rows}

    def results_of(self, job: str, lines: Sequence[int]) -> dict[int, Undone]:
        """Return the results so far of these lines."""
        with self._store.read() as connection:
            rows = connection.execute(_OF_LINES, {"job": job, "lines": lines}).all()
        return {row.line: Undone(row.line, row.result, row.code, row.error) for row in rows}

    def counts(self, job: str) -> dict[str, int]:
        """Return the number of rows by result."""
        with self._store.read() as connection:
            return {row.result: int(row.rows) for row in connection.execute(_COUNTS, {"job": job})}

    def begun(self, job: str) -> bool:
        """Return whether an undo of the job was begun."""
        with self._store.read() as connection:
            return connection.execute(_BEGUN, {"job": job}).one_or_none() is not None

    def unproven(self, job: str) -> int:
        """Return how many rows were kept because nothing proves that the job made them."""
        with self._store.read() as connection:
            return int(connection.execute(_UNPROVEN, {"job": job}).scalar_one())

    def reversed(self, job: str) -> int:
        """Return how many rows were in place and no longer are: their users were deleted or set back."""
        with self._store.read() as connection:
            return int(connection.execute(_REVERSED, {"job": job}).scalar_one())

    def keep_rest(self, job: str, error: str) -> None:
        """Record as kept the rows that the job may have made and that can't be checked; ``error``: why."""
        with self._store.begin() as connection:
            connection.execute(_KEEP_REST, {"job": job, "error": error})
            for chunk in connection.execute(_SHREDDED, {"job": job}).all():
                if lines := unsettled_lines(connection, job, chunk):
                    values = [{"job": job, "line": line, "error": error} for line in lines]
                    connection.execute(_KEEP_LINE, values)
