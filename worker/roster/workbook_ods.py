"""OpenDocument spreadsheets (.ods): OpenDocument 1.3, part 3. Cells store the text that a person sees."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any, BinaryIO, Final

from worker.roster.text import LONGEST, Fields, Record
from worker.roster.workbook_cells import BOOLEAN, DATE, ERROR, FORMULA, NUMBER, Doubted
from worker.roster.workbook_parts import Damaged, Parts, Protected, let_go
from worker.roster.workbook_plain import TEXT, Plain, resolved
from worker.roster.workbook_sheet import MOST_CELLS, MOST_ROWS, Notes, Sheet

_URN: Final = "urn:oasis:names:tc:opendocument:xmlns"
_OFFICE, _TABLE, _TEXT, _STYLE, _NUMBER = (
    f"{{{_URN}:{name}:1.0}}" for name in ("office", "table", "text", "style", "datastyle")
)
_CALC: Final = "{urn:org:documentfoundation:names:experimental:calc:xmlns:calcext:1.0}"
_CONTENT: Final = "content.xml"
_DOUBTS: Final = {
    "float": NUMBER, "percentage": NUMBER, "currency": NUMBER, "date": DATE, "time": DATE, "boolean": BOOLEAN,
    FORMULA: FORMULA,
}  # fmt: skip
_CELLS: Final = (f"{_TABLE}table-cell", f"{_TABLE}covered-table-cell")
_PARAGRAPH: Final = f"{_TEXT}p"
_PREFIXES: Final = {"table": _TABLE, "office": _OFFICE, "text": _TEXT, "calcext": _CALC}
_PLAIN: Final = "table:table-row"
_START, _END = f"<{_PLAIN}", f"</{_PLAIN}>"
_MOST_ALIKE: Final = 4
"""Beginnings and ends of rows that are known: nearly all rows have the same."""
_plain_start = lru_cache(_MOST_ALIKE)(
    re.compile(r'<table:table-row(?: table:style-name="[^"<&]*")?>').fullmatch
)
_texts = re.compile(
    r'<table:table-cell(?: table:style-name="[^"<>&]*")? office:value-type="string"'
    rf'(?: calcext:value-type="string")?><text:p>{TEXT}</text:p></table:table-cell>'
).split
_empty = lru_cache(_MOST_ALIKE)(
    re.compile(
        r'(?:<table:table-cell(?: table:style-name="[^"<>&]*")?'
        r'(?: table:number-columns-repeated="[0-9]{1,9}")?/>)*'
    ).fullmatch
)
_plain_cells = re.compile(
    r'<table:table-cell(?: table:style-name="([^"<>&]*)")?(?: table:number-columns-repeated="([0-9]+)")?'
    r'(?:/>| office:value-type="(\w+)"(?: office:value="([^"<>&]*)")?(?: calcext:value-type="(\w+)")?>'
    rf"(?:<text:p>{TEXT}</text:p>)?</table:table-cell>)"
).split
_GROUPS: Final = 7
"""Parts of a split row for each cell: those of ``_Cell``, and what follows."""
_Cell = tuple[str | None, ...]
"""A cell: its style, repetitions, type, value, calc's type, and text."""
_PlainRow = Fields | tuple[_Cell, ...]
"""A row of texts from the first column on, or the cells of any other."""
_REPEATED: Final = {what: f"{_TABLE}number-{what}-repeated" for what in ("rows", "columns")}


