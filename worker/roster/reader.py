"""A roster: opening it surveys the file, and its pages are read after that."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from itertools import chain, islice
from typing import BinaryIO, Self

from worker.errors import UsageError
from worker.model import DatabaseLogin, Options, Problem, Row, TableForm
from worker.roster.encoding import GUESSED
from worker.roster.first_pass import FirstPass, filled_columns
from worker.roster.format import Table
from worker.roster.formats import GENERIC, assignment_of
from worker.roster.layout import Layout, lay_out
from worker.roster.recognise import Opened, find_roster, open_source
from worker.roster.rows import chosen, pages_of, rules_for
from worker.roster.secret_columns import SecretColumns
from worker.roster.source import Source, unreadable
from worker.roster.text import CORRECT_HEADER, Malformed, Record, changed


class Roster:
    """A surveyed roster; ``pages`` yields its rows. A context manager."""

    options: Options
    """The options, with what was found out: ``retry`` reads the rows by the same."""

    def __init__(self, source: Source, opened: Opened, options: Options) -> None:
        """Survey the records. Raises UsageError if they can't be read, which says where and what to do."""
        self._source = source
        self._table = table = opened.table
        self.format = opened.format.name if opened.format else GENERIC
        self.recognised = opened.why
        self.options = replace(options, source_format=self.format, tables=_form(table, opened, options))
        """The options, with the format that was found: ``retry`` reads the rows by the same."""
        self.name_line = opened.name_line
        self._layout = _layout(table, self.options)
        if self.format == GENERIC and isinstance(self._layout.user, int):
            # An earlier job's cells don't show which other candidates were empty in every row.
            mapped = {**options.map, "username": self._layout.mapping["username"]}
            self.options = replace(self.options, map=mapped)
        guessed = GUESSED if any(one.code == "encoding_guessed" for one in opened.warnings) else ""
        found = FirstPass(table, self._layout, options, guessed)
        columns = SecretColumns(self._layout, options)
        with table.read() as records:
            self.name = found.read(columns.sampled(self._chosen(records)), source.name)
        found.check()
        self._layout = columns.without_secrets(table.shown)
        self._rules = rules_for(self._layout, options, found.facts)
        self.source = source.place
        self.columns = self._layout.columns
        self.dropped = self._layout.dropped
        self.encoding = table.encoding
        self.delimiter = table.delimiter
        self.sheet = opened.sheet
        self.sheet_name = opened.sheet_name
        self.records = found.survey.records
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

    def __exit__(self, *_: object) -> None:
        self.close()

    def _chosen(self, records: Iterator[Record]) -> Iterator[Record]:
        return chosen(islice(records, 1, None), self._layout, self.options)


def open_roster(
    place: str, options: Options, stdin: BinaryIO | None = None, logins: Iterable[DatabaseLogin] = ()
) -> Roster:
    """Open a roster and survey it: a path, ``-`` (standard input), or a URL.

    A URL is one that fsspec opens, or a database's, for which ``logins`` has user and password. A folder or a
    pattern is one roster of all its files.

    Raises:
        UsageError: it can't be read, or its columns can't be told apart.
    """
    return open_found(find_roster(place, stdin, logins), options)


def open_found(source: Source, options: Options) -> Roster:
    """Open a source as a roster, and close it if that fails. Raises UsageError as ``open_roster``."""
    with ExitStack() as stack:
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


def _form(table: Table, opened: Opened, options: Options) -> TableForm:
    """Return how result files are written: as the roster came."""
    return replace(
        options.tables, delimiter=table.delimiter or ",", encoding=table.encoding or "utf-8",
        workbook=bool(opened.sheet),
    )  # fmt: skip


def _layout(table: Table, options: Options) -> Layout:
    """Return the layout that the first record defines. Raises UsageError if a needed column is missing."""
    with table.read() as records:
        line, cells = next(records, (1, []))
    if isinstance(cells, Malformed):
        raise UsageError(
            f"{table.shown}, line {line}: the header can't be read: {cells.reason}", CORRECT_HEADER
        )
    assignment = assignment_of(options.source_format, cells)
    return lay_out(cells, table.shown, options, assignment, partial(filled_columns, table))
