"""Turn bytes into records: decoding, the delimiter, and CSV that keeps its line numbers."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from typing import Final, TextIO

from worker.errors import UsageError
from worker.roster.encoding import line_ends
from worker.roster.source import BLOCK, Hashed, Source, unreadable

DELIMITERS: Final = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|"}
LONGEST: Final = 131_072
"""Most characters of a record, as of one field in Python's csv: a thousand records fit in memory."""
MOST_LINES: Final = 1000
"""Most physical lines of a record: an open quote swallows all that follows."""
_BATCH = 1 << 16
"""Characters, plus the rest of a line, that are split together."""
_DOS_END: Final = "\x1a"
"""The character by which DOS ends a file."""

Fields = list[str]


CORRECT_HEADER = "correct that line; if another one has the column names, name it with --header-line N"


class Malformed(Fields):
    """A record that is not well-formed CSV: it has no fields, but a reason."""

    def __init__(self, reason: str) -> None:
        super().__init__()
        self.reason = reason


class _TooLong(csv.Error):
    """A record without a plausible end. A csv.Error, since it is one more way to be malformed."""


class _Lines:
    """Counter of physical lines, which ends a record that takes too many of them."""

    def __init__(self, lines: Iterable[str], number: int) -> None:
        """Count from ``number``, the lines before these."""
        self._lines = iter(lines)
        self.number = number
        self.last = ""
        """The last line read."""
        self.begin()

    def begin(self) -> None:
        """Begin a new record with the next line."""
        self._room = LONGEST
        self._last_number = self.number + MOST_LINES

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self.last = line = line.rstrip(_DOS_END) if line.endswith(_DOS_END) else line
        self.number += 1
        self._room -= len(line)
        if self._room < 0:
            raise _TooLong(f"longer than {LONGEST:,} characters")
        if self.number > self._last_number:
            raise _TooLong(f"longer than {MOST_LINES:,} lines")
        return line


Record = tuple[int, Fields]
"""A record and the physical line on which it starts."""


def apart(records: Iterable[Record], after: int = 0) -> Iterator[Record]:
    """Yield records with a line of their own each, the next free one: in some formats, several share a line.

    ``after``: the last line that is taken.
    """
    for line, fields in records:
        after = line if line > after else after + 1
        yield after, fields


