"""The roster's rows as the ledger stores them, and their outcomes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, CursorResult, Row, TextClause, bindparam, text

from worker.ledger.chunks import unconfirmed_lines
from worker.ledger.new_chunks import NewChunk, enter
from worker.ledger.store import Store
from worker.model import Outcome, Status

_ADD = text("""
    INSERT INTO pages (job, seq, first_line, last_line, sealed)
    VALUES (:job, :seq, :first_line, :last_line, :sealed)""")
_SEQS = text("SELECT seq FROM pages WHERE job = :job AND first_line >= 0 ORDER BY seq")
_SEQS_OF_LEAVERS = text("SELECT seq FROM pages WHERE job = :job AND first_line < 0 ORDER BY seq")
_SPANS = text("""
    SELECT seq, first_line, last_line FROM pages WHERE job = :job AND first_line >= 0 ORDER BY seq""")
_LINES = text("""
    SELECT line FROM outcomes WHERE job = :job AND line >= 0 AND status IN :statuses
    ORDER BY line""").bindparams(bindparam("statuses", expanding=True))
_OPEN_CHUNKS = text("""
    SELECT seq, lines FROM chunks WHERE job = :job AND first_line >= 0 AND settled < rows ORDER BY seq""")
_PAGE = text("SELECT first_line, last_line, sealed FROM pages WHERE job = :job AND seq = :seq")
_OUTCOMES = text("""
    SELECT line, status, credential_id, code, error, attempts FROM outcomes
    WHERE job = :job AND line BETWEEN :first AND :last""")
_OF_LINES = text("""
    SELECT line, status, credential_id, code, error, attempts FROM outcomes
    WHERE job = :job AND line IN :lines""").bindparams(bindparam("lines", expanding=True))
# Sent, without an answer until the job continues: released so, or left by a worker when the job ended.
UNCONFIRMED = "unconfirmed"
"""Code of a row that was, or may have been, sent, and whose answer is still missing."""

_UNCONFIRMED = text("""
    SELECT c.seq, c.state, c.doubt, c.lines, c.attempts
    FROM chunks c JOIN jobs j ON j.id = c.job
    WHERE c.job = :job AND c.state <> 'ended' AND j.state IN ('paused', 'stopped', 'cancelled')
        AND (c.doubt <> '' OR (c.state = 'claimed' AND j.state <> 'paused'))""")
_LAST_STARTED = text("""
    SELECT id FROM jobs WHERE host = :host AND account = :account AND roster = :roster AND started IS NOT NULL
        AND undone IS NULL
    ORDER BY created DESC, id DESC LIMIT 1""")
_SETTLED = text("SELECT line FROM outcomes WHERE job = :job AND chunk = :chunk")
_COUNTS = text("""
    SELECT status, count(*) AS rows FROM outcomes WHERE job = :job AND line >= 0 GROUP BY status""")
_COUNTS_OF_LEAVERS = text("""
    SELECT status, count(*) AS rows FROM outcomes WHERE job = :job AND line < 0 GROUP BY status""")
_LEAVERS = text("SELECT coalesce(sum(rows), 0) FROM chunks WHERE job = :job AND first_line < 0")

_CODES = text("""
    SELECT status, code, count(*) AS rows FROM outcomes WHERE job = :job AND line >= 0 AND code <> ''
    GROUP BY status, code ORDER BY count(*) DESC, code""")


OutcomeValues = tuple[str, str, str, str, int]
"""Status, credential id, error code, error, attempts: an Outcome without its line, as the ledger has it."""


@dataclass(frozen=True, slots=True)
class SealedPage:
    """Some rows of the roster in its order, sealed, and their outcomes so far, by line."""

    seq: int
    first_line: int
    last_line: int
    sealed: bytes
    recorded: Mapping[int, OutcomeValues]
    unconfirmed: Mapping[int, int]
    """Lines of the job that were, or may have been, sent without an answer → how often."""

    def recorded_outcome(self, line: int) -> Outcome | None:
        """Return the row's outcome, or None if none is recorded."""
        values = self.recorded.get(line)
        return _outcome(line, *values) if values else None

    def outcome(self, line: int) -> Outcome:
        """Return the row's outcome, as far as it is known."""
        if found := self.recorded_outcome(line):
            return found
        if line in self.unconfirmed:
            text = "it was sent, or may have been, and the job ended before an answer to it"
            return Outcome(line, Status.UNKNOWN, "", UNCONFIRMED, text, self.unconfirmed[line])
        return Outcome(line, Status.UNPROCESSED)


