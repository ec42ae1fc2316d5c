"""A job taken back: what it made is deleted, what it set is set as it was before.

Only what is still as the job left it is touched. Everything is read before it is changed, and each result is
kept, so that an undoing that was cut short goes on where it was.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

from worker.errors import AnswerLost, Conflict, JobBusy, Refused, SiprosterError
from worker.failpoints import hit
from worker.importing.compare import APPLICATION, DIGEST, REALM, wanted
from worker.importing.deeds import Deed, deed_of, mark, open_deeds
from worker.importing.deliver import LEASE
from worker.importing.packing import open_chunk
from worker.importing.update import NOT_SET, UpdateSource
from worker.ledger import WRITER_LEASE, Ledger, Undone
from worker.model import Credential, Family, Job, Realm, Stored
from worker.seal import Seal

REMOVED, RESTORED, KEPT, FAILED = "removed", "restored", "kept", "failed"

_WINDOW = 100
"""Deeds that are read ahead and whose results are kept together."""


class UndoSource(UpdateSource, Protocol):
    """The part of the API that shows, sets and deletes one credential."""

    def find(self, family: Family, realm: Realm, composite: str) -> Stored | None: ...
    def delete(
        self, family: Family, realm: Realm | None, stored: Stored, permit: Callable[[float], None]
    ) -> bool: ...


class Hold:
    """The job's hold on its account, renewed before it is too short for a request that writes."""

    def __init__(self, ledger: Ledger, job: Job, clock: Callable[[], float] = time.monotonic) -> None:
        self._ledger = ledger
        self._job = job
        self._clock = clock
        self._until = float("-inf")
        self._lock = threading.Lock()

    def permit(self, deadline: float) -> None:
        """A writing request of at most ``deadline`` seconds may start; JobBusy when another job has it."""
        with self._lock:
            if self._until - self._clock() > deadline:
                return
            began = self._clock()
            if not self._ledger.jobs.keep(self._job.id):
                raise JobBusy(
                    f"another job has taken account {self._job.account} meanwhile",
                    f"go on when it is over: siproster undo {self._job.id}",
                )
            self._until = began + WRITER_LEASE


