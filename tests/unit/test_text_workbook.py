"""The workbook of results: text and nothing else, whatever the text is."""

from __future__ import annotations

import io
from itertools import chain

import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openpyxl.utils.escape import unescape

from worker.text_workbook import CUT, LONGEST_CELL, TextWorkbook

HEADER = ["bw__job", "name"]
ODD = [
    "", " a ", "0351", "+19195551234", "=1+1", "<r>x</r>", "</t></is>", "a&b", "_x0041_", "_x005F_",
    "line\nfeed", "\t", "\r", "\0", "\x1f", "\ud800", "\ufffe", "\U0001f600", "1E5",
    "2026-03-12", "TRUE", "#REF!",
]  # fmt: skip


def sheets(rows: list[list[str]], most_rows: int = 1000) -> list[list[list[str]]]:
    """Write rows, and return the cells of each sheet as openpyxl reads them; every one is text, or empty."""
    file = io.BytesIO()
    with TextWorkbook(file, "results", HEADER, most_rows) as book:
        book.add(rows)
    read = openpyxl.load_workbook(file)
    assert read.sheetnames[0] == "results"
    cells = [cell for sheet in read for row in sheet.rows for cell in row]
    assert {(cell.data_type, cell.number_format) for cell in cells if cell.value is not None} == {("s", "@")}
    return [[[str(cell.value or "") for cell in row] for row in sheet.rows] for sheet in read]


@given(st.lists(st.lists(st.text() | st.sampled_from(ODD), min_size=2, max_size=2), max_size=5))
def test_every_text_is_kept(rows: list[list[str]]) -> None:
    """Any text is read back, with ``_xHHHH_`` for what XML can't hold, as spreadsheets write it."""
    (sheet,) = sheets(rows)
    assert [[unescape(cell) for cell in row] for row in sheet] == [HEADER, *rows]


def test_a_cell_too_long_is_said() -> None:
    """A spreadsheet would call the file damaged, or cut the text in silence."""
    fits, long, wide = "x" * LONGEST_CELL, "x" * (LONGEST_CELL + 1), "\U0001f600" * (LONGEST_CELL // 2 + 1)
    assert sheets([[fits, long], [wide, "&"]]) == [[HEADER, [fits, CUT], [CUT, "&"]]]


def test_more_rows_than_a_sheet_holds() -> None:
    """The next sheet goes on, under the same header."""
    rows = [[str(number), "x"] for number in range(7)]
    found = sheets(rows, most_rows=4)
    assert [len(sheet) for sheet in found] == [4, 4, 2]
    assert all(sheet[0] == HEADER for sheet in found)
    assert list(chain.from_iterable(sheet[1:] for sheet in found)) == rows


def test_an_interrupted_workbook_is_none() -> None:
    """After an error there is no workbook that looks complete."""
    file = io.BytesIO()
    with pytest.raises(ValueError, match="no more"), TextWorkbook(file, "results", HEADER):
        raise ValueError("no more")
    with pytest.raises(KeyError):
        openpyxl.load_workbook(file)
