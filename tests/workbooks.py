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
    """Write a workbook whose second sheet has ``TYPES``, a hidden row, a hidden column; return the path."""
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
    book.save(path)
    return path
