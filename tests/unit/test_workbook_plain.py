"""Plain rows of a workbook are read without the XML parser: what is read is the same."""

from __future__ import annotations

import io
import random
import re
import zipfile
from collections.abc import Callable
from typing import BinaryIO

import pytest

from worker.roster.workbook_cells import Doubted
from worker.roster.workbook_ods import OdsBook
from worker.roster.workbook_parts import Damaged
from worker.roster.workbook_plain import Plain
from worker.roster.workbook_sheet import Book, Notes
from worker.roster.workbook_xlsx import XlsxBook

READERS: dict[str, Callable[[BinaryIO], Book]] = {"xlsx": XlsxBook, "ods": OdsBook}
MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
URN = "urn:oasis:names:tc:opendocument:xmlns"
USUAL = '<?xml version="1.0" encoding="UTF-8"?>\n'
UNUSUAL = '<?xml  version="1.0"  encoding="UTF-8"?>\n'
"""A declaration that leaves all elements to the XML parser."""
ROWS = 1500
"""Enough for several blocks."""

TEXTS = (
    "Ann", "Zq8-canary", "", " two  blanks ", "Łódź 😀", "a\nb", "a\tb", "a&amp;b", "&lt;x&gt;", "_x0041_",
    "&#65;", "<![CDATA[c]]>", "x<!-- y -->z", "0351", "]]&gt;",
)  # fmt: skip
XLSX_CELLS = (
    '<c{r} t="inlineStr"><is><t>{x}</t></is></c>', '<c{r} s="1" t="inlineStr"><is><t>{x}</t></is></c>',
    '<c{r} t="inlineStr"><is><t xml:space="preserve">{x}</t></is></c>', '<c{r} s="1" t="s"><v>{n}</v></c>',
    '<c{r} t="str"><v>{x}</v></c>', '<c{r} t="str"><f>A1</f><v>{x}</v></c>', '<c{r} s="1"/>', "<c{r}></c>",
    '<c{r} s="{n}"><v>351</v></c>', "<c{r}><v>0.5</v></c>", "<c{r}><v>x</v></c>", '<c{r} t="n"><v></v></c>',
    '<c{r} t="b"><v>1</v></c>', '<c{r} t="e"><v>#N/A</v></c>', '<c{r} t="d"><v>2026-03-12</v></c>',
    "<c{r}><f>1+1</f></c>", "<c{r}><f>1+1</f><v>2</v></c>",
    '<c{r} t="inlineStr"><is><r><t>a</t></r><r><t>{x}</t></r><rPh sb="0" eb="1"><t>k</t></rPh></is></c>',
)  # fmt: skip
SHARED_STRING = '<c{r} s="1" t="s"><v>{n}</v></c>'
STRINGS = (
    *(f'<si><t xml:space="preserve">{text}</t></si>' for text in TEXTS), "<si/>", "<si><t/></si>",
    "<si><t>Bo</t></si>", "<si><r><t>C</t></r><r><rPr/><t>y</t></r></si>", "<si><t>x_x0000_y_xD800_</t></si>",
    '<si><t>k</t><rPh sb="0" eb="1"><t>no</t></rPh></si>', "<si>\n<t>loose</t>\n</si>",
)  # fmt: skip
XLSX_ROWS = (
    "<row>{c}</row>",
    '<row r="{n}" spans="1:6" hidden="0">{c}</row>',
    '<row r="{n}" hidden="1">{c}</row>',
)
STRING = 'office:value-type="string"'
ODS_CELLS = (
    f'<table:table-cell {STRING} calcext:value-type="string"><text:p>{{x}}</text:p></table:table-cell>',
    f'<table:table-cell table:style-name="z" {STRING}><text:p>{{x}}</text:p></table:table-cell>',
    f'<table:table-cell table:number-columns-repeated="2" {STRING}><text:p>{{x}}</text:p></table:table-cell>',
    f'<table:table-cell {STRING} calcext:value-type="error"><text:p>#N/A</text:p></table:table-cell>',
    f"<table:table-cell {STRING}><text:p>a<text:s/>b</text:p><text:p>{{x}}</text:p></table:table-cell>",
    f'<table:table-cell {STRING} office:string-value="own"><text:p>{{x}}</text:p></table:table-cell>',
    '<table:table-cell office:value-type="float" office:value="{n}">'
    "<text:p>000{n}</text:p></table:table-cell>",
    '<table:table-cell table:style-name="z" office:value-type="float" office:value="{n}">'
    "<text:p>000{n}</text:p></table:table-cell>",
    '<table:table-cell office:value-type="date"><text:p>12.03.26</text:p></table:table-cell>',
    '<table:table-cell table:formula="of:=A1"/>', "<table:table-cell/>",
    '<table:table-cell table:style-name="z" table:number-columns-repeated="3"/>',
    "<table:covered-table-cell/>",
)  # fmt: skip
ODS_ROWS = (
    '<table:table-row table:style-name="ro1">{c}</table:table-row>',
    "<table:table-row>{c}<table:table-cell table:number-columns-repeated='16000'/></table:table-row>",
    '<table:table-row>{c}<table:table-cell table:number-columns-repeated="16000"/></table:table-row>',
    '<table:table-row table:number-rows-repeated="2" table:visibility="collapse">{c}</table:table-row>',
)


