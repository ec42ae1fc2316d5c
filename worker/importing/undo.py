"""A job taken back: what it made is deleted, what it set is set as it was before.

Only what is still as the job left it is touched, and only what an answer of the service proves to be its
work: equal digests may be another job's, from a ledger that nobody here knows. Everything is read before it
is changed, and each result is kept, so that an undoing that was cut short goes on where it was.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from worker.errors import AnswerLost, Conflict, JobBusy, Refused, SiprosterError
from worker.failpoints import hit
from worker.importing.change_log import change_of, is_confirmed, mark
from worker.importing.compare import APPLICATION, DIGEST, ORIGIN_UNKNOWN, REALM, wanted
from worker.importing.deliver import LEASE
from worker.importing.update import NOT_SET, UpdateSource
from worker.ledger import WRITER_LEASE, Ledger, Undone
from worker.ledger.codec import Change, open_changes, open_chunk
from worker.model import Credential, Family, Job, Realm, Stored
from worker.seal import Seal

REMOVED, RESTORED, KEPT, FAILED = "removed", "restored", "kept", "failed"

_WINDOW = 100
"""Deeds that are read ahead and whose results are kept together."""

_NOT_PROVEN = "it may be there with these digests; whether this job made it can't be proven"


class UndoSource(UpdateSource, Protocol):
    """The part of the API that shows, sets and deletes one credential."""

    def find(self, family: Family, realm: Realm, composite: str) -> Stored | None: ...
    def delete(
        self, family: Family, realm: Realm | None, stored: Stored, permit: Callable[[float], None]
    ) -> bool: ...


@dataclass(frozen=True, slots=True)
class _Task:
    """A deed to be taken back. ``confirmed``: the service's answer says that the job has done it."""

    deed: Change
    confirmed: bool
    sent_only: bool
    """All that is known is that it may have been sent."""


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
    """Takes one job back. ``stopping`` is set when nothing new should be started.

    ``include_unproven``: somebody says that nobody else has written to the account since the job began, so
    that what was not there before, and is there with its digests, is its work.
    """

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
        include_unproven: bool = False,
    ) -> None:
        self._ledger = ledger
        self._seal = seal
        self._api = api
        self._job = job
        self._family = job.options.api
        self._permit = permit
        self._stopping = stopping
        self._concurrency = concurrency
        self._include_unproven = include_unproven
        self._realms = ledger.jobs.realms(job.id)

    def run(self) -> Iterator[int]:
        """Undo everything that is left, the last deeds first; tells how many rows were done each time.

        Raises what says that no row can be done (TryLater, StopJob, JobBusy); what was done by then is kept.
        """
        deeds = self._deeds()
        with ThreadPoolExecutor(self._concurrency, thread_name_prefix="undo") as threads:
            while not self._stopping.is_set() and (window := list(itertools.islice(deeds, _WINDOW))):
                yield self._record([threads.submit(self._one, task) for task in self._open(window)])
        if not self._stopping.is_set():
            self._ledger.undoing.keep_rest(self._job.id, _NOT_PROVEN)

    def _deeds(self) -> Iterator[tuple[Change, bool]]:
        """What the job did, backwards; then what it may have done (True), as far as its rows are known."""
        job = self._job.id
        for key, sealed in self._ledger.undoing.backwards(job):
            for deed in reversed(open_changes(self._seal, job, key.chunk, key.nr, sealed)):
                yield deed, False
        for doubtful in self._ledger.undoing.doubtful(job):
            for row in open_chunk(self._seal, job, doubtful.chunk, doubtful.sealed):
                if doubtful.holds(row.line) and not row.stored:
                    done = wanted(row, self._realms[row.realm_key].host)
                    yield change_of(row.line, row.realm_key, "", done), True

    def _open(self, window: Sequence[tuple[Change, bool]]) -> list[_Task]:
        """Those that aren't over; a row that was begun more than once is undone once, as it was last."""
        latest = {deed.line: (deed, sent_only) for deed, sent_only in reversed(window)}
        results = self._ledger.undoing.results_of(self._job.id, list(latest))
        outcomes = self._ledger.rows.outcomes_of(self._job.id, list(latest))
        return [
            _Task(deed, deed.line in outcomes and is_confirmed(outcomes[deed.line]), sent_only)
            for deed, sent_only in reversed(latest.values())
            if not self._is_over(results.get(deed.line))
        ]

    def _is_over(self, result: Undone | None) -> bool:
        if result is None or result.result == FAILED:
            return False
        return not (self._include_unproven and result.code == ORIGIN_UNKNOWN)

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

    def _one(self, task: _Task) -> Undone | None:
        """One deed taken back, or the reason why not; None: it never came to it, or nothing new may start."""
        if self._stopping.is_set():
            return None
        line = task.deed.line
        try:
            return self._restored(task, task.deed.before) if task.deed.before else self._removed(task)
        except Refused as refusal:
            return Undone(line, FAILED, refusal.code or "refused", refusal.text)
        except AnswerLost:
            return Undone(
                line, FAILED, "answer_lost", "an answer was lost, and it does not show that it was done"
            )

    def _removed(self, task: _Task) -> Undone | None:
        deed = task.deed
        if not (task.confirmed or task.sent_only or self._include_unproven):
            return Undone(deed.line, KEPT, ORIGIN_UNKNOWN, _NOT_PROVEN)
        now = self._now(deed)
        if now is None:
            return None if task.sent_only else Undone(deed.line, REMOVED, error="it was gone already")
        if reason := self._changed(deed, now) or self._not_proven(task):
            return reason
        try:
            is_gone = not self._api.delete(self._family, self._realm(deed), now, self._permit)
        except AnswerLost:
            is_gone = True
        if is_gone and self._now(deed) is not None:
            raise AnswerLost("it is still there")
        hit("taken_back")
        return Undone(deed.line, REMOVED)

    def _not_proven(self, task: _Task) -> Undone | None:
        """What is there may be another job's work, or may have been there before."""
        if task.confirmed:
            return None
        realm = self._realms[task.deed.realm_key]
        if self._include_unproven and realm.looked and self._ledger.jobs.undisturbed(self._job.id, LEASE):
            return None
        return Undone(task.deed.line, KEPT, ORIGIN_UNKNOWN, _NOT_PROVEN)

    def _restored(self, task: _Task, before: Stored) -> Undone:
        deed = task.deed
        now = self._now(deed)
        if now is None:
            return Undone(deed.line, KEPT, "user_gone", "somebody has deleted the user since")
        if _as_before(now, before):
            return Undone(deed.line, RESTORED)
        if reason := self._changed(deed, now) or self._not_proven(task):
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

    def _read_back(self, deed: Change, before: Stored) -> Undone:
        now = self._api.read(
            self._family, self._realm(deed), before, lambda read: read is None or _as_before(read, before)
        )
        if now is not None and _as_before(now, before):
            return Undone(deed.line, RESTORED)
        if now is not None and _digests(now) == _digests(before):
            text = f"the old password is set; the application stayed {now.application or 'none'}"
            return Undone(deed.line, FAILED, NOT_SET, text)
        raise AnswerLost("the old digests don't show")

    def _changed(self, deed: Change, now: Stored) -> Undone | None:
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

    def _now(self, deed: Change) -> Stored | None:
        realm = self._realm(deed)
        if not deed.id:
            return self._api.find(self._family, realm, deed.composite)
        return self._api.read(self._family, realm, Stored(deed.id, deed.composite, realm.host))

    def _realm(self, deed: Change) -> Realm:
        return self._realms[deed.realm_key].realm


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
