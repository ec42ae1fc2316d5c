"""Old Excel workbooks (.xls), read by xlrd, which knows their number formats. At most 65,536 rows a sheet."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any, BinaryIO, Final

import xlrd

from worker.roster.text import Fields, Record
from worker.roster.workbook_cells import (
    BOOLEAN,
    ERROR,
    Doubted,
    epoch,
    number_cell,
    number_format,
)
from worker.roster.workbook_parts import Damaged, Protected
from worker.roster.workbook_sheet import MOST_CELLS, Notes, Sheet

_LARGEST: Final = 1 << 28
"""Bytes of the file, which xlrd reads as a whole."""
_ENCRYPTED: Final = "EncryptedPackage".encode("utf-16-le")
"""Name of the stream in which Office keeps an .xlsx workbook with a password."""


class XlsBook:
    """An old workbook; its sheets are read one at a time."""

    def __init__(self, file: BinaryIO) -> None:
        """Read the file. Raises Damaged."""
        content = file.read(_LARGEST + 1)
        if len(content) > _LARGEST:
            raise Damaged("it is larger than an .xls workbook can be")
        if _ENCRYPTED in content:
            raise Protected
        self._book: Any = _guarded(
            lambda: xlrd.open_workbook(
                file_contents=content, formatting_info=True, on_demand=True, ragged_rows=True,
                logfile=io.StringIO(),
            )
        )  # fmt: skip
        names = _guarded(self._book.sheet_names)
        hidden = getattr(self._book, "_sheet_visibility", [0] * len(names))
        self.sheets = [Sheet(name, hidden=bool(hidden[at]), key=at) for at, name in enumerate(names)]
        self._epoch = epoch(since_1904=bool(self._book.datemode))

    def close(self) -> None:
        """Release the content."""
        self._book.release_resources()

    def rows(self, sheet: Sheet, notes: Notes) -> Iterator[Record]:
        """Yield the sheet's rows that have a cell, by their numbers. Raises Damaged."""
        found = _guarded(lambda: self._book.sheet_by_index(sheet.key))
        notes.hidden_columns |= {
            at for at, one in found.colinfo_map.items() if one.hidden and at < MOST_CELLS
        }
        for at in range(found.nrows):
            cells = _guarded(lambda at=at: self._cells(found, at))
            if any(cells):
                info = found.rowinfo_map.get(at)
                notes.hidden_rows += bool(info and info.hidden)
                yield at + 1, cells
        for top, bottom, left, right in found.merged_cells:  # the ends are the next ones
            for at in range(top, min(bottom, found.nrows)):
                values = found.row_values(at)[:right]
                for column in range(left, len(values)):
                    if values[column] != "" and (at, column) != (top, left):
                        notes.cover(column, at + 1)

    def _cells(self, sheet: Any, row: int) -> Fields:
        cells: Fields = []
        doubts: dict[int, str] = {}
        for at, cell in enumerate(sheet.row(row)[:MOST_CELLS]):
            text, doubt = self._cell(cell)
            cells.append(text)
            if doubt:
                doubts[at] = doubt
        return Doubted(cells, doubts) if doubts else cells

    def _cell(self, cell: Any) -> tuple[str, str]:
        if cell.ctype == xlrd.XL_CELL_TEXT:
            return cell.value, ""
        if cell.ctype == xlrd.XL_CELL_BOOLEAN:
            return ("TRUE" if cell.value else "FALSE"), BOOLEAN
        if cell.ctype == xlrd.XL_CELL_ERROR:
            return xlrd.error_text_from_code.get(cell.value, "#N/A"), ERROR
        if cell.ctype in (xlrd.XL_CELL_NUMBER, xlrd.XL_CELL_DATE):
            style = self._book.xf_list[cell.xf_index]
            form = number_format(self._book.format_map[style.format_key].format_str or "")
            return number_cell(cell.value, form, self._epoch)
        return "", ""


def _guarded(read: Any) -> Any:
    """Return what xlrd reads. It raises almost anything for a damaged file: struct.error, AssertionError …"""
    try:
        return read()
    except xlrd.XLRDError as error:
        if "encrypted" in str(error):
            raise Protected from None
        raise Damaged("it is not an Excel workbook, or is incomplete") from None
    except (Damaged, KeyboardInterrupt):
        raise
    except Exception:
        raise Damaged("it is damaged") from None