class OdsBook:
    """A spreadsheet whose rows are read as a stream."""

    def __init__(self, file: BinaryIO) -> None:
        """Find the sheets and the number formats. Raises Damaged."""
        self._parts = Parts(file)
        manifest = self._parts.small("META-INF/manifest.xml")
        if manifest is not None and next(manifest.iter("{*}encryption-data"), None) is not None:
            raise Protected
        self._zeros: dict[str, int] = {}
        self._widths: dict[str, int] = {}
        self._hidden: set[str] = set()
        if "styles.xml" in self._parts.names:
            self._read_styles("styles.xml")
        self.sheets = [
            Sheet(name, hidden=style in self._hidden, key=at)
            for at, (name, style) in enumerate(self._read_styles(_CONTENT))
        ]

    def close(self) -> None:
        """Release the directory."""
        self._parts.close()

    def rows(self, sheet: Sheet, notes: Notes) -> Iterator[Record]:
        """Yield the sheet's rows that have a cell, by their numbers. Raises Damaged."""
        tags = (f"{_TABLE}table", f"{_TABLE}table-row", f"{_TABLE}table-column")
        at, number = -1, 0
        styles: list[str] = []
        plain = Plain[_PlainRow](_PLAIN, _plain_row)
        for event, element in self._parts.elements(_CONTENT, tags, plain=plain):
            if element.tag == tags[0]:
                if _is_sheet(element):
                    at += event == "start"
                    if event == "end" and at == sheet.key:
                        return
            elif event == "end" and at == sheet.key and element.tag == tags[2]:
                _add_column(element, styles, notes)
            elif event == "end" and element.tag == tags[1]:
                run = plain.taken(element)
                if at == sheet.key and run is None:
                    _note_covered(element, number + 1, notes)
                for repeated, cells in self._rows(element, run, styles, notes) if at == sheet.key else ():
                    if cells:
                        for line in range(number + 1, number + repeated + 1):
                            yield line, cells
                    number += repeated
                    if number > MOST_ROWS:
                        if cells:
                            raise Damaged(f"it has more than {MOST_ROWS:,} rows")
                        return
                let_go(element)

    def _rows(
        self, element: Any, run: list[_PlainRow] | None, styles: list[str], notes: Notes
    ) -> Iterator[tuple[int, Fields]]:
        """Yield the fields of each row that an element stands for, and how often the row is repeated."""
        if run is not None:
            _refuse_other_prefixes(element)
            for row in run:
                yield 1, row if isinstance(row, list) else self._fields(row, styles)
            return
        repeated = _repeats(element.get(_REPEATED["rows"]), MOST_ROWS)
        fields = self._fields((_cell(one) for one in element if one.tag in _CELLS), styles)
        if fields and element.get(f"{_TABLE}visibility") in ("collapse", "filter"):
            notes.hidden_rows += repeated
        yield repeated, fields

    def _fields(self, cells: Iterable[_Cell], styles: list[str]) -> Fields:
        fields: Fields = []
        doubts: dict[int, str] = {}
        end = 0
        for style, repeated, *rest in cells:
            at = end
            if at >= MOST_CELLS:
                break
            end = at + min(_repeats(repeated, MOST_CELLS), MOST_CELLS - at)
            text, doubt = self._value(style or (styles[at] if at < len(styles) else ""), *rest)
            if text or doubt:  # empty cells go on to the sheet's last column
                fields.extend([""] * (at - len(fields)))
                fields.extend([text] * (end - at))
            if doubt:
                doubts.update((one, doubt) for one in range(at, end))
        return Doubted(fields, doubts) if doubts else fields

    def _value(
        self, style: str, kind: str | None, value: str | None, calc: str | None, seen: str | None
    ) -> tuple[str, str]:
        """Return the text that a person sees, and the doubt about it."""
        seen = seen or ""
        if calc == "error":
            return seen, ERROR
        doubt = _DOUBTS.get(kind or "", "")
        if doubt == NUMBER:
            value = value or ""
            zeros = self._zeros.get(style, 0)
            if zeros and value.isdecimal() and len(value) <= zeros and seen == value.zfill(zeros):
                doubt = ""
            seen = seen or value
        return seen, doubt

    def _read_styles(self, part: str) -> list[tuple[str, str]]:
        """Read the number formats of a part; return the names and the styles of its sheets."""
        number, style, table = f"{_NUMBER}number-style", f"{_STYLE}style", f"{_TABLE}table"
        sheets = []
        tags = (number, style, table, f"{_TABLE}table-row")
        plain = Plain(_PLAIN, _is_row, _are_rows)
        for event, element in self._parts.elements(part, tags, plain=plain):
            if event == "start":
                if element.tag == table and _is_sheet(element):
                    sheets.append(
                        (element.get(f"{_TABLE}name") or "", element.get(f"{_TABLE}style-name") or "")
                    )
            elif element.tag == number:
                self._widths[element.get(f"{_STYLE}name")] = _zeros(element)
            elif element.tag == style:
                self._read_style(element)
            else:
                plain.taken(element)
                let_go(element)
        return sheets

    def _read_style(self, style: Any) -> None:
        name, parent = style.get(f"{_STYLE}name"), style.get(f"{_STYLE}parent-style-name")
        own = style.get(f"{_STYLE}data-style-name")
        self._zeros[name] = self._widths.get(own, 0) if own else self._zeros.get(parent, 0)
        properties = style.find(f"{_STYLE}table-properties")
        if properties is not None and properties.get(f"{_TABLE}display") == "false":
            self._hidden.add(name)


def _is_row(element: str) -> bool | None:
    """Return True for a row without its end tag that holds no other row, comment or the like; else None."""
    return True if _are_rows(element + _END) else None


def _are_rows(elements: str) -> list[bool] | None:
    """Return True for each of some rows, if all are as for ``_is_row`` and nothing is between them."""
    count = elements.count(_START)
    if not elements.startswith(_START) or elements.count(_END) != count:
        return None
    if elements.count(_END + _START) != count - 1:
        return None
    # A single character is found many times as fast as two.
    unusual = ("!" in elements and "<!" in elements) or ("?" in elements and "<?" in elements)
    return None if unusual else [True] * count


