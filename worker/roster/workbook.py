"""Workbooks as rosters: which file is one, which sheet has the roster, and the sheet's rows as records.

The formats: ``workbook_xlsx``, ``workbook_ods`` and ``workbook_xls``; ``workbook_cells`` says which cells can
be trusted, ``workbook_parts`` keeps a hostile file within bounds. See docs/workbooks.md.
"""

from __future__ import annotations

import hashlib
import io
import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from itertools import chain
from typing import BinaryIO, Final, cast
from zipfile import BadZipFile, ZipFile

from worker.errors import UsageError
from worker.model import Options, Problem
from worker.roster.header_line import SEARCHED, header_index
from worker.roster.source import BLOCK, Source, blocks
from worker.roster.text import LONGEST, Fields, Malformed, Record
from worker.roster.workbook_cells import Doubted
from worker.roster.workbook_ods import OdsBook
from worker.roster.workbook_parts import Damaged, Protected
from worker.roster.workbook_sheet import Book, Notes, Sheet
from worker.roster.workbook_xlsx import XlsxBook

_ZIP: Final = b"PK\x03\x04"
_OLE: Final = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ODS: Final = b"application/vnd.oasis.opendocument.spreadsheet"
_MOST_TEXT: Final = 1 << 30
"""Characters of a sheet: a few bytes of a hostile file can stand for any number of them."""

OpenBook = Callable[[BinaryIO], Book]
IsHeader = Callable[[Sequence[str]], bool]
"""Whether the cells of a row are the column names of a roster."""


@dataclass(slots=True)
class SheetRecords:
    """The sheet with the roster. ``records`` is read once; after that, ``warnings`` is complete."""

    sha256: str
    header: tuple[str, ...]
    said: str
    """The sheet and the row of the header, for people."""
    records: Iterator[Record]
    """The header and the rows under it, by their numbers in the sheet."""
    others: tuple[str, ...]
    """Names of the other sheets with column names of a roster, unless ``--sheet`` chose this one."""
    name: str
    """The sheet's name."""
    _notes: Notes = field(default_factory=Notes)

    def warnings(self) -> tuple[Problem, ...]:
        """Return what a person who looks at the sheet may not know."""
        return (*self._left_out(), *self._notes.warnings(len(self.header)))

    def _left_out(self) -> Iterator[Problem]:
        if self.others:
            text = f"other sheets with column names of a roster are NOT read: {_listed(self.others)}"
            text += f"; to read one of them: --sheet {shlex.quote(self.others[0])}"
            yield Problem("sheets_left_out", text)


def format_of(source: Source) -> OpenBook | None:
    """Return the reader of the workbook's format; None for anything but a workbook.

    Raises UsageError for a workbook of another format, and for a document.
    """
    with _stream(source) as file:
        start = file.read(len(_OLE))
        if start == _OLE:
            from worker.roster.workbook_xls import XlsBook  # its library is for few rosters, and slow to load

            return XlsBook
        if not start.startswith(_ZIP):
            return None
        try:
            with ZipFile(file) as archive:
                names = frozenset(archive.namelist())
                kind = archive.open("mimetype").read(len(_ODS)) if "mimetype" in names else b""
        except (BadZipFile, OSError, ValueError, NotImplementedError, RuntimeError, OverflowError):
            raise UsageError(
                f"{source.shown} is an Excel workbook or ZIP archive that is incomplete or damaged",
                "copy it once more, or save it again in the spreadsheet",
            ) from None
    if kind == _ODS:
        return OdsBook
    if "xl/workbook.bin" in names:
        raise UsageError(
            f"{source.shown} is a binary Excel workbook (.xlsb), which is not read", "save it as .xlsx"
        )
    if any(name.startswith("xl/") for name in names):
        return XlsxBook
    return None


@contextmanager
def open_sheet(
    source: Source, open_book: OpenBook, options: Options, is_header: IsHeader
) -> Iterator[SheetRecords]:
    """Open the sheet that ``--sheet`` names, else the first visible one with column names of a roster.

    Raises:
        UsageError: the workbook can't be read, or has no such sheet; also while its records are read.
    """
    place = source.shown
    sha256 = hashlib.sha256()
    for block in blocks(source):
        sha256.update(block)
    with _stream(source) as file, _explained(place), closing(open_book(file)) as book:
        sheet, others = _sheet(book, options, is_header, place)
        first = list(_first(book, sheet, options.header_line or 0))
        if not first:
            raise UsageError(f"{place}: sheet {sheet.name!r} is empty", _which(book))
        line, cells = first[header_index(first, options, f"{place}, sheet {sheet.name!r}")]
        header = _names(cells)
        notes = Notes()
        records = _records(book.rows(sheet, notes), line, header, notes, place)
        said = f"sheet {sheet.name!r}, column names in row {line}"
        yield SheetRecords(sha256.hexdigest(), tuple(header), said, records, others, sheet.name, notes)


