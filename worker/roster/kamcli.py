"""The JSON that ``kamcli db show -F json TABLE`` prints, as a table: a list of objects, one a row.

It is read an object at a time. Source: kamcli/ioutils.py (``json.dumps`` of a list of dictionaries).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any, Final, TextIO

from worker.errors import UsageError
from worker.model import Options
from worker.roster.encoding import line_ends
from worker.roster.format import Table
from worker.roster.kept import keep
from worker.roster.text import LONGEST, Fields, Malformed, Record, Text, apart

_CHUNK: Final = 1 << 16
_OBJECT: Final = r'\{(?:[^"{}\[\]]++|"(?:[^"\\]++|\\.)*+")*+\}'
"""An object without others in it, as a row of a table is."""
_object = re.compile(_OBJECT, re.DOTALL).match
_next = re.compile(rf"([\s,]*+)({_OBJECT})", re.DOTALL).match
_end = re.compile(r"[\s,]*+\]\s*").fullmatch
_decode = json.JSONDecoder(object_pairs_hook=list).decode
_Pairs = list[tuple[str, Any]]
_unusable = re.compile("[\0\ud800-\udfff]").search
_TEXTS: Final = ("username", "domain", "password", "ha1", "ha1b")
_TEXT_OR_NULL: Final = (str, type(None))
_AGAIN: Final = "export it again: kamcli db show -F json subscriber"
_start = re.compile(r"\ufeff?\s*\[\s*(\{.*)", re.DOTALL).match


def columns_of(text: str) -> tuple[str, ...]:
    """Return the columns' names, if the text begins with a list of flat objects; else none."""
    found = _start(text)
    first = _object(found[1]) if found else None
    pairs = _parsed(first[0]) if first else None
    return () if pairs is None or isinstance(pairs, Malformed) else tuple(dict(pairs))


def open_kamcli(text: Text, start: str, options: Options) -> Table:
    """Return the table in a text whose ``columns_of`` are known."""
    with text.lines() as lines, closing(text.source):
        found = apart(_rows(lines, text.shown), after=0)
        return keep(found, text.shown, text.sha256, text.encoding)


def _rows(lines: TextIO, shown: str) -> Iterator[Record]:
    """Yield the names of the first object, and each object's values in their order, with its line.

    Raises UsageError for text that is no such list, or ends too early.
    """
    values: Callable[[_Pairs | Malformed], Fields] | None = None
    for line, text in _objects(lines, shown):
        pairs = _parsed(text)
        if values is None:
            if isinstance(pairs, Malformed):
                raise UsageError(f"{shown}, line {line}: {pairs.reason}", _AGAIN)
            names = [name for name, _ in pairs]
            values = _reader(names)
            yield 1, names
        yield line, values(pairs)


def _objects(lines: TextIO, shown: str) -> Iterator[tuple[int, str]]:
    """Yield the text of each object, and the line where it starts."""
    rest, at, line = lines.read(_CHUNK), 0, 1
    opening = re.compile(r"\ufeff?\s*+\[").match(rest)
    if opening is None:
        raise UsageError(f"{shown} is not a list of JSON objects", _AGAIN)
    line += line_ends(opening[0])
    at = opening.end()
    while True:
        if found := _next(rest, at):
            gap, text = found.groups()
            line += line_ends(gap)
            yield line, text
            line += line_ends(text)
            at = found.end()
            continue
        more = lines.read(_CHUNK) if len(rest) - at <= LONGEST else ""
        if more:
            rest, at = rest[at:] + more, 0
            continue
        if _end(rest, at):
            return
        text = "is not as kamcli writes it, or the list ends there"
        raise UsageError(f"{shown}: what follows the object on line {line} {text}", _AGAIN)


def _parsed(text: str) -> _Pairs | Malformed:
    """Return an object's names and values; Malformed if it is broken, or has a name twice."""
    try:
        pairs: _Pairs = _decode(text)
    except ValueError:
        return Malformed("the object is not well-formed JSON")
    return pairs if len(dict(pairs)) == len(pairs) else Malformed("the object has a name twice")


def _reader(names: list[str]) -> Callable[[_Pairs | Malformed], Fields]:
    """Return the function that makes fields of an object's values, in the order of the names."""
    positions = [at for at, name in enumerate(names) if name in _TEXTS]

    def fields_of(pairs: _Pairs | Malformed) -> Fields:
        if isinstance(pairs, Malformed):
            return pairs
        if [name for name, _ in pairs] != names:
            row = dict(pairs)
            if row.keys() != set(names):
                return Malformed("the object's names are not those of the first one")
            pairs = [(name, row[name]) for name in names]
        for at in positions:
            if not isinstance(pairs[at][1], _TEXT_OR_NULL):
                text = f"{names[at]} is not a text in quotes: leading zeros of a number would be lost"
                return Malformed(text)
        fields = [value if value.__class__ is str else _text(value) for _, value in pairs]
        if _unusable("".join(fields)):
            return Malformed("a NUL or half a character, which text can't contain")
        return fields

    return fields_of


def _text(value: Any) -> str:
    """Return a value of the database that is no text; NULL is empty."""
    return "" if value is None else json.dumps(value)