def _plain_row(row: str) -> _PlainRow | None:
    """Return what a row without its end tag is; None if it is not plain."""
    parts = _texts(row)
    texts = parts[1::2]
    if _plain_start(parts[0]) and _empty(parts[-1]) and not any(parts[2:-1:2]) and "" not in texts:
        return ([*map(resolved, texts)] if "&" in row else texts)[:MOST_CELLS]  # nearly every row
    parts = _plain_cells(row)
    if not _plain_start(parts[0]) or any(parts[_GROUPS::_GROUPS]):
        return None
    if "&" in row:
        parts = [part and resolved(part) for part in parts]
    return tuple(zip(*(parts[at::_GROUPS] for at in range(1, _GROUPS)), strict=True))


def _cell(cell: Any) -> _Cell:
    kind = cell.get(f"{_OFFICE}value-type")
    if not len(cell) and not kind and cell.get(f"{_TABLE}formula"):
        kind = FORMULA
    if len(cell) == 1 and not len(cell[0]) and cell[0].tag == _PARAGRAPH:
        seen = cell[0].text  # nearly every cell
    else:
        seen = "\n".join(_seen(one) for one in cell if one.tag == _PARAGRAPH)
    if kind == "string":
        seen = cell.get(f"{_OFFICE}string-value") or seen
    return (
        cell.get(f"{_TABLE}style-name"), cell.get(_REPEATED["columns"]),
        kind, cell.get(f"{_OFFICE}value"), cell.get(f"{_CALC}value-type"), seen,
    )  # fmt: skip


def _refuse_other_prefixes(row: Any) -> None:
    """Raise Damaged if plain rows, whose namespaces are known by their prefixes, have others."""
    used = row.nsmap
    if any(f"{{{used[prefix]}}}" != name for prefix, name in _PREFIXES.items() if prefix in used):
        raise Damaged("its prefixes of names are not those of a spreadsheet")


def _is_sheet(table: Any) -> bool:
    """Return whether a table is a sheet, and none inside another, or inside a link."""
    return table.getparent() is not None and table.getparent().tag == f"{_OFFICE}spreadsheet"


def _zeros(style: Any) -> int:
    """Return the digits that a number style fills up to with zeros; 0 if it has anything else."""
    parts = [one for one in style if one.tag not in (f"{_STYLE}text-properties", f"{_STYLE}map")]
    if len(parts) != 1 or parts[0].tag != f"{_NUMBER}number":
        return 0
    found = parts[0]
    least = found.get(f"{_NUMBER}min-integer-digits") or "0"
    plain = found.get(f"{_NUMBER}decimal-places", "0") == "0" and found.get(f"{_NUMBER}grouping") != "true"
    return int(least) if plain and least.isdecimal() and 2 <= int(least) <= 15 else 0


def _note_covered(row: Any, number: int, notes: Notes) -> None:
    """Note the cells with a value that a merged cell hides."""
    column = 0
    for cell in row:
        if cell.tag in _CELLS:
            if cell.tag == _CELLS[1] and len(cell):
                notes.cover(column, number)
            column += _repeats(cell.get(_REPEATED["columns"]), MOST_CELLS)


def _add_column(element: Any, styles: list[str], notes: Notes) -> None:
    repeated = _repeats(element.get(_REPEATED["columns"]), MOST_CELLS)
    repeated = min(repeated, MOST_CELLS - len(styles))
    if element.get(f"{_TABLE}visibility") in ("collapse", "filter"):
        notes.hidden_columns.update(range(len(styles), len(styles) + repeated))
    styles.extend([element.get(f"{_TABLE}default-cell-style-name") or ""] * repeated)


def _repeats(text: str | None, most: int) -> int:
    if text is None:
        return 1
    if not (text.isdecimal() and len(text) < 10):
        raise Damaged("a number of repetitions is not a number")
    return max(1, min(int(text), most + 1))


def _seen(paragraph: Any) -> str:
    """Return a paragraph's text: blanks beyond the first, tabs and line breaks are elements."""
    parts = [paragraph.text or ""]
    for one in paragraph:
        if one.tag == f"{_TEXT}s":
            parts.append(" " * min(int(_digits(one.get(f"{_TEXT}c"))), LONGEST))
        elif one.tag == f"{_TEXT}tab":
            parts.append("\t")
        elif one.tag == f"{_TEXT}line-break":
            parts.append("\n")
        elif isinstance(one.tag, str) and one.tag.startswith(_TEXT) and not one.tag.endswith("ruby"):
            parts.append(_seen(one))
        parts.append(one.tail or "")
    return "".join(parts)


def _digits(text: str | None) -> str:
    return text if text and text.isdecimal() and len(text) < 7 else "1"