@dataclass(frozen=True, slots=True)
class PageSpan:
    """The lines of a page, without its rows."""

    seq: int
    first_line: int
    last_line: int


class Rows:
    """The pages and outcomes of one ledger."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def add_page(
        self, job: str, seq: int, first: int, last: int, sealed: bytes, chunks: Sequence[NewChunk] = ()
    ) -> None:
        """Add the next rows of a roster, from line ``first`` to ``last``, and the chunks that they fill."""
        values = {"job": job, "seq": seq, "first_line": first, "last_line": last, "sealed": sealed}
        with self._store.begin() as connection:
            connection.execute(_ADD, values)
            for chunk in chunks:
                enter(connection, self._store, job, chunk)

    def pages(self, job: str) -> Iterator[SealedPage]:
        """Yield every row of the job in the roster's order, a page at a time."""
        return self._pages(job, _SEQS)

    def spans(self, job: str) -> list[PageSpan]:
        """Return the lines of each page of the job, in the roster's order."""
        with self._store.read() as connection:
            return [PageSpan(*row) for row in connection.execute(_SPANS, {"job": job}).all()]

    def pages_at(self, job: str, seqs: Sequence[int]) -> Iterator[SealedPage]:
        """Yield these pages of the job."""
        unconfirmed = self.unconfirmed(job) if seqs else {}
        for seq in seqs:
            yield self._page(job, seq, unconfirmed)

    def lines(self, job: str, statuses: Sequence[Status]) -> list[int]:
        """Return the lines whose outcome so far is one of these, in the roster's order."""
        with self._store.read() as connection:
            return list(connection.execute(_LINES, {"job": job, "statuses": list(statuses)}).scalars())

    def open_lines(self, job: str) -> list[int]:
        """Return the lines without an outcome, in the roster's order; a plan's are to be sent."""
        found: list[int] = []
        with self._store.read() as connection:
            for chunk in connection.execute(_OPEN_CHUNKS, {"job": job}).all():
                settled = set(connection.execute(_SETTLED, {"job": job, "chunk": chunk.seq}).scalars())
                found += [line for line in json.loads(chunk.lines or "[]") if line not in settled]
        return sorted(found)

    def leavers(self, job: str) -> Iterator[SealedPage]:
        """Yield every stored user whom the job deletes, or keeps in doubt, a page at a time."""
        return self._pages(job, _SEQS_OF_LEAVERS)

    def _pages(self, job: str, query: TextClause) -> Iterator[SealedPage]:
        with self._store.read() as connection:
            seqs = list(connection.execute(query, {"job": job}).scalars())
        unconfirmed = self.unconfirmed(job)
        for seq in seqs:
            yield self._page(job, seq, unconfirmed)

    def last_started(self, host: str, account: str, roster: str) -> str:
        """Return the id of the newest job with a roster of this name that was started, and not undone.

        Empty: there is none.
        """
        values = {"host": host, "account": account, "roster": roster}
        with self._store.read() as connection:
            return str(connection.execute(_LAST_STARTED, values).scalar() or "")

    def counts(self, job: str, rows: int) -> dict[Status, int]:
        """Return the number of rows by status, each once; without an outcome: ``SealedPage.outcome``."""
        with self._store.read() as connection:
            found = {Status(row.status): int(row.rows) for row in connection.execute(_COUNTS, {"job": job})}
        return _complete(found, rows, sum(line >= 0 for line in self.unconfirmed(job)))

    def leaver_counts(self, job: str) -> dict[Status, int]:
        """Return the number of leavers by status, each once; ``exists``: kept."""
        with self._store.read() as connection:
            counts = connection.execute(_COUNTS_OF_LEAVERS, {"job": job})
            found = {Status(row.status): int(row.rows) for row in counts}
            leavers = int(connection.execute(_LEAVERS, {"job": job}).scalar_one())
        return _complete(found, leavers, sum(line < 0 for line in self.unconfirmed(job)))

    def codes(self, job: str) -> dict[Status, dict[str, int]]:
        """Return the rows with an error code, counted by status and code, the most frequent codes first.

        Several codes of one row are joined by ``;``, as in the results.
        """
        with self._store.read() as connection:
            rows = connection.execute(_CODES, {"job": job}).all()
        found: dict[Status, dict[str, int]] = {Status(row.status): {} for row in rows}
        for row in rows:
            found[Status(row.status)][row.code] = int(row.rows)
        if unconfirmed := sum(line >= 0 for line in self.unconfirmed(job)):
            found.setdefault(Status.UNKNOWN, {})[UNCONFIRMED] = unconfirmed
        return found

    def outcomes(self, job: str, first: int, last: int) -> dict[int, Outcome]:
        """Return the outcomes so far of the rows from line ``first`` to line ``last``, by line."""
        with self._store.read() as connection:
            return _outcomes(connection, job, first, last)

    def outcomes_of(self, job: str, lines: Sequence[int]) -> dict[int, Outcome]:
        """Return the outcomes so far of the rows of these lines, by line."""
        with self._store.read() as connection:
            return _outcomes_of(connection.execute(_OF_LINES, {"job": job, "lines": lines}))

    def unconfirmed(self, job: str) -> dict[int, int]:
        """Return lines without an outcome that an idle job sent, or may have sent, with their attempts.

        For chunks whose worker died, every row: which of them it had sent is not known.
        """
        found: dict[int, int] = {}
        with self._store.read() as connection:
            for row in connection.execute(_UNCONFIRMED, {"job": job}).all():
                found.update((line, row.attempts) for line in unsettled_lines(connection, job, row))
        return found

    def _page(self, job: str, seq: int, unconfirmed: Mapping[int, int]) -> SealedPage:
        with self._store.read() as connection:
            page = connection.execute(_PAGE, {"job": job, "seq": seq}).one()
            found: Sequence[Any] = connection.execute(
                _OUTCOMES, {"job": job, "first": page.first_line, "last": page.last_line}
            ).all()
        recorded = {row[0]: row[1:] for row in found}
        return SealedPage(seq, page.first_line, page.last_line, bytes(page.sealed), recorded, unconfirmed)


