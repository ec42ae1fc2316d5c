"""Inspection of a roster: how it is understood, and what decides where it can't be read as it is.

Made for people who match columns. No cell is shown of a column that holds, or may hold, a secret, by the
rules of the import itself. While it isn't known which column has the passwords, only cells of columns whose
names rule that out are shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any, Final

from worker.errors import UsageError
from worker.model import Options, Problem
from worker.roster.column_names import may_be_hinted, password_rank, rank_of, rules_secret_out
from worker.roster.cut import cut_simply
from worker.roster.encoding import survey
from worker.roster.format import RosterFormat
from worker.roster.formats import GENERIC, assignment_of
from worker.roster.header import ALIASES, RANKED, SECRETS, Header, is_header_name, known, plain
from worker.roster.hiding import HIDDEN
from worker.roster.layout import Assignment
from worker.roster.reader import Roster
from worker.roster.recognise import Opened, open_source
from worker.roster.rows import PAGE, fits
from worker.roster.secret import may_be_secret
from worker.roster.source import Source, unreadable
from worker.roster.text import Fields, Malformed
from worker.roster.workbook import format_of, sheets_of

MASK: Final = "••••"
"""Stands for cells that are not shown."""
ITS_CELLS: Final = "they look like passwords or digests"
"""Why cells of a column are not shown whose name gives nothing away."""
_SAMPLES: Final = 5
_LONGEST: Final = 60
"""Characters of a sample."""
_LINES: Final = 10
"""First lines that are shown where it isn't known which of them is the header."""
_GIVES_AWAY: Final = 4
"""Characters from which on a cell that is not shown is looked for in others."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column: the field it is used for, or may be meant for."""

    name: str
    """Its name; empty if it may be data, in a file without a header."""
    position: int
    """Counted from 1."""
    field: str = ""
    """The field that it is used for: ``username``, ``password`` …; empty: none."""
    suggested: str = ""
    """The field that its name stands for, whether it is used for it or not."""
    why: str = ""
    """The reason for either, or why it is not used."""
    secret: bool = False
    """Whether it holds, or may hold, a secret: then it is not carried into the results."""
    decoy: bool = False
    """Whether it only looks like the SIP password or the user name."""
    hidden: str = ""
    """Why its cells are not shown; empty: they are."""
    samples: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Line:
    """One of the first lines, in which only words that occur in headers are shown."""

    line: int
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SheetOf:
    """A sheet of the workbook."""

    name: str
    hidden: bool
    chosen: bool


@dataclass(slots=True)
class Inspection:
    """The way a roster is understood."""

    name: str
    format: str = ""
    """The name that ``--from`` takes; empty: not known."""
    title: str = ""
    recognised: str = ""
    """Why it was recognised; empty for a plain table, or if ``--from`` names it."""
    rows: int | None = None
    """None: they were not counted, since the file can't be read as it is."""
    encoding: str = ""
    delimiter: str = ""
    header_line: int | None = None
    sheets: list[SheetOf] = field(default_factory=list)
    columns: list[Column] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    """The first lines of a text whose header is not known."""
    warnings: list[Problem] = field(default_factory=list)
    error: UsageError | None = None
    """Why it can't be read as it is; its hint names what decides."""

    def as_json(self) -> dict[str, Any]:
        """Return everything as JSON."""
        error = self.error and {
            "code": "usage", "message": self.error.message, "hint": self.error.hint,
            "exit": self.error.exit_code,
        }  # fmt: skip
        return {
            "roster": {"name": self.name, "rows": self.rows},
            "format": {"name": self.format, "title": self.title, "why": self.recognised},
            "encoding": self.encoding,
            "delimiter": self.delimiter,
            "header_line": self.header_line,
            "sheets": [asdict(sheet) for sheet in self.sheets],
            "columns": [{**asdict(column), "samples": list(column.samples)} for column in self.columns],
            "lines": [{"line": line.line, "cells": list(line.cells)} for line in self.lines],
            "warnings": [{"code": one.code, "text": one.text} for one in self.warnings],
            "error": error,
        }


