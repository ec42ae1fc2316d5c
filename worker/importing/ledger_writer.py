"""The pipeline's sink into the ledger: pages for the results, chunks for the work."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace

from worker.failpoints import hit
from worker.importing.absent import record_absent
from worker.importing.generate import Passwords
from worker.importing.guards import why_held_back
from worker.importing.plan_summary import PlanSummary
from worker.importing.stop_rules import retention
from worker.importing.validation import RosterPage
from worker.ledger import Ledger
from worker.ledger.codec import seal_chunk, seal_page
from worker.ledger.new_chunks import NewChunk
from worker.model import NO_REALM, Family, Job, Row
from worker.seal import Seal

_BUFFERED = 50_000
"""Rows that may wait in unfinished chunks of many realms before the fullest chunk is written."""

_RENEW_EVERY = 100
"""Pages after which the job's hold on its account is renewed."""


class LedgerWriter:
    """Writer of a decided roster into the ledger: a page and the chunks that it fills, in one transaction."""

    def __init__(
        self,
        ledger: Ledger,
        seal: Seal,
        job: Job,
        *,
        saved: bool = False,
        passwords: Passwords | None = None,
        plan: Job | None = None,
    ) -> None:
        """Take ``saved``: seal every row, with what is stored now, for a plan that is carried out later.

        ``passwords``: the generated ones of this roster, which are recorded page by page. ``plan``: the saved
        plan that the job carries out.
        """
        self.job = job
        self.passwords = passwords
        self.plan = plan
        self._ledger = ledger
        self._seal = seal
        self._saved = saved
        self._may_be_saved = saved or bool(job.options.max_changes or job.options.require_rows)
        self._by_realm = job.options.api is Family.REALM
        self._size = job.options.chunk_size
        self._kept_for = retention(job.options)
        self._pages = itertools.count()
        self._chunks = itertools.count()
        self._unfinished: dict[int, list[Row]] = {}
        self._waiting = 0

    def write(self, page: RosterPage) -> None:
        """Enter the next page: rows to be sent go into chunks; the outcomes of all others are known."""
        job, seq = self.job.id, next(self._pages)
        if seq % _RENEW_EVERY == 0:
            self._ledger.accounts.renew(job)
        if self.passwords:
            self.passwords.record(page)
        chunks = list(self._full_chunks([row for row in page if row.outcome is None]))
        if settled := [row for row in page if row.outcome is not None]:
            chunks.extend(self._settled(settled))
        sealed = seal_page(self._seal, job, seq, page)
        self._ledger.rows.add_page(job, seq, page[0].line, page[-1].line, sealed, chunks)
        hit("planned_page")

    def write_leavers(self, page: RosterPage) -> None:
        """Enter a page of leavers: users to be deleted once all rows are done, and those kept in doubt."""
        leavers = [row for row in page if not row.outcome]
        chunks = [self._chunk(rows) for rows in self._shelves(leavers).values() if rows]
        if settled := [row for row in page if row.outcome]:
            chunks.append(self._settled_chunk(settled, (), None))
        job, seq = self.job.id, next(self._pages)
        sealed = seal_page(self._seal, job, seq, page)
        self._ledger.rows.add_page(job, seq, page[0].line, page[-1].line, sealed, chunks)
        hit("planned_page")

    def finish(self, summary: PlanSummary, requests: int = 0, retries: int = 0) -> None:
        """Enter the chunks that are not full, and the summary; the job can be started after that."""
        jobs, job = self._ledger.jobs, self.job.id
        for rows in self._unfinished.values():
            if rows:
                chunk = self._chunk(rows)
                self._ledger.chunks.add(job, chunk.seq, chunk.lines, chunk.sealed or b"")
        self._unfinished.clear()
        if summary.absent is not None:
            jobs.set_absent(job, summary.absent)
        if summary.absent_hashes is not None:
            record_absent(self._ledger, self._seal, self.job, summary.absent_hashes, self.plan)
        jobs.has_read(job, summary.rows, summary.warnings, requests, retries)
        if self._saved:
            jobs.save(job, self._kept_for, why_held_back(self.job.options, summary))

    def _full_chunks(self, rows: list[Row]) -> Iterator[NewChunk]:
        for key, here in self._shelves(rows).items():
            shelf = self._unfinished.setdefault(key, [])
            shelf.extend(here)
            self._waiting += len(here)
            while len(shelf) >= self._size:
                yield self._new_chunk(shelf)
        while self._waiting >= _BUFFERED:
            yield self._new_chunk(max(self._unfinished.values(), key=len))

    def _shelves(self, rows: list[Row]) -> dict[int, list[Row]]:
        """Group the rows by realm in the realm family: a request goes to one realm, so its chunks do too."""
        if not self._by_realm:
            return {NO_REALM: rows}
        shelves: dict[int, list[Row]] = {}
        for row in rows:
            shelves.setdefault(row.realm_key, []).append(row)
        return shelves

    def _new_chunk(self, shelf: list[Row]) -> NewChunk:
        rows = shelf[: self._size]
        del shelf[: self._size]
        self._waiting -= len(rows)
        return self._chunk(rows)

    def _chunk(self, rows: list[Row]) -> NewChunk:
        seq = next(self._chunks)
        sealed = seal_chunk(self._seal, self.job.id, seq, rows)
        return NewChunk(seq, [row.line for row in rows], sealed)

    def _settled(self, rows: list[Row]) -> Iterator[NewChunk]:
        """Yield the chunks of rows that need no request; only passwords that a retry may need are stored.

        If a guard may hold the job back, its plan needs all rows: those in place are kept until it starts.
        """
        if not self._may_be_saved:
            troubled = [_without_stored(row) for row in rows if _in_trouble(row)]
            yield self._settled_chunk(rows, troubled, self._kept_for)
            return
        for part in (
            [row for row in rows if _in_trouble(row)],
            [row for row in rows if not _in_trouble(row)],
        ):
            if part:
                yield self._settled_chunk(part, part, self._kept_for if _in_trouble(part[0]) else None)

    def _settled_chunk(self, rows: Sequence[Row], kept: Sequence[Row], kept_for: float | None) -> NewChunk:
        seq = next(self._chunks)
        sealed = seal_chunk(self._seal, self.job.id, seq, kept) if kept else None
        return NewChunk(seq, [], sealed, [row.outcome for row in rows if row.outcome], kept_for)


def _in_trouble(row: Row) -> bool:
    return row.outcome is not None and row.outcome.status.in_trouble


def _without_stored(row: Row) -> Row:
    """Return the row as it is stored for a retry, which looks up the stored credential itself."""
    return replace(row, stored=None) if row.stored else row
