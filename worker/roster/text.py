"""Bytes to records: decoding, the delimiter, and CSV that keeps its line numbers."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from worker.errors import UsageError
from worker.roster.encoding import line_ends
from worker.roster.source import BLOCK, Source

DELIMITERS: Final = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|"}
_SAMPLE = 1 << 16
_SAMPLE_RECORDS = 50

Fields = list[str]


class Malformed(Fields):
    """A record that is not well-formed CSV: it has no fields, but a reason."""

    def __init__(self, reason: str) -> None:
        super().__init__()
        self.reason = reason


Record = tuple[int, Fields]
"""A record and the physical line on which it starts; the header is on line 1."""


@dataclass(frozen=True, slots=True)
class Text:
    """A roster as text: its source, and how to read it."""

    source: Source
    encoding: str
    delimiter: str

    def lines(self, raw: io.RawIOBase | None = None) -> io.TextIOWrapper:
        """Opens it, or reads on from ``raw``. LF, CR LF and a lone CR end a line and stay as they are."""
        stream = io.BufferedReader(raw or self.source.open(), BLOCK)
        return io.TextIOWrapper(stream, self.encoding, "strict", newline="")

    def records(self, lines: Iterable[str]) -> Iterator[Record]:
        """Every record that isn't blank, with the physical line it starts on.

        Raises:
            UsageError: a quote is not closed; names the line where it opens.
        """
        reader = csv.reader(lines, delimiter=self.delimiter, strict=True)
        line = 1
        while True:
            try:
                for fields in reader:
                    # A first field that starts with a visible character spares the look at all the others.
                    if (fields and fields[0] >= "!") or not _blank(fields):
                        yield line, fields
                    line = reader.line_num + 1
                return
            except csv.Error as error:
                # On one line, only this record is lost. Over several lines the quote may have
                # swallowed rows, and nobody can say which: nothing of such a file is imported.
                if reader.line_num > line or str(error) == "unexpected end of data":
                    raise self._unclosed(line, reader.line_num) from None
                yield line, Malformed(str(error))
                line = reader.line_num + 1

    def _unclosed(self, first: int, last: int) -> UsageError:
        with self.lines() as lines:
            text = "".join(islice(lines, first - 1, last))
        line = first + line_ends(text[: _opening_quote(text, self.delimiter)])
        return UsageError(
            f"{self.source.shown}, line {line}: a quote opens here that is not closed properly",
            'close it; a quote that belongs to the value is written twice ("")',
        )


def named_delimiter(wanted: str) -> str:
    """The character that ``--delimiter`` means: itself, or comma, semicolon, tab, pipe, ``\\t``."""
    delimiter = DELIMITERS.get(wanted.casefold(), "\t" if wanted == "\\t" else wanted)
    if len(delimiter) != 1 or delimiter in '"\r\n':
        raise UsageError(
            f"{wanted!r} can't be a delimiter", f"one character, or one of {', '.join(DELIMITERS)}, can"
        )
    return delimiter


def find_delimiter(source: Source, encoding: str, known: Callable[[str], bool]) -> str:
    """The delimiter under which the start of the file makes the best table.

    Counts most: columns whose name we know. Then: records as wide as the header; then: columns.
    """
    with Text(source, encoding, ",").lines() as stream:
        sample = stream.read(_SAMPLE)
        whole = not stream.read(1)

    def score(delimiter: str) -> tuple[int, float, int]:
        records = list(_sampled(sample, delimiter))
        table = records if whole or len(records) < 2 else records[:-1]
        width = len(table[0]) if table else 0
        alike = sum(len(record) == width for record in table) / len(table) if table else 0.0
        return sum(map(known, table[0] if table else ())), alike if width > 1 else 0.0, width

    return max(DELIMITERS.values(), key=score)


def _sampled(sample: str, delimiter: str) -> Iterator[Sequence[str]]:
    reader = csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter)
    try:
        yield from islice((record for record in reader if not _blank(record)), _SAMPLE_RECORDS)
    except csv.Error:  # a field without end: what came before it still tells
        return


def _blank(fields: Sequence[str]) -> bool:
    """Nothing but white space: a spreadsheet's empty line, which may be ``,,,``."""
    return not any(field and not field.isspace() for field in fields)


def _opening_quote(text: str, delimiter: str) -> int:
    """Where the first quoted field starts that does not end at its own closing quote."""
    edge = re.escape(delimiter)
    field = re.compile(rf'("(?:[^"]|"")*")?([^{edge}\r\n]*)(?:{edge}|\r\n|\r|\n|\Z)')
    for match in field.finditer(text):
        if match[2] and (match[1] or match[2].startswith('"')):
            return match.start()
    return 0
