"""Open a source: find its format by its beginning, or take the one that ``--from`` names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import BinaryIO

from worker.errors import UsageError
from worker.model import Blanks, DatabaseLogin, Options, Problem
from worker.roster.corrected import CorrectedTable
from worker.roster.cut import cut
from worker.roster.database import Database, database_at
from worker.roster.database_address import is_database
from worker.roster.encoding import survey
from worker.roster.folder import Folder, Part, folder_at
from worker.roster.format import RosterFormat, Start, Table
from worker.roster.formats import AUTO, FORMATS, GENERIC
from worker.roster.header_line import HeaderTest
from worker.roster.kept import KeptTable, keep
from worker.roster.other_kinds import refuse_other_kinds
from worker.roster.source import Source, find
from worker.roster.text import Malformed, Text
from worker.roster.uploaded import CorrectedSource, UploadedFile
from worker.roster.workbook import OpenBook, format_of, open_sheet

_START = 1 << 16
"""Characters by which a format is recognised."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A source, opened as a table."""

    table: Table
    format: RosterFormat | None
    """None: a plain table, whose columns have names of ours."""
    why: str = ""
    """The reason why it was recognised; empty if ``--from`` names the format."""
    warnings: tuple[Problem, ...] = ()
    name_line: Callable[[int], str] = "line {}".format
    """Say where a row's line is: in a folder, with its file."""
    sheet: str = ""
    """The sheet of a workbook, and the row of its header, for people; empty for anything else."""
    sheet_name: str = ""


def find_roster(place: str, stdin: BinaryIO | None = None, logins: Iterable[DatabaseLogin] = ()) -> Source:
    """Return what ``place`` names: a database, a folder or pattern, else one file.

    Raises:
        UsageError: it is missing, can't be read, or its URL holds a password.
    """
    if is_database(place):
        return database_at(place, logins)
    return folder_at(place) or find(place, stdin)


def open_source(source: Source, options: Options) -> Opened:
    """Open a source as a table of the format that it has; ``--blanks strip`` holds for all of them.

    Raises:
        UsageError: it can't be read, is of several formats, or not of the one that ``--from`` names.
    """
    opened = _open(source, options)
    if options.blanks is Blanks.STRIP and isinstance(opened.table, KeptTable):
        opened = replace(opened, table=replace(opened.table, strip=True))
    if isinstance(source, UploadedFile | CorrectedSource) and source.corrections:
        strip = options.blanks is Blanks.STRIP
        corrected = CorrectedTable(opened.table, source.corrections, source.version, strip)
        return replace(opened, table=corrected)
    return opened


def _open(source: Source, options: Options) -> Opened:
    if isinstance(source, Database):
        return _open_database(source, options)
    if options.query:
        raise UsageError(f"--query reads a database, and {source.shown} isn't one", "leave it out")
    if isinstance(source, Folder):
        return _open_folder(source, options)
    if open_book := format_of(source):
        return _open_workbook(source, open_book, options)
    facts = survey(source, options.encoding)
    text, warnings = cut(source, facts.encoding, options, facts.sha256)
    start = _start_of(text)
    found, why = choose(start, source.shown, options.source_format)
    if found is None:
        refuse_other_kinds(start, source.shown, options)
    table = found.open(text, start, options) if found else text
    return Opened(table, found, why, facts.warnings + warnings)


def _open_database(source: Database, options: Options) -> Opened:
    table = keep(source.records(options), source.shown)
    try:
        with table.read() as records:
            _, header = next(records)
        found, why = _format_of_query(Start(source.name, tuple(header), ""), source.shown, options)
    except BaseException:
        table.close()
        raise
    return Opened(table, found, why, source.warnings)


def _format_of_query(start: Start, place: str, options: Options) -> tuple[RosterFormat | None, str]:
    """Return the format of a query's result and the reason.

    Raises:
        UsageError: the columns are those of something else.
    """
    found, why = choose(start, place, options.source_format)
    if found is None:
        refuse_other_kinds(start, place, options)
    elif options.query and not (why or found.recognise(start)):
        raise UsageError(
            f"the columns of --query are not those of {found.name}: {', '.join(start.header)}"[:300],
            "name them username and password (AS …) and leave --from out, "
            f"or as its export does: siproster formats show {found.name}",
        )
    return found, why


def _open_folder(folder: Folder, options: Options) -> Opened:
    reasons: list[str] = []

    def open_part(source: Source) -> Part:
        opened = open_source(source, options)
        reasons.append(opened.why)
        return Part(opened.table, opened.format, opened.warnings)

    table = keep(folder.records(open_part), folder.shown)
    return Opened(table, folder.format, reasons[0], tuple(folder.warnings), folder.name_line)


def _open_workbook(source: Source, open_book: OpenBook, options: Options) -> Opened:
    """Open a workbook; the formats are recognised by the column names of its sheets."""
    names_users = HeaderTest(options)

    def is_header(cells: Sequence[str]) -> bool:
        return names_users(cells) or any(_reasons(Start(source.name, tuple(cells), "")))

    with open_sheet(source, open_book, options, is_header) as sheet:
        start = Start(source.name, sheet.header, "")
        found, why = choose(start, source.shown, options.source_format)
        if found is None:
            refuse_other_kinds(start, source.shown, options)
        table = keep(sheet.records, source.shown, sheet.sha256)
    return Opened(table, found, why, sheet.warnings(), sheet=sheet.said, sheet_name=sheet.name)


def choose(start: Start, place: str, wanted: str) -> tuple[RosterFormat | None, str]:
    """Return the format of a source and the reason; None for a plain table.

    Raises:
        UsageError: it may be of several formats.
    """
    if wanted != AUTO:
        return FORMATS.get(wanted), ""
    found = list(_reasons(start))
    if len(found) > 1:
        told = "; ".join(f"{one.name} ({why})" for one, why in found)
        raise UsageError(
            f"{place} may be of several formats: {told}",
            f"say which one it is: --from {found[0][0].name}, or --from {GENERIC} for a plain table",
        )
    return found[0] if found else (None, "")


def _reasons(start: Start) -> Iterator[tuple[RosterFormat, str]]:
    """Yield the formats that recognise a beginning, each with its reason."""
    return ((one, why) for one in FORMATS.values() if (why := one.recognise(start)))


def _start_of(text: Text) -> Start:
    with text.lines() as lines:
        beginning = lines.read(_START)
    try:
        with text.read() as records:
            _, header = next(islice(records, 1), (1, []))
    except UsageError:  # no CSV at all: only its text tells what it is
        header = []
    cells = () if isinstance(header, Malformed) else tuple(header)
    return Start(text.source.name, cells, beginning)
