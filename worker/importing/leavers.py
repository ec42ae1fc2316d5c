"""Leavers: users who are stored but not in the roster, as rows to be deleted. Doubtful ones are kept."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence

from worker.importing.compare import APPLICATION
from worker.importing.realms import JobRealms
from worker.model import FIRST_LEAVER, NO_REALM, Outcome, Problem, Row, Status, Stored
from worker.roster import DuplicateIndex

_SIMILAR = Problem(
    "name_similar",
    "the roster has a user whose name differs only by zeros or + in front, its domain or its realm",
)
_OTHER_APPLICATION = Problem(APPLICATION, "the user has another application than all users of the roster")
_NO_REALM = Problem("realm_unknown", "the service doesn't say on which of the roster's realms the user is")

_PAGE = 500


class RosterNames:
    """The names of a roster, normalized so that a slip makes nobody a leaver, and its applications.

    Close it after use.
    """

    def __init__(self) -> None:
        self._index = DuplicateIndex()
        self._applications: set[str] = set()

    def add(self, page: Sequence[Row]) -> None:
        """Add the users of a page, including those whose rows can't be sent."""
        for number in (0, 1):
            keys = [_index_keys(row.composite)[number] for row in page if row.user]
            if keys:
                self._index.first_lines(keys, [row.line for row in page if row.user])
        self._applications.update({row.application.casefold() for row in page if row.application})

    def doubts(self, users: Sequence[Stored]) -> list[Problem | None]:
        """Return, for each user, the reason why it may not be a leaver, or None."""
        keys = [_lookup_keys(user.composite) for user in users]
        either = zip(*[self._index.look([one[number] for one in keys]) for number in (0, 1)], strict=True)
        return [
            _SIMILAR if any(line is not None for line in lines) else self._doubt_of_application(user)
            for user, lines in zip(users, either, strict=True)
        ]

    def _doubt_of_application(self, user: Stored) -> Problem | None:
        """Return a doubt if the roster names applications, and the user has another one."""
        other = user.application.casefold() not in {"", *self._applications}
        return _OTHER_APPLICATION if self._applications and other else None

    def close(self) -> None:
        """Close the index and delete its file."""
        self._index.close()


def leaver_pages(users: Iterable[Stored], names: RosterNames, realms: JobRealms) -> Iterator[list[Row]]:
    """Yield stored users as pages of rows; one that may not be a leaver has an outcome, and is kept."""
    source = iter(users)
    numbers = itertools.count(FIRST_LEAVER)
    while group := list(itertools.islice(source, _PAGE)):
        yield [
            _row(next(numbers), user, doubt, realms)
            for user, doubt in zip(group, names.doubts(group), strict=True)
        ]


def set_leaver_realm(row: Row, host: str, realms: JobRealms) -> None:
    """Set the realm of a leaver; a leaver whose realm is not known gets an outcome, and is kept."""
    found = realms.resolve(host) if host else _NO_REALM
    if isinstance(found, Problem):
        row.outcome = _kept(row, _NO_REALM)
    else:
        row.realm_key, row.host = found


def _kept(row: Row, doubt: Problem) -> Outcome:
    """Return the outcome of a user who is kept because of a doubt."""
    return Outcome(row.line, Status.EXISTS, row.cells[0], doubt.code, doubt.text)


def _row(line: int, user: Stored, doubt: Problem | None, realms: JobRealms) -> Row:
    row = Row(
        line, user.composite, "", "", user.application, "", (user.id,),
        hash1=user.hash1 or "", hash1b=user.hash1b or "", realm_key=NO_REALM, stored=user,
    )  # fmt: skip
    set_leaver_realm(row, user.realm, realms)
    if doubt:
        row.outcome = _kept(row, doubt)
    return row


def _index_keys(composite: str) -> tuple[str, str]:
    """Return the keys under which a roster's name is indexed: the whole name, and its user."""
    user, at, domain = _split(composite)
    return f"c {user}{at}{domain}", f"{'u' if at else 'n'} {user}"


def _lookup_keys(composite: str) -> tuple[str, str]:
    """Return the keys to look up for a stored name: the whole name, and its user with or without a domain."""
    user, at, domain = _split(composite)
    return f"c {user}{at}{domain}", f"{'n' if at else 'u'} {user}"


def _split(composite: str) -> tuple[str, str, str]:
    """Return user, ``@`` and domain in lower case; a number loses its leading zeros and ``+``."""
    user, at, domain = composite.casefold().partition("@")
    number = user.lstrip("+0")
    return number if number.isdecimal() else user, at, domain