def sheets_of(source: Source, open_book: OpenBook) -> list[Sheet]:
    """Return the sheets of a workbook. Raises UsageError if it can't be read."""
    with _stream(source) as file, _explained(source.shown), closing(open_book(file)) as book:
        return list(book.sheets)


def _sheet(book: Book, options: Options, is_header: IsHeader, place: str) -> tuple[Sheet, tuple[str, ...]]:
    """Return the sheet that is meant, and the names of others that may be."""
    if options.sheet:
        return _named(book, options.sheet, place), ()
    if not book.sheets:
        raise UsageError(f"{place} has no sheet with cells", "give another file")
    firsts = [(sheet, [cells for _, cells in _first(book, sheet)]) for sheet in book.sheets]
    fit = [sheet for sheet, rows in firsts if any(map(is_header, rows))]
    filled = [sheet for sheet, rows in firsts if rows]
    chosen = next(chain(_visible(fit), _visible(filled), fit, filled, book.sheets))
    return chosen, tuple(sheet.name for sheet in fit if sheet is not chosen)


def _visible(sheets: Iterable[Sheet]) -> Iterator[Sheet]:
    return (sheet for sheet in sheets if not sheet.hidden)


def _named(book: Book, wanted: str, place: str) -> Sheet:
    for sheet in book.sheets:
        if sheet.name == wanted:
            return sheet
    if wanted.isdecimal() and 1 <= int(wanted[:9]) <= len(book.sheets):
        return book.sheets[int(wanted) - 1]
    alike = [sheet for sheet in book.sheets if sheet.name.casefold().strip() == wanted.casefold().strip()]
    if len(alike) == 1:
        return alike[0]
    raise UsageError(f"{place} has no sheet {wanted!r}", _which(book))


def _which(book: Book) -> str:
    names = _listed([sheet.name for sheet in book.sheets])
    return f"--sheet NAME or --sheet N chooses one; the sheets are: {names}"


def _listed(names: Sequence[str]) -> str:
    """Return names of sheets for a message, the first 20 of them."""
    return ", ".join(map(repr, names[:20])) + (" …" if len(names) > 20 else "")


def _names(cells: Fields) -> Fields:
    """Return the header without empty cells at its end."""
    names = list(cells)
    while names and not names[-1].strip():
        names.pop()
    return names


def _first(book: Book, sheet: Sheet, up_to: int = 0) -> Iterator[Record]:
    """Yield the rows among which the header is, at least up to that row."""
    for count, (line, cells, _) in enumerate(_filled(book.rows(sheet, Notes()))):
        if count >= SEARCHED and line > up_to:
            return
        yield line, cells


def _filled(rows: Iterator[Record]) -> Iterator[tuple[int, Fields, int]]:
    """Yield the rows that are not blank, and their characters.

    A row of nothing but formulas without a stored value is not blank.
    """
    for line, cells in rows:
        text = "".join(cells)
        if (text and not text.isspace()) or isinstance(cells, Doubted):
            yield line, cells, len(text)


def _records(
    rows: Iterator[Record], header_line: int, header: Fields, notes: Notes, place: str
) -> Iterator[Record]:
    """Yield the header, and each row under it with as many cells."""
    width, total = len(header), 0
    yield header_line, header
    with _explained(place):
        for line, cells, size in _filled(rows):
            if line <= header_line:
                continue
            total += size
            if total > _MOST_TEXT:
                raise Damaged("it has more text than a roster can have")
            if size > LONGEST:
                yield line, Malformed(f"longer than {LONGEST:,} characters")
                continue
            if len(cells) != width:
                notes.beside += any(cells[width:])
                cells = _fitted(cells, width)
            yield line, cells


def _fitted(cells: Fields, width: int) -> Fields:
    """Return exactly as many cells as there are columns."""
    fields = cells[:width] if len(cells) > width else cells + [""] * (width - len(cells))
    if isinstance(cells, Doubted) and (doubts := {at: why for at, why in cells.doubts.items() if at < width}):
        return Doubted(fields, doubts)
    return fields


@contextmanager
def _stream(source: Source) -> Iterator[BinaryIO]:
    with io.BufferedReader(source.open(), BLOCK) as file:
        yield cast(BinaryIO, file)


@contextmanager
def _explained(place: str) -> Iterator[None]:
    try:
        yield
    except (Damaged, MemoryError) as error:
        raise _unreadable(place, error) from None


def _unreadable(place: str, error: Exception) -> UsageError:
    if isinstance(error, Protected):
        return UsageError(
            f"{place} is protected with a password, so it can't be read",
            "open it in the spreadsheet and save a copy without a password",
        )
    why = str(error) or "it takes too much memory"
    return UsageError(
        f"{place}: this workbook can't be read: {why}",
        "open it in a spreadsheet, save it again, and try that file",
    )
