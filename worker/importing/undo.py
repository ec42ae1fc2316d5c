"""Undo a job: delete what it created, restore what it updated, and create again what it deleted.

Only credentials that are still as the job left them are touched, and only if an answer of the service proves
that the job made them: equal digests may be the work of another job, from an unknown ledger. Every credential
is read before it is changed, and each result is recorded, so that an interrupted undo continues where it was.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Protocol

from worker.errors import AnswerLost, Conflict, JobBusy, Refused
from worker.failpoints import hit
from worker.importing.api_protocols import DeleteSource
from worker.importing.change_log import change_of, is_confirmed, mark
from worker.importing.chunk_session import LEASE
from worker.importing.compare import APPLICATION, DIGEST, NOT_SET, ORIGIN_UNKNOWN, REALM, wanted
from worker.ledger import WRITER_LEASE, Ledger, Undone
from worker.ledger.codec import Change, open_changes, open_chunk
from worker.model import Answer, Credential, Family, Job, Realm, Stored
from worker.seal import Seal

REMOVED, RESTORED, KEPT, FAILED = "removed", "restored", "kept", "failed"

_WINDOW = 100
"""Changes that are read ahead, and results that are recorded together."""

_RECORDED_EVERY = 1.0
"""Seconds after which results are recorded even if they are fewer."""

_NOT_PROVEN = "it may be there with these digests; whether this job made it can't be proven"


class UndoSource(DeleteSource, Protocol):
    """The part of the API that creates, reads, updates and deletes one credential."""

    def find(
        self, family: Family, realm: Realm, composite: str, *, expected: bool = False
    ) -> Stored | None: ...
    def create(
        self, family: Family, realm: Realm, batch: Sequence[Credential], permit: Callable[[float], None]
    ) -> Answer: ...


@dataclass(frozen=True, slots=True)
class _Task:
    """A change to be undone. ``confirmed``: the service's answer says that the job made it."""

    change: Change
    confirmed: bool
    sent_only: bool
    """Whether it is only known that the row may have been sent."""


class Hold:
    """The job's hold on its account, renewed before it gets too short for a writing request."""

    def __init__(self, ledger: Ledger, job: Job, clock: Callable[[], float] = time.monotonic) -> None:
        self._ledger = ledger
        self._job = job
        self._clock = clock
        self._until = float("-inf")
        self._lock = threading.Lock()

    def permit(self, deadline: float) -> None:
        """Allow a writing request of at most ``deadline`` seconds. Raises JobBusy if another job has it."""
        with self._lock:
            if self._until - self._clock() > deadline:
                return
            began = self._clock()
            if not self._ledger.accounts.renew(self._job.id):
                raise JobBusy(
                    f"another job has taken account {self._job.account} meanwhile",
                    f"go on when it is over: siproster undo {self._job.id}",
                )
            self._until = began + WRITER_LEASE


@dataclass(slots=True)
class _Batch:
    """Results that are still to be recorded. ``error``: the first one that says that no row can be done."""

    results: list[Undone] = field(default_factory=list)
    error: BaseException | None = None
    since: float = 0.0

    def add(self, ended: Iterable[Future[Undone | None]]) -> None:
        """Add the results of rows."""
        for one in ended:
            if error := one.exception():
                self.error = self.error or error
            elif result := one.result():
                self.results.append(result)

    def is_due(self, now: float) -> bool:
        """Return whether it is time to record them."""
        return bool(self.results) and (len(self.results) >= _WINDOW or now - self.since >= _RECORDED_EVERY)

    def taken(self, now: float) -> list[Undone]:
        """Return the results, and begin a new batch."""
        results, self.results, self.since = self.results, [], now
        return results


@dataclass(frozen=True, slots=True)
class UndoTerms:
    """The terms on which a job is undone."""

    permit: Callable[[float], None]
    """Allow a writing request of at most so many seconds, or raise JobBusy (``Hold``)."""
    stopping: threading.Event
    """Set when nothing new should be started."""
    concurrency: int
    include_unproven: bool = False
    """Whether the user has stated that nobody else has written to the account since the job began: then a
    user who was absent before, and is there now with the job's digests, is the job's work."""


