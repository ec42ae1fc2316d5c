"""Find where a text's table begins and how it is cut: a ``sep=`` line, the delimiter, the header's line."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Sequence
from typing import Final

from worker.errors import UsageError
from worker.model import Blanks, Options, Problem
from worker.roster.header import known, plain
from worker.roster.header_line import SEARCHED, HeaderTest, before_header, header_index
from worker.roster.source import Source
from worker.roster.text import DELIMITERS, Record, Text, is_blank, named_delimiter

_SAMPLE: Final = 1 << 16
"""Characters of the beginning that the delimiter and the header are looked for in."""
_sep_line = re.compile(r'\ufeff?"?sep=(\\t|.)"?[,;|\t ]*(?:\r\n|\r|\n)', re.IGNORECASE).match
"""Match Excel's own first line, which says how the rest is delimited."""


def cut(source: Source, encoding: str, options: Options, sha256: str) -> tuple[Text, tuple[Problem, ...]]:
    """Return the text with its delimiter and its header's line, and a warning if lines stand before that.

    Raises:
        UsageError: several lines can be the header, or ``--header-line`` names none.
    """
    sample, whole = _beginning(source, encoding)
    sep = _sep_line(sample)
    first = 2 if sep else 1
    rest = sample[sep.end() :] if sep else sample
    if options.delimiter or sep:
        delimiter = named_delimiter(options.delimiter or (sep[1] if sep else ""))
    else:
        delimiter = _best(rest, whole, _known(options), HeaderTest(options))
    strip = options.blanks is Blanks.STRIP
    warnings: tuple[Problem, ...] = ()
    if options.header_line is not None:
        first = options.header_line
    else:
        records = _records(rest, delimiter, first)
        at = header_index(records, options, source.shown)
        first = records[at][0] if records else first
        warnings = (before_header(first),) if at else ()
    text = Text(source, encoding, delimiter, sha256, first, strip)
    if options.header_line is not None:
        _refuse_no_line(text, options.header_line)
    return text, warnings


def cut_simply(source: Source, encoding: str, known: Callable[[str], bool], usual: str = ",") -> Text:
    """Return the text of a list or a result file, whose first line is the header, or a ``sep=`` line.

    ``usual``: a delimiter that is tried, too, and preferred.
    """
    sample, whole = _beginning(source, encoding)
    if sep := _sep_line(sample):
        return Text(source, encoding, named_delimiter(sep[1]), first_line=2)
    return Text(source, encoding, _best(sample, whole, known, lambda cells: False, usual))


def _beginning(source: Source, encoding: str) -> tuple[str, bool]:
    """Return the first characters, and whether they are all of them."""
    with Text(source, encoding, ",").lines() as stream:
        return stream.read(_SAMPLE), not stream.read(1)


def _known(options: Options) -> Callable[[str], bool]:
    mapped = {plain(column) for column in options.map.values() if column}
    return lambda name: known(name) or plain(name) in mapped


def _best(
    sample: str,
    whole: bool,
    known: Callable[[str], bool],
    can_be: Callable[[Sequence[str]], bool],
    usual: str = ",",
) -> str:
    """Return the delimiter that makes the best table of the beginning.

    First by a line that can be the header, then by its number of known column names, then by records as wide
    as it, then by columns.
    """

    def score(delimiter: str) -> tuple[bool, int, float, int]:
        records = [cells for _, cells in _records(sample, delimiter, 1)]
        found = next((at for at, cells in enumerate(records) if can_be(cells)), None)
        table = records[found or 0 :]
        table = table if whole or len(table) < 2 else table[:-1]
        width = len(table[0]) if table else 0
        alike = sum(len(record) == width for record in table) / len(table) if table else 0.0
        names = sum(map(known, table[0] if table else ()))
        return found is not None, names, alike if width > 1 else 0.0, width

    return max(usual, *DELIMITERS.values(), key=score)


def _records(sample: str, delimiter: str, first: int) -> list[Record]:
    """Return the first records that are not blank, with the physical lines they start on."""
    reader = csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter)
    found: list[Record] = []
    line = first
    try:
        for cells in reader:
            if not is_blank(cells):
                found.append((line, cells))
            line = first + reader.line_num
            if len(found) == SEARCHED:
                break
    except csv.Error:  # a field without end: the records before it still count
        pass
    return found


def _refuse_no_line(text: Text, line: int) -> None:
    with text.read() as records:
        found, _ = next(records, (0, []))
    if found != line:
        raise UsageError(
            f"{text.shown}: --header-line {line}: this line is empty, or does not exist",
            "give the number of the line with the column names, counting all lines from 1",
        )
