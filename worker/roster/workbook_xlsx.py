"""Office Open XML workbooks (.xlsx, .xlsm): ECMA-376, SpreadsheetML, both of its namespaces."""

from __future__ import annotations

import re
import string
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import islice
from posixpath import join, normpath
from typing import Any, BinaryIO, Final

from worker.roster.text import Fields, Record
from worker.roster.workbook_cells import (
    BOOLEAN,
    BUILT_IN,
    DATE,
    ERROR,
    FORMULA,
    NUMBER,
    Doubted,
    NumberFormat,
    epoch,
    number_cell,
    number_format,
)
from worker.roster.workbook_parts import Damaged, Parts, let_go, local
from worker.roster.workbook_plain import TEXT, Plain, resolved
from worker.roster.workbook_sheet import MOST_CELLS, Notes, Sheet

_NAMESPACES: Final = (
    "http://schemas.openxmlformats.org/spreadsheetml/2006/main",
    "http://purl.oclc.org/ooxml/spreadsheetml/main",
)
_escaped = re.compile("_x([0-9A-Fa-f]{4})_").sub
_LONGEST_TABLE: Final = 1 << 30
"""Bytes of all shared strings."""
_LONGEST_STRING: Final = 1 << 18
"""Characters of one, ``_xHHHH_`` not decoded; a cell of Excel has 32,767."""
_BATCH: Final = 64
"""Shared strings that are packed together."""
_UNPACKED: Final = 1 << 21
"""Bytes of shared strings, and of their objects, that are unpacked at a time."""
_OBJECTS: Final = _BATCH * 64
"""Bytes of a batch of texts without their characters."""
_RUN: Final = rf'<t(?: xml:space="preserve")?>{TEXT}</t>'
_row_start = re.compile(r'<row(?: r="(\d{1,9})")?([^<>&]*)>', re.ASCII).fullmatch
_plain_attributes = lru_cache(4)(  # nearly all rows have the same
    re.compile(r'(?: hidden="(?:0|false)"| (?!r=|hidden=|xmlns)[\w:]+="[^"<&]*")*', re.ASCII).fullmatch
)
_plain_cells = re.compile(
    r'<c(?: r="([A-Z]{1,3})\d+")?(?: s="(\d+)")?'
    rf'(?:/>|(?: t="inlineStr"><is>{_RUN}</is>|(?: t="(s|str|b|e|d|n)")?>(?:<v>{TEXT}</v>)?)</c>)',
    re.ASCII,
).split
_GROUPS: Final = 6
"""Parts of a split row for each cell: column, style, inline text, type, value, and what follows."""
_cells_of_texts = re.compile(
    rf'<c r="([A-Z]{{1,3}})\d+"(?: s="\d+")? t="inlineStr"><is>{_RUN}</is></c>', re.ASCII
).split
_cells_of_indices = re.compile(r'<c r="([A-Z]{1,3})\d+"(?: s="\d+")? t="s"><v>(\d+)</v></c>', re.ASCII).split
"""For rows of one kind of cell, in a third of the time: column, inline text or index, and what follows."""
_plain_strings = re.compile(f"<si>{_RUN}</si>").split
_LETTERS: Final = list(string.ascii_uppercase)
_BEHIND_MERGED: Final = ("conditionalFormatting", "dataValidations", "hyperlinks", "pageMargins", "extLst")
_TAGS: Final = ("row", "col", "sheetData", "mergeCell", *_BEHIND_MERGED)
_MOST_MERGED: Final = 200_000
"""Cells under merged ones that are looked at."""
_area = re.compile("([A-Z]{1,3})([0-9]{1,7}):([A-Z]{1,3})([0-9]{1,7})").fullmatch