THREE = '<si><t>Bo</t></si><si><r><t>C</t></r><r><t>y</t></r></si><si><t xml:space="preserve"> Di</t></si>'


def xlsx(rows: str, declaration: str = USUAL, strings: str = THREE) -> io.BytesIO:
    """A workbook with one sheet, shared strings, and a style 1 that restores four digits."""
    return zipped({
        "xl/_rels/workbook.xml.rels": f'<Relationships><Relationship Id="i" Type="{RELATIONS}/worksheet" '
        'Target="sheet.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{MAIN}" xmlns:r="{RELATIONS}"><sheets><sheet name="Staff" '
        'r:id="i"/></sheets></workbook>',
        "xl/styles.xml": f'<styleSheet xmlns="{MAIN}"><numFmts><numFmt numFmtId="164" formatCode="0000"/>'
        '</numFmts><cellXfs><xf numFmtId="0"/><xf numFmtId="164"/><xf numFmtId="14"/></cellXfs></styleSheet>',
        "xl/sharedStrings.xml": f'{declaration}<sst xmlns="{MAIN}">{strings}</sst>',
        "xl/sheet.xml": f'{declaration}<worksheet xmlns="{MAIN}" xmlns:o="urn:other"><sheetData>{rows}'
        "</sheetData></worksheet>",
    })  # fmt: skip


def ods(rows: str, declaration: str = USUAL, office: str = "office") -> io.BytesIO:
    """A spreadsheet with one sheet, and a style ``z`` that restores four digits."""
    names = {"office": office, "table": "table", "text": "text", "style": "style", "number": "datastyle"}
    spaces = " ".join(f'xmlns:{prefix}="{URN}:{name}:1.0"' for prefix, name in names.items())
    calc = 'xmlns:calcext="urn:org:documentfoundation:names:experimental:calc:xmlns:calcext:1.0"'
    outer = f'{declaration}<o:document-content xmlns:o="{URN}:office:1.0" {spaces} {calc}>'
    return zipped({
        "content.xml": f'{outer}<o:automatic-styles><number:number-style style:name="N"><number:number '
        'number:decimal-places="0" number:min-integer-digits="4"/></number:number-style><style:style '
        'style:name="z" style:data-style-name="N"/></o:automatic-styles><o:body><o:spreadsheet><table:table '
        'table:name="Staff"><table:table-column table:default-cell-style-name="z"/>'
        f"{rows}</table:table></o:spreadsheet></o:body></o:document-content>"
    })  # fmt: skip


MAKERS = {"xlsx": xlsx, "ods": ods}
PLAIN_ROWS = {
    "xlsx": '<row r="{n}"><c r="A{n}" t="inlineStr"><is><t>{x}</t></is></c></row>',
    "ods": f"<table:table-row><table:table-cell {STRING}><text:p>{{x}}</text:p></table:table-cell>"
    "</table:table-row>",
}


def zipped(parts: dict[str, str]) -> io.BytesIO:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in parts.items():
            archive.writestr(name, text.encode("utf-8", "surrogatepass"))
    return file


