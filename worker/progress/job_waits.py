"""The waits of a job, gathered from this process, the ledger and the broker, and the limit on them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from worker.errors import LedgerAway, TryLater
from worker.ledger import Ledger, shown
from worker.model import Job
from worker.states import Reason, Why
from worker.waits import HERE, Wait, WaitKind, Waits, gravest, span

_BOUND = frozenset({WaitKind.LEDGER, WaitKind.BROKER, WaitKind.ACCOUNT, WaitKind.SERVICE, WaitKind.WORKER})
"""Waits that ``--patience`` ends."""


_OF_SERVICE = (Reason.UNAVAILABLE, Reason.THROTTLED)
"""Reasons of a pause that the service has given."""


@dataclass(frozen=True, slots=True)
class Cause:
    """One part of a job that can wait: the job itself, a chunk, the broker."""

    key: object
    kind: WaitKind
    reason: str
    """In the words that the kind leaves open."""
    why: Why
    """The reason that the job records if this wait ends it."""
    already: float = 0.0
    """Seconds that it had waited when it was first seen."""
    counts: bool = True
    """True if it is waiting right now, and not merely for its turn."""


class Patience:
    """Measures how long each cause has lasted. ``clock``: monotonic seconds, so that nobody can set it."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds = seconds
        self._clock = clock
        self._last_look = clock()
        self._waited: dict[object, float] = {}
        self._causes: list[Cause] = []

    def look(self, causes: Sequence[Cause]) -> None:
        """Record the present waits; a cause that disappears starts from zero when it comes back."""
        passed = self._clock() - self._last_look
        self._last_look += passed
        self._causes = list(causes)
        self._waited = {one.key: self._next(one, passed) for one in causes}

    def _next(self, cause: Cause, passed: float) -> float:
        if cause.key not in self._waited:
            return cause.already
        return self._waited[cause.key] + (passed if cause.counts else 0.0)

    @property
    def longest(self) -> float:
        """Return the seconds that the longest cause has lasted."""
        return max(self._waited.values(), default=0.0)

    @property
    def spent_on(self) -> Cause | None:
        """Return the cause that has outlasted the limit, or None."""
        over = [one for one in self._causes if self._waited[one.key] > self.seconds]
        return max(over, key=lambda one: self._waited[one.key], default=None)

    def waits(self) -> list[Wait]:
        """Return each cause as a wait."""
        return [self._wait(one) for one in self._causes if one.counts]

    def _wait(self, cause: Cause) -> Wait:
        waited = self._waited[cause.key]
        return Wait(cause.kind, cause.reason, waited, self.left(waited), by_patience=True)

    def left(self, waited: float) -> float | None:
        """Return the seconds left of the limit after a wait of this length, or None without a limit."""
        return None if math.isinf(self.seconds) else self.seconds - waited


