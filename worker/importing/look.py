"""What the service holds under a roster's names, found with as few requests as will do.

A place is where a name is unique: the account, or one realm of it. Of each place either everything is
listed, page by page, or every row is asked for singly, or nothing, since nothing is stored there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Protocol

from worker.errors import NotFound, Refused
from worker.importing.checked import Checked
from worker.importing.inventory import Inventory
from worker.importing.realms import JobRealms
from worker.model import NO_REALM, Family, Options, Realm, Row, Stored

_PAGE = 500
"""Entries of one page of a list (docs/bandwidth-api.md#lists)."""

_UNSURE = frozenset({"bad_characters", "field_count", "malformed", "spreadsheet_damage", "too_long"})
"""Codes of rows whose user name may not be the one that is meant."""

Rows = Sequence[Row]
Found = list[Stored | None]


class StoredSource(Protocol):
    """The part of the API that shows credentials."""

    def credentials(self, family: Family, realm: Realm | None) -> Iterator[Stored]: ...
    def find(self, family: Family, realm: Realm | None, composite: str) -> Stored | None: ...
    def whole(self, family: Family, realm: Realm | None, stored: Stored) -> Stored: ...


class RosterRows(Protocol):
    """A roster that can be read more than once. ``whole``: whoever is not among its rows is not in it."""

    @property
    def records(self) -> int: ...
    @property
    def whole(self) -> bool: ...
    def taken(self) -> Iterator[Row]:
        """Rows that are in place since an earlier job, so that nobody else may have their names."""

    def rows(self) -> Iterator[Row]: ...


Watch = Callable[[Iterable[Stored]], Iterable[Stored]]
"""Gives the entries of a list on as they come, and may say how far it is."""


def unwatched(entries: Iterable[Stored]) -> Iterable[Stored]:
    """Says nothing."""
    return entries


class Look:
    """Looks the rows of one roster up. A context manager: it keeps an index on disk, and threads.

    ``watch`` is given each list on its way, to say how far it is.
    """

    def __init__(
        self,
        source: StoredSource,
        realms: JobRealms,
        options: Options,
        roster: RosterRows,
        watch: Watch = unwatched,
    ) -> None:
        self._source = source
        self._realms = realms
        self._family = options.api
        self._roster = roster
        self._everybody = options.absent
        self._watch = watch
        self._inventory = Inventory()
        self._threads = ThreadPoolExecutor(options.concurrency, thread_name_prefix="look")
        self._places: dict[int, Callable[[Rows], Found]] = {}
        self._expected: Counter[int] | None = None
        self._complete = True
        self._nameless = 0

    def __enter__(self) -> Look:
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown(cancel_futures=True)
        self._inventory.close()

    def at(self, page: Sequence[Checked]) -> Found:
        """What is stored under the name of each row; None: nothing, or the row names nobody there.

        Raises what the service's answers raise, as long as nothing can be said of every row.
        """
        found: dict[int, Stored | None] = {}
        by_place: dict[int, list[Checked]] = {}
        for checked in page:
            place = self._place_of(checked)
            self._nameless += place is None or not _UNSURE.isdisjoint(p.code for p in checked.row.problems)
            if place is not None:
                by_place.setdefault(place, []).append(checked)
        for place, here in by_place.items():
            lines = (checked.row.line for checked in here)
            found.update(zip(lines, self._place(place)([one.row for one in here]), strict=True))
        return [found.get(checked.row.line) for checked in page]

    @property
    def nameless(self) -> int:
        """Rows that don't tell, or not surely, whom they mean: some of the absent may be those."""
        return self._nameless

    def absent(self) -> Iterator[Stored] | None:
        """Who is stored on the roster's realms and not in the roster, by realm and name, without digests.

        None: not known, since not all that is stored was listed, not all of the roster was read, or a row of
        it can't be read: whoever is meant by it would look like a leaver.
        """
        if not (self._complete and self._roster.whole) or self._nameless:
            return None
        hosts = {host.casefold() for host in self._realms.hosts()}
        return (one for one in self._inventory.unnamed() if not one.realm or one.realm.casefold() in hosts)

    def _place_of(self, checked: Checked) -> int | None:
        """The account, or the realm's key; a row that can't be sent still names somebody."""
        if not checked.row.user:
            return None
        if self._family is Family.ACCOUNT:
            return NO_REALM
        if checked.realm != NO_REALM:
            return checked.realm
        key = self._realms.known(checked.row.realm)
        return key if isinstance(key, int) else None

    def _place(self, place: int) -> Callable[[Rows], Found]:
        if place not in self._places:
            self._places[place] = self._opened(place)
        return self._places[place]

    def _opened(self, place: int) -> Callable[[Rows], Found]:
        """The cheapest way to learn what the roster's names are in a place."""
        realm = self._realms.realm(place) if self._family is Family.REALM else None
        stored = self._realms.stored if self._family is Family.ACCOUNT else realm.credentials if realm else 0
        if stored == 0:
            return lambda rows: [None] * len(rows)
        pages = None if stored is None else -(-stored // _PAGE)
        if not self._everybody and pages is not None and self._rows_of(place) < pages:
            self._complete = False
            return partial(self._asked, realm)
        self._inventory.load(str(place), self._watch(self._source.credentials(self._family, realm)))
        return partial(self._listed, realm, str(place))

    def _listed(self, realm: Realm | None, place: str, rows: Rows) -> Found:
        found = self._inventory.named(place, [row.composite for row in rows])
        parts = [at for at, one in enumerate(found) if one and not (one.hash1 and one.hash1b)]
        wholes = self._threads.map(partial(self._whole, realm), [found[at] for at in parts])
        for at, whole in zip(parts, wholes, strict=True):
            found[at] = whole
        return found

    def _whole(self, realm: Realm | None, stored: Stored | None) -> Stored | None:
        """The entry with what the list left out."""
        return stored and self._source.whole(self._family, realm, stored)

    def _asked(self, realm: Realm | None, rows: Rows) -> Found:
        return list(self._threads.map(partial(self._find, realm), rows))

    def _find(self, realm: Realm | None, row: Row) -> Stored | None:
        if row.problems:  # it won't be sent, and its name may be one that no path can hold
            return None
        try:
            return self._source.find(self._family, realm, row.composite)
        except Refused:  # a name that can't be asked for: the answer to its POST will say why
            return None

    def _rows_of(self, place: int) -> int:
        """How many rows of the roster are in a place, at most."""
        if self._family is Family.ACCOUNT:
            return self._roster.records
        if self._expected is None:
            self._expected = Counter()
            for ref, rows in Counter(row.realm for row in self._roster.rows()).items():
                self._expected[self._key(ref)] += rows
        return self._expected[place]

    def _key(self, ref: str) -> int:
        try:
            key = self._realms.key(ref)
        except NotFound:  # no default realm: said when a row that needs it comes
            return NO_REALM
        return key if isinstance(key, int) else NO_REALM
