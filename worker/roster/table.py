"""A file with a header row: its text and its columns' names."""

from __future__ import annotations

from collections.abc import Callable

from worker.errors import UsageError
from worker.roster.cut import cut_simply
from worker.roster.encoding import survey
from worker.roster.header import Header
from worker.roster.source import find, find_and_keep
from worker.roster.text import Malformed, Text


def open_table(place: str, known: Callable[[str], bool], *, keep: bool = False) -> tuple[Text, Header]:
    """Return the text of a path, ``-`` or URL, whose ``source`` the caller closes, and its header.

    ``known``: tells whether a cell is a column's name, which helps to find the delimiter. ``keep``: every
    reading returns the same, whatever is written to the file meanwhile. Raises UsageError.
    """
    source = find_and_keep(place) if keep else find(place)
    encoding = survey(source).encoding
    text = cut_simply(source, encoding, known)
    with text.lines() as lines:
        line, cells = next(text.records(lines), (1, []))
    if isinstance(cells, Malformed):
        raise UsageError(f"{source.shown}, line {line}: the header is not well-formed CSV: {cells.reason}")
    return text, Header(cells, source.shown)