class JobWaits:
    """The waits of one job.

    ``workers`` returns the worker processes that serve it; without it the command itself is its worker.
    ``here``: the waits of this process, which an observer leaves out.
    """

    def __init__(
        self,
        ledger: Ledger,
        job: Job,
        patience: Patience,
        workers: Callable[[], list[str]] | None,
        here: Waits = HERE,
    ) -> None:
        self._here = here
        self._ledger = ledger
        self._job = job
        self._patience = patience
        self._workers = workers
        self._present: list[str] | None = None
        self._failing: dict[WaitKind, Cause] = {}
        self._settled = -1
        self._progress = time.monotonic()
        self._waits: list[Wait] = []
        self._writer = ""

    @property
    def no_worker(self) -> bool:
        """Return whether the broker reported that no worker answers."""
        return self._present == []

    @contextmanager
    def trying(self, kind: WaitKind, fault: type[LedgerAway | TryLater]) -> Iterator[None]:
        """Wait for failures within the block as long as patience lasts, without raising them."""
        try:
            with self._here.entered(kind, "no answer yet"):
                yield
        except fault as error:
            why = Why(Reason.BROKER, error.message)  # the ledger's own could be kept nowhere
            self._failing[kind] = Cause(kind, kind, error.message, why)
        else:
            self._failing.pop(kind, None)

    def ask_for_workers(self) -> None:
        """Ask the broker for its workers. Raises Unavailable if it does not answer."""
        if self._workers:
            self._present = self._workers()

    def look(self, settled: int) -> None:
        """Gather the waits that the ledger knows. ``settled``: rows that have their outcome."""
        if settled != self._settled:
            self._settled, self._progress = settled, time.monotonic()
        self._patience.look([*self._failing.values(), *self._causes()])
        self._waits = [*self._ledger.waits.of(self._job.id), *self._leases()]

    def ask_broker(self) -> None:
        """Ask the broker for its workers; if it does not answer, that is a wait."""
        with self.trying(WaitKind.BROKER, TryLater):
            self.ask_for_workers()

    def look_once(self, settled: int) -> None:
        """Gather the waits, including the broker's workers."""
        self.ask_broker()
        self.look(settled)

    def check_ledger(self) -> None:
        """Do the same while the ledger is unavailable. Raises LedgerAway if it stays so for too long."""
        if WaitKind.LEDGER not in self._failing:
            return
        self._patience.look(list(self._failing.values()))
        if self._patience.spent_on:
            raise LedgerAway(
                self._failing[WaitKind.LEDGER].reason, "it is safe to `siproster resume` the job"
            )

    def current(self) -> Wait | None:
        """Return the waits to print now. Makes no requests, so that it can be called during other waits."""
        here = self._here.gravest()
        waits = [*([here] if here else []), *self._waits, *self._patience.waits()]
        worst = gravest(waits)
        if worst is None or worst.kind not in _BOUND:
            return worst
        waited = max(worst.waited, max(one.waited for one in waits if one.kind is worst.kind))
        return replace(worst, waited=waited, left=self._patience.left(waited), by_patience=True)

    def _causes(self) -> Iterator[Cause]:
        pause = self._ledger.jobs.paused(self._job.id)
        if pause and pause.why.reason in _OF_SERVICE:
            yield Cause("pause", WaitKind.SERVICE, _words(pause.why.text), pause.why, pause.waited)
        for away in self._ledger.waits.away(self._job.id):
            again = f"; tried again in {span(away.left)}" if away.left > 1 else ""
            yield Cause(
                away.seq,
                WaitKind.SERVICE,
                _words(away.why.text) + again,
                away.why,
                away.unanswered,
                away.waits,
            )
        writer = self._ledger.accounts.writer(self._job.host, self._job.account)
        self._writer = writer.owner if writer else ""
        if writer and writer.job != self._job.id:
            reason = f"job {writer.job} writes to {self._job.account} ({shown(writer.owner)})"
            why = Why(Reason.ACCOUNT_BUSY, reason)
            yield Cause(WaitKind.ACCOUNT, WaitKind.ACCOUNT, reason, why)
        if self.no_worker:
            reason = nobody(self._job.account)
            why = Why(Reason.NO_WORKER, reason)
            yield Cause(WaitKind.WORKER, WaitKind.WORKER, reason, why)

    def _leases(self) -> list[Wait]:
        """Return the claims of processes that are gone; nothing happens to them before their leases end."""
        idle = time.monotonic() - self._progress
        return [
            Wait(WaitKind.LEASE, f"a worker on {lease.owner.rpartition(':')[0]}", idle, lease.left)
            for lease in self._ledger.waits.leases(self._job.id)
            if self._is_gone(lease.owner)
        ]

    def _is_gone(self, holder: str) -> bool:
        if self._workers is None:  # whoever runs the job has its account
            return holder != self._writer
        machine = holder.rpartition(":")[0]
        return self._present is not None and machine not in {one.rpartition(":")[0] for one in self._present}


def nobody(account: str) -> str:
    """Return the words for an account that no worker answers for."""
    return f"no worker answers for account {account}: start one with `siproster worker`"


def _words(text: str) -> str:
    """Return ``the service did …``, as a continuation of "waiting for the service: "."""
    return f"it {text.removeprefix('the service ')}" if text.startswith("the service ") else text
