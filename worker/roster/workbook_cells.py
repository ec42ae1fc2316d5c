"""Cells of a workbook that are no text: what a person sees of them, and whether that can be trusted.

A number has lost its leading zeros unless its own format restores them; a date was something else before.
Format codes: ECMA-376, section 18.8.30 and 18.8.31.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from functools import cache
from typing import Final

from worker.roster.text import Fields

NUMBER: Final = "number"
DATE: Final = "date"
BOOLEAN: Final = "boolean"
ERROR: Final = "error"
FORMULA: Final = "formula"
"""Why a cell can't be a user name or a password. ``FORMULA``: its result is not stored."""

EXACT_DIGITS: Final = 15
"""Digits of a number that a spreadsheet keeps."""

BUILT_IN: Final = {
    0: "General", 1: "0", 2: "0.00", 3: "#,##0", 4: "#,##0.00", 9: "0%", 10: "0.00%", 11: "0.00E+00", 49: "@",
    **dict.fromkeys((*range(14, 18), *range(27, 32), 36, *range(50, 55), 57, 58), "yyyy-mm-dd"),
    **dict.fromkeys((*range(18, 22), *range(32, 36), 45, 46, 47, 55, 56), "h:mm:ss"), 22: "yyyy-mm-dd h:mm",
}  # fmt: skip
"""Format codes that a workbook refers to by number alone."""

_literal = re.compile(r'"[^"]*"|\\.|[_*].|\[(?!h|m|s)[^\]]*\]', re.IGNORECASE).sub
_zeros = re.compile("0{2,15}").fullmatch
_decimals = re.compile(r"[#0,]*0(?:\.(0+))?(%?)").fullmatch


@dataclass(frozen=True, slots=True)
class NumberFormat:
    """The parts of a cell's number format that matter here."""

    zeros: int = 0
    """Digits that it fills up to; 0: it doesn't keep leading zeros."""
    date: bool = False
    decimals: int | None = None
    """Digits after the decimal point; None: as many as there are."""
    percent: bool = False


@cache
def number_format(code: str) -> NumberFormat:
    """Return the number format of a code such as ``0000``, ``General`` or ``yyyy-mm-dd``."""
    first = code.split(";")[0]
    if _zeros(first):
        return NumberFormat(zeros=len(first))
    bare = _literal("", first)
    if bare.casefold() not in ("general", "@", "standard") and re.search("[ymdhs]", bare, re.IGNORECASE):
        return NumberFormat(date=True)
    found = _decimals(bare)
    return NumberFormat(decimals=len(found[1] or ""), percent=bool(found[2])) if found else NumberFormat()


def number_cell(value: float, form: NumberFormat, epoch: dt.datetime) -> tuple[str, str]:
    """Return the text that a person sees in a number's cell, and the doubt about it, if there is one."""
    if form.date:
        return _date(value, epoch), DATE
    if form.zeros and value >= 0 and value == int(value):
        text = str(int(value)).zfill(form.zeros)
        return text, "" if len(text) == form.zeros else NUMBER
    return _decimal(value, form), NUMBER


def epoch(*, since_1904: bool) -> dt.datetime:
    """Return the day that a workbook counts dates from, as day 0."""
    return dt.datetime(1904, 1, 1) if since_1904 else dt.datetime(1899, 12, 30)


def reference(column: int, row: int) -> str:
    """Return a cell's name, such as ``B17``; columns count from 0."""
    letters = ""
    column += 1
    while column:
        column, letter = divmod(column - 1, 26)
        letters = chr(ord("A") + letter) + letters
    return f"{letters}{row}"


class Doubted(Fields):
    """A record with cells that can't be trusted as user names or passwords.

    ``doubts``: the reason by the position of the cell.
    """

    def __init__(self, cells: Fields, doubts: dict[int, str]) -> None:
        super().__init__(cells)
        self.doubts = doubts


def _decimal(value: float, form: NumberFormat) -> str:
    if form.percent:
        return f"{value * 100:.{form.decimals or 0}f}%"
    if form.decimals:
        return f"{value:.{form.decimals}f}"
    if value == int(value) and abs(value) < 10**21:
        return str(int(value))
    return f"{value:.{EXACT_DIGITS}g}"


def _date(value: float, start: dt.datetime) -> str:
    try:
        moment = start + dt.timedelta(seconds=round(value * 86_400))
    except OverflowError:
        return _decimal(value, NumberFormat())
    if 0 <= value < 1:
        return f"{moment:%H:%M:%S}"
    return f"{moment:%Y-%m-%d}" if value == int(value) else f"{moment:%Y-%m-%d %H:%M:%S}"