@dataclass(frozen=True, slots=True)
class Text:
    """A roster as text: its source, and how to decode and split it."""

    source: Source
    encoding: str
    delimiter: str
    sha256: str = ""
    """Hash of the source's bytes when it was surveyed; empty: ``read_again`` doesn't compare."""
    first_line: int = 1
    """The physical line on which the header starts."""
    strip: bool = False
    """Whether blanks around each field belong to nobody."""

    @property
    def shown(self) -> str:
        """Return the source's place, as messages name it."""
        return self.source.shown

    @contextmanager
    def read(self) -> Iterator[Iterator[Record]]:
        """Open the records, the header first; raises what ``records`` raises."""
        with self.lines() as lines:
            yield self.records(lines)

    @contextmanager
    def read_again(self) -> Iterator[Iterator[Record]]:
        """Open the records once more. Raises UsageError if the file has changed since it was surveyed."""
        try:
            raw = Hashed(self.source.open())
            with self.lines(raw) as lines:
                yield self.records(lines)
                same = raw.hexdigest() == self.sha256
        except (UnicodeError, UsageError):  # the first pass could read it to the end
            same = False
        except OSError as error:  # a disk or a network that fails in the middle
            raise unreadable(self.shown, error) from None
        if not same:
            raise changed(self.source)

    def close(self) -> None:
        """Release the copy of a source that can be read only once."""
        self.source.close()

    def lines(self, raw: io.RawIOBase | None = None) -> io.TextIOWrapper:
        """Open the source, or continue from ``raw``. LF, CR LF and a lone CR end a line and are kept."""
        stream = io.BufferedReader(raw or self.source.open(), BLOCK)
        return io.TextIOWrapper(stream, self.encoding, "strict", newline="")

    def records(self, lines: TextIO) -> Iterator[Record]:
        """Yield every record that isn't blank, with the physical line it starts on.

        Raises:
            UsageError: a quote is not closed, or a record over several lines is too long; names the line
                where the quote opens.
        """
        line, strip = self.first_line, self.strip
        for _ in range(1, line):
            lines.readline()
        while some := lines.readlines(_BATCH):
            without_dos_end(some)
            table = self._one_a_line(some)
            if table is None:
                counted = _Lines(chain(some, lines), line - 1)
                yield from self._one_by_one(counted, line + len(some))
                line = counted.number + 1
                continue
            for at, fields in enumerate(table, line):
                # If the first field starts with an ASCII letter or sign, the rest need not be checked.
                if (fields and "!" <= fields[0] < "\x7f") or not is_blank(fields):
                    yield at, [*map(str.strip, fields)] if strip else fields
            line += len(some)

    def _reader(self, lines: Iterable[str]) -> Iterator[list[str]]:
        return csv.reader(lines, delimiter=self.delimiter, strict=True, skipinitialspace=self.strip)

    def _one_a_line(self, lines: list[str]) -> list[Fields] | None:
        """Return a record for each line; None where one is malformed, too long, or has several lines."""
        try:
            table = list(self._reader(lines))
        except csv.Error:
            return None
        return table if len(table) == len(lines) and max(map(len, lines)) <= LONGEST else None

    def _one_by_one(self, counted: _Lines, end: int) -> Iterator[Record]:
        """Yield the records that begin before the line ``end``, however many lines each has."""
        reader = self._reader(counted)
        line = counted.number + 1
        while line < end:
            try:
                for fields in reader:
                    if not is_blank(fields):
                        yield line, [*map(str.strip, fields)] if self.strip else fields
                    line = counted.number + 1
                    counted.begin()
                    if line >= end:
                        return
                return
            except csv.Error as error:
                # On one line, only this record is lost. Over several lines the quote may have
                # swallowed rows, and nobody can say which: nothing of such a file is imported.
                open_end = str(error) == "unexpected end of data" or self._may_go_on(counted.last)
                if counted.number > line or open_end:
                    raise self._unclosed(line, counted.number, error) from None
                yield line, Malformed(str(error))
                line = counted.number + 1
                counted.begin()

    def _may_go_on(self, line: str) -> bool:
        """Return whether a line may end inside a quote, by some reading of it: the next may be no row."""
        if line.count('"') % 2:
            return True
        short = re.sub(f'[^"\r\n{re.escape(self.delimiter)}]+', "x", line)  # only its quotes matter
        lenient = csv.reader((short, "\n"), delimiter=self.delimiter)
        try:
            next(lenient)
        except csv.Error:  # still too long
            return True
        return lenient.line_num > 1

    def _unclosed(self, first: int, last: int, error: csv.Error) -> UsageError:
        with self.lines() as lines:
            text = "".join(islice(lines, first - 1, last))
        cut = isinstance(error, _TooLong)
        line = first + line_ends(text[: _opening_quote(text, self.delimiter, cut=cut)])
        how = f", or its record is {error}" if cut else ""
        return UsageError(
            f"{self.source.shown}, line {line}: a quote opens here that is not closed properly{how}",
            'close it; double a quote that is part of the value ("")',
        )


def changed(source: Source) -> UsageError:
    """Return the error for a file that differs from the one that was surveyed."""
    return UsageError(
        f"{source.shown} has changed, or vanished, while it was being read",
        "nothing was sent; run the command again when nothing is writing to the file",
    )


def named_delimiter(wanted: str) -> str:
    """Return the character that ``--delimiter`` means: itself, or comma, semicolon, tab, pipe, ``\t``."""
    delimiter = DELIMITERS.get(wanted.casefold(), "\t" if wanted == "\\t" else wanted)
    if len(delimiter) != 1 or delimiter in '"\r\n':
        raise UsageError(
            f"{wanted!r} can't be a delimiter", f"one character, or one of {', '.join(DELIMITERS)}, can"
        )
    return delimiter


def without_dos_end(lines: list[str]) -> None:
    """Take DOS's end of file off the last line, in place: only the file's last one has no line end."""
    if lines[-1].endswith(_DOS_END):
        lines[-1] = lines[-1].rstrip(_DOS_END)


def is_blank(fields: Sequence[str]) -> bool:
    """Return whether a record has only white space, as a spreadsheet's empty line (``,,,``), or DOS's end."""
    return not any(field and not field.isspace() and field.strip(_DOS_END) for field in fields)


def _opening_quote(text: str, delimiter: str, *, cut: bool) -> int:
    """Return where the first quoted field starts that does not end at its own closing quote.

    ``cut``: the text is the beginning of a record without end; then the first one that spans lines.
    Possessive, so that a text without a closing quote costs no memory.
    """
    edge = re.escape(delimiter)
    field = re.compile(rf'("(?:[^"]++|"")*+")?([^{edge}\r\n]*+)(?:{edge}|\r\n|\r|\n|\Z)')
    for match in field.finditer(text):
        if match[2] and (match[1] or match[2].startswith('"')):
            return match.start()
        if cut and match[1] and line_ends(match[1]):
            return match.start()
    return 0
