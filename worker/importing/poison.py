"""Find the row that kills its worker, row by row, without blaming a row for a random kill.

A crash counts only if no outcome was recorded since, and only while the worker itself was at work: a worker
that dies while it waits for the service was not killed by a row. A suspect chunk is split until the row at
fault is alone; alone, after ``CRASHES`` crashes, it is `crashed`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from worker.importing.api_protocols import Permit, Source
from worker.importing.chunk_session import ChunkSession, WorkerProcess
from worker.ledger.codec import seal_changes, seal_chunk
from worker.model import Answer, Credential, Family, Outcome, Realm, Row, Status, Stored

CRASHES = 3
"""Crashes over a single row after which it isn't tried again."""


def isolate_poison(session: ChunkSession, process: WorkerProcess) -> None:
    """Move half of a chunk's rows to a new chunk; give up on a single row that crashed too often."""
    claim, rows = session.claim, session.open_rows()
    if len(rows) == 1 and claim.crashes >= CRASHES:
        text = f"workers died {claim.crashes} times over this row alone; please report it"
        # Unknown: one of the crashed workers may have sent it.
        session.record([Outcome(rows[0].line, Status.UNKNOWN, "", "crashed", text, claim.attempts)])
    if len(rows) < 2 or not claim.crashes:
        return
    moved = rows[len(rows) // 2 :]
    lines = {row.line for row in moved}
    session.rows = [row for row in session.rows if row.line not in lines]
    session.unconfirmed -= lines
    seal, job = process.seal, claim.job
    begun = [change for change in session.changes_begun if change.line in lines]
    process.ledger.chunks.split(
        claim,
        seal_chunk(seal, job, claim.seq, session.rows),
        sorted(lines),
        lambda seq: seal_chunk(seal, job, seq, moved),
        (lambda seq: seal_changes(seal, job, seq, 0, begun)) if begun else None,
    )


class WatchedSource:
    """A Source that tells the ledger whenever the worker waits for the service."""

    def __init__(self, api: Source, set_waiting: Callable[[bool], None]) -> None:
        self._api = api
        self._set_waiting = set_waiting

    def create(self, family: Family, realm: Realm, batch: Sequence[Row], permit: Permit) -> Answer:
        """Create credentials as the service does."""
        with self.waiting():
            return self._api.create(family, realm, batch, permit)

    def find(self, family: Family, realm: Realm, composite: str, *, expected: bool = False) -> Stored | None:
        """Find a credential as the service does."""
        with self.waiting():
            return self._api.find(family, realm, composite, expected=expected)

    def read(
        self,
        family: Family,
        realm: Realm | None,
        stored: Stored,
        written: Callable[[Stored | None], bool] | None = None,
    ) -> Stored | None:
        """Read a credential as the service does."""
        with self.waiting():
            return self._api.read(family, realm, stored, written)

    def update(
        self,
        family: Family,
        realm: Realm | None,
        stored: Stored,
        credential: Credential,
        permit: Permit,
        *,
        clear: bool = False,
    ) -> None:
        """Update a credential as the service does."""
        with self.waiting():
            self._api.update(family, realm, stored, credential, permit, clear=clear)

    def delete(self, family: Family, realm: Realm | None, stored: Stored, permit: Permit) -> bool:
        """Delete a credential as the service does."""
        with self.waiting():
            return self._api.delete(family, realm, stored, permit)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Tell the ledger that the worker waits for the service, for the length of a block."""
        self._set_waiting(True)
        try:
            yield
        finally:
            self._set_waiting(False)