class Undo:
    """Undo of one job."""

    def __init__(
        self,
        ledger: Ledger,
        seal: Seal,
        api: UndoSource,
        job: Job,
        terms: UndoTerms,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ledger = ledger
        self._seal = seal
        self._api = api
        self._job = job
        self._family = job.options.api
        self._permit = terms.permit
        self._stopping = terms.stopping
        self._concurrency = terms.concurrency
        self._include_unproven = terms.include_unproven
        self._clock = clock
        self._realms = ledger.jobs.realms(job.id)
        self._over = threading.Event()
        self._taken: set[int] = set()
        """Lines that were begun, except those whose recorded results allow another try."""

    def run(self) -> Iterator[int]:
        """Undo all remaining changes, the last ones first; yield how many rows were done each time.

        Raises errors that mean no row can be done (TryLater, StopJob, JobBusy); results so far stay recorded.
        """
        with ThreadPoolExecutor(self._concurrency, thread_name_prefix="undo") as threads:
            try:
                for results in self._results(threads):
                    self._ledger.undone.record(self._job.id, results)
                    self._taken.difference_update(one.line for one in results if self._is_over(one))
                    hit("undone")
                    yield len(results)
            finally:  # start nothing new; let requests in flight end
                self._over.set()
        if not self._stopping.is_set():
            self._ledger.undone.keep_rest(self._job.id, _NOT_PROVEN)

    def _results(self, threads: Executor) -> Iterator[list[Undone]]:
        """Yield the results of the rows, some at a time, with as many in flight as there are threads."""
        tasks = self._tasks()
        running: set[Future[Undone | None]] = set()
        batch = _Batch()
        while True:
            if not self._is_ending():  # twice as many as threads, so that none is ever idle
                ahead = itertools.islice(tasks, 2 * self._concurrency - len(running))
                running |= {threads.submit(self._one, task) for task in ahead}
            if not running:
                break
            ended, running = wait(running, return_when=FIRST_COMPLETED)
            batch.add(ended)
            if batch.is_due(self._clock()):
                yield batch.taken(self._clock())
        if batch.results:
            yield batch.taken(self._clock())
        if batch.error:
            raise batch.error

    def _tasks(self) -> Iterator[_Task]:
        """Yield the changes still to be undone; for a row that was begun more than once only the last one."""
        changes = self._changes()
        while window := list(itertools.islice(changes, _WINDOW)):
            lines = list({change.line for change, _ in window})
            results = self._ledger.undone.results_of(self._job.id, lines)
            outcomes = self._ledger.rows.outcomes_of(self._job.id, lines)
            # The whole window at once: what is known now may be outdated when its last row is begun.
            tasks = []
            for change, sent_only in window:
                line = change.line
                if line not in self._taken and not self._is_over(results.get(line)):
                    self._taken.add(line)
                    confirmed = line in outcomes and is_confirmed(outcomes[line])
                    tasks.append(_Task(change, confirmed, sent_only))
            yield from tasks

    def _changes(self) -> Iterator[tuple[Change, bool]]:
        """Yield the job's changes, backwards; then what it may have changed (True), if its rows are known."""
        job = self._job.id
        for key, sealed in self._ledger.changes.backwards(job):
            for change in reversed(open_changes(self._seal, job, key.chunk, key.nr, sealed)):
                yield change, False
        for chunk in self._ledger.changes.unconfirmed(job):
            for row in open_chunk(self._seal, job, chunk.seq, chunk.sealed):
                if chunk.holds(row.line) and not row.stored:
                    done = wanted(row, self._realms[row.realm_key].host)
                    yield change_of(row.line, row.realm_key, "", done), True

    def _is_over(self, result: Undone | None) -> bool:
        """Return whether a recorded result is final."""
        if result is None or result.result == FAILED:
            return False
        return not (self._include_unproven and result.code == ORIGIN_UNKNOWN)

    def _is_ending(self) -> bool:
        """Return whether no further row may be started."""
        return self._stopping.is_set() or self._over.is_set()

    def _one(self, task: _Task) -> Undone | None:
        """Undo one change; return None if it was never made, or if nothing new may start."""
        if self._is_ending():
            return None
        line = task.change.line
        try:
            before = task.change.before
            if before and line < 0:
                return self._created_again(task, before)
            return self._restored(task, before) if before else self._removed(task)
        except Refused as refusal:
            return Undone(line, FAILED, refusal.code or "refused", refusal.text)
        except AnswerLost:
            text = "an answer was lost, and it does not show that it was done"
            return Undone(line, FAILED, "answer_lost", text)
        except BaseException:
            self._over.set()
            raise

    def _removed(self, task: _Task) -> Undone | None:
        change = task.change
        if not (task.confirmed or task.sent_only or self._include_unproven):
            return Undone(change.line, KEPT, ORIGIN_UNKNOWN, _NOT_PROVEN)
        now = self._now(change)
        if now is None:
            return None if task.sent_only else Undone(change.line, REMOVED, error="it was gone already")
        if reason := self._changed(change, now) or self._not_proven(task):
            return reason
        try:
            is_gone = not self._api.delete(self._family, self._realm(change), now, self._permit)
        except AnswerLost:
            is_gone = True
        if is_gone and self._now(change) is not None:
            raise AnswerLost("it is still there")
        hit("taken_back")
        return Undone(change.line, REMOVED)

    def _not_proven(self, task: _Task) -> Undone | None:
        """Return the result for a credential that may be another job's work, or was there before."""
        if task.confirmed:
            return None
        realm = self._realms[task.change.realm_key]
        if self._include_unproven and realm.looked and self._undisturbed:
            return None
        return Undone(task.change.line, KEPT, ORIGIN_UNKNOWN, _NOT_PROVEN)

    @cached_property
    def _undisturbed(self) -> bool:
        """Return whether no other job was at work on the account; none can be while this one holds it."""
        return self._ledger.jobs.undisturbed(self._job.id, LEASE)

    def _restored(self, task: _Task, before: Stored) -> Undone:
        change = task.change
        now = self._now(change)
        if now is None:
            return Undone(change.line, KEPT, "user_gone", "somebody has deleted the user since")
        if _as_before(now, before):
            return Undone(change.line, RESTORED)
        if reason := self._changed(change, now) or self._not_proven(task):
            return reason
        try:
            self._api.update(
                self._family, self._realm(change), now, _credential(before, now), self._permit, clear=True
            )
        except AnswerLost:
            pass  # read again, as after an answer
        except Conflict as conflict:
            return Undone(change.line, FAILED, REALM, conflict.message)
        hit("taken_back")
        return self._read_back(change, before)

    def _created_again(self, task: _Task, before: Stored) -> Undone:
        """Create a deleted leaver again, with the digests and the application that it had."""
        line, realm = task.change.line, self._realm(task.change)
        now = self._api.find(self._family, realm, before.composite)
        if now is not None:
            return self._as_it_was(line, before, now)
        if reason := self._not_proven(task):
            return reason
        host = replace(before, realm=before.realm or realm.host)
        try:
            answer = self._api.create(self._family, realm, [_credential(host, host)], self._permit)
            if answer.refused:
                return Undone(line, FAILED, answer.refused[0].code or "refused", answer.refused[0].text)
        except AnswerLost:
            pass  # looked up, as after an answer
        hit("taken_back")
        now = self._api.find(self._family, realm, before.composite, expected=True)
        if now is None:
            raise AnswerLost("it does not show")
        return self._as_it_was(line, before, now)

    def _as_it_was(self, line: int, before: Stored, now: Stored) -> Undone:
        """Return the result for a leaver who is there again."""
        if _as_before(now, before):
            return Undone(line, RESTORED)
        if _digests(now) == _digests(before):
            text = f"it is there again; its application is {now.application or 'none'}"
            return Undone(line, FAILED, NOT_SET, text)
        return Undone(line, KEPT, "id_differs", "somebody has made a user of that name since")

    def _read_back(self, change: Change, before: Stored) -> Undone:
        now = self._api.read(
            self._family, self._realm(change), before, lambda read: read is None or _as_before(read, before)
        )
        if now is not None and _as_before(now, before):
            return Undone(change.line, RESTORED)
        if now is not None and _digests(now) == _digests(before):
            text = f"the old password is set; the application stayed {now.application or 'none'}"
            return Undone(change.line, FAILED, NOT_SET, text)
        raise AnswerLost("the old digests don't show")

    def _changed(self, change: Change, now: Stored) -> Undone | None:
        """Return why the credential is no longer the job's."""
        if change.id and now.id != change.id:
            text = "somebody has deleted it and made another one since"
            return Undone(change.line, KEPT, "id_differs", text)
        before = change.before
        # The old digests: an earlier undo restored them, but not the application.
        ours = mark(now.hash1, now.hash1b) == change.mark or (before and _digests(now) == _digests(before))
        if not ours:
            return Undone(change.line, KEPT, DIGEST, "somebody has set another password since")
        # The job's, if it asked for one; or the old one, which the job or the service left.
        expected = {change.application.casefold()} if change.application else set()
        if before:
            expected.add(before.application.casefold())
        if expected and now.application.casefold() not in expected:
            text = f"somebody has set application {now.application or 'none'} since"
            return Undone(change.line, KEPT, APPLICATION, text)
        return None

    def _now(self, change: Change) -> Stored | None:
        realm = self._realm(change)
        if not change.id:
            return self._api.find(self._family, realm, change.composite)
        return self._api.read(self._family, realm, Stored(change.id, change.composite, realm.host))

    def _realm(self, change: Change) -> Realm:
        return self._realms[change.realm_key].realm


def _as_before(now: Stored, before: Stored) -> bool:
    return _digests(now) == _digests(before) and now.application.casefold() == before.application.casefold()


def _digests(stored: Stored) -> tuple[str | None, str | None]:
    return stored.hash1, stored.hash1b


def _credential(before: Stored, now: Stored) -> Credential:
    """Return the credential that restores the previous state, on the realm where it is now."""
    return Credential(
        before.composite, "", now.realm or before.realm, before.hash1 or "", before.hash1b or "",
        before.application,
    )  # fmt: skip
