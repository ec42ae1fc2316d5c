"""The lines of Asterisk's configuration files, without comments, and with the files that they include.

Source of the grammar: Asterisk's configuration parser (main/config.c).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from worker.roster.formats.includes import MISSING, Includes
from worker.roster.source import Hashed
from worker.roster.text import Text

BLANKS: Final = "".join(map(chr, range(33)))
"""The characters that Asterisk strips from lines, names and values; a no-break space isn't one."""
BEGIN_FILE: Final = "#<"
END_FILE: Final = "#>"
"""Marks among the lines, where an included file begins and ends."""
NOT_READ: Final = "#!"
"""Begins a line that stands for a file, or for a program's output, that was not read; the reason follows."""
_BLOCK_COMMENT = ";--"
_LONGEST = 8190
"""Characters of a line that Asterisk reads; it skips a longer one."""
_MOST_COMMENTS = 128
"""Levels of block comments that Asterisk allows."""

_directive = re.compile(f"#([^{BLANKS}]*)[{BLANKS}]*(.*)", re.DOTALL).fullmatch
_quoted = re.compile('"(.*)"|<(.*)>', re.DOTALL).fullmatch

Batch = tuple[int, list[str]]
"""Lines without comments and outer blanks, and the number of the first one, in the order of reading.

Directives are carried out; the marks above stand in batches of their own.
"""
_BATCH = 1 << 18
"""Characters that are read together."""


class _BrokenComment(ValueError):
    """Raised for block comments that Asterisk itself can't read."""


class Lines:
    """The lines of a file and of those that it includes, numbered in the order in which they are read.

    Iterable as often as needed. Without ``#include``, the numbers are those of the file.
    """

    def __init__(self, files: Includes) -> None:
        self.files = files
        self._number = 0

    def __iter__(self) -> Iterator[Batch]:
        """Yield the lines. Raises UsageError, with file and line, if the rest of them is in doubt."""
        self.files.begin()
        self._number = 0
        yield from self._file(self.files.text, ())

    def _file(self, text: Text, above: tuple[str, ...]) -> Iterator[Batch]:
        """Yield the lines of one file and, in place of ``#include``, those of the files that it names."""
        raw = Hashed(text.source.open())
        cleaner = _Cleaner(self.files)
        above = (*above, text.source.place)
        at = 1
        self.files.start(self._number + 1, text, at)
        with text.lines(raw) as stream:
            while some := stream.readlines(_BATCH):
                joined = "".join(some)
                lines = cleaner.clean(some, joined, self._number + 1)
                begin = 0
                for end in _directives(lines) if "#" in joined else ():
                    yield self._number + 1, lines[begin:end]
                    number = self._number = self._number + end - begin + 1
                    yield from self._directive(lines[end], above)
                    begin = end + 1
                    if self._number != number:
                        self.files.start(self._number + 1, text, at + begin)
                yield self._number + 1, lines[begin:]
                self._number += len(lines) - begin
                at += len(lines)
            self.files.end(raw)
        cleaner.end()

    def _directive(self, line: str, above: tuple[str, ...]) -> Iterator[Batch]:
        """Yield what ``#include`` brings, or why it brings nothing; as in Asterisk, others mean nothing."""
        found = _directive(line)
        word, name = (found[1].lower(), found[2]) if found else ("", "")
        if word == "exec" and name:
            yield self._number, [f"{NOT_READ} #exec is never run"]
        if word not in ("include", "tryinclude") or not name:
            return
        if quoted := _quoted(name):
            name = quoted[1] or quoted[2] or ""
        paths, reason = self.files.find(name)
        if reason and not (word == "tryinclude" and reason == MISSING):
            yield self._number, [f"{NOT_READ} {name}: {reason}"]
        for path in paths:
            text = self.files.open(path, above, self._number)
            if isinstance(text, Text):
                yield self._number, [BEGIN_FILE]
                yield from self._file(text, above)
                yield self._number, [END_FILE]
            elif text:
                yield self._number, [f"{NOT_READ} {path.name}: {text}"]


def _directives(lines: list[str]) -> list[int]:
    return [at for at, line in enumerate(lines) if line.startswith("#")]


class _Cleaner:
    """Remove the comments of one file."""

    def __init__(self, files: Includes) -> None:
        self._files = files
        self._depth = 0
        """Block comments that are open."""
        self._opened = 0

    def clean(self, lines: list[str], joined: str, number: int) -> list[str]:
        """Return the lines without comments and outer blanks; the first one has this number."""
        if self._depth or _BLOCK_COMMENT in joined:
            cleaned = [self._line(line, at).strip(BLANKS) for at, line in enumerate(lines, number)]
        else:
            cleaned = [
                (line if ";" not in line else self._line(line, at)).strip(BLANKS)
                for at, line in enumerate(lines, number)
            ]
        if max(map(len, cleaned)) > _LONGEST:
            at = next(at for at, line in enumerate(cleaned, number) if len(line) > _LONGEST)
            hint = f"shorten it to {_LONGEST:,}, or remove it"
            raise self._files.error(
                at, f"the line has more than {_LONGEST:,} characters: Asterisk skips it", hint
            )
        return cleaned

    def end(self) -> None:
        """Raise UsageError if the file ends in a block comment: all that follows is missing."""
        if self._depth:
            text = "the block comment that begins here has no end"
            raise self._files.error(self._opened, text, "end it with --;")

    def _line(self, line: str, number: int) -> str:
        before = self._depth
        try:
            line, self._depth = _uncommented(line, before)
        except _BrokenComment as error:
            hint = "write \\; for a semicolon that is part of a value"
            raise self._files.error(number, str(error), hint) from None
        if self._depth and not before:
            self._opened = number
        return line


def _uncommented(line: str, depth: int) -> tuple[str, int]:
    """Return the line without comments, and the number of block comments that are open behind it.

    ``depth``: the number of those before it. A ``;`` behind a backslash is no comment.
    """
    kept: list[str] = []
    start = at = 0
    while (found := line.find(";", at)) >= 0:
        if found > at and line[found - 1] == "\\":
            if not depth:
                kept.append(line[start : found - 1])
            start, at = found, found + 1
        elif line.startswith("--", found + 1) and not line.startswith("-", found + 3):
            if depth == _MOST_COMMENTS:
                raise _BrokenComment("too many block comments in each other")
            if not depth:
                kept.append(line[start:found])
            depth, at = depth + 1, found + 3
        elif found - 2 >= at and line.startswith("--", found - 2):
            if not depth:
                raise _BrokenComment("--; ends a block comment that has no beginning")
            depth, at = depth - 1, found + 1
            start = at
        elif depth:
            at = found + 1
        else:
            kept.append(line[start:found])
            return "".join(kept), 0
    if not depth:
        kept.append(line[start:])
    return "".join(kept), depth
