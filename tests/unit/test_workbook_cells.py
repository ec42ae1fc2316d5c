"""Cells of workbooks made by LibreOffice and openpyxl: the text that a person sees, and which to doubt."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import pytest

from tests.libreoffice import convert
from tests.workbooks import every_type
from worker.roster.workbook_cells import Doubted, epoch, number_cell, number_format, reference
from worker.roster.workbook_ods import OdsBook
from worker.roster.workbook_sheet import Book, Notes
from worker.roster.workbook_xls import XlsBook
from worker.roster.workbook_xlsx import XlsxBook

READERS: dict[str, Callable[[BinaryIO], Book]] = {"xlsx": XlsxBook, "ods": OdsBook, "xls": XlsBook}
HEADER = ["extension", "secret", "name", "since", "count"]
SEEN = {
    1: (["Phones"], {}),
    3: (HEADER, {}),
    4: (["0351", "Zq8-canary", " Ann ", "2026-03-12", "5"], {3: "date", 4: "number"}),
    5: (["351", "Zq8-canary2", 'Größe <&> "x"', "2026-03-12 14:30:00", "0.5"],
        {0: "number", 3: "date", 4: "number"}),
    6: (["0352", "pw-12345678", "line\nbreak", "TRUE", "1234567.891"], {3: "boolean", 4: "number"}),
    7: (["2", "pw-12345679", "x"], {0: "number"}),
    8: (["0352", "#DIV/0!", "tab\tx"], {1: "error"}),
    9: (["2026-03-12", "48151623", "y", "", "25.00%"], {0: "date", 1: "number", 4: "number"}),
    10: (["+1919", "012345678", "Łódź 😀", "", "12"], {4: "number"}),
    11: (["12345", "00000001", "z"], {0: "number"}),
    12: (["351", "351", "z"], {0: "number", 1: "number"}),
}  # fmt: skip
"""Cells and doubts of ``tests.workbooks.TYPES``, by the sheet's rows."""


@pytest.fixture(scope="module")
def workbooks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One workbook in each format, saved by LibreOffice."""
    folder = tmp_path_factory.mktemp("workbooks")
    made = every_type(folder / "types.xlsx")
    return {kind: convert([made], kind, folder / "saved")[0] for kind in READERS}


@pytest.mark.parametrize("kind", READERS)
def test_what_a_person_sees(workbooks: dict[str, Path], kind: str) -> None:
    """Texts are exact; a number, a date, a boolean or an error is doubted, unless its format restores it."""
    with workbooks[kind].open("rb") as file:
        book = READERS[kind](file)
        notes = Notes()
        rows = dict(book.rows(book.sheets[1], notes))
        book.close()
    assert [sheet.name for sheet in book.sheets] == ["Notes", "Users & more"]
    seen = {
        line: (trimmed(cells), cells.doubts if isinstance(cells, Doubted) else {})
        for line, cells in rows.items()
    }
    if kind == "ods":  # LibreOffice stores this one as a number that is shown as TRUE
        assert seen[6][1].pop(3) == "number"
        seen[6][1][3] = "boolean"
    assert seen == SEEN
    assert [warning.text for warning in notes.warnings(5)] == [
        "1 hidden row is read like the others (hidden, or filtered out)",
        "hidden columns are read like the others: D",
        "cells hidden under merged cells are read with their own values: C12",
    ]


def trimmed(cells: list[str]) -> list[str]:
    """The cells without empty ones at the end."""
    while cells and not cells[-1]:
        cells = cells[:-1]
    return list(cells)


def test_a_formula_that_was_never_calculated(tmp_path: Path) -> None:
    """A program that writes formulas stores no results; the cell is empty, and doubted."""
    with every_type(tmp_path / "types.xlsx").open("rb") as file:
        book = XlsxBook(file)
        rows = dict(book.rows(book.sheets[1], Notes()))
    assert isinstance(rows[8], Doubted)
    assert (rows[8][:2], rows[8].doubts) == (["", ""], {0: "formula", 1: "formula"})


@pytest.mark.parametrize(
    ("value", "code", "text", "doubt"),
    [
        (351, "0000", "0351", ""), (351, "00000;-00000", "00351", ""), (0, "0000", "0000", ""),
        (12345, "0000", "12345", "number"), (351, "0", "351", "number"), (351, "General", "351", "number"),
        (351, "", "351", "number"), (351, "@", "351", "number"), (-351, "0000", "-351", "number"),
        (351.5, "0000", "351.5", "number"), (19195551234, "0", "19195551234", "number"),
        (1, "0" * 16, "1", "number"), (0.5, "0%", "50%", "number"), (2, "0.00", "2.00", "number"),
        (1e300, "General", "1e+300", "number"), (46093, "d/m/yy", "2026-03-12", "date"),
        (46093, "[$-409]mmm\\ d", "2026-03-12", "date"), (46093, '"day "0', "46093", "number"),
        (46093, "[Red]0000", "46093", "number"), (1e9, "yyyy", "1000000000", "date"),
        (0.5, "[h]:mm", "12:00:00", "date"),
    ],
)  # fmt: skip
def test_numbers(value: float, code: str, text: str, doubt: str) -> None:
    """Only a format that fills up with zeros, to at least as many digits as there are, restores a number."""
    assert number_cell(value, number_format(code), epoch(since_1904=False)) == (text, doubt)


def test_dates_since_1904() -> None:
    """Workbooks of old Macs count from 1904."""
    assert number_cell(44631, number_format("yyyy"), epoch(since_1904=True)) == ("2026-03-12", "date")


def test_references() -> None:
    """Cells are named as the spreadsheet names them."""
    assert [reference(at, 17) for at in (0, 1, 25, 26, 701, 702)] == [
        "A17",
        "B17",
        "Z17",
        "AA17",
        "ZZ17",
        "AAA17",
    ]