def read(kind: str, file: BinaryIO) -> tuple[list[tuple[int, list[str], dict[int, str]]], int]:
    """The rows with their doubts, and the number of hidden ones."""
    book, notes = READERS[kind](file), Notes()
    (sheet,) = book.sheets
    rows = [
        (line, list(cells), cells.doubts if isinstance(cells, Doubted) else {})
        for line, cells in book.rows(sheet, notes)
    ]
    book.close()
    return rows, notes.hidden_rows


def some_rows(kind: str, seed: int) -> str:
    """Rows of cells of every kind; most of them plain, as in a real sheet."""
    pick = random.Random(seed)
    cells, rows = (XLSX_CELLS, XLSX_ROWS) if kind == "xlsx" else (ODS_CELLS, ODS_ROWS)
    made = []
    for number in range(1, ROWS):
        common = pick.random() < 0.5
        line = ""
        for at in range(pick.randrange(8)):
            column = pick.choice((f' r="{"ABCDEFGH"[at]}{number}"', "")) if not common else (
                f' r="{"ABCDEFGH"[at]}{number}"'
            )  # fmt: skip
            cell = cells[0] if common else pick.choice(cells)
            line += cell.format(r=column, n=pick.randrange(3), x=pick.choice(TEXTS[: 7 if common else None]))
        made.append((rows[0] if common else pick.choice(rows)).format(n=number, c=line))
    return "".join(made)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", READERS)
def test_the_same_as_by_the_xml_parser_alone(kind: str, seed: int) -> None:
    """Cells of every kind, in rows plain and otherwise, over several blocks: not one differs."""
    rows = some_rows(kind, seed)
    quick, alone = (read(kind, MAKERS[kind](rows, declaration)) for declaration in (USUAL, UNUSUAL))
    assert len(quick[0]) > ROWS / 2
    assert quick == alone


@pytest.mark.parametrize("seed", range(2))
def test_shared_strings_are_the_same(seed: int) -> None:
    """Thousands of shared strings, plain ones and others, that cells refer to in any order."""
    pick = random.Random(seed)
    kinds = STRINGS[:7] if seed % 2 else STRINGS
    strings = [pick.choice(kinds).replace("</t>", f" {at}</t>", 1) for at in range(6_000)]
    order = pick.sample(range(len(strings)), len(strings))
    rows = ""
    for number, at in enumerate(range(0, len(order), 4), 1):
        cells = [SHARED_STRING] * 4
        if pick.random() < 0.2:
            cells[pick.randrange(4)] = pick.choice(XLSX_CELLS)
        rows += f'<row r="{number}">' + "".join(
            cell.format(r=f' r="{"ABCD"[column]}{number}"', n=index, x=pick.choice(TEXTS))
            for column, (cell, index) in enumerate(zip(cells, order[at : at + 4], strict=True))
        ) + "</row>"  # fmt: skip
    quick, alone = (read("xlsx", xlsx(rows, kind, "".join(strings))) for kind in (USUAL, UNUSUAL))
    assert len(quick[0]) == len(order) / 4
    assert quick == alone
    whole = [cells for _, cells, _ in quick[0] if all(cells)]
    assert len({text for cells in whole for text in cells}) > len(order) / 3


def test_a_shared_string_is_the_one_referred_to() -> None:
    """Texts are unpacked in batches, which are packed again after some megabytes: each is the right one."""
    order = [*range(20_001), *range(20_000, -1, -7)]
    strings = "".join(f"<si><t>{'x' * 500}{at}</t></si>" for at in range(20_001))
    rows = "".join(
        f'<row r="{number}"><c r="A{number}" t="s"><v>{at}</v></c></row>'
        for number, at in enumerate(order, 1)
    )
    found, _ = read("xlsx", xlsx(rows, strings=strings))
    assert [cells[0][500:] for _, cells, _ in found] == [*map(str, order)]


def test_what_a_shared_string_means() -> None:
    """Entities and ``_xHHHH_`` stand for characters, NUL and half a surrogate pair among them."""
    texts = {
        "&amp;lt;": "&lt;",
        "_x0041_": "A",
        "a_x0000_b": "a\0b",
        "_xD800_": "\ud800",
        "_x005F_x0041_": "_x0041_",
    }
    strings = "".join(f"<si><t>{text}</t></si>" for text in texts)
    row = "".join(f'<c r="{"ABCDE"[at]}1" t="s"><v>{at}</v></c>' for at in range(len(texts)))
    found, _ = read("xlsx", xlsx(f'<row r="1">{row}</row>', strings=strings))
    assert found == [(1, [*texts.values()], {})]