class XlsxBook:
    """A workbook whose rows are read as a stream; its shared strings are in memory, packed."""

    def __init__(self, file: BinaryIO) -> None:
        """Read everything but the rows. Raises Damaged."""
        self._parts = Parts(file)
        main = self._main()
        book = self._parts.small(main)
        if book is None:
            raise Damaged(f"it has no part {main}")
        paths = self._related(main)
        self.sheets = [
            Sheet(found.get("name", ""), hidden=found.get("state", "visible") != "visible", key=path)
            for found in book.iter("{*}sheet")
            if (path := _of_sheet(found, paths))
        ]
        properties = next(book.iter("{*}workbookPr"), None)
        dates = properties.get("date1904", "0") if properties is not None else "0"
        self._epoch = epoch(since_1904=dates in ("1", "true"))
        folder = main.rpartition("/")[0]
        self._formats = self._number_formats(join(folder, "styles.xml"))
        self._shared = _Shared(self._parts, join(folder, "sharedStrings.xml"))

    def close(self) -> None:
        """Release the directory."""
        self._parts.close()

    def rows(self, sheet: Sheet, notes: Notes) -> Iterator[Record]:
        """Yield the sheet's rows that have a cell, by their numbers. Raises Damaged."""
        merged: list[str] = []
        yield from self._rows(sheet, notes, merged)
        if hidden := _under(merged):  # the sheet names its merged cells behind its rows
            for row, cells in self._rows(sheet, Notes(), []):
                for column in hidden.get(row, ()):
                    if column < len(cells) and cells[column]:
                        notes.cover(column, row)

    def _rows(self, sheet: Sheet, notes: Notes, merged: list[str]) -> Iterator[Record]:
        """Yield the rows; then ``merged`` has the areas of merged cells, such as ``B2:B3``."""
        tags = tuple(f"{{{space}}}{name}" for space in _NAMESPACES for name in _TAGS)
        plain = Plain("row", self._plain_row)
        last, over = 0, False
        for event, element in self._parts.elements(sheet.key, tags, plain=plain):
            name = local(element)
            if over and name in _BEHIND_MERGED:
                return
            if event == "start":
                continue
            if over or name == "sheetData":
                over = True
                merged += [element.get("ref", "")] * (name == "mergeCell")
                continue
            if name in ("mergeCell", *_BEHIND_MERGED):
                continue
            if name == "col":
                if element.get("hidden") in ("1", "true"):
                    notes.hide_columns(element.get("min"), element.get("max"))
                continue
            run = plain.taken(element)
            if run is None:
                run = [(_number(element.get("r")), self._fields(map(self._cell, element)))]
                if element.get("hidden") in ("1", "true"):
                    notes.hidden_rows += 1
            for number, fields in run:
                number = number or last + 1
                if number <= last:
                    raise Damaged(f"its rows are out of order at row {number}")
                last = number
                yield number, fields
            let_go(element)

    def _plain_row(self, row: str) -> Record | None:
        """Return the number, or 0, and the cells of a row without its end tag; None if it is not plain."""
        shared = row.endswith("</v></c>")
        parts = _cells_of_indices(row) if shared else _cells_of_texts(row)
        columns = parts[1::3]
        number = _row_number(parts[0])
        if number is None or columns != _LETTERS[: len(columns)] or any(parts[3::3]):
            return self._mixed_row(row)
        if shared:
            return number, self._shared.texts(parts[2::3])
        return self._mixed_row(row) if "_x" in row or "&" in row else (number, parts[2::3])

    def _mixed_row(self, row: str) -> Record | None:
        """Do as ``_plain_row``, for cells of any kind."""
        parts = _plain_cells(row)
        number = _row_number(parts[0])
        if number is None or any(parts[_GROUPS::_GROUPS]):
            return None
        if "&" in row:
            parts = [part and resolved(part) for part in parts]
        columns, styles, texts, kinds, values = (parts[at::_GROUPS] for at in range(1, _GROUPS))
        return number, self._fields(
            (column, *(self._value(kind, value or "", style) if text is None else (_unescaped(text), "")))
            for column, style, text, kind, value in zip(columns, styles, texts, kinds, values, strict=True)
        )

    def _fields(self, cells: Iterable[tuple[str | None, str, str]]) -> Fields:
        """Return the fields of a row, from the column, the text and the doubt of each cell."""
        fields: Fields = []
        doubts: dict[int, str] = {}
        for column, text, doubt in cells:
            at = _column(column) if column else len(fields)
            if at < len(fields):
                raise Damaged("the cells of a row are out of order")
            if at >= MOST_CELLS:
                break
            if at > len(fields):
                fields.extend([""] * (at - len(fields)))
            fields.append(text)
            if doubt:
                doubts[at] = doubt
        return Doubted(fields, doubts) if doubts else fields

    def _cell(self, cell: Any) -> tuple[str, str, str]:
        """Return a cell's column, or nothing, its text, and the doubt about it."""
        column, kind = cell.get("r", "").rstrip("0123456789"), cell.get("t")
        if kind == "inlineStr":
            return column, _unescaped(_rich_text(cell)), ""
        value = _first_text(cell)
        if not value and kind not in ("s", "str") and any(local(one) == "f" for one in cell):
            return column, "", FORMULA
        return column, *self._value(kind, value, cell.get("s"))

    def _value(self, kind: str | None, value: str, style: str | None) -> tuple[str, str]:
        """Return the text and the doubt of a stored value."""
        if kind == "s":
            return self._shared.texts([value])[0], ""
        if kind == "str":
            return _unescaped(value), ""
        if kind == "e":
            return value, ERROR
        if not value:
            return "", ""
        if kind == "b":
            return ("FALSE" if value.strip() == "0" else "TRUE"), BOOLEAN
        if kind == "d":
            return value, DATE
        try:
            return number_cell(float(value), self._formats.get(style or "0", _GENERAL), self._epoch)
        except (ValueError, OverflowError):
            return value, NUMBER

    def _number_formats(self, name: str) -> Mapping[str, NumberFormat]:
        """Return the number format of each cell style, by its number in the ``s`` attribute."""
        styles = self._parts.small(name)
        if styles is None:
            return {}
        codes = dict(BUILT_IN)
        for found in styles.iter("{*}numFmt"):
            if found.get("numFmtId", "").isdecimal():
                codes[int(found.get("numFmtId"))] = found.get("formatCode", "")
        used = next(styles.iter("{*}cellXfs"), None)
        ids = [] if used is None else [one.get("numFmtId", "0") for one in used if local(one) == "xf"]
        return {
            str(at): number_format(codes.get(int(key), "") if key.isdecimal() else "")
            for at, key in enumerate(ids)
        }

    def _main(self) -> str:
        """Return the name of the part that lists the sheets."""
        return next(
            (path for key, path in self._targets("").items() if key == "officeDocument"), "xl/workbook.xml"
        )

    def _targets(self, part: str) -> dict[str, str]:
        """Return the parts that a part refers to, by the last word of their type."""
        return {kind: path for _, kind, path in self._relations(part)}

    def _related(self, part: str) -> dict[str, str]:
        """Return the sheets that a part refers to, by their ids."""
        return {key: path for key, kind, path in self._relations(part) if kind == "worksheet"}

    def _relations(self, part: str) -> Iterator[tuple[str, str, str]]:
        folder, _, name = part.rpartition("/")
        found = self._parts.small(join(folder, "_rels", f"{name}.rels"))
        for one in found if found is not None else ():
            if one.get("TargetMode") != "External" and one.get("Target"):
                target = one.get("Target")
                path = target.lstrip("/") if target.startswith("/") else normpath(join(folder, target))
                yield one.get("Id", ""), one.get("Type", "").rpartition("/")[2], path


