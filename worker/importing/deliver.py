"""Step 3 and 4 of a row's way: a chunk is claimed, opened, posted in batches, and ended.

Whatever happens to the worker meanwhile, the ledger tells what is left to do: outcomes are committed
with their batch, and a claim that went wrong is given back or runs out.
"""

from __future__ import annotations

import datetime as dt
import logging
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, wait
from contextlib import nullcontext
from functools import partial

from worker.errors import SealBroken, StopJob, Stopping, Throttled, TryLater
from worker.failpoints import hit
from worker.importing.change_log import change_of, is_confirmed, is_unproven
from worker.importing.compare import wanted
from worker.importing.plan import kept_for
from worker.importing.settle import Settling
from worker.importing.suspicion import DEADLY, Source, WatchedSource
from worker.importing.unconfirmed import UnconfirmedLookup
from worker.importing.update import Updating
from worker.ledger import Claim, Deeds, Fenced, Ledger, Unanswered
from worker.ledger.codec import Change, open_changes, open_chunk, seal_changes, seal_chunk
from worker.model import Credential, Family, Job, JobState, Outcome, Row, Status, Stored
from worker.seal import Seal

log = logging.getLogger(__name__)

LEASE = 120.0
"""Seconds that a claim holds without a sign of life: well over the deadline of one request."""

GIVE_WAY = 200.0
"""Seconds after which a chunk is given back with what it has, below the task limits of Celery."""

_READING = 30.0
"""Seconds that one request may take."""

_LONGEST_WAIT = 300.0
"""Seconds until a chunk that met an unavailable service is tried again, at most."""

_LONGEST_ASKED = 3600.0
"""Seconds that the service may ask a chunk to wait: a date far off must not put it away for ever."""


Work = Callable[[Sequence[Row]], None]
"""What is done with a batch."""


class GivingWay(Exception):
    """No further request of this chunk should start now; what it has is kept."""


class Lease:
    """How long a claim still holds, by this process's own clock, so that waking late is noticed."""

    def __init__(self, ledger: Ledger, claim: Claim, taken: float, clock: Callable[[], float]) -> None:
        self._ledger = ledger
        self._claim = claim
        self._clock = clock
        self._until = taken + LEASE
        self._lock = threading.Lock()

    def permit(self, deadline: float) -> None:
        """A writing request of at most ``deadline`` seconds may start; Fenced when the chunk is lost."""
        with self._lock:
            if self._until - self._clock() > deadline:
                return
            began = self._clock()
            self._ledger.chunks.renew(self._claim, LEASE)
            self._until = began + LEASE

    def record(self, outcomes: Sequence[Outcome], deeds: Deeds | None) -> JobState:
        """Commit outcomes and what was done, which renews the lease; Fenced when the chunk is lost."""
        with self._lock:
            began = self._clock()
            state = self._ledger.chunks.record(self._claim, outcomes, LEASE, deeds)
            self._until = began + LEASE
            return state

    def intend(self, deeds: Deeds) -> None:
        """Commit how something was before it is changed; renews the lease, or raises Fenced."""
        with self._lock:
            began = self._clock()
            self._ledger.chunks.intend(self._claim, LEASE, deeds)
            self._until = began + LEASE


