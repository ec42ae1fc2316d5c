"""A format that is a table with column names of its own: mostly data, and a judge of rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from worker.model import Options, Row
from worker.roster.format import About, Start, Table, skip
from worker.roster.header import plain
from worker.roster.layout import Assignment
from worker.roster.text import Text

Judge = Callable[[Row, Sequence[str]], None]
NO: Final = frozenset({"0", "f", "false", "n", "no", "off", "disabled"})
YES: Final = frozenset({"1", "t", "true", "y", "yes", "on", "enabled"})
"""Words that PBXs write for a switch, in lower case."""

_TOLD: Final = 5
"""Most columns that a reason names."""


class Columns:
    """The columns of a header by their plain names: without case, white space, ``_`` and ``-``."""

    def __init__(self, header: Sequence[str]) -> None:
        names = [cell.strip().lstrip("\ufeff") for cell in header]
        self._at = {plain(name): at for at, name in reversed(list(enumerate(names))) if name}
        self._names = names

    def __contains__(self, name: str) -> bool:
        return name in self._at

    def has(self, names: Sequence[str]) -> bool:
        """Return whether all of these columns are there."""
        return all(name in self._at for name in names)

    def at(self, name: str) -> int | None:
        """Return the position of the column with that plain name; None if there is none."""
        return self._at.get(name)

    def named(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return the names as the header has them, in the given order; missing ones are left out."""
        return tuple(self._names[self._at[name]] for name in names if name in self._at)

    def first(self, names: Sequence[str]) -> str:
        """Return the name, as the header has it, of the first of the columns that exists; else empty."""
        return next(iter(self.named(names)), "")


@dataclass(frozen=True, slots=True)
class ColumnFormat:
    """A format that is recognised by its column names, all given in plain form."""

    name: str
    title: str
    about: About = field(repr=False)
    needs: tuple[tuple[str, ...], ...]
    """Sets of columns; one of them must be there as a whole."""
    marks: tuple[str, ...]
    """Columns that hardly any other program has."""
    least: int
    """How many of ``marks`` must be there, too."""
    username: tuple[str, ...]
    password: tuple[str, ...]
    """The first that is there holds the SIP password."""
    domain: str = ""
    secrets: tuple[str, ...] = ()
    judges: Callable[[Columns], Judge | None] = field(default=lambda columns: None)
    """Makes the judge of rows for a header; None: nothing needs judging."""

    def recognise(self, start: Start) -> str:
        """Return the columns that tell the format; empty if too few of them are there."""
        return self.reason(start.header)

    def reason(self, header: Sequence[str]) -> str:
        """Return the columns of a header that tell the format; empty if too few of them are there."""
        if not self.fits(header):
            return ""
        columns = Columns(header)
        needed = next(names for names in self.needs if columns.has(names))
        found = dict.fromkeys([*columns.named(needed), *columns.named(self.marks)])
        return f"columns {', '.join(list(found)[:_TOLD])}"

    def fits(self, header: Sequence[str]) -> bool:
        """Return whether enough of the format's columns are there."""
        columns = Columns(header)
        return any(map(columns.has, self.needs)) and len(columns.named(self.marks)) >= self.least

    def open(self, text: Text, start: Start, options: Options) -> Table:
        """Return the text itself: it is plain CSV."""
        return text

    def assign(self, header: Sequence[str]) -> Assignment:
        """Return which of the header's columns are what."""
        columns = Columns(header)
        return Assignment(
            username=columns.named(self.username),
            password=columns.first(self.password),
            domain=columns.first((self.domain,)),
            secrets=columns.named(self.secrets),
            judge=self.judges(columns),
        )


def all_of(*judges: Judge | None) -> Judge | None:
    """Return a judge that asks the given ones in turn, until one of them skips the row."""
    asked = [judge for judge in judges if judge]
    if len(asked) < 2:
        return asked[0] if asked else None

    def judge(row: Row, fields: Sequence[str]) -> None:
        for one in asked:
            one(row, fields)
            if row.skipped:
                return

    return judge


def only_sip(at: int | None, sip: frozenset[str]) -> Judge | None:
    """Return a judge that skips rows whose technology, the cell at ``at``, is filled and not in ``sip``."""
    if at is None:
        return None

    def judge(row: Row, fields: Sequence[str]) -> None:
        tech = fields[at].strip().lower()
        if tech and tech not in sip:
            skip(row, "not_sip", f"its technology is {tech[:20]}, which is not SIP")

    return judge


def not_disabled(at: int | None, values: frozenset[str], what: str) -> Judge | None:
    """Return a judge that skips rows whose cell at ``at`` is one of ``values``, which means switched off."""
    if at is None:
        return None

    def judge(row: Row, fields: Sequence[str]) -> None:
        if fields[at].strip().lower() in values:
            skip(row, "disabled", f"the extension is switched off ({what})")

    return judge