class Undo:
    """Takes one job back. ``stopping`` is set when nothing new should be started."""

    def __init__(
        self,
        ledger: Ledger,
        seal: Seal,
        api: UndoSource,
        job: Job,
        *,
        permit: Callable[[float], None],
        stopping: threading.Event,
        concurrency: int,
    ) -> None:
        self._ledger = ledger
        self._seal = seal
        self._api = api
        self._job = job
        self._family = job.options.api
        self._permit = permit
        self._stopping = stopping
        self._concurrency = concurrency
        self._realms = ledger.jobs.realms(job.id)

    def run(self) -> Iterator[int]:
        """Undo everything that is left, the last deeds first; tells how many rows were done each time.

        Raises what says that no row can be done (TryLater, StopJob, JobBusy); what was done by then is kept.
        """
        over = self._ledger.undoing.over(self._job.id)
        self._keep(
            [_unproven(line) for line in self._ledger.undoing.unproven(self._job.id) if line not in over]
        )
        deeds = _once_a_line(self._deeds(), over)
        with ThreadPoolExecutor(self._concurrency, thread_name_prefix="undo") as threads:
            while not self._stopping.is_set() and (window := list(itertools.islice(deeds, _WINDOW))):
                yield self._record([threads.submit(self._one, deed) for deed in window])

    def _deeds(self) -> Iterator[Deed]:
        """What the job did, backwards; then what it may have done, as far as its rows are still known."""
        job = self._job.id
        for key, sealed in self._ledger.undoing.backwards(job):
            yield from reversed(open_deeds(self._seal, job, key.chunk, key.nr, sealed))
        for doubtful in self._ledger.undoing.doubtful(job):
            for row in open_chunk(self._seal, job, doubtful.chunk, doubtful.sealed):
                if doubtful.holds(row.line) and not row.before:
                    yield deed_of(row.line, row.realm, "", wanted(row, self._realms[row.realm].host))

    def _record(self, futures: Sequence[Future[Undone | None]]) -> int:
        """Keep what was done, also where something ended it early."""
        results, errors = [], []
        for future in futures:
            try:
                results.append(future.result())
            except SiprosterError as error:
                errors.append(error)
        done = [result for result in results if result]
        self._keep(done)
        if errors:
            raise errors[0]
        return len(done)

    def _keep(self, results: Sequence[Undone]) -> None:
        if results:
            self._ledger.undoing.record(self._job.id, results)
            hit("undone")

    def _one(self, deed: Deed) -> Undone | None:
        """One deed taken back, or the reason why not; None: it never came to it, or nothing new may start."""
        if self._stopping.is_set():
            return None
        try:
            return self._restored(deed, deed.before) if deed.before else self._removed(deed)
        except Refused as refusal:
            return Undone(deed.line, FAILED, refusal.code or "refused", refusal.text)
        except AnswerLost:
            text = "an answer was lost, and it does not show that it was done"
            return Undone(deed.line, FAILED, "answer_lost", text)

    def _removed(self, deed: Deed) -> Undone | None:
        now = self._now(deed)
        if now is None:
            return Undone(deed.line, REMOVED, error="it was gone already") if deed.id else None
        if reason := self._changed(deed, now):
            return reason
        if not (deed.id or self._proven(deed)):  # it may have been there before, or be another job's
            return _unproven(deed.line)
        try:
            self._api.delete(self._family, self._realm(deed), now, self._permit)
        except AnswerLost:
            if self._now(deed) is not None:
                raise
        hit("taken_back")
        return Undone(deed.line, REMOVED)

    def _proven(self, deed: Deed) -> bool:
        """Whether what no answer has named can only be the job's."""
        return self._realms[deed.realm].looked and self._ledger.jobs.undisturbed(self._job.id, LEASE)

    def _restored(self, deed: Deed, before: Stored) -> Undone:
        now = self._now(deed)
        if now is None:
            return Undone(deed.line, KEPT, "user_gone", "somebody has deleted the user since")
        if _as_before(now, before):
            return Undone(deed.line, RESTORED)
        if reason := self._changed(deed, now):
            return reason
        try:
            self._api.update(
                self._family, self._realm(deed), now, _credential(before, now), self._permit, clear=True
            )
        except AnswerLost:
            pass  # looked at, as an answer is, too
        except Conflict as conflict:
            return Undone(deed.line, FAILED, REALM, conflict.message)
        hit("taken_back")
        return self._read_back(deed, before)

    def _read_back(self, deed: Deed, before: Stored) -> Undone:
        now = self._api.read(
            self._family, self._realm(deed), before, lambda read: read is None or _as_before(read, before)
        )
        if now is not None and _as_before(now, before):
            return Undone(deed.line, RESTORED)
        if now is not None and _digests(now) == _digests(before):
            text = f"the old password is set; the application stayed {now.application or 'none'}"
            return Undone(deed.line, FAILED, NOT_SET, text)
        raise AnswerLost("the old digests don't show")

    def _changed(self, deed: Deed, now: Stored) -> Undone | None:
        """Why the credential is not the job's any more."""
        if deed.id and now.id != deed.id:
            return Undone(deed.line, KEPT, "id_differs", "somebody has deleted it and made another one since")
        before = deed.before
        # The old digests: an earlier undoing has set them, and not the application.
        ours = mark(now.hash1, now.hash1b) == deed.mark or (before and _digests(now) == _digests(before))
        if not ours:
            return Undone(deed.line, KEPT, DIGEST, "somebody has set another password since")
        # The job's, where it asked for one; or the old one, which it left, or the service has kept.
        expected = {deed.application.casefold()} if deed.application else set()
        if before:
            expected.add(before.application.casefold())
        if expected and now.application.casefold() not in expected:
            text = f"somebody has set application {now.application or 'none'} since"
            return Undone(deed.line, KEPT, APPLICATION, text)
        return None

    def _now(self, deed: Deed) -> Stored | None:
        realm = self._realm(deed)
        if not deed.id:
            return self._api.find(self._family, realm, deed.composite)
        return self._api.read(self._family, realm, Stored(deed.id, deed.composite, realm.host))

    def _realm(self, deed: Deed) -> Realm:
        return self._realms[deed.realm].realm


def _once_a_line(deeds: Iterator[Deed], over: set[int]) -> Iterator[Deed]:
    """A row that was begun more than once is undone once; those that are over aren't touched again."""
    for deed in deeds:
        if deed.line not in over:
            over.add(deed.line)
            yield deed


def _unproven(line: int) -> Undone:
    text = "it is there with these digests; whether this job made it can't be proven"
    return Undone(line, KEPT, "origin_unknown", text)


def _as_before(now: Stored, before: Stored) -> bool:
    return _digests(now) == _digests(before) and now.application.casefold() == before.application.casefold()


def _digests(stored: Stored) -> tuple[str | None, str | None]:
    return stored.hash1, stored.hash1b


def _credential(before: Stored, now: Stored) -> Credential:
    """What puts it back as it was; its realm is the one that it is on."""
    return Credential(
        before.composite, "", now.realm or before.realm, before.hash1 or "", before.hash1b or "",
        before.application,
    )  # fmt: skip
