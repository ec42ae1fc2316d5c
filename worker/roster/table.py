"""A file with a header row: its records and its columns' names."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

from worker.errors import UsageError
from worker.model import Options, TableForm
from worker.roster.cut import cut_simply
from worker.roster.encoding import FALLBACK, survey
from worker.roster.format import Table
from worker.roster.header import Header
from worker.roster.kept import keep as keep_records
from worker.roster.source import Source, find, find_and_keep
from worker.roster.text import CORRECT_HEADER, Malformed, Text
from worker.roster.workbook import format_of, open_sheet


def open_table(
    place: str | Source, known: Callable[[str], bool], *, keep: bool = False, form: TableForm | None = None
) -> tuple[Table, Header]:
    """Return the table of a path, ``-``, a URL or an opened source, which the caller closes, and its header.

    ``known``: tells whether a cell is a column's name, which helps to find the delimiter. ``keep``: every
    reading returns the same, whatever is written to the file meanwhile. ``form``: how the file was written,
    though it may have been saved in another form since. Raises UsageError.
    """
    source = place if not isinstance(place, str) else find_and_keep(place) if keep else find(place)
    table = _sheet_of(source, known) or _text_of(source, known, form or TableForm())
    with table.read() as records:
        line, cells = next(records, (1, []))
    if isinstance(cells, Malformed):
        raise UsageError(
            f"{source.shown}, line {line}: the header is not well-formed CSV: {cells.reason}", CORRECT_HEADER
        )
    return table, Header(cells, source.shown)


def _sheet_of(source: Source, known: Callable[[str], bool]) -> Table | None:
    """Return the records of a workbook's sheet; None for anything but a workbook."""
    open_book = format_of(source)
    if open_book is None:
        return None
    with (
        closing(source),
        open_sheet(source, open_book, Options(), lambda cells: any(map(known, cells))) as sheet,
    ):
        if sheet.others:
            raise UsageError(
                f"{source.shown}: {sheet.said}, but other sheets have column names, too: "
                + ", ".join(map(repr, sheet.others[:20])),
                "keep the one sheet with the rows, or give the CSV file",
            )
        return keep_records(sheet.records, source.shown, sheet.sha256)


def _text_of(source: Source, known: Callable[[str], bool], form: TableForm) -> Text:
    written = FALLBACK if form.encoding.startswith("utf-") else form.encoding
    encoding = survey(source, fallback=written).encoding
    return cut_simply(source, encoding, known, form.delimiter)
