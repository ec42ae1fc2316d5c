"""An .xlsx workbook of text cells, written as a stream.

A spreadsheet takes a text cell for nothing but text: no number, no date, no formula. Every column is
formatted as text, so that what is typed into an empty cell stays text, too. Names of parts and elements:
ECMA-376, SpreadsheetML. Written here because XlsxWriter with ``constant_memory`` takes 15 times as long for
each row, keeps the sheet in a temporary file in clear, and loses ``<r>x</r>``, which it takes for markup.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import IO, Final, Self
from xml.sax.saxutils import escape
from zipfile import ZIP_DEFLATED, ZipFile

MOST_ROWS: Final = 1_048_576
"""Rows in a sheet; the next sheet goes on, under the same header."""
LONGEST_CELL: Final = 32_767
"""Most UTF-16 code units in a cell."""
CUT: Final = "<too long for a workbook; see results.csv>"
"""The text of a cell that is longer."""

_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_XML = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
_RELATIONSHIPS = "application/vnd.openxmlformats-package.relationships+xml"
_CONTENT = "application/vnd.openxmlformats-officedocument.spreadsheetml"
_STYLES = (
    f'{_XML}<styleSheet xmlns="{_MAIN}"><fonts count="2"><font><sz val="11"/><name val="Calibri"/></font>'
    '<font><b/><sz val="11"/><name val="Calibri"/></font></fonts>'
    '<fills count="2"><fill><patternFill patternType="none"/></fill>'
    '<fill><patternFill patternType="gray125"/></fill></fills>'
    '<borders count="1"><border><left/><right/><top/><bottom/><diagonal/></border></borders>'
    '<cellStyleXfs count="1"><xf numFmtId="0" fontId="0" fillId="0" borderId="0"/></cellStyleXfs>'
    '<cellXfs count="3"><xf numFmtId="0" fontId="0" fillId="0" borderId="0" xfId="0"/>'
    '<xf numFmtId="49" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1"/>'
    '<xf numFmtId="49" fontId="1" fillId="0" borderId="0" xfId="0" applyNumberFormat="1" applyFont="1"/>'
    "</cellXfs>"
    '<cellStyles count="1"><cellStyle name="Normal" xfId="0" builtinId="0"/></cellStyles></styleSheet>'
)
"""Cell styles: 0 general, 1 text (number format 49, ``@``), 2 text in bold."""
_SHEET = (
    f'{_XML}<worksheet xmlns="{_MAIN}"><sheetViews><sheetView workbookViewId="0"><pane ySplit="1" '
    'topLeftCell="A2" activePane="bottomLeft" state="frozen"/></sheetView></sheetViews>'
    '<cols><col min="1" max="16384" width="16" style="1" customWidth="1"/></cols><sheetData>'
)
_SHEET_END = "</sheetData></worksheet>"
_special = re.compile("[&<>\0-\x08\x0b-\x1f\ufffe\uffff\ud800-\udfff]|_x[0-9A-Fa-f]{4}_").search
_not_xml = re.compile("[\0-\x08\x0b-\x1f\ufffe\uffff\ud800-\udfff]|_(?=x[0-9A-Fa-f]{4}_)").sub
_BUFFER = 1000
"""Rows that are compressed together."""


class TextWorkbook:
    """A workbook in the making; leaving the context completes it."""

    def __init__(
        self, file: IO[bytes], title: str, header: Sequence[str], most_rows: int = MOST_ROWS
    ) -> None:
        """``title``: the first sheet's name. ``header``: the first row of every sheet."""
        self._zip = ZipFile(file, "w", ZIP_DEFLATED, compresslevel=1)
        self._title = title
        self._header = header
        self._most = most_rows
        self._sheets = 0
        self._begin_sheet()

    def add(self, rows: Iterable[Sequence[str]]) -> None:
        """Append rows; a cell that is too long is replaced by ``CUT``."""
        lines = list(rows)
        while lines:
            room = min(self._most - self._rows, _BUFFER)
            if not room:
                self._end_sheet()
                self._begin_sheet()
                continue
            self._write(lines[:room])
            del lines[:room]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end_sheet()
        if kind is None:
            self._write_parts()
        self._zip.close()

    def _begin_sheet(self) -> None:
        self._sheets += 1
        self._rows = 0
        self._sheet = self._zip.open(f"xl/worksheets/sheet{self._sheets}.xml", "w", force_zip64=True)
        self._sheet.write(_SHEET.encode())
        self._write([self._header], style=2)

    def _end_sheet(self) -> None:
        self._sheet.write(_SHEET_END.encode())
        self._sheet.close()

    def _write(self, rows: Sequence[Sequence[str]], style: int = 1) -> None:
        begin, end = f'<c s="{style}" t="inlineStr"><is><t xml:space="preserve">', "</t></is></c>"
        between = end + begin
        joined = ["\n".join(cells) for cells in rows]
        if _special("\n".join(joined)) or max(map(len, joined)) * 2 > LONGEST_CELL:
            rows = [list(map(_escaped, map(_fitting, cells))) for cells in rows]
        text = "".join([f"<row>{begin}{between.join(cells)}{end}</row>" for cells in rows])
        self._sheet.write(text.replace(begin + end, f'<c s="{style}"/>').encode())
        self._rows += len(rows)

    def _write_parts(self) -> None:
        """Write the parts that say which sheets there are."""
        numbers = range(1, self._sheets + 1)
        names = [self._title, *(f"{self._title} {number}" for number in numbers[1:])]
        types = {"workbook": f"{_CONTENT}.sheet.main+xml", "styles": f"{_CONTENT}.styles+xml"}
        types |= {f"worksheets/sheet{number}": f"{_CONTENT}.worksheet+xml" for number in numbers}
        self._part("[Content_Types].xml", "Types", f"{_PACKAGE}/content-types", [
            f'<Default Extension="rels" ContentType="{_RELATIONSHIPS}"/>',
            *(f'<Override PartName="/xl/{part}.xml" ContentType="{kind}"/>' for part, kind in types.items()),
        ])  # fmt: skip
        self._part("_rels/.rels", "Relationships", f"{_PACKAGE}/relationships", [
            f'<Relationship Id="rId1" Type="{_OFFICE}/officeDocument" Target="xl/workbook.xml"/>'
        ])  # fmt: skip
        self._part("xl/_rels/workbook.xml.rels", "Relationships", f"{_PACKAGE}/relationships", [
            f'<Relationship Id="rId0" Type="{_OFFICE}/styles" Target="styles.xml"/>',
            *(f'<Relationship Id="rId{n}" Type="{_OFFICE}/worksheet" Target="worksheets/sheet{n}.xml"/>'
              for n in numbers),
        ])  # fmt: skip
        sheets = "".join(
            f'<sheet name="{escape(name)}" sheetId="{n}" r:id="rId{n}"/>'
            for n, name in zip(numbers, names, strict=True)
        )
        self._part(
            "xl/workbook.xml", "workbook", f'{_MAIN}" xmlns:r="{_OFFICE}', ["<sheets>", sheets, "</sheets>"]
        )
        self._zip.writestr("xl/styles.xml", _STYLES)

    def _part(self, name: str, root: str, namespace: str, elements: Sequence[str]) -> None:
        self._zip.writestr(name, f'{_XML}<{root} xmlns="{namespace}">{"".join(elements)}</{root}>')


def _fitting(cell: str) -> str:
    if len(cell) * 2 <= LONGEST_CELL or len(cell.encode("utf-16-le", "surrogatepass")) // 2 <= LONGEST_CELL:
        return cell
    return CUT


def _escaped(cell: str) -> str:
    """Return the text as XML, with ``_xHHHH_`` for characters that XML can't hold (ECMA-376, ST_Xstring)."""
    return escape(_not_xml(lambda found: f"_x{ord(found[0]):04X}_", cell))
