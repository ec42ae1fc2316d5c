"""OpenDocument spreadsheets (.ods): OpenDocument 1.3, part 3. Cells store the text that a person sees."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO, Final

from worker.roster.text import LONGEST, Fields, Record
from worker.roster.workbook_cells import BOOLEAN, DATE, ERROR, FORMULA, NUMBER, Doubted
from worker.roster.workbook_parts import Damaged, Parts, Protected, let_go
from worker.roster.workbook_sheet import MOST_CELLS, MOST_ROWS, Notes, Sheet

_URN: Final = "urn:oasis:names:tc:opendocument:xmlns"
_OFFICE, _TABLE, _TEXT, _STYLE, _NUMBER = (
    f"{{{_URN}:{name}:1.0}}" for name in ("office", "table", "text", "style", "datastyle")
)
_CALC: Final = "{urn:org:documentfoundation:names:experimental:calc:xmlns:calcext:1.0}value-type"
_CONTENT: Final = "content.xml"
_DOUBTS: Final = {
    "float": NUMBER, "percentage": NUMBER, "currency": NUMBER, "date": DATE, "time": DATE, "boolean": BOOLEAN,
}  # fmt: skip
_CELLS: Final = (f"{_TABLE}table-cell", f"{_TABLE}covered-table-cell")
_PARAGRAPH: Final = f"{_TEXT}p"
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
        for event, element in self._parts.elements(_CONTENT, tags):
            if element.tag == tags[0]:
                if _is_sheet(element):
                    at += event == "start"
                    if event == "end" and at == sheet.key:
                        return
            elif event == "end" and at == sheet.key and element.tag == tags[2]:
                _add_column(element, styles, notes)
            elif event == "end" and element.tag == tags[1]:
                if at == sheet.key:
                    repeated = _repeats(element, "rows", MOST_ROWS)
                    cells = self._cells(element, styles)
                    if cells:
                        if element.get(f"{_TABLE}visibility") in ("collapse", "filter"):
                            notes.hidden_rows += repeated
                        yield from ((number + one, cells) for one in range(1, repeated + 1))
                    number += repeated
                    if number > MOST_ROWS:
                        if cells:
                            raise Damaged(f"it has more than {MOST_ROWS:,} rows")
                        return
                let_go(element)

    def _cells(self, row: Any, styles: list[str]) -> Fields:
        cells: Fields = []
        doubts: dict[int, str] = {}
        end = 0
        for cell in row:
            if cell.tag not in _CELLS:
                continue
            at = end
            if at >= MOST_CELLS:
                break
            end = at + min(_repeats(cell, "columns", MOST_CELLS), MOST_CELLS - at)
            text, doubt = self._cell(cell, styles[at] if at < len(styles) else "")
            if text or doubt:  # empty cells go on to the sheet's last column
                cells.extend([""] * (at - len(cells)))
                cells.extend([text] * (end - at))
            if doubt:
                doubts.update((one, doubt) for one in range(at, end))
        return Doubted(cells, doubts) if doubts else cells

    def _cell(self, cell: Any, column_style: str) -> tuple[str, str]:
        """Return the text that a person sees, and the doubt about it."""
        kind = cell.get(f"{_OFFICE}value-type") or ""
        if not len(cell) and not kind:
            return "", (FORMULA if cell.get(f"{_TABLE}formula") else "")
        if len(cell) == 1 and not len(cell[0]) and cell[0].tag == _PARAGRAPH:
            seen = cell[0].text or ""  # nearly every cell
        else:
            seen = "\n".join(_seen(one) for one in cell if one.tag == _PARAGRAPH)
        if cell.get(_CALC) == "error":
            return seen, ERROR
        if kind == "string":
            return cell.get(f"{_OFFICE}string-value") or seen, ""
        doubt = _DOUBTS.get(kind, "")
        if doubt == NUMBER:
            value = cell.get(f"{_OFFICE}value") or ""
            zeros = self._zeros.get(cell.get(f"{_TABLE}style-name") or column_style, 0)
            if zeros and value.isdecimal() and len(value) <= zeros and seen == value.zfill(zeros):
                doubt = ""
            seen = seen or value
        return seen, doubt

    def _read_styles(self, part: str) -> list[tuple[str, str]]:
        """Read the number formats of a part; return the names and the styles of its sheets."""
        number, style, table = f"{_NUMBER}number-style", f"{_STYLE}style", f"{_TABLE}table"
        sheets = []
        for event, element in self._parts.elements(part, (number, style, table, f"{_TABLE}table-row")):
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
                let_go(element)
        return sheets

    def _read_style(self, style: Any) -> None:
        name, parent = style.get(f"{_STYLE}name"), style.get(f"{_STYLE}parent-style-name")
        own = style.get(f"{_STYLE}data-style-name")
        self._zeros[name] = self._widths.get(own, 0) if own else self._zeros.get(parent, 0)
        properties = style.find(f"{_STYLE}table-properties")
        if properties is not None and properties.get(f"{_TABLE}display") == "false":
            self._hidden.add(name)


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


def _add_column(element: Any, styles: list[str], notes: Notes) -> None:
    repeated = _repeats(element, "columns", MOST_CELLS)
    repeated = min(repeated, MOST_CELLS - len(styles))
    if element.get(f"{_TABLE}visibility") in ("collapse", "filter"):
        notes.hidden_columns.update(range(len(styles), len(styles) + repeated))
    styles.extend([element.get(f"{_TABLE}default-cell-style-name") or ""] * repeated)


def _repeats(element: Any, what: str, most: int) -> int:
    text = element.get(_REPEATED[what])
    if text is None:
        return 1
    if not (text.isdecimal() and len(text) < 10):
        raise Damaged("a number of repetitions is no number")
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