def inspect(source: Source, options: Options) -> Inspection:
    """Return how a source is understood, and close it. Errors about its content are in ``Inspection.error``.

    Raises UsageError if it can't be read at all.
    """
    found = Inspection(source.name)
    with ExitStack() as stack:
        stack.callback(source.close)
        try:
            _look_at_sheets(source, found)
            opened = open_source(source, options)
            stack.callback(opened.table.close)
            _look_at_table(source, opened, options, found)
        except UsageError as error:
            found.error = error
            if not found.columns and not found.lines:
                with suppress(UsageError, UnicodeError):
                    _look_at_lines(source, options, found)
        except OSError as error:
            raise unreadable(source.shown, error) from None
    return found


def _look_at_sheets(source: Source, found: Inspection) -> None:
    with suppress(NotImplementedError):
        if open_book := format_of(source):
            found.sheets = [SheetOf(one.name, one.hidden, False) for one in sheets_of(source, open_book)]


def _look_at_table(source: Source, opened: Opened, options: Options, found: Inspection) -> None:
    """Describe the columns, first by their names alone, then by what the import takes them for."""
    one = opened.format
    found.format, found.recognised = one.name if one else GENERIC, opened.why
    found.title = one.title if one else "a table with a header"
    found.encoding, found.delimiter = opened.table.encoding, opened.table.delimiter
    found.warnings = list(opened.warnings)
    found.sheets = [
        SheetOf(sheet.name, sheet.hidden, sheet.name == opened.sheet_name) for sheet in found.sheets
    ]
    with opened.table.read() as read:
        records = list(islice(read, PAGE + 1))
    if not records or isinstance(records[0][1], Malformed):
        raise UsageError(f"{source.shown}: no line can be the header", "the first line must name the columns")
    found.header_line = records[0][0]
    header = Header(records[0][1], source.shown)
    columns = _Columns(header, options, one, assignment_of(found.format, records[0][1]))
    found.columns = columns.by_names([fields for _, fields in records[1:]])
    roster = Roster(source, opened, options)  # raises UsageError: what decides
    found.rows = roster.records
    found.warnings = list(roster.warnings)
    found.columns = columns.of_roster(roster)


