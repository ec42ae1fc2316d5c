"""Pages of rows with all their problems, including those that only the account or the whole roster shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from worker.importing.generate import Passwords, is_replaceable
from worker.importing.prehashed import check_realm_of_digests, refuse_digests_without_realm
from worker.importing.realms import JobRealms
from worker.model import NO_REALM, Family, Problem, Row
from worker.roster import HIDDEN, DuplicateIndex, never_sent

RosterPage = list[Row]
"""Up to 1,000 rows (roster.PAGE), in the roster's order."""


class RosterPages(Protocol):
    """A roster that can be read more than once. ``whole``: a user who is not in its rows is not in it."""

    @property
    def records(self) -> int: ...
    @property
    def whole(self) -> bool: ...
    def name_line(self, line: int) -> str:
        """Return a row's line in words: ``line 7``, in a folder with its file."""

    def taken(self) -> Iterator[RosterPage]:
        """Yield the rows that are in place since an earlier job; no other row may have their names."""

    def pages(self) -> Iterator[RosterPage]:
        """Yield the rows, made anew for each reading, since readers fill them in."""


def validated_pages(
    roster: RosterPages, realms: JobRealms | None, family: Family, passwords: Passwords | None = None
) -> Iterator[RosterPage]:
    """Yield a roster's pages: each row with all its problems, and the realm that it goes to.

    Without ``realms`` (no account is set) realms are not looked up. Raises what reading raises, and
    NotFound when a row names no realm and the account has no default one.
    """
    with DuplicateIndex() as index:
        for page in roster.taken():
            resolve_realms(page, realms)
            index.first_lines(_names(page, family), [row.line for row in page])
        for page in roster.pages():
            resolve_realms(page, realms, is_replaceable if passwords else _never)
            if passwords:  # now that the realms are known, and before rows count as invalid
                passwords.claim(page, realms.find_host if realms else str)
            _mark_duplicates(page, index, family, roster.name_line)
            # Here, since no row becomes invalid later, and reading hides secrets only in invalid rows.
            yield [never_sent(row) if row.problems else row for row in page]


def _never(row: Row) -> bool:
    return False


def resolve_realms(
    page: RosterPage, realms: JobRealms | None, may_become_valid: Callable[[Row], bool] = _never
) -> None:
    """Set key and host of the realm that each row goes to, or add the problem why it has none.

    For a row that can't be sent, the default realm is not looked for: there may be none.
    """
    found: dict[str, tuple[int, str] | Problem] = {}
    for row in page:
        digests = row.hash1 or row.hash1b
        if digests:
            refuse_digests_without_realm(row)
        ref = row.realm
        if realms is None or row.skipped:
            continue
        if row.problems and ref in ("", HIDDEN) and not may_become_valid(row):
            continue
        if ref not in found:
            found[ref] = realms.resolve(ref)
        realm = found[ref]
        if isinstance(realm, Problem):
            if realm not in row.problems:
                row.problems += (realm,)
            continue
        row.realm_key, row.host = realm
        if digests:
            check_realm_of_digests(row)


def _mark_duplicates(
    page: RosterPage, index: DuplicateIndex, family: Family, name_line: Callable[[int], str]
) -> None:
    """Add a problem to every row whose name an earlier row has that can be sent: only the first is sent."""
    sound = [row for row in page if not row.problems]
    wrong = (
        [row for row in page if row.problems and row.user and not row.skipped]
        if len(sound) < len(page)
        else []
    )
    lines = [row.line for row in sound]
    firsts = index.first_lines(_names(sound, family), lines)
    if firsts is not lines:
        for row, first in zip(sound, firsts, strict=True):
            if first != row.line:
                _tell_duplicate(row, name_line(first))
    if wrong:
        for row, found in zip(wrong, index.look(_names(wrong, family)), strict=True):
            if found is not None and found < row.line:
                _tell_duplicate(row, name_line(found))


def _names(rows: Sequence[Row], family: Family) -> list[str]:
    """Return the names that must be unique on the account, or on the row's realm."""
    names = [(f"{row.user}@{row.domain}" if row.domain else row.user).casefold() for row in rows]
    if family is Family.ACCOUNT:
        return names
    realms = (row.realm if row.realm_key == NO_REALM else row.realm_key for row in rows)
    return [f"{realm} {name}" for realm, name in zip(realms, names, strict=True)]


def _tell_duplicate(row: Row, first: str) -> None:
    text = f"{first} already has user {never_sent(row).composite}"
    row.problems += (Problem("duplicate_in_file", text),)
