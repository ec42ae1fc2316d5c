"""Workbooks with cells of every type, made by openpyxl."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import openpyxl
from openpyxl.cell.cell import Cell

TEXT = "@"


def put(cell: Cell, value: object, code: str = "") -> None:
    """Write a cell; with the format ``@``, its value stays text."""
    cell.value = value  # type: ignore[assignment]
    if code:
        cell.number_format = code
    if isinstance(value, str) and code == TEXT:
        cell.data_type = "s"


TYPES: list[list[tuple[object, str]]] = [
    [("0351", TEXT), ("Zq8-canary", TEXT), (" Ann ", ""), (dt.date(2026, 3, 12), "yyyy-mm-dd"), (5, "")],
    [
        (351, ""),
        ("Zq8-canary2", ""),
        ('Größe <&> "x"', ""),
        (dt.datetime(2026, 3, 12, 14, 30), ""),
        (0.5, ""),
    ],
    [(352, "0000"), ("pw-12345678", ""), ("line\nbreak", ""), (True, ""), (1234567.891, "")],
    [("=1+1", ""), ("pw-12345679", ""), ("x", ""), ("", ""), ("", "")],
    [('="03"&"52"', ""), ("=1/0", ""), ("tab\tx", ""), ("", ""), ("", "")],
    [(dt.date(2026, 3, 12), ""), (48151623, ""), ("y", ""), ("", ""), (0.25, "0.00%")],
    [("+1919", TEXT), ("012345678", TEXT), ("Łódź 😀", ""), ("", ""), (12, "")],
    [(12345, "0000"), (1, "00000000"), ("z", ""), ("", ""), ("", "")],
    [(351, "0"), (351, TEXT), ("z", ""), ("", ""), ("", "")],
]
"""Rows under a header in row 3: text, numbers, formats, formulas, errors and dates."""


def every_type(path: Path) -> Path:
    """Write a workbook whose second sheet has ``TYPES``, hidden cells; return the path."""
    book = openpyxl.Workbook()
    notes = book.active
    assert notes is not None
    notes.title = "Notes"
    notes["A1"] = "Phones of 2026"
    sheet = book.create_sheet("Users & more")
    sheet["A1"] = "Phones"
    for column, name in enumerate(("extension", "secret", "name", "since", "count"), 1):
        sheet.cell(3, column, name)
    for row, cells in enumerate(TYPES, 4):
        for column, (value, code) in enumerate(cells, 1):
            if value != "":
                put(sheet.cell(row, column), value, code)
    sheet.row_dimensions[5].hidden = True
    sheet.column_dimensions["D"].hidden = True
    sheet.merged_cells.add("C11:C12")  # as LibreOffice can: the hidden cell keeps its value
    book.save(path)
    return path


SAMPLE: list[list[tuple[object, str]]] = [
    [("0351", TEXT), ("Tb7xQ2mK9rL4vN8s", TEXT), ("Ann Lee", "")],
    [(352, "0000"), ("Hq8wE3nJ5tP6yB2d", TEXT), ("Bo, by a number format", "")],
    [(353, ""), ("Wd5rC8zX2kM7qT4h", TEXT), ("Cy, a number", "")],
    [("0354", TEXT), (48151623, ""), ("Di, whose password is a number", "")],
    [("0355", TEXT), (dt.date(2026, 3, 12), "yyyy-mm-dd"), ("Ed, whose password became a date", "")],
    [("0356", TEXT), ("#N/A", ""), ("Flo, from a lookup that failed", "")],
    [("+19195550143", TEXT), ("0481-Grüße-Łódź", TEXT), ("Gus", "")],
    [("0358", TEXT), ("  two blanks around  ", TEXT), ("Hal", "")],
]
"""Rows under the header, in row 3, of samples/workbook.xlsx."""


def sample(path: Path) -> Path:
    """Write samples/workbook.xlsx: ``python -c 'from tests.workbooks import *; sample(Path(…))'``."""
    book = openpyxl.Workbook()
    notes, sheet, old = book.worksheets[0], book.create_sheet("Extensions"), book.create_sheet("2025")
    notes.title = "Notes"
    notes["A1"] = "Type extensions as text, so that they keep their zeros."
    sheet["A1"] = "Extensions of the head office"
    header: list[tuple[object, str]] = [("extension", ""), ("secret", ""), ("name", "")]
    for row, cells in enumerate([header, *SAMPLE], 3):
        for column, (value, code) in enumerate(cells, 1):
            put(sheet.cell(row, column), value, code)
    for at, texts in enumerate([("extension", "secret"), ("0301", "left the company")], 1):
        for column, value in enumerate(texts, 1):
            put(old.cell(at, column), value, TEXT)
    book.save(path)
    return path
