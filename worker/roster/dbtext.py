"""The text files of Kamailio's and OpenSIPS' db_text module, as a table.

The first line names the columns with their types, ``username(string) password(string,null)``; each other line
is a row, with ``:`` between its values. Source: modules/db_text/dbt_file.c of Kamailio.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TextIO

from worker.errors import UsageError
from worker.model import Options
from worker.roster.text import LONGEST, Fields, Malformed, Record, Text, named_delimiter

_DELIMITER: Final = ":"
_column = re.compile(
    r"(\w+)[ \t]*\([ \t]*(?:int|str|double|blob|time|date)\w*[ \t]*(?:,[^)]*)?\)", re.IGNORECASE
)
_word = re.compile(r"\w")
_separator = re.compile(r"[ \t]*([^\w() \t]?)[ \t]*")
_ESCAPES: Final = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\"}


def columns_of(text: str) -> tuple[str, ...]:
    """Return the columns' names, if the text begins with the first line of such a file; else none."""
    return tuple(_header(text)[0])


def open_dbtext(text: Text, start: str, options: Options) -> Text:
    """Return the table in a text that begins with ``start``. Raises UsageError if that names no columns."""
    names, delimiter = _header(start)
    if not names:
        hint = "such as username(string) password(string,null)"
        raise UsageError(f"{text.shown}, line 1: no db_text file, which begins with columns and types", hint)
    if options.delimiter:
        delimiter = named_delimiter(options.delimiter)
    return DbText(text.source, text.encoding, delimiter, text.sha256)


@dataclass(frozen=True, slots=True)
class DbText(Text):
    """A db_text file: each row is a line, so it is read like CSV, each time from the source."""

    def records(self, lines: TextIO) -> Iterator[Record]:
        """Yield the column names, and every row that isn't blank, with its line."""
        names = _header(lines.readline())[0]
        yield 1, names
        delimiter = self.delimiter
        for number, line in enumerate(lines, 2):
            line = line.rstrip("\r\n")
            if len(line) > LONGEST:
                yield number, Malformed(f"longer than {LONGEST:,} characters")
            elif line:
                yield number, _fields(line, delimiter) if "\\" in line else line.split(delimiter)


def _header(text: str) -> tuple[list[str], str]:
    """Return the columns' names, and the delimiter of the rows: that of the first line, if it is no blank."""
    line = re.split("[\r\n]", text.lstrip("\ufeff"), maxsplit=1)[0]
    names, delimiter, at = [], "", 0
    while found := _column.match(line, at):
        names.append(found[1])
        between = _separator.fullmatch(line, found.end(), _next(line, found.end()))
        if between is None or (between[1] and delimiter not in ("", between[1])):
            return [], ""
        delimiter, at = between[1] or delimiter, between.end()
    return (names, delimiter or _DELIMITER) if at == len(line) else ([], "")


def _next(line: str, at: int) -> int:
    """Return where the next column's name begins; the line's end if there is none."""
    found = _word.search(line, at)
    return found.start() if found else len(line)


def _fields(line: str, delimiter: str) -> Fields:
    """Return the values of a row that has escapes: ``\\`` before the delimiter, n, r, t, 0 or another one."""
    fields, value, at = [], "", 0
    for found in re.finditer(rf"\\(.?)|{re.escape(delimiter)}", line):
        value += line[at : found.start()]
        at = found.end()
        if found[0] == delimiter:
            fields.append(value)
            value = ""
        elif found[1] == delimiter:
            value += delimiter
        elif found[1] in _ESCAPES:
            value += _ESCAPES[found[1]]
        else:
            return Malformed("a backslash that begins none of the escapes of db_text, or a NUL")
    return [*fields, value + line[at:]]
