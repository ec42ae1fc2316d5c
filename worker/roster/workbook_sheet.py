"""A sheet of a workbook, and what is worth saying about it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from worker.model import Problem
from worker.reasons import plural
from worker.roster.header import MOST_COLUMNS
from worker.roster.text import Record
from worker.roster.workbook_cells import reference

MOST_CELLS: Final = MOST_COLUMNS + 1
"""Cells of a row that are read: one more than a header may have."""
MOST_ROWS: Final = 1_048_576
"""Rows of a sheet, in every format."""
_MOST_COVERED: Final = 1000
_LISTED: Final = 5
"""Most cells that a warning names."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """A sheet, by the name on its tab."""

    name: str
    hidden: bool
    key: Any
    """How the reader finds it."""


@dataclass(slots=True)
class Notes:
    """Facts about a sheet that are found while its rows are read."""

    hidden_rows: int = 0
    hidden_columns: set[int] = field(default_factory=set)
    beside: int = 0
    """Rows with cells to the right of the last column name."""
    covered: set[tuple[int, int]] = field(default_factory=set)
    """Column, from 0, and row of cells with a value that a merged cell hides; only the first ones."""

    def hide_columns(self, first: str | None, last: str | None) -> None:
        """Note a range of hidden columns, counted from 1."""
        if first and last and first.isdecimal() and last.isdecimal():
            self.hidden_columns.update(range(int(first) - 1, min(int(last), MOST_CELLS)))

    def cover(self, column: int, row: int) -> None:
        """Note a cell with a value under a merged cell, which shows that of its first cell."""
        if len(self.covered) < _MOST_COVERED:
            self.covered.add((column, row))

    def warnings(self, width: int) -> Iterator[Problem]:
        """Yield what a person who looks at the sheet doesn't see, in a table of that many columns."""
        if self.hidden_rows:
            rows = plural(self.hidden_rows, "hidden row is", "hidden rows are")
            yield Problem("hidden_cells", f"{rows} read like the others (hidden, or filtered out)")
        if hidden := sorted(at for at in self.hidden_columns if at < width):
            letters = ", ".join(reference(at, 0)[:-1] for at in hidden)
            yield Problem("hidden_cells", f"hidden columns are read like the others: {letters}")
        if under := sorted((row, at) for at, row in self.covered if at < width):
            cells = ", ".join(reference(at, row) for row, at in under[:_LISTED])
            more = " …" * (len(under) > _LISTED)
            text = f"cells hidden under merged cells are read with their own values: {cells}{more}"
            yield Problem("hidden_cells", text)
        if self.beside:
            rows = plural(self.beside, "row has", "rows have")
            yield Problem("column_unnamed", f"{rows} cells right of the last column name, which are not read")


class Book(Protocol):
    """A workbook, whatever its format."""

    @property
    def sheets(self) -> list[Sheet]:
        """Return the sheets in their order, charts left out."""

    def rows(self, sheet: Sheet, notes: Notes) -> Iterator[Record]:
        """Yield the rows that have a cell, by their numbers. Raises Damaged."""

    def close(self) -> None:
        """Release what is kept."""
