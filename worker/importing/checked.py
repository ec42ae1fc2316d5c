"""Step 1 of a row's way: what only the account and the whole roster can tell of a row is added to it."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from worker.importing.prehashed import held_against, named
from worker.importing.realms import JobRealms
from worker.model import NO_REALM, Family, Problem, Row
from worker.roster import HIDDEN, Seen, never_sent

PAGE = 1000
"""Rows in one page of the ledger, and in one look at what was seen already."""


@dataclass(frozen=True, slots=True)
class Checked:
    """A row with all its problems, and the key of its realm (``NO_REALM`` when it has none)."""

    row: Row
    realm: int


def check(
    rows: Iterable[Row], realms: JobRealms | None, family: Family, taken: Iterable[Row] = ()
) -> Iterator[list[Checked]]:
    """Rows a page at a time, with what only the account and the whole roster can tell.

    ``taken``: rows of the same roster that are in place already: another row of their name is a duplicate.
    Without ``realms`` (no account is set) realms are not looked up. Raises what reading raises, and
    NotFound when a row names no realm and the account has no default one.
    """
    with Seen() as seen:
        earlier = iter(taken)
        while known := list(itertools.islice(earlier, PAGE)):
            placed = [_placed(row, realms) for row in known]
            seen.first_lines([(_name(one, family), one.row.line) for one in placed])
        source = iter(rows)
        while page := list(itertools.islice(source, PAGE)):
            found = _without_doubles([_placed(row, realms) for row in page], seen, family)
            # Here, since no row becomes invalid later: reading hides only in what it finds wrong itself.
            yield [replace(c, row=never_sent(c.row)) if c.row.problems else c for c in found]


def _placed(row: Row, realms: JobRealms | None) -> Checked:
    row = named(row)
    if realms is None or (row.problems and row.realm in ("", HIDDEN)):
        return Checked(row, NO_REALM)
    key = realms.key(row.realm)
    if isinstance(key, Problem):
        if key in row.problems:
            return Checked(row, NO_REALM)
        return Checked(replace(row, problems=(*row.problems, key)), NO_REALM)
    return Checked(held_against(row, realms.host(key)), key)


def _without_doubles(page: list[Checked], seen: Seen, family: Family) -> list[Checked]:
    """The first row of a name that can be sent goes; every other one of that name is told about it."""
    good = [c for c in page if not c.row.problems]
    firsts = dict(
        zip(
            (c.row.line for c in good),
            seen.first_lines([(_name(c, family), c.row.line) for c in good]),
            strict=True,
        )
    )
    bad = [c for c in page if c.row.problems and c.row.user]
    firsts.update(
        (c.row.line, first)
        for c, first in zip(bad, seen.look([_name(c, family) for c in bad]), strict=True)
        if first is not None and first < c.row.line
    )
    return [_told(c, firsts.get(c.row.line, c.row.line)) for c in page]


def _name(checked: Checked, family: Family) -> str:
    name = checked.row.composite.casefold()
    if family is Family.ACCOUNT:
        return name
    return f"{name}\0{checked.realm if checked.realm != NO_REALM else checked.row.realm}"


def _told(checked: Checked, first: int) -> Checked:
    row = checked.row
    if first == row.line:
        return checked
    problem = Problem("duplicate_in_file", f"line {first} already has user {never_sent(row).composite}")
    return Checked(replace(row, problems=(*row.problems, problem)), checked.realm)