class Delivery:
    """Works on the chunks of one job in this process.

    ``executor`` bounds the requests in flight of the whole process. ``stopping`` is set when the
    process is asked to end: what is in flight ends, nothing new starts.
    """

    def __init__(
        self,
        job: Job,
        ledger: Ledger,
        seal: Seal,
        api: Source,
        executor: Executor,
        *,
        owner: str,
        stopping: threading.Event,
        count: Callable[[], tuple[int, int]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.job = job
        self.ledger = ledger
        self.seal = seal
        self.api = api
        self.executor = executor
        self.owner = owner
        self.stopping = stopping
        self.count = count
        self.clock = clock
        self.realms = ledger.jobs.realms(job.id)
        self.unconfirmed = UnconfirmedLookup(job, ledger, api, executor, clock)

    def deliver(self, seq: int) -> None:
        """Work on one chunk. Safe to be called for any chunk at any time, any number of times."""
        taken = self.clock()
        claim = self.ledger.chunks.claim(self.job.id, seq, self.owner, LEASE)
        if claim is None:
            return
        hit("claimed")
        try:
            _ChunkDelivery(self, claim, taken).run()
        except Fenced:
            log.warning("chunk %s/%d was taken over by another worker", self.job.id, seq)
        except SealBroken as broken:  # before anything was sent, so what was in doubt is so still
            why = f"seal_broken: chunk {seq}: {broken.message}"
            self.ledger.jobs.stop(self.job.id, JobState.STOPPED, why)
            self.ledger.chunks.release(claim, 0.0, None, 0, 0)


class _ChunkDelivery:
    """One claim of one chunk, from its seal to its end."""

    def __init__(self, delivery: Delivery, claim: Claim, taken: float) -> None:
        self._delivery = delivery
        self._ledger = delivery.ledger
        self._job = delivery.job
        self._claim = claim
        self._began = self._answered = taken
        self._lease = Lease(delivery.ledger, claim, taken, delivery.clock)
        self._statuses: dict[int, Status] = dict(claim.settled)
        self._state = JobState.RUNNING
        self._over = False
        self._rows = open_chunk(delivery.seal, claim.job, claim.seq, claim.sealed)
        self._by_line = {row.line: row for row in self._rows}
        self._begun = self._deeds_begun()
        watched = WatchedSource(delivery.api, partial(self._ledger.chunks.set_away, claim))
        api = watched if claim.suspect else delivery.api
        self._settling = Settling(
            self._job.options.api,
            delivery.realms,
            api,
            permit=self._lease.permit,
            record=self._record,
            go_on=self._go_on,
            learn=partial(self._ledger.jobs.learn_bound, self._job.id),
            lookup=delivery.unconfirmed.of(
                claim, self._rows, api, self._keep, watched.away if claim.suspect else nullcontext
            ),
            earlier_attempts=claim.attempts - 1,
        )
        self._updating = Updating(
            self._job.options.api,
            delivery.realms,
            api,
            permit=self._lease.permit,
            record=self._record,
            go_on=self._go_on,
            intend=self._intend,
            begun={deed.line for deed in self._begun},
            earlier_attempts=claim.attempts - 1,
        )

    def run(self) -> None:
        """Post what has no outcome; then end the chunk, or give it back with what it has."""
        if self._claim.suspect:
            self._split()
        try:
            self._post_everything()
        except (GivingWay, Stopping):
            self._give_back(0.0)
        except StopJob as stop:
            self._ledger.jobs.stop(self._job.id, JobState.STOPPED, f"{stop.code}: {stop.message}")
            self._give_back(0.0)
        except TryLater as later:
            unanswered = Unanswered(_why(later), self._delivery.clock() - self._answered)
            self._give_back(self._wait(later), unanswered)
        else:
            self._end()

    def _split(self) -> None:
        """Half of the rows go into a chunk of their own; a row alone that was deadly is not tried again."""
        rows = self._open_rows()
        if len(rows) == 1 and self._claim.deaths >= DEADLY:
            text = f"workers died {self._claim.deaths} times over this row alone; please report it"
            # Unknown: one of them may have sent it.
            self._record([Outcome(rows[0].line, Status.UNKNOWN, "", "crashed", text, self._claim.attempts)])
        if len(rows) < 2 or not self._claim.deaths:
            return
        moved = rows[len(rows) // 2 :]
        lines = {row.line for row in moved}
        self._rows = [row for row in self._rows if row.line not in lines]
        seal, job = self._delivery.seal, self._job.id
        kept = seal_chunk(seal, job, self._claim.seq, self._rows)
        begun = [deed for deed in self._begun if deed.line in lines]
        self._ledger.chunks.split(
            self._claim, kept, sorted(lines), lambda seq: seal_chunk(seal, job, seq, moved),
            (lambda seq: seal_changes(seal, job, seq, 0, begun)) if begun else None,
        )  # fmt: skip

    def _open_rows(self) -> list[Row]:
        return [row for row in self._rows if row.line not in self._statuses]

    def _post_everything(self) -> None:
        """Raises what kept a batch from its end; of several reasons the gravest."""
        executor = self._delivery.executor
        futures = [executor.submit(self._work_on, *batch) for batch in self._batches()]
        try:
            wait(futures)
        finally:  # nothing new starts; what is in flight ends and keeps its outcomes
            self._over = True
            wait(futures)
        errors = [error for future in futures if (error := future.exception())]
        if errors:
            raise max(errors, key=_gravity)

    def _work_on(self, work: Work, batch: Sequence[Row]) -> None:
        """One batch; what stops it stops those that haven't begun, and is told before others have ended.

        Others may be waiting for the cool-down, and the command for word that the job is paused.
        """
        if self._over:
            return
        try:
            work(batch)
        except Stopping:
            self._over = True
            raise
        except TryLater as later:
            self._ledger.jobs.pause(self._job.id, _why(later))
            self._over = True
            raise
        except BaseException:
            self._over = True
            raise

    def _batches(self) -> Iterator[tuple[Work, Sequence[Row]]]:
        to_update = [row for row in self._open_rows() if row.stored]
        open_rows = [row for row in self._open_rows() if not row.stored]
        sent = [row for row in open_rows if self._claim.in_doubt(row.line)]
        fresh = [row for row in open_rows if not self._claim.in_doubt(row.line)]
        # From here on, so that a batch which never got its turn is asked for by the next claim.
        self._settling.in_doubt.update(row.line for row in sent)
        self._updating.in_doubt.update(row.line for row in to_update if self._claim.in_doubt(row.line))
        size = min(self._job.options.batch_size, self._bound())
        yield from ((self._settling.ask_and_post, batch) for batch in self._cut(sent, size))
        yield from ((self._settling.post, batch) for batch in self._cut(fresh, size))
        yield from ((self._updating.update, batch) for batch in self._cut(to_update, size))

    def _bound(self) -> int:
        bound = self._ledger.jobs.get(self._job.id).batch_bound
        return bound or self._job.options.batch_size

    def _cut(self, rows: Sequence[Row], size: int) -> Iterator[Sequence[Row]]:
        """Batches; with the realm family each goes to one realm only."""
        if self._job.options.api is Family.ACCOUNT:
            shelves = [list(rows)]
        else:
            shelves = [
                [row for row in rows if row.realm_key == key] for key in {row.realm_key: None for row in rows}
            ]
        for shelf in shelves:
            yield from (shelf[start : start + size] for start in range(0, len(shelf), size))

    def _go_on(self) -> None:
        """Raises GivingWay when the job is over, its time is up, or others should have their turn."""
        if past(self._job.options.not_after):
            stop_at_end_of_window(self._ledger, self._job)
            self._state = JobState.STOPPED
        elapsed = self._delivery.clock() - self._began
        stopped = self._over or self._delivery.stopping.is_set() or self._state is not JobState.RUNNING
        if stopped or elapsed > GIVE_WAY:
            raise GivingWay

    def _keep(self) -> None:
        """Hold the chunk for one more request that reads; raises as ``_go_on`` does, and Fenced."""
        self._go_on()
        self._lease.permit(_READING)

    def _deeds_begun(self) -> list[Change]:
        """How an earlier claim has kept rows that it was about to change, so that it may have done so."""
        if not any(row.stored for row in self._rows):
            return []
        job, seq, seal = self._job.id, self._claim.seq, self._delivery.seal
        kept = self._ledger.changes.of_chunk(job, seq)
        return [d for key, sealed in kept for d in open_changes(seal, job, seq, key.nr, sealed) if d.before]

    def _intend(self, row: Row, now: Stored) -> None:
        """Keep how a credential is before it is changed."""
        deed = change_of(row.line, row.realm_key, now.id, self._wanted(row), now)
        self._lease.intend(self._sealed_deeds([deed], 1))

    def _made(self, outcomes: Sequence[Outcome]) -> Deeds | None:
        """What this job made, also where it made it wrongly; and what it may have made without a proof."""
        made = [
            (outcome, change_of(row.line, row.realm_key, outcome.credential_id, self._wanted(row)))
            for outcome in outcomes
            if is_confirmed(outcome) or is_unproven(outcome)
            if not (row := self._by_line[outcome.line]).stored
        ]
        if not made:
            return None
        return self._sealed_deeds([deed for _, deed in made], sum(is_confirmed(one) for one, _ in made))

    def _sealed_deeds(self, deeds: Sequence[Change], rows: int) -> Deeds:
        """``rows``: those of them that count as the job's work."""
        job, seq, seal = self._job.id, self._claim.seq, self._delivery.seal
        return Deeds(rows, lambda nr: seal_changes(seal, job, seq, nr, deeds))

    def _wanted(self, row: Row) -> Credential:
        return wanted(row, self._delivery.realms[row.realm_key].host)

    def _record(self, outcomes: Sequence[Outcome]) -> None:
        self._state = self._lease.record(outcomes, self._made(outcomes))
        self._answered = self._delivery.clock()
        self._statuses.update((outcome.line, outcome.status) for outcome in outcomes)
        troubled = any(outcome.status.counts_as_failed for outcome in outcomes)
        if troubled and stop_when_too_many_failed(self._ledger, self._job):
            self._state = JobState.STOPPED

    def _end(self) -> None:
        left = [row for row in self._rows if not self._statuses[row.line].in_place]
        claim = self._claim
        sealed = seal_chunk(self._delivery.seal, claim.job, claim.seq, left) if left else None
        hit("ending")
        self._ledger.chunks.end(claim, sealed, kept_for(self._job.options), *self._delivery.count())
        self._ledger.jobs.finish(claim.job)

    def _give_back(self, delay: float, unanswered: Unanswered | None = None) -> None:
        doubt = sorted(self._settling.in_doubt | self._updating.in_doubt)
        self._ledger.chunks.release(self._claim, delay, doubt, *self._delivery.count(), unanswered)

    def _wait(self, later: TryLater) -> float:
        # Spread out, so that the chunks of a long outage don't all come back at the same moment.
        grown = min(_LONGEST_WAIT, 2.0 ** min(self._claim.barren, 9)) * random.uniform(0.5, 1.0)  # noqa: S311
        return max(grown, min(later.retry_after or 0.0, _LONGEST_ASKED))


def _why(later: TryLater) -> str:
    """Why a job or a chunk waits, as the ledger keeps it."""
    code = "throttled" if isinstance(later, Throttled) else "unavailable"
    return f"{code}: {later.message}"


def _gravity(error: BaseException) -> int:
    """How much a reason for not going on says; what nobody expected says most."""
    mildest_first = (GivingWay, TryLater, StopJob)
    return next((at for at, kind in enumerate(mildest_first) if isinstance(error, kind)), len(mildest_first))


def past(moment: str) -> bool:
    """Whether a time (ISO 8601; empty: never) is over."""
    return bool(moment) and dt.datetime.now(dt.UTC) >= dt.datetime.fromisoformat(moment)


def stop_at_end_of_window(ledger: Ledger, job: Job) -> None:
    """``--not-after`` has come."""
    ledger.jobs.stop(job.id, JobState.STOPPED, f"not_after: the window ended at {job.options.not_after}")


def stop_when_too_many_failed(ledger: Ledger, job: Job) -> bool:
    """Stop the job when more rows than ``--max-failed`` are failed, unknown or invalid."""
    if not job.options.max_failed:
        return False
    troubled = ledger.chunks.progress(job.id).troubled
    bound = failures_allowed(job.options.max_failed, ledger.jobs.get(job.id).rows)
    if troubled <= bound:
        return False
    why = f"max_failed: {troubled} rows are failed, unknown or invalid; {job.options.max_failed} are allowed"
    return ledger.jobs.stop(job.id, JobState.STOPPED, why)


def failures_allowed(max_failed: str, rows: int) -> float:
    """Rows that may go wrong: ``N`` as it is, ``N%`` of the roster's rows."""
    if max_failed.endswith("%"):
        return rows * float(max_failed[:-1]) / 100
    return float(max_failed)
