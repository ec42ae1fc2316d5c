"""Open a source: find its format by its beginning, or take the one that ``--from`` names."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

from worker.errors import UsageError
from worker.model import Options, Problem
from worker.roster.cut import cut
from worker.roster.encoding import survey
from worker.roster.format import RosterFormat, Start, Table
from worker.roster.formats import AUTO, FORMATS, GENERIC
from worker.roster.other_kinds import refuse_other_kinds
from worker.roster.source import Source
from worker.roster.text import Malformed, Text

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


def open_source(source: Source, options: Options) -> Opened:
    """Open a source as a table of the format that it has.

    Raises:
        UsageError: it can't be read, is of several formats, or not of the one that ``--from`` names.
    """
    facts = survey(source, options.encoding)
    text, warnings = cut(source, facts.encoding, options, facts.sha256)
    start = _start_of(text)
    found, why = choose(start, source.shown, options.source_format)
    if found is None:
        refuse_other_kinds(start, source.shown, options)
    table = found.open(text, start, options) if found else text
    return Opened(table, found, why, facts.warnings + warnings)


def choose(start: Start, place: str, wanted: str) -> tuple[RosterFormat | None, str]:
    """Return the format of a source and the reason; None for a plain table.

    Raises:
        UsageError: it may be of several formats.
    """
    if wanted != AUTO:
        return FORMATS.get(wanted), ""
    found = [(one, why) for one in FORMATS.values() if (why := one.recognise(start))]
    if len(found) > 1:
        told = "; ".join(f"{one.name} ({why})" for one, why in found)
        raise UsageError(
            f"{place} may be of several formats: {told}",
            f"say which one it is: --from {found[0][0].name}, or --from {GENERIC} for a plain table",
        )
    return found[0] if found else (None, "")


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
