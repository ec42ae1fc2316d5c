"""The JSON that ``kamcli db show -F json TABLE`` prints, as a table: a list of objects, one a row.

It is read an object at a time. Source: kamcli/ioutils.py (``json.dumps`` of a list of dictionaries).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, TextIO

from worker.errors import UsageError
from worker.model import Options
from worker.roster.encoding import line_ends
from worker.roster.text import LONGEST, Fields, Malformed, Record, Text, apart

_CHUNK: Final = 1 << 16
_between = re.compile(r"[\s,]*+")
_object = re.compile(r'\{(?:[^"{}\[\]]++|"(?:[^"\\]++|\\.)*+")*+\}', re.DOTALL)
"""An object without others in it, as a row of a table is."""
_unusable = re.compile("[\0\ud800-\udfff]").search
_TEXTS: Final = ("username", "domain", "password", "ha1", "ha1b")
_AGAIN: Final = "export it again: kamcli db show -F json subscriber"
_start = re.compile(r"\ufeff?\s*\[\s*(\{.*)", re.DOTALL).match


def columns_of(text: str) -> tuple[str, ...]:
    """Return the columns' names, if the text begins with a list of flat objects; else none."""
    found = _start(text)
    first = _object.match(found[1]) if found else None
    fields = _parsed(first[0]) if first else None
    return tuple(fields) if isinstance(fields, dict) else ()


def open_kamcli(text: Text, start: str, options: Options) -> Text:
    """Return the table in a text whose ``columns_of`` are known."""
    return KamcliText(text.source, text.encoding, "", text.sha256)


@dataclass(frozen=True, slots=True)
class KamcliText(Text):
    """A list of JSON objects, read each time from the source."""

    def records(self, lines: TextIO) -> Iterator[Record]:
        """Yield the names of the first object, and each object's values in their order, with its line.

        Raises UsageError for text that is no such list, or ends too early.
        """
        yield from apart(self._rows(lines), after=0)

    def _rows(self, lines: TextIO) -> Iterator[Record]:
        names: list[str] = []
        for line, text in _objects(lines, self.shown):
            row = _parsed(text)
            if not names:
                if isinstance(row, Malformed):
                    raise UsageError(f"{self.shown}, line {line}: {row.reason}", _AGAIN)
                names = list(row)
                yield 1, names
            yield line, _fields(row, names)


def _objects(lines: TextIO, shown: str) -> Iterator[tuple[int, str]]:
    """Yield the text of each object, and the line where it starts."""
    rest, at, line = lines.read(_CHUNK), 0, 1
    opening = re.compile(r"\ufeff?\s*+\[").match(rest)
    if opening is None:
        raise UsageError(f"{shown} is no list of JSON objects", _AGAIN)
    line += line_ends(opening[0])
    at = opening.end()
    while True:
        gap = _between.match(rest, at)
        found = _object.match(rest, gap.end() if gap else at)
        if gap and found:
            line += line_ends(gap[0])
            yield line, found[0]
            line += line_ends(found[0])
            at = found.end()
            continue
        more = lines.read(_CHUNK) if len(rest) - at <= LONGEST else ""
        if more:
            rest, at = rest[at:] + more, 0
            continue
        if gap and rest[gap.end() :].strip() == "]":
            return
        text = "is not as kamcli writes it, or the list ends there"
        raise UsageError(f"{shown}: what follows the object on line {line} {text}", _AGAIN)


def _parsed(text: str) -> dict[str, Any] | Malformed:
    """Return an object's names and values; Malformed if it is broken, or has a name twice."""
    try:
        pairs = json.loads(text, object_pairs_hook=list)
    except ValueError:
        return Malformed("the object is not well-formed JSON")
    row = dict(pairs)
    return row if len(row) == len(pairs) else Malformed("the object has a name twice")


def _fields(row: dict[str, Any] | Malformed, names: list[str]) -> Fields:
    if isinstance(row, Malformed):
        return row
    if row.keys() != set(names):
        return Malformed("the object's names are not those of the first one")
    for name in _TEXTS:
        if not isinstance(row.get(name, ""), str | None):
            return Malformed(f"{name} is no text in quotes: zeros in front of a number would be lost")
    fields = [_text(row[name]) for name in names]
    return (
        Malformed("a NUL or half a character, which text can't contain")
        if any(map(_unusable, fields))
        else fields
    )


def _text(value: Any) -> str:
    """Return a value of the database; NULL is empty."""
    return value if isinstance(value, str) else "" if value is None else json.dumps(value)
