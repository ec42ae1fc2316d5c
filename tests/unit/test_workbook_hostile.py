"""Workbooks that are damaged or hostile: refused with a reason, within bounds of memory and time."""

from __future__ import annotations

import io
import random
import zipfile
from collections.abc import Callable
from typing import BinaryIO

import pytest

from tests.libreoffice import convert
from tests.workbooks import every_type
from worker.roster.workbook_ods import OdsBook
from worker.roster.workbook_parts import Damaged, Protected
from worker.roster.workbook_sheet import MOST_CELLS, Book, Notes
from worker.roster.workbook_xls import XlsBook
from worker.roster.workbook_xlsx import XlsxBook

READERS: dict[str, Callable[[BinaryIO], Book]] = {"xlsx": XlsxBook, "ods": OdsBook, "xls": XlsBook}
SHEET = "xl/worksheets/sheet2.xml"
ROUNDS = 150


@pytest.fixture(scope="module")
def contents(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A sound workbook in each format."""
    folder = tmp_path_factory.mktemp("sound")
    made = every_type(folder / "types.xlsx")
    return {kind: convert([made], kind, folder / "saved")[0].read_bytes() for kind in READERS}


def read(kind: str, content: bytes) -> list[tuple[int, list[str]]]:
    """Read all sheets, as a roster's would be."""
    book = READERS[kind](io.BytesIO(content))
    try:
        return [row for sheet in book.sheets for row in book.rows(sheet, Notes())]
    finally:
        book.close()


def repacked(content: bytes, name: str, change: Callable[[bytes], bytes]) -> bytes:
    """The workbook with one part changed."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as new:
        for part in old.namelist():
            new.writestr(part, change(old.read(part)) if part == name else old.read(part))
    return file.getvalue()


def after_prolog(inserted: bytes) -> Callable[[bytes], bytes]:
    """Insert something before a part's root element."""
    return lambda part: part[: part.index(b"?>") + 2] + inserted + part[part.index(b"?>") + 2 :]


ENTITIES = b"<!DOCTYPE x [" + b"".join(
    b'<!ENTITY e%d "%s">' % (at, b"&e%d;" % (at - 1) * 10 if at else b"boom") for at in range(12)
) + b"]>"  # fmt: skip
BOMBS = {
    "entities": after_prolog(ENTITIES),
    "an external entity": after_prolog(b'<!DOCTYPE x SYSTEM "file:///etc/passwd">'),
    "deep nesting": lambda part: part.replace(b"<sheetData>", b"<sheetData>" + b"<a>" * 100_000),
    "a long text": lambda part: part.replace(b"<sheetData>", b"<sheetData><a>" + b"x" * (1 << 25) + b"</a>"),
    "a row without end": lambda part: part.replace(
        b"<sheetData>", b'<sheetData><row r="1">' + b"<c/>" * (1 << 23) + b"</row>"
    ),
    "rows backwards": lambda part: part.replace(b'<row r="5"', b'<row r="3"'),
    "a text that is missing": lambda part: part.replace(b't="s"><v>', b't="s"><v>99999'),
    "cut": lambda part: part[: len(part) // 2],
}  # fmt: skip


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_hostile_sheet_is_refused(contents: dict[str, bytes], bomb: str) -> None:
    """Entities are never expanded, elements never grow without bound, and a text is never a wrong one."""
    with pytest.raises(Damaged):
        read("xlsx", repacked(contents["xlsx"], SHEET, BOMBS[bomb]))


def test_entities_in_a_spreadsheet(contents: dict[str, bytes]) -> None:
    """The same holds for OpenDocument."""
    with pytest.raises(Damaged, match="document type"):
        read("ods", repacked(contents["ods"], "content.xml", after_prolog(ENTITIES)))


def test_a_zip_bomb_is_refused(contents: dict[str, bytes]) -> None:
    """A part that unpacks to a thousand times its size is no workbook's; it is not read to the end."""
    rows = b"<sheetData>" + (b'<row x="' + b"x" * 10_000 + b'"/>') * 4000
    with pytest.raises(Damaged, match="unpacks to far more"):
        read("xlsx", repacked(contents["xlsx"], SHEET, lambda part: part.replace(b"<sheetData>", rows)))


def test_endless_repetitions_are_bounded(contents: dict[str, bytes]) -> None:
    """A few bytes of OpenDocument can stand for any number of rows and columns."""
    content = (
        '<office:document-content xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0" '
        'xmlns:table="urn:oasis:names:tc:opendocument:xmlns:table:1.0" '
        'xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0"><office:body><office:spreadsheet>'
        '<table:table table:name="a"><table:table-row table:number-rows-repeated="3"><table:table-cell '
        'office:value-type="string" table:number-columns-repeated="99999999"><text:p>x</text:p>'
        '</table:table-cell></table:table-row><table:table-row table:number-rows-repeated="{rows}">{cell}'
        "</table:table-row></table:table></office:spreadsheet></office:body></office:document-content>"
    )
    empty = content.format(rows=99_999_999, cell="<table:table-cell/>").encode()
    rows = read("ods", repacked(contents["ods"], "content.xml", lambda part: empty))
    assert [(line, len(cells)) for line, cells in rows] == [(1, MOST_CELLS), (2, MOST_CELLS), (3, MOST_CELLS)]
    cell = '<table:table-cell office:value-type="string"><text:p>x</text:p></table:table-cell>'
    full = content.format(rows=99_999_999, cell=cell).encode()
    with pytest.raises(Damaged, match="more than 1,048,576 rows"):
        read("ods", repacked(contents["ods"], "content.xml", lambda part: full))


def encrypted_parts(content: bytes) -> bytes:
    """Set the flag of encryption on each part of an archive."""
    changed = bytearray(content)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for info in archive.infolist():
            changed[info.header_offset + 6] |= 1
    at = 0
    while (at := changed.find(b"PK\x01\x02", at)) >= 0:
        changed[at + 8] |= 1
        at += 4
    return bytes(changed)


def encrypted_entry(manifest: bytes) -> bytes:
    """The manifest of a spreadsheet that is saved with a password."""
    return manifest.replace(b"</manifest:manifest>", b"<manifest:encryption-data/></manifest:manifest>")


@pytest.mark.parametrize("kind", READERS)
def test_protected_by_a_password(contents: dict[str, bytes], kind: str) -> None:
    """A workbook that only a password opens says so."""
    content = contents[kind]
    if kind == "ods":
        content = repacked(content, "META-INF/manifest.xml", encrypted_entry)
    else:  # Office keeps such a workbook in an old one's container
        content = (
            encrypted_parts(content) if kind == "xlsx" else content + "EncryptedPackage".encode("utf-16-le")
        )
    with pytest.raises(Protected):
        read(kind, content)


@pytest.mark.parametrize("kind", READERS)
@pytest.mark.timeout(60)
def test_damaged_files_never_break_the_reader(contents: dict[str, bytes], kind: str) -> None:
    """Cut, with bytes changed, or with pieces swapped: read, or refused with a reason."""
    dice = random.Random(f"workbooks {kind}")
    sound = read(kind, contents[kind])
    refused = 0
    for _ in range(ROUNDS):
        content = bytearray(contents[kind])
        match dice.randrange(3):
            case 0:
                del content[dice.randrange(len(content)) :]
            case 1:
                for _ in range(dice.randrange(1, 20)):
                    content[dice.randrange(len(content))] = dice.randrange(256)
            case _:
                at, size = dice.randrange(len(content)), dice.randrange(1, 512)
                del content[at : at + size]
        try:
            read(kind, bytes(content))
        except Damaged:
            refused += 1
    assert sound
    assert refused > ROUNDS // 3


@pytest.mark.parametrize("kind", ["xlsx", "ods"])
@pytest.mark.timeout(60)
def test_damaged_parts_never_break_the_reader(contents: dict[str, bytes], kind: str) -> None:
    """The parts inside a sound archive are changed, so that the checksums hold."""
    dice = random.Random(f"parts {kind}")
    with zipfile.ZipFile(io.BytesIO(contents[kind])) as archive:
        parts = [name for name in archive.namelist() if name.endswith((".xml", ".rels"))]

    def damaged(part: bytes) -> bytes:
        changed = bytearray(part)
        for _ in range(dice.randrange(1, 4)):
            at = dice.randrange(len(changed)) if changed else 0
            changed[at : at + dice.randrange(4)] = dice.choice(
                [b"", b"9", b"-1", b'"', b"<", b"\xff", b"1e999"]
            )
        return bytes(changed)

    for _ in range(ROUNDS):
        try:
            read(kind, repacked(contents[kind], dice.choice(parts), damaged))
        except Damaged:
            continue