_GENERAL: Final = NumberFormat()


class _Shared(dict[int, list[str]]):
    """The shared strings: all of them as UTF-8, in batches, and the batches of late as texts.

    A list of all texts would take four times the memory.
    """

    def __init__(self, parts: Parts, name: str) -> None:
        """Read the table, if the workbook has that part. Raises Damaged."""
        super().__init__()
        self._room = _UNPACKED
        self._batches = [*_batches(_shared_strings(parts, name))] if name in parts.names else []

    def texts(self, keys: Iterable[str]) -> Fields:
        """Return the texts that cells refer to. Raises Damaged."""
        try:
            return [self[at // _BATCH][at % _BATCH] for at in map(int, keys)]
        except (ValueError, IndexError):
            raise Damaged("a cell refers to a text that is missing") from None

    def __missing__(self, number: int) -> list[str]:
        if number < 0:
            raise IndexError
        packed = self._batches[number]
        self._room -= len(packed) + _OBJECTS
        if self._room < 0:
            self.clear()
            self._room = _UNPACKED
        texts = packed.decode().split("\0")
        self[number] = texts = [*map(_unescaped, texts)] if b"_x" in packed else texts
        return texts


def _batches(texts: Iterator[str]) -> Iterator[bytes]:
    """Yield the texts in batches, joined by a character that XML doesn't have. Raises Damaged."""
    total = 0
    while batch := [*islice(texts, _BATCH)]:
        packed = "\0".join(batch).encode()
        total += len(packed)
        if total > _LONGEST_TABLE:
            raise Damaged("it has too much text")
        yield packed


def _shared_strings(parts: Parts, name: str) -> Iterator[str]:
    """Yield the shared strings in a part, ``_xHHHH_`` not decoded. Raises Damaged."""
    tags = tuple(f"{{{space}}}si" for space in _NAMESPACES)
    plain = Plain("si", _plain_string, _all_strings)
    for event, element in parts.elements(name, tags, plain=plain):
        if event == "end":
            run = plain.taken(element) or [_rich_text(element)]
            if max(map(len, run)) > _LONGEST_STRING:
                raise Damaged("it has too much text")
            yield from run
            let_go(element)


def _first_text(cell: Any) -> str:
    """Return the text of the cell's value."""
    for one in cell:
        if local(one) == "v":
            return one.text or ""
    return ""


def _rich_text(element: Any) -> str:
    """Return a text, of several runs perhaps, without its phonetic reading; ``_xHHHH_`` is not decoded."""
    only = element
    while len(only) == 1 and local(only) != "rPh":
        only = only[0]
    if local(only) == "t" and not len(only):  # nearly every text: one run, in a cell or a shared string
        return only.text or ""
    texts = [
        one.text
        for one in element.iter("{*}t")
        if one.text and not any(local(above) == "rPh" for above in one.iterancestors())
    ]
    return "".join(texts)


def _row_number(start: str) -> int | None:
    """Return the number, or 0, in the start tag of a plain row; None for any other text."""
    found = _row_start(start)
    return int(found[1] or 0) if found and _plain_attributes(found[2]) else None


def _all_strings(elements: str) -> list[str] | None:
    """Return the texts of shared strings of one run each; None if there is anything else."""
    parts = _plain_strings(elements)
    if any(parts[::2]):
        return None
    return [*map(resolved, parts[1::2])] if "&" in elements else parts[1::2]


def _plain_string(element: str) -> str | None:
    """Return the text of a shared string of one run, without its end tag; None for any other element."""
    texts = _all_strings(f"{element}</si>")
    return texts[0] if texts else None


def _unescaped(text: str) -> str:
    """Return the text with ``_xHHHH_`` decoded (ST_Xstring)."""
    return _escaped(lambda found: chr(int(found[1], 16)), text) if "_x" in text else text


def _of_sheet(found: Any, paths: Mapping[str, str]) -> str:
    """Return the part of a sheet; empty for a chart or a dialog."""
    keys = [value for name, value in found.attrib.items() if name.rpartition("}")[2] == "id"]
    return next((paths[key] for key in keys if key in paths), "")


def _number(text: str | None) -> int:
    return int(text) if text and text.isdecimal() and len(text) < 10 else 0


def _under(merged: Iterable[str]) -> dict[int, list[int]]:
    """Return the cells that merged ones hide, all but the first of each area: row → columns."""
    hidden: dict[int, list[int]] = {}
    areas = [found for found in map(_area, merged) if found]
    cells = (
        (row, column)
        for area in areas
        for row in range(int(area[2]), int(area[4]) + 1)
        for column in range(_column(area[1]), min(_column(area[3]) + 1, MOST_CELLS))
        if (row, column) != (int(area[2]), _column(area[1]))
    )
    for row, column in islice(cells, _MOST_MERGED):
        hidden.setdefault(row, []).append(column)
    return hidden


_columns: dict[str, int] = {}


def _column(letters: str) -> int:
    """Return the position of a column such as ``B``, counted from 0."""
    at = _columns.get(letters)
    if at is None:
        if not re.fullmatch("[A-Z]{1,3}", letters):
            raise Damaged("a cell has no valid reference")
        at = 0
        for letter in letters:
            at = at * 26 + ord(letter) - ord("A") + 1
        at -= 1
        _columns[letters] = at
    return at
