r"""Read CSV as PHP's ``fputcsv`` writes it, with its default escape character, the backslash.

A quote in a value is doubled, unless a backslash stands before it: ``pa\"ss,1`` is written as ``"pa\"ss,1"``,
the backslash being part of the value. A reader of RFC 4180 takes it for the closing one and shifts the
columns. A value that ends in a backslash is written as ``"pass\"``, which not even PHP's own reader can tell
from a quote inside the value; its row is refused.
Source: ``ext/standard/file.c`` of PHP; the tests hold this reader to a real ``fputcsv``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple, TextIO

from worker.errors import UsageError
from worker.roster.text import LONGEST, MOST_LINES, Fields, Malformed, Record, Text, is_blank, without_dos_end

_BATCH: Final = 1 << 16
"""Characters, plus the rest of a line, that are split together."""
_MOST_STEPS: Final = 10_000
"""Most steps in the search for the readings of one record; only hostile text has more."""
_BACKSLASH_END: Final = (
    "a quoted value seems to end in a backslash, which PHP's CSV can't express; "
    "change that value in the PBX and export again"
)
_AMBIGUOUS: Final = r"it can be read in several ways, because of a \" in it; change that value in the PBX"
_NO_READING: Final = "its quotes are not as PHP writes them; correct the value, or export again"
_quotes = re.compile(r'\\"|""|"').finditer
_undoubled = re.compile(r'(\\")|""').sub
_not_plain = re.compile('["\r\n]').search
_Chain = tuple["_Chain | None", int, int, bool]
"""The fields before, begin and end of the last field, and whether that is quoted and ends in a backslash."""


class _TooManyError(Exception):
    """Raised for a record with more readings than can be tried."""


class _Readings(NamedTuple):
    """The ways to read a text as one record."""

    fitting: list[_Chain]
    """Those with as many fields as the header has."""
    other: _Chain | None
    """One with another number of fields."""
    goes_on: bool
    """Whether a quote may still be open at its end."""


@dataclass(frozen=True, slots=True)
class PhpText(Text):
    """A file that ``fputcsv`` wrote. Where no backslash stands before a quote, it is CSV like any other."""

    @classmethod
    def of(cls, text: Text) -> Text:
        """Return the text, cut as PHP writes it; as it is, if a spreadsheet or somebody else wrote it."""
        if text.delimiter != "," or text.strip:
            return text
        return cls(text.source, text.encoding, text.delimiter, text.sha256, text.first_line)

    def records(self, lines: TextIO) -> Iterator[Record]:
        """Yield every record that isn't blank, with the physical line it starts on.

        Raises:
            UsageError: a quote is not closed, or it is in doubt where a record of several lines ends.
        """
        line, widths = self.first_line, range(0)
        for _ in range(1, line):
            lines.readline()
        while some := lines.readlines(_BATCH):
            without_dos_end(some)
            table = self._split(some)
            if table is None:
                slow = _OneByOne(self, self._split, some, lines, line, widths)
                yield from slow
                line, widths = slow.line, slow.widths
                continue
            for at, fields in enumerate(table, line):
                # If the first field starts with an ASCII letter or sign, the rest need not be checked.
                if (fields and "!" <= fields[0] < "\x7f") or not is_blank(fields):
                    widths = widths or _widths(fields)
                    yield at, fields
            line += len(some)

    def _split(self, lines: list[str]) -> list[Fields] | None:
        """Return a record for each line; None where that needs a closer look.

        A backslash-quote that no delimiter follows can't end a value: doubled, it is what other CSV has.
        """
        text = "".join(lines)
        if '\\"' not in text:
            return self._one_a_line(lines)
        if re.search(rf'\\"(?:[{re.escape(self.delimiter)}\r\n]|\Z)', text):
            return None
        table = self._one_a_line([line.replace('\\"', '\\""') for line in lines])
        # Still doubled: it stood in a value without quotes, or before another quote.
        return None if table is None or '\\""' in "\n".join(map("\n".join, table)) else table


class _OneByOne:
    """Reader of the records that begin in some lines; the last one may go on in the lines behind them."""

    def __init__(
        self, text: Text, split: Callable[[list[str]], list[Fields] | None], some: list[str], rest: TextIO,
        line: int, widths: range,
    ) -> None:  # fmt: skip
        """``line``: number of the first. ``widths``: numbers of fields that a record may have; empty: any."""
        self._text = text
        self._split = split
        self._lines = some
        self._rest = rest
        self.line = line
        self.widths = widths

    def __iter__(self) -> Iterator[Record]:
        at, end = 0, len(self._lines)
        while at < end:
            taken, fields = self._record(at)
            if isinstance(fields, Malformed) or not is_blank(fields):
                self.widths = self.widths or _widths(fields)
                yield self.line, fields
            at += taken
            self.line += taken

    def _record(self, at: int) -> tuple[int, Fields]:
        """Return how many lines a record takes that begins at a line, and its fields."""
        line = self._lines[at]
        if table := self._split([line]):
            return 1, table[0]
        try:
            return self._found(at)
        except _TooManyError:
            raise self._doubt("can be read in very many ways") from None

    def _found(self, at: int) -> tuple[int, Fields]:
        """Try the line, then with each line behind it, as long as a quote may be open."""
        fitting: tuple[int, Fields] | None = None
        other, open_end = None, True
        for taken, text in self._texts(at):
            found = _readings(text, self._text.delimiter, self.widths)
            if found.fitting and fitting:
                raise self._doubt("can be read as a record that ends in two places")
            if found.fitting:
                fitting = (taken, _only(text, found.fitting))
            other = found.other if taken == 1 else other
            if not found.goes_on:
                open_end = False
                break
        if fitting:
            return fitting
        unpaired = '\\"' not in self._lines[at] and self._lines[at].count('"') % 2
        if not other and (open_end or unpaired):
            raise self._doubt("opens a quote that is not closed properly")
        return 1, _fields(self._lines[at], other) if other else Malformed(_NO_READING)

    def _texts(self, at: int) -> Iterator[tuple[int, str]]:
        """Yield the line and what it makes with those behind it, at which a quote may end."""
        lines = [self._lines[at]]
        yield 1, lines[0]
        room = LONGEST - len(lines[0])
        for taken in range(2, MOST_LINES + 1):
            line = self._line(at + taken - 1)
            room -= len(line)
            if not line or room < 0:
                return
            lines.append(line)
            if '"' in line:
                yield taken, "".join(lines)

    def _line(self, at: int) -> str:
        if at == len(self._lines) and (line := self._rest.readline()):
            self._lines.append(line)
        return self._lines[at] if at < len(self._lines) else ""

    def _doubt(self, how: str) -> UsageError:
        return UsageError(
            f"{self._text.source.shown}, line {self.line}: the line {how}",
            r"change the value that holds \" or ends in \ in the PBX, and export again",
        )


def _readings(text: str, delimiter: str, widths: range) -> _Readings:
    """Return all ways to read the text as one record that ends where the text does."""
    end = len(text) - (2 if text.endswith("\r\n") else text.endswith(("\n", "\r")))
    found, other, goes_on = [], None, False
    begun: list[tuple[int, int, _Chain | None]] = [(0, 0, None)]
    steps = 0
    while begun:
        at, count, before = begun.pop()
        for after, slashed in _ends(text, at, end, delimiter):
            if (steps := steps + 1) > _MOST_STEPS:
                raise _TooManyError
            chain = (before, at, after, slashed)
            if after < 0:
                goes_on = True
            elif after < end:
                begun.append((after + 1, count + 1, chain))
            elif not widths or count + 1 in widths:
                found.append(chain)
            else:
                other = chain
    return _Readings(found, other, goes_on)


def _ends(text: str, at: int, end: int, delimiter: str) -> Iterator[tuple[int, bool]]:
    """Yield the positions at which the field that begins at one may end, and whether a backslash ends it.

    -1: its quote is still open at the end.
    """
    if not text.startswith('"', at, end):
        stop = text.find(delimiter, at, end)
        stop = end if stop < 0 else stop
        if not _not_plain(text, at, stop):
            yield stop, False
        return
    for quote in _quotes(text, at + 1, end):
        stop, mark = quote.end(), quote[0]
        if mark != '""' and (stop == end or text[stop] == delimiter):
            yield stop, mark != '"'
        if mark == '"':
            return
    yield -1, False


def _only(text: str, found: list[_Chain]) -> Fields:
    """Return the fields of the only reading; the reason to refuse the record if there is a doubt."""
    if any(_ends_in_backslash(chain) for chain in found):
        return Malformed(_BACKSLASH_END)
    return _fields(text, found[0]) if len(found) == 1 else Malformed(_AMBIGUOUS)


def _ends_in_backslash(chain: _Chain | None) -> bool:
    while chain:
        chain, _, _, slashed = chain
        if slashed:
            return True
    return False


def _fields(text: str, chain: _Chain | None) -> Fields:
    fields = []
    while chain:
        chain, at, stop, _ = chain
        quoted = text.startswith('"', at, stop)
        fields.append(_undoubled(_single, text[at + 1 : stop - 1]) if quoted else text[at:stop])
    return fields[::-1]


def _single(quotes: re.Match[str]) -> str:
    return quotes[1] or '"'


def _widths(header: Fields) -> range:
    """Return the numbers of fields that a record may have: columns without a name may be left out."""
    named = len(header)
    while named and not header[named - 1].strip():
        named -= 1
    return range(named, len(header) + 1)
