"""The story of a chunk: claim it, open its seal, send its rows in batches, record one outcome a row, end it.

Whatever happens to the worker, the ledger knows what is left to do: outcomes are committed with their batch,
and a claim that went wrong is released or expires.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, wait
from contextlib import AbstractContextManager, nullcontext
from contextvars import copy_context
from functools import partial

from worker.errors import SealBroken, StopJob, Stopping, TryLater
from worker.failpoints import hit
from worker.importing.api_protocols import Source
from worker.importing.chunk_session import LEASE, ChunkSession, ChunkYield, WorkerProcess, why_later
from worker.importing.create import BatchCreator
from worker.importing.delete import RowDeleter
from worker.importing.poison import WatchedSource, isolate_poison
from worker.importing.unconfirmed_lookup import UnconfirmedLookup
from worker.importing.update import RowUpdater
from worker.ledger import Claim, Fenced
from worker.ledger.codec import open_chunk
from worker.logs import about
from worker.meter import METER
from worker.model import Family, Job, Row
from worker.states import Reason, Why

log = logging.getLogger(__name__)

Send = Callable[[Sequence[Row]], None]
"""A function that sends a batch of rows."""


class ChunkWorker:
    """Worker for the chunks of one job in this process."""

    def __init__(self, job: Job, process: WorkerProcess) -> None:
        self.job = job
        self._process = process
        self._ledger = process.ledger
        self._realms = process.ledger.jobs.realms(job.id)
        self._lookup = UnconfirmedLookup(job, process)

    def work_on(self, seq: int) -> None:
        """Work on one chunk. Safe to call for any chunk, at any time, any number of times."""
        claimed_at = self._process.clock()
        claim = self._ledger.chunks.claim(self.job.id, seq, self._process.id, LEASE)
        if claim is None:
            return
        hit("claimed")
        if claim.attempts > 1 and claim.unconfirmed is None:  # as nobody leaves it who releases it
            METER.count("lease_losses", 1, self.job.account, "expired")
        schedule = {"schedule": self.job.schedule} if self.job.schedule else {}
        with about(job=self.job.id, chunk=seq, account=self.job.account, **schedule):
            self._work_on(claim, claimed_at)

    def _work_on(self, claim: Claim, claimed_at: float) -> None:
        seq = claim.seq
        try:
            self._carry_out(self._opened(claim, claimed_at))
        except Fenced:
            METER.count("lease_losses", 1, self.job.account, "fenced")
            log.warning("chunk %s/%d was taken over by another worker", self.job.id, seq)
        except SealBroken as broken:  # before anything was sent, so the unconfirmed rows stay the same
            self._ledger.jobs.stop(self.job.id, Why(Reason.SEAL_BROKEN, f"chunk {seq}: {broken.message}"))
            self._ledger.chunks.release(claim, 0.0, None, 0, 0)

    def _opened(self, claim: Claim, claimed_at: float) -> ChunkSession:
        rows = open_chunk(self._process.seal, claim.job, claim.seq, claim.sealed)
        for row in rows:
            row.host = self._realms[row.realm_key].host
        session = ChunkSession(self.job, self._process, claim, rows, self._realms, claimed_at)
        _ = session.changes_begun  # a broken seal there is noticed before anything is sent
        session.begun()
        return session

    def _carry_out(self, session: ChunkSession) -> None:
        """Send the rows without an outcome; then end the chunk, or release it with its outcomes so far."""
        if session.claim.suspect:
            isolate_poison(session, self._process)
        try:
            self._send(session)
        except ChunkYield:
            session.give_back()
        except StopJob as stop:
            self._ledger.jobs.stop(self.job.id, Why(stop.reason, stop.message))
            session.give_back()
        except TryLater as later:
            session.give_back(later)
        else:
            session.end()

    def _send(self, session: ChunkSession) -> None:
        """Send the batches, several in flight. Raises the most serious of the errors that stopped them."""
        executor = self._process.executor
        # Each with a copy of the context, which says what log lines are about.
        futures: list[Future[None]] = []
        for batch in self._batches(session):
            run: Callable[..., None] = copy_context().run
            futures.append(executor.submit(run, self._send_batch, session, *batch))
        try:
            wait(futures)
        finally:  # start nothing new; let requests in flight end, and its outcomes are recorded
            session.over = True
            wait(futures)
        errors = [error for future in futures if (error := future.exception())]
        if errors:
            raise max(errors, key=_gravity)

    def _send_batch(self, session: ChunkSession, send: Send, rows: Sequence[Row]) -> None:
        """Send one batch. Its error stops the batches that haven't begun, and is reported at once.

        Others may wait for the cool-down, and the command has to hear that the job is paused.
        """
        if session.over:
            return
        try:
            send(rows)
        except BaseException as error:
            if isinstance(error, TryLater) and not isinstance(error, Stopping):
                self._ledger.jobs.pause(self.job.id, why_later(error))
            session.over = True
            raise

    def _batches(self, session: ChunkSession) -> Iterator[tuple[Send, Sequence[Row]]]:
        """Yield batches: rows to look up first, then rows to create, then rows to update or leavers."""
        creator, changer = self._senders(session)
        rows = session.open_rows()
        changes = [row for row in rows if row.stored]
        creates = [row for row in rows if not row.stored]
        unconfirmed = [row for row in creates if row.line in session.unconfirmed]
        fresh = [row for row in creates if row.line not in session.unconfirmed]
        size = session.batch_size
        yield from ((creator.look_up_and_create, batch) for batch in self._batches_of(unconfirmed, size))
        yield from ((creator.create, batch) for batch in self._batches_of(fresh, size))
        yield from ((changer.change, batch) for batch in self._batches_of(changes, size))

    def _senders(self, session: ChunkSession) -> tuple[BatchCreator, RowUpdater | RowDeleter]:
        """Return who creates, and who changes; for a suspect chunk, the ledger hears of each wait."""
        source: Source | WatchedSource = self._process.api
        waiting: Callable[[], AbstractContextManager[None]] = nullcontext
        if session.claim.suspect:
            waits = partial(self._ledger.chunks.set_waiting_on_service, session.claim)
            source = watched = WatchedSource(self._process.api, waits)
            waiting = watched.waiting
        lookup = self._lookup.of(session, source, waiting)
        changer = RowDeleter if session.of_leavers else RowUpdater
        return BatchCreator(session, source, lookup), changer(session, source)

    def _batches_of(self, rows: Sequence[Row], size: int) -> Iterator[Sequence[Row]]:
        """Cut rows into batches; in the realm family each batch goes to one realm only."""
        if self.job.options.api is Family.ACCOUNT:
            by_realm = [rows]
        else:
            keys = dict.fromkeys(row.realm_key for row in rows)
            by_realm = [[row for row in rows if row.realm_key == key] for key in keys]
        for part in by_realm:
            yield from (part[start : start + size] for start in range(0, len(part), size))


def _gravity(error: BaseException) -> int:
    """Return how serious a reason for stopping is; an unexpected error is the most serious."""
    mildest_first = (ChunkYield, TryLater, StopJob)
    return next((at for at, kind in enumerate(mildest_first) if isinstance(error, kind)), len(mildest_first))
