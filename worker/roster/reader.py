"""A roster: opening it surveys the file, and its pages are read after that."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from itertools import chain, islice
from types import TracebackType
from typing import BinaryIO, Self

from worker.errors import UsageError
from worker.model import Options, Problem, Row, Weak
from worker.roster.format import Table
from worker.roster.formats import GENERIC, assignment_of
from worker.roster.hiding import name_without_secrets
from worker.roster.layout import Layout, lay_out
from worker.roster.passwords import Survey
from worker.roster.recognise import Opened, open_source
from worker.roster.rows import chosen, fits, pages_of, rules_for
from worker.roster.selection import shown
from worker.roster.source import Source, find, unreadable
from worker.roster.text import Malformed, Record, changed

_GROUP = 1000


class Roster:
    """A surveyed roster; ``pages`` yields its rows. A context manager."""

    def __init__(self, source: Source, opened: Opened, options: Options) -> None:
        """Survey the records. Raises UsageError if they can't be read, which says where and what to do."""
        self._source = source
        self._table = table = opened.table
        self.format = opened.format.name if opened.format else GENERIC
        self.recognised = opened.why
        self.options = replace(options, source_format=self.format)
        """The options, with the format that was found: ``retry`` reads the rows by the same."""
        self._layout = _layout(table, self.options)
        self.name = source.name
        found = self._look_through()
        self._rules = rules_for(self._layout, options, found.shared())
        self.source = source.place
        self.columns = self._layout.columns
        self.dropped = self._layout.dropped
        self.encoding = table.encoding
        self.delimiter = table.delimiter
        self.records = found.records
        self.whole = options.whole_roster
        self.sha256 = table.sha256
        self.mapping: Mapping[str, str] = self._layout.mapping
        self.warnings: tuple[Problem, ...] = opened.warnings + self._layout.warnings

    def taken(self) -> Iterator[list[Row]]:
        """Return no rows: no user is in place before a roster's first import."""
        return iter(())

    def rows(self) -> Iterator[Row]:
        """Yield the rows of ``pages`` one by one, for callers that match single lines."""
        return chain.from_iterable(self.pages())

    def pages(self) -> Iterator[list[Row]]:
        """Yield every selected row, in the file's order; a malformed record is a row with problems.

        Raises:
            UsageError: the file has changed since it was surveyed.
        """
        with self._table.read_again() as records:
            yield from pages_of(self._chosen(records), self._layout, self._rules)

    def close(self) -> None:
        """Release what is kept of the source, and of its records."""
        self._table.close()
        self._source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _chosen(self, records: Iterator[Record]) -> Iterator[Record]:
        return chosen(islice(records, 1, None), self._layout, self.options)

    def _look_through(self) -> Survey:
        """Make the first pass over the records: count them, and survey their passwords."""
        found = Survey()
        password, exact = self._layout.password, self._layout.exact
        with self._table.read() as read:
            records = self._chosen(read)
            while group := [  # only passwords: a thousand whole records may take a hundred megabytes
                row[password]
                if password is not None and (len(row) == exact or fits(row, self._layout))
                else ""
                for _, row in islice(records, _GROUP)
            ]:
                found.add(len(group), group)
                self.name = name_without_secrets(self.name, group)
        self._refuse_none(found)
        self._refuse_pins(found)
        return found

    def _refuse_none(self, found: Survey) -> None:
        if found.records:
            return
        source = self._source.shown
        if self.options.where:
            asked = " and ".join(map(shown, self.options.where))
            beyond = f" beyond the first {self.options.skip}" if self.options.skip else ""
            raise UsageError(
                f"{source} has no row with {asked}{beyond}",
                "= and != compare the whole cell, ~ finds the expression anywhere in it; case counts",
            )
        if self.options.skip:
            raise UsageError(
                f"{source} has no row beyond the first {self.options.skip}", "use a smaller --skip"
            )
        raise UsageError(f"{source} has a header, but no rows", "nothing to do")

    def _refuse_pins(self, found: Survey) -> None:
        source = self._source.shown
        expressly = self.options.weak_given and self.options.weak is not Weak.REFUSE
        if found.looks_like_pins and not expressly:
            raise UsageError(
                f"{source}: column {self._layout.mapping['password']!r} looks like a PIN column: "
                f"{found.pins} of its {found.filled} values are 4 to 6 digits",
                "choose the column of SIP passwords with --map password=COLUMN, or use --weak warn",
            )


def open_roster(place: str, options: Options, stdin: BinaryIO | None = None) -> Roster:
    """Open a roster and survey it: a path, ``-`` (standard input), or a URL that fsspec opens.

    Raises:
        UsageError: it can't be read, or its columns can't be told apart.
    """
    with ExitStack() as stack:
        source = find(place, stdin)
        stack.callback(source.close)
        try:
            opened = open_source(source, options)
            stack.callback(opened.table.close)
            roster = Roster(source, opened, options)
        except UnicodeError:  # all its bytes could be decoded a moment ago
            raise changed(source) from None
        except OSError as error:
            raise unreadable(source.shown, error) from None
        stack.pop_all()
        return roster


def _layout(table: Table, options: Options) -> Layout:
    """Return the layout that the first record defines. Raises UsageError if a needed column is missing."""
    with table.read() as records:
        line, cells = next(records, (1, []))
    if isinstance(cells, Malformed):
        raise UsageError(f"{table.shown}, line {line}: the header is not well-formed CSV: {cells.reason}")
    return lay_out(cells, table.shown, options, assignment_of(options.source_format, cells))