class _Columns:
    """The columns of a table."""

    def __init__(
        self, header: Header, options: Options, found: RosterFormat | None, assignment: Assignment | None
    ) -> None:
        self._header = header
        self._options = options
        self._title = found.title if found else ""
        self._decoys = {plain(name) for name in found.about.decoys} if found else set()
        self._assignment = assignment
        self._internal = assignment.internal if assignment else ""

    def by_names(self, rows: Sequence[Fields]) -> list[Column]:
        """Return the columns by their names, while it isn't known which of them has the passwords."""
        shown = self._header.shown
        open_ = {
            at for at, name in enumerate(shown) if name and rules_secret_out(name) and not self._is_secret(at)
        }
        rows = [fields for fields in rows if fits(fields, self._header)]
        columns = []
        for at, name in enumerate(shown):
            if name and name == self._internal:
                continue
            hidden = self._why_hidden(at, "") or (at not in open_ and "it may hold the passwords") or ""
            samples = (
                [] if hidden else [fields[at] for fields in rows if _gives_nothing_away(fields, at, open_)]
            )
            filled = any(fields[at].strip() for fields in rows)
            suggested, why = self._suggestion(at) if name else ("", "")
            columns.append(
                Column(
                    name, at + 1, "", suggested, why, self._is_secret(at), self._is_decoy(at), hidden,
                    _samples(samples) if not hidden else (MASK,) * filled,
                )
            )  # fmt: skip
        return columns

    def of_roster(self, roster: Roster) -> list[Column]:
        """Return the columns as the import uses them; cells are shown as the results would show them."""
        page = next(roster.pages(), [])
        carried = {name: at for at, name in enumerate(roster.columns)}
        used = self._used(roster.mapping)
        columns = []
        for at, name in enumerate(self._header.names):
            if name and name == self._internal:
                continue
            field_ = used.get(name, "")
            hidden = "" if name in carried else self._why_hidden(at, field_)
            if name in roster.dropped and not hidden:
                hidden = ITS_CELLS
            samples = _samples([row.cells[carried[name]] for row in page]) if name in carried else ()
            suggested, why = self._suggestion(at)
            if field_:
                suggested, why = field_, self._why_used(field_, at)
            elif self._options.map.get(suggested) == "":
                suggested, why = "", f"--map {suggested}= leaves it out"
            columns.append(
                Column(
                    name, at + 1, field_, suggested, why, name in roster.dropped, self._is_decoy(at), hidden,
                    samples if name in carried else (MASK,) * bool(name),
                )
            )  # fmt: skip
        return columns

    def _used(self, mapping: Mapping[str, str]) -> dict[str, str]:
        """Return column → the field that it is used for; of several user names each one is."""
        used: dict[str, str] = {}
        for field_, column in mapping.items():
            for name in column.split(", else ") if field_ == "username" else [column]:
                used.setdefault(name, field_)
        return used

    def _why_used(self, field_: str, at: int) -> str:
        if field_ in self._options.map:
            return "--map names it"
        if self._assignment:
            return f"{self._title} has it there"
        return self._suggestion(at)[1] or "by its name"

    def _suggestion(self, at: int) -> tuple[str, str]:
        """Return the field that a column's name stands for, and the reason."""
        name = self._header.given[at]
        if self._header.is_own(at):
            return "", "a column of siproster's own results, which is not read"
        if self._is_decoy(at):
            return "", "for a mailbox, a PIN, a web or administrator login, or display: not the phone's"
        for field_, names in ALIASES.items():
            rank = rank_of(field_, name) if field_ in RANKED else None
            if rank == 0:
                return field_, f"its name says that it is the phone's {field_}"
            if rank is not None or plain(name) in names:
                return field_, f"its name suggests that it is the {field_}"
        return "", ""

    def _is_decoy(self, at: int) -> bool:
        name = self._header.given[at]
        if plain(name) in self._decoys:
            return True
        looks_alike = may_be_secret(name) or password_rank(name) is not None
        return looks_alike and password_rank(name) != 0 and not may_be_hinted("password", name)

    def _is_secret(self, at: int) -> bool:
        name = self._header.names[at]
        secrets = self._assignment.secrets if self._assignment else ()
        by_name = may_be_secret(name) or password_rank(name) is not None or plain(name) in SECRETS
        return (by_name or name in secrets) and not self._header.is_own(at)

    def _why_hidden(self, at: int, field_: str) -> str:
        if field_ in SECRETS:
            return f"it holds the {field_}"
        if self._is_secret(at):
            return "its name suggests a secret"
        return "" if self._header.names[at] else "it may be data"


def _gives_nothing_away(fields: Fields, at: int, open_: set[int]) -> bool:
    """Return whether a cell contains none of the cells of its row that are not shown."""
    cell = fields[at].casefold()
    others = (other.casefold() for one, other in enumerate(fields) if one not in open_)
    return not any(len(other) >= _GIVES_AWAY and other in cell for other in others)


def _samples(cells: Sequence[str]) -> tuple[str, ...]:
    """Return the first cells that differ and are not empty, shortened."""
    found = dict.fromkeys(cell.strip() for cell in cells if cell.strip())
    shown = (MASK if cell == HIDDEN else cell for cell in islice(found, _SAMPLES))
    return tuple(cell if len(cell) <= _LONGEST else f"{cell[:_LONGEST]}…" for cell in shown)


def _look_at_lines(source: Source, options: Options, found: Inspection) -> None:
    """Show the first lines of a text, as far as they are words of headers."""
    if found.sheets:
        return
    encoding = survey(source, options.encoding).encoding
    text = cut_simply(source, encoding, known, options.delimiter or ",")
    found.encoding, found.delimiter = encoding, text.delimiter
    with text.read() as records:
        for line, cells in islice(records, _LINES):
            shown = tuple(cell if not cell.strip() or _is_word(cell) else MASK for cell in cells)
            found.lines.append(Line(line, shown))


def _is_word(cell: str) -> bool:
    return len(cell) <= _LONGEST and is_header_name(cell)