@pytest.mark.parametrize("index", ["3", "-1", "99999999999999999999", "", "x", "1.0"])
def test_a_missing_shared_string_is_refused(index: str) -> None:
    """Not another text, and not an empty one."""
    with pytest.raises(Damaged, match="a text that is missing"):
        read("xlsx", xlsx(f'<row r="1"><c r="A1" t="s"><v>{index}</v></c></row>'))


def test_a_shared_string_of_megabytes_is_refused() -> None:
    """No spreadsheet has such a cell, and a batch of them would fill the memory."""
    strings = f"<si><t>{random.Random(1).randbytes(1 << 17).hex()}x</t></si>"
    with pytest.raises(Damaged, match="too much text"):
        read("xlsx", xlsx("", strings=strings))


@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize(
    "around",
    [
        "<!--{rows}-->",
        "<o:x><![CDATA[{rows}]]></o:x>",
        '<o:x xmlns="urn:other" xmlns:table="urn:other">{rows}</o:x>',
    ],
)
def test_what_is_no_row_stays_none(kind: str, around: str) -> None:
    """Rows in a comment, as mere text, or of another namespace are not read."""
    plain = PLAIN_ROWS[kind]
    first, last = plain.format(n=1, x="first"), plain.format(n=9, x="last")
    between = around.format(rows=plain.format(n=2, x="no row") * 2)
    rows, _ = read(kind, MAKERS[kind](first + between + last))
    assert [cells for _, cells, _ in rows] == [["first"], ["last"]]


@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize("text", ["\x01", "\ufffe", "\uffff", "\ud800", "a&b", "&e;", "<b>", "\x1f"])
def test_what_is_no_xml_is_refused(kind: str, text: str) -> None:
    """A text that no XML may have is not read the quick way either."""
    with pytest.raises(Damaged):
        read(
            kind, MAKERS[kind](PLAIN_ROWS[kind].format(n=1, x="sound") + PLAIN_ROWS[kind].format(n=2, x=text))
        )


def test_rows_backwards_are_refused() -> None:
    """Plain rows are numbered like all others."""
    row = PLAIN_ROWS["xlsx"]
    with pytest.raises(Damaged, match="out of order at row 2"):
        read("xlsx", xlsx(row.format(n=2, x="a") + row.format(n=2, x="b")))


def test_prefixes_that_mean_something_else() -> None:
    """Plain rows go by prefixes, so those must be the usual ones."""
    with pytest.raises(Damaged, match="prefixes"):
        read("ods", ods(PLAIN_ROWS["ods"].format(x="a") * 2, office="meta"))


def test_the_parser_gets_one_element_for_a_run() -> None:
    """A run of plain elements takes one element of the parser's time; what is left is given at the end."""
    plain = Plain("si", lambda element: element if re.fullmatch("<si>[a-z]", element) else None)
    given = plain.shortened(b"<sst><si>a</si><si>b</si><si>c</si><si>&lt;</si><si>d</si><s")
    found = re.fullmatch(rb'<sst><si>a</si><si (run-\w+)="1"/><si>&lt;</si><si run-\w+="2"/>', given)
    assert found
    assert (plain.rest(), plain.rest()) == (b"<s", b"")
    assert plain.taken({found[1].decode(): "1"}) == ["<si>b", "<si>c"]
    assert plain.taken({"run": "1"}) is None


@pytest.mark.parametrize("kind", READERS)
def test_rows_that_never_are_rows_are_bounded(kind: str) -> None:
    """Memory stays bounded if the parser never asks for what was kept for it."""
    texts = "".join(PLAIN_ROWS[kind].format(n=at, x="x" * 1000 + str(at * 7919)) for at in range(17_000))
    with pytest.raises(Damaged, match=r"at a wrong place|too long"):
        read(kind, MAKERS[kind](f'<o:x xmlns="urn:other" xmlns:table="urn:other">{texts}</o:x>'))
