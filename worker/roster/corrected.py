"""A table with cells that were corrected after it was exported, by line and column, whatever its format."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from worker.errors import UsageError
from worker.roster.format import Table
from worker.roster.header import Header
from worker.roster.rows import fits
from worker.roster.text import Fields, Malformed, Record
from worker.roster.uploaded import CellsByLine
from worker.roster.workbook_cells import Doubted

_SHOWN = 5
"""Most lines that a message names."""


@dataclass(frozen=True, slots=True)
class CorrectedTable:
    """The records of a table with corrected cells (worker.roster.format.Table)."""

    table: Table
    cells: CellsByLine = field(repr=False)
    version: str
    """Tells these corrections from others; reveals nothing of them."""
    strip: bool = False
    """Whether blanks around corrected cells are stripped, as around all others (``--blanks strip``)."""

    @property
    def shown(self) -> str:
        """Return the source's place, as messages name it."""
        return self.table.shown

    @property
    def encoding(self) -> str:
        """Return the table's encoding."""
        return self.table.encoding

    @property
    def delimiter(self) -> str:
        """Return the table's delimiter."""
        return self.table.delimiter

    @property
    def sha256(self) -> str:
        """Return a hash of the whole content and the corrections' version."""
        return hashlib.sha256(f"{self.table.sha256}/{self.version}".encode()).hexdigest()

    @contextmanager
    def read(self) -> Iterator[Iterator[Record]]:
        """Open the corrected records. Raises UsageError for a correction that has no cell."""
        with self.table.read() as records:
            yield self._corrected(records)

    @contextmanager
    def read_again(self) -> Iterator[Iterator[Record]]:
        """Open the corrected records once more. Raises UsageError, at the end, if the file has changed."""
        with self.table.read_again() as records:
            yield self._corrected(records)

    def close(self) -> None:
        """Release the table."""
        self.table.close()

    def _corrected(self, records: Iterator[Record]) -> Iterator[Record]:
        first = next(records, None)
        if first is None:
            return
        yield first
        header = Header(first[1], self.shown)
        changes = {line: self._positions(line, header) for line in self.cells}
        for line, fields in records:
            cells = changes.pop(line, None)
            yield line, fields if cells is None else self._changed(line, fields, header, cells)
        if changes:
            lines = ", ".join(map(str, sorted(changes)[:_SHOWN])) + (" …" if len(changes) > _SHOWN else "")
            raise UsageError(
                f"{self.shown}: cells were corrected on lines that have no row (line {lines})",
                "choose the sheet or header line as it was, or upload the file again",
            )

    def _positions(self, line: int, header: Header) -> dict[int, str]:
        """Return position → value. Raises UsageError for a column that the roster doesn't have."""
        for name in self.cells[line]:
            if name not in header.names or not name:
                raise UsageError(
                    f"{self.shown}, line {line}: a cell of column {name!r} was corrected, which the roster "
                    "doesn't have",
                    "take this correction back; the names have to be those of the header",
                )
        return {
            header.names.index(name): value.strip() if self.strip else value
            for name, value in self.cells[line].items()
        }

    def _changed(self, line: int, fields: Fields, header: Header, cells: dict[int, str]) -> Fields:
        if isinstance(fields, Malformed) or not fits(fields, header):
            raise UsageError(
                f"{self.shown}, line {line}: its cells can't be told apart (malformed, too many or too few "
                "fields), so none of them can be corrected",
                "take the corrections of this line back; correct the file itself and upload it again",
            )
        return corrected(fields, cells)


def corrected(fields: Sequence[str], cells: dict[int, str]) -> Fields:
    """Return the fields with other cells at these positions, which are no longer doubted."""
    changed = [cells.get(at, cell) for at, cell in enumerate(fields)]
    doubts = fields.doubts if isinstance(fields, Doubted) else {}
    left = {at: why for at, why in doubts.items() if at not in cells}
    return Doubted(changed, left) if left else changed