def _complete(found: dict[Status, int], rows: int, unconfirmed: int) -> dict[Status, int]:
    """Return counts by status of so many rows, with those that have no outcome.

    ``rows`` is 0, or that of a moment ago, while the roster is being read.
    """
    found[Status.UNPROCESSED] = max(0, rows - sum(found.values()) - unconfirmed)
    found[Status.UNKNOWN] = found.get(Status.UNKNOWN, 0) + unconfirmed
    return {status: found[status] for status in Status if found.get(status)}


def unsettled_lines(connection: Connection, job: str, chunk: Row[Any]) -> list[int]:
    """Return the unconfirmed lines without an outcome of an open chunk (seq, state, doubt, lines)."""
    sent = unconfirmed_lines(chunk.state, chunk.doubt)
    lines: list[int] = json.loads(chunk.lines or "[]") if sent is None else sorted(sent)
    settled = set(connection.execute(_SETTLED, {"job": job, "chunk": chunk.seq}).scalars())
    return [line for line in lines if line not in settled]


def _outcomes(connection: Connection, job: str, first: int, last: int) -> dict[int, Outcome]:
    return _outcomes_of(connection.execute(_OUTCOMES, {"job": job, "first": first, "last": last}))


def _outcomes_of(rows: CursorResult[Any]) -> dict[int, Outcome]:
    found: Sequence[Sequence[Any]] = rows.all()  # each row in the order of an Outcome's fields
    return {line: _outcome(line, *values) for line, *values in found}


def _outcome(line: int, status: str, *rest: Any) -> Outcome:
    return Outcome(line, Status(status), *rest)
