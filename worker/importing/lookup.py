"""Look up the stored credentials under a roster's names, with as few requests as possible.

A name is unique within a scope: the account, or one realm of it. For each scope either all
credentials are listed, page by page, or each row is looked up singly, or no request is made because
nothing is stored there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Protocol

from worker.errors import NotFound, Refused
from worker.importing.credential_index import CredentialIndex
from worker.importing.leavers import RosterNames, leaver_pages
from worker.importing.realms import JobRealms
from worker.importing.validation import RosterPage, RosterPages
from worker.model import NO_REALM, Absent, Family, Options, Problem, Realm, Row, Stored
from worker.roster import HIDDEN

_PAGE = 500
"""Entries on one page of a list (docs/bandwidth-api.md#lists)."""

_UNSURE = frozenset({"bad_characters", "field_count", "malformed", "spreadsheet_damage", "too_long"})
"""Codes of rows whose user name may not be the intended one."""

Rows = Sequence[Row]
Found = list[Stored | None]
Find = Callable[[Rows], Found]


class StoredSource(Protocol):
    """The part of the API that reads credentials."""

    def credentials(self, family: Family, realm: Realm | None) -> Iterator[Stored]: ...
    def find(self, family: Family, realm: Realm | None, composite: str) -> Stored | None: ...
    def whole(self, family: Family, realm: Realm | None, stored: Stored) -> Stored: ...


Watch = Callable[[Iterable[Stored]], Iterable[Stored]]
"""A function that passes on a list's entries as they come, and may show its progress."""


def unwatched(entries: Iterable[Stored]) -> Iterable[Stored]:
    """Do nothing with a list's progress."""
    return entries


class CredentialLookup:
    """Look-up for the rows of one roster. A context manager: it owns an index on disk, and threads.

    ``watch`` wraps the iteration over each list, to show its progress.
    """

    def __init__(
        self,
        source: StoredSource,
        realms: JobRealms,
        options: Options,
        roster: RosterPages,
        watch: Watch = unwatched,
    ) -> None:
        self._source = source
        self._realms = realms
        self._family = options.api
        self._roster = roster
        self._everybody = options.lists_everybody
        self._watch = watch
        self._index = CredentialIndex()
        self._threads = ThreadPoolExecutor(options.concurrency, thread_name_prefix="look")
        self._finders: dict[int, Find | None] = {}
        self._expected: Counter[int] | None = None
        self._complete = True
        self._unidentified_rows = 0
        self._listed_besides: set[str] = set()
        self._names = RosterNames() if options.absent is Absent.DELETE else None

    def __enter__(self) -> CredentialLookup:
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown(cancel_futures=True)
        self._index.close()
        if self._names:
            self._names.close()

    def look_up(self, page: RosterPage) -> None:
        """Set the stored credential under the name of each row; places without any cost no request.

        Raises the errors of the service's answers if they leave any row unknown.
        """
        self._unidentified_rows += sum(
            self._is_unidentified(row) for row in page if row.problems and not row.skipped
        )
        if self._names:
            self._names.add(page)
        for scope, rows in self._by_scope(page).items():
            find = self._finder(scope)
            if find is not None:
                for row, stored in zip(rows, find(rows), strict=True):
                    row.stored = stored

    @property
    def unidentified_rows(self) -> int:
        """Return how many rows don't tell for sure which user they mean: absent users may be theirs."""
        return self._unidentified_rows

    def absent(self) -> Iterator[Stored] | None:
        """Return the users on the roster's realms and not in the roster, by realm and name, without digests.

        None: they aren't known, since not all stored users were listed, not all of the roster was read, or a
        row of it can't be read, whose user would seem absent.
        """
        return None if self._unidentified_rows else self.unnamed()

    def unnamed(self, earlier: Iterable[str] = ()) -> Iterator[Stored] | None:
        """Return the users on the roster's realms whom no row names, although one that can't be read may.

        ``earlier``: host names of further realms. None: not all stored users, or not all rows, were read.
        """
        if not (self._complete and self._roster.whole):
            return None
        hosts = self._hosts(earlier)
        return (one for one in self._index.unnamed() if not one.realm or one.realm.casefold() in hosts)

    def leavers(self) -> Iterator[RosterPage]:
        """Yield the absent users as rows to be deleted, with all that is stored; in doubt with an outcome."""
        hosts = self._hosts(())
        users = (one for one in self._index.unnamed(whole=True) if one.realm.casefold() in {"", *hosts})
        if self._names:
            yield from leaver_pages(map(self._completed, users), self._names, self._realms)

    def _completed(self, user: Stored) -> Stored:
        """Return a listed user, completed by a single read if the list left a digest out."""
        if (user.hash1 and user.hash1b) or not user.realm:
            return user
        return self._source.whole(self._family, self._realms.find(user.realm), user)

    def stored(self, earlier: Iterable[str] = ()) -> int:
        """Return how many of the listed users are stored on the roster's realms and on ``earlier`` ones."""
        hosts = self._hosts(earlier)
        found = self._index.by_realm().items()
        return sum(users for realm, users in found if not realm or realm.casefold() in hosts)

    def _hosts(self, earlier: Iterable[str]) -> set[str]:
        """Return the roster's realms and ``earlier`` ones, which are listed if they weren't yet."""
        hosts = {host.casefold() for host in self._realms.hosts()}
        for host in earlier:
            if realm := self._realms.find(host):
                hosts.add(host.casefold())
                self._list(realm)
        return hosts

    def _list(self, realm: Realm) -> None:
        """List the users of a realm that perhaps no row names, unless they were listed already."""
        key = NO_REALM if self._family is Family.ACCOUNT else self._realms.key_of(realm.host)
        if key is not None:
            self._finder(key)
        elif realm.host not in self._listed_besides:
            self._listed_besides.add(realm.host)
            self._index.load(realm.host, self._watch(self._source.credentials(self._family, realm)))

    def _is_unidentified(self, row: Row) -> bool:
        if self._scope_of(row) is None or HIDDEN in (row.user, row.domain):
            return True
        return any(problem.code in _UNSURE for problem in row.problems)

    def _by_scope(self, page: RosterPage) -> dict[int, RosterPage]:
        """Return the rows that name a user, by scope, including rows that can't be sent."""
        if self._family is Family.ACCOUNT:
            named = [row for row in page if row.user]
            return {NO_REALM: named} if named else {}
        by_scope: dict[int, RosterPage] = {}
        for row in page:
            scope = self._scope_of(row)
            if scope is not None:
                by_scope.setdefault(scope, []).append(row)
        return by_scope

    def _scope_of(self, row: Row) -> int | None:
        """Return the account's scope, or the realm's key; None for a row that names no user there."""
        if not row.user:
            return None
        if self._family is Family.ACCOUNT:
            return NO_REALM
        return self._realms.known(row.realm) if row.realm_key == NO_REALM else row.realm_key

    def _finder(self, scope: int) -> Find | None:
        if scope not in self._finders:
            self._finders[scope] = self._cheapest(scope)
        return self._finders[scope]

    def _cheapest(self, scope: int) -> Find | None:
        """Return the cheapest way to look up the roster's names in a scope; None: nothing is stored there."""
        realm = self._realms.realm(scope) if self._family is Family.REALM else None
        stored = self._realms.stored if self._family is Family.ACCOUNT else realm.credentials if realm else 0
        if stored == 0:
            return None
        pages = None if stored is None else -(-stored // _PAGE)
        if not self._everybody and pages is not None and self._rows_of(scope) < pages:
            self._complete = False
            return partial(self._asked, realm)
        self._index.load(str(scope), self._watch(self._source.credentials(self._family, realm)))
        return partial(self._listed, realm, str(scope))

    def _listed(self, realm: Realm | None, scope: str, rows: Rows) -> Found:
        found = self._index.named(scope, [row.composite for row in rows])
        numbers = [row for row, one in zip(rows, found, strict=True) if one is None and row.user.isdecimal()]
        if numbers:
            self._warn_about_zeros(scope, numbers)
        parts = [at for at, one in enumerate(found) if one and not (one.hash1 and one.hash1b)]
        wholes = self._threads.map(partial(self._whole, realm), [found[at] for at in parts])
        for at, whole in zip(parts, wholes, strict=True):
            found[at] = whole
        return found

    def _warn_about_zeros(self, scope: str, numbers: Rows) -> None:
        """Warn about names that are not stored, while the same number with other zeros in front is."""
        found = self._index.differing_by_zeros(scope, [row.composite for row in numbers])
        for at, stored in found.items():
            text = f"username: {stored} is stored; did a spreadsheet cut or add zeros in front?"
            numbers[at].warnings += (Problem("zeros_differ", text),)

    def _whole(self, realm: Realm | None, stored: Stored | None) -> Stored | None:
        """Return the entry, completed by a single read if the list left something out."""
        return stored and self._source.whole(self._family, realm, stored)

    def _asked(self, realm: Realm | None, rows: Rows) -> Found:
        return list(self._threads.map(partial(self._find, realm), rows))

    def _find(self, realm: Realm | None, row: Row) -> Stored | None:
        if row.problems:  # it won't be sent, and its name may not fit in a path
            return None
        try:
            return self._source.find(self._family, realm, row.composite)
        except Refused:  # a name that can't be looked up: the answer to its POST will say why
            return None

    def _rows_of(self, scope: int) -> int:
        """Return the upper bound of the roster's rows in a scope."""
        if self._family is Family.ACCOUNT:
            return self._roster.records
        if self._expected is None:
            self._expected = Counter()
            refs = Counter(row.realm for page in self._roster.pages() for row in page)
            for ref, rows in refs.items():
                self._expected[self._key(ref)] += rows
        return self._expected[scope]

    def _key(self, ref: str) -> int:
        try:
            realm = self._realms.resolve(ref)
        except NotFound:  # no default realm: reported when a row needs it
            return NO_REALM
        return NO_REALM if isinstance(realm, Problem) else realm[0]
