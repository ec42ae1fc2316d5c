"""Look up unconfirmed rows: rows that were, or may have been, sent and whose answer is missing.

A list's page shows 500 credentials with one request. So if a scope (the account, or one realm of it) has
fewer pages than there are rows to look up, it is listed once, for all chunks of the job in this process;
otherwise each row is looked up singly, several at a time.

Which listing may serve a row:

- It must begin after every request that may have carried the row was over. A row sent in this claim needs
  a listing that begins after its answer was lost. A row sent by an earlier claim needs a listing that
  begins after that claim was over: the ledger said so before, or this process held the next claim before.
- A row that the listing doesn't show is absent. The row is posted then, and if the list was behind, the
  service refuses it as existing: nothing is stored twice, and nothing is called created without a 201 that
  names it.
- A row that it shows with the row's own digests is in place, if the listing is not old. Anything else
  that it shows (another digest, spelling, realm or application, or no digest) may be outdated, and is looked
  up singly.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Protocol, TypeVar

from worker.errors import Refused, SiprosterError, UsageError
from worker.importing.api_protocols import CredentialSource
from worker.importing.chunk_session import ChunkSession, RowSession, WorkerProcess
from worker.importing.compare import differences, wanted
from worker.importing.credential_index import CredentialIndex
from worker.model import NO_REALM, Family, Job, Realm, Row, Stored

T = TypeVar("T")
Made = TypeVar("Made")

_PAGE = 500
"""Entries on one page of a list (docs/bandwidth-api.md#lists)."""

_FEW = 4
"""Up to so many rows are looked up singly, since counting the pages costs a request, too."""

_TRIED_SHARE = 10
"""If the realms don't say how many they hold, one page is tried for so many rows."""

_COUNTED_FOR = 60.0
"""Seconds for which the realms' counts are considered current."""

_SHOWN_FOR = 300.0
"""Seconds after its end for which a listing may be used, so that no old one calls a row in place."""

_READING = 30.0
"""Most seconds that one request may take."""

_LONGEST_LISTING = 150.0
"""Most seconds of a listing: less than a chunk's turn (chunk_session.TURN), or it would never end."""

Found = Stored | None | Exception
"""The credential stored under a row's name; or the exception why this one row can't be looked up."""


class Lookup(Protocol):
    """A look-up for rows whose answer is missing."""

    def find(self, rows: Sequence[Row], *, earlier: bool) -> Iterator[tuple[Row, Found]]: ...


class SingleLookup:
    """A look-up that asks for rows one by one."""

    def __init__(self, session: RowSession, api: CredentialSource) -> None:
        self._session = session
        self._api = api

    def find(self, rows: Sequence[Row], *, earlier: bool) -> Iterator[tuple[Row, Found]]:
        """Yield each row with the credential stored under its name. Raises TryLater and StopJob."""
        yield from ((row, self.one(row)) for row in rows)

    def one(self, row: Row, *, expected: bool = False) -> Found:
        """Return the credential stored under a row's name. Raises TryLater and StopJob.

        ``expected``: the service has said that it exists, so the look-up tries a little longer.
        """
        try:
            realm = self._session.realms[row.realm_key].realm
            return self._api.find(self._session.family, realm, row.composite, expected=expected)
        except Refused as refusal:
            return refusal
        except SiprosterError:
            raise
        except Exception as error:
            return error


class UnconfirmedLookup:
    """A look-up for the unconfirmed rows of one job, for all its chunks in this process. Shared by threads.

    Its lists are on disk, and are deleted with it.
    """

    def __init__(self, job: Job, process: WorkerProcess) -> None:
        self.family = job.options.api
        self.realms = process.ledger.jobs.realms(job.id)
        self.api = process.api
        self.clock = process.clock
        self._job = job
        self._ledger = process.ledger
        self._executor = process.executor
        self._scopes: dict[int, _Scope] = {}
        self._claims: dict[int, int] = {}
        self._counts: tuple[float, list[Realm]] | None = None
        self._lock = threading.Lock()

    def of(
        self,
        session: ChunkSession,
        api: CredentialSource,
        waiting: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> ChunkLookup:
        """Return the look-up for one claim of a chunk. Call it before the claim sends anything.

        ``api`` serves single look-ups; ``waiting`` is entered while the claim waits for a listing.
        """
        self._claims[session.claim.seq] = session.claim.generation - 1
        return ChunkLookup(self, session, api, waiting)

    def scope(self, key: int) -> _Scope:
        """Return a scope that can be listed: the account (NO_REALM), or one realm."""
        with self._lock:
            if key not in self._scopes:
                realm = None if key == NO_REALM else self.realms[key].realm
                self._scopes[key] = _Scope(self, realm)
            return self._scopes[key]

    def claims_over(self) -> set[tuple[int, int]]:
        """Return chunk and generation of the claims that are known to be over."""
        followed = set(dict(self._claims).items())
        found = self._ledger.unconfirmed.claims_over(self._job.id)
        return followed | {(over.seq, over.generation) for over in found}

    def rows_waiting(self) -> int:
        """Return roughly how many unconfirmed rows of the job wait to be looked up in one scope."""
        rows = sum(over.rows for over in self._ledger.unconfirmed.claims_over(self._job.id))
        return rows if self.family is Family.ACCOUNT else rows // max(1, len(self.realms))

    def stored(self, realm: Realm | None) -> int | None:
        """Return how many credentials a scope holds by the realms' count; None if that isn't known."""
        with self._lock:
            if self._counts is None or self.clock() - self._counts[0] > _COUNTED_FOR:
                self._counts = (self.clock(), self._asked_realms())
            realms = self._counts[1]
        counts = [one.credentials for one in realms if realm is None or _is_same(one, realm)]
        return sum(count or 0 for count in counts) if counts and None not in counts else None

    def side_by_side(self, work: Callable[[T], Made], items: Iterable[T]) -> Iterator[tuple[T, Made]]:
        """Yield each item with the result of ``work``, in this thread and in free ones of the executor."""
        return _side_by_side(self._executor, self._job.options.concurrency, work, items)

    def _asked_realms(self) -> list[Realm]:
        try:
            return self.api.realms()
        except Refused:
            return []


class ChunkLookup:
    """A look-up for the unconfirmed rows of one claim of a chunk."""

    def __init__(
        self,
        job: UnconfirmedLookup,
        session: ChunkSession,
        api: CredentialSource,
        waiting: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._job = job
        self._session = session
        self._single_lookup = SingleLookup(session, api)
        self._waiting = waiting

    def find(self, rows: Sequence[Row], *, earlier: bool) -> Iterator[tuple[Row, Found]]:
        """Yield each row with the credential stored under its name.

        ``earlier``: an earlier claim may have sent them, and this one has not.
        Raises TryLater, StopJob, ChunkYield and Fenced, after it has yielded what was found by then.
        """
        by_place: dict[int, list[Row]] = {}
        for row in rows:
            key = NO_REALM if self._job.family is Family.ACCOUNT else row.realm_key
            by_place.setdefault(key, []).append(row)
        for key, here in by_place.items():
            with self._waiting():
                expected = partial(self._rows, here, earlier)
                listed = self._job.scope(key).named(here, self._over(earlier), expected, self._keep)
            if listed is None:
                yield from self._job.side_by_side(self._asked, here)
            else:
                found = self._job.side_by_side(self._confirmed, zip(here, listed, strict=True))
                yield from ((row, stored) for (row, _), stored in found)

    def _over(self, earlier: bool) -> tuple[int, int] | None:
        """Return the claim that must be over before a listing begins; None for this one."""
        claim = self._session.claim
        return (claim.seq, claim.generation - 1) if earlier else None

    def _rows(self, here: Sequence[Row], earlier: bool) -> int:
        """Return how many rows a listing would serve."""
        if not earlier or len(here) <= _FEW:
            return len(here)
        return len(self._session.unconfirmed) + self._job.rows_waiting()

    def _keep(self) -> None:
        """Renew the lease for one more reading request. Raises ChunkYield, Fenced."""
        self._session.check_continue()
        self._session.permit(_READING)

    def _asked(self, row: Row) -> Found:
        self._keep()
        return self._single_lookup.one(row)

    def _confirmed(self, listed: tuple[Row, Stored | None]) -> Found:
        """Return the listed credential, looked up singly if the listing may be outdated or incomplete."""
        row, stored = listed
        if stored is None:
            return None
        if not (stored.hash1 and stored.hash1b):
            self._keep()
            realm = self._job.realms[row.realm_key].realm
            try:
                stored = self._job.api.whole(self._job.family, realm, stored)
            except Refused as refusal:
                return refusal
        try:
            same = not differences(wanted(row, row.host), stored)
        except Exception as error:  # concerns this row alone
            return error
        return stored if same else self._asked(row)


@dataclass(frozen=True, slots=True)
class _Listing:
    """The list of all credentials in a scope at one time."""

    number: int
    over: set[tuple[int, int]]
    """Claims that were over when the listing began."""
    entries: CredentialIndex
    ended: float


class _Scope:
    """The account, or one realm of it, listed if that takes fewer requests. Shared by threads."""

    def __init__(self, job: UnconfirmedLookup, realm: Realm | None) -> None:
        self._job = job
        self._realm = realm
        self._turn = threading.Lock()
        self._begun = 0
        self._listing: _Listing | None = None
        self._unlistable = False
        self._pages_read = 0
        """Most pages that were read without reaching the list's end."""

    def named(
        self,
        rows: Sequence[Row],
        over: tuple[int, int] | None,
        expected: Callable[[], int],
        keep: Callable[[], None],
    ) -> list[Stored | None] | None:
        """Return what a listing shows for each row; None if they are to be looked up singly.

        ``over``: the claim that must be over before the listing begins; None: it must begin from now on.
        ``expected`` returns how many rows it would serve in all.
        """
        serves = partial(self._serves, over, self._begun)
        if not serves() and not self._pages_worth(expected()):
            return None
        with _acquired(self._turn, keep):
            if not serves():
                self._list(self._pages_worth(expected()), keep)
            if self._listing is None or not serves():
                return None
            return self._listing.entries.named("", [row.composite for row in rows])

    def _serves(self, over: tuple[int, int] | None, begun: int) -> bool:
        listing = self._listing
        if listing is None or self._job.clock() - listing.ended > _SHOWN_FOR:
            return False
        return listing.number > begun or over in listing.over

    def _pages_worth(self, rows: int) -> int:
        """Return how many pages may be read for so many rows; 0 if single look-ups take fewer requests."""
        if rows <= _FEW or self._unlistable:
            return 0
        stored = self._job.stored(self._realm)
        if stored is None:
            worth = rows // _TRIED_SHARE
        else:  # one request was spent on the count
            worth = rows if max(1, -(-stored // _PAGE)) < rows - 1 else 0
        return worth if worth > self._pages_read else 0

    def _list(self, most: int, keep: Callable[[], None]) -> None:
        """List all stored credentials, unless that takes more than ``most`` pages, or too long."""
        if not most:
            return
        if self._listing:
            self._listing.entries.close()
            self._listing = None
        over, entries = self._job.claims_over(), CredentialIndex()
        self._begun += 1
        try:
            if self._read(entries, most, keep):
                self._listing = _Listing(self._begun, over, entries, self._job.clock())
        except (Refused, UsageError):  # lists are refused, or the disk is full
            self._unlistable = True
        finally:
            if self._listing is None:
                entries.close()

    def _read(self, entries: CredentialIndex, most: int, keep: Callable[[], None]) -> bool:
        """Return whether the list came to its end within so many pages, and in time."""
        source = iter(self._job.api.credentials(self._job.family, self._realm))
        began = self._job.clock()
        for _ in range(most):
            keep()
            page = list(islice(source, _PAGE))
            entries.load("", page)
            if len(page) < _PAGE:
                return True
            if self._job.clock() - began > _LONGEST_LISTING:
                self._unlistable = True
                return False
        self._pages_read = most
        return False


def _is_same(one: Realm, other: Realm) -> bool:
    return one.id == other.id if one.id and other.id else one.host.casefold() == other.host.casefold()


@contextmanager
def _acquired(lock: threading.Lock, keep: Callable[[], None]) -> Iterator[None]:
    """Hold a lock; while waiting for it, call ``keep`` every second."""
    while not lock.acquire(timeout=1.0):
        keep()
    try:
        yield
    finally:
        lock.release()


def _side_by_side(
    executor: Executor, most: int, work: Callable[[T], Made], items: Iterable[T]
) -> Iterator[tuple[T, Made]]:
    """Yield each item with the result of ``work``; then raise the first error, after which no item was begun.

    The calling thread belongs to the executor and works, too: threads that only waited for each other's tasks
    could use up the executor.
    """
    left, done, errors = deque(items), deque[tuple[T, Made]](), deque[BaseException]()

    def work_off() -> None:
        while not errors:
            try:
                item = left.popleft()
            except IndexError:
                return
            try:
                done.append((item, work(item)))
            except BaseException as error:
                errors.append(error)

    helpers = [executor.submit(work_off) for _ in range(min(most, len(left)) - 1)]
    work_off()
    for helper in helpers:
        if not helper.cancel():
            helper.result()
    yield from done
    if errors:
        raise errors[0]
