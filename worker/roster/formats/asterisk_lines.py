"""The lines of Asterisk's configuration files, without comments, and with the files that they include.

Source of the grammar: Asterisk's configuration parser (main/config.c).
"""

from __future__ import annotations

import io
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
_LONGEST = 8190
"""Characters of a line that Asterisk reads; it skips a longer one."""
_MOST_COMMENTS = 128
"""Levels of block comments that Asterisk allows."""

_directive = re.compile(f"#([^{BLANKS}]*)[{BLANKS}]*(.*)", re.DOTALL).fullmatch
_quoted = re.compile('"(.*)"|<(.*)>', re.DOTALL).fullmatch

_block_comment = re.compile(";--(?!-)").search
_EQUALS = " *+= *+"
_VALUE = r"(?!>)[^;\x00-\x1f]{0,8000}+(?<! )"
_JOINED = """
    type username password md5_cred password_digest realm auth outbound_auth endpoint aors
    callerid context mailboxes
    """
plain_sections = re.compile(
    r"^\[(?!(?i:general|authentication)\])(?P<name>[^\];(\x00-\x1f]{1,200}+)\]\r?\n(?:(?:"
    + "".join(f"{name}{_EQUALS}(?P<{name}>{_VALUE})|" for name in _JOINED.split())
    + rf"(?!register *=)[a-z][a-z0-9_/-]{{0,60}}+{_EQUALS}{_VALUE})\r?\n)*+(?:\r?\n)*+(?=\[)",
    re.MULTILINE,
).finditer
"""Find sections as a PBX writes them: a mere name, then settings in lower case without comments.

They mean what they say, in whatever way they are read; so they are found together, which is quick. The
settings by which an endpoint and its auth are joined are groups; of several values the last one counts.
"""

Plain = re.Match[str]
"""A plain section, with all of its lines; the next one follows, or another header."""
Batch = tuple[int, list[str], list[Plain]]
"""Lines without comments and outer blanks, and the number of the first one, in the order of reading; then
plain sections, which follow these lines.

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
            for block, stop in _blocks(stream):
                for some, plain in _pieces(block, stop, cleaner):
                    lines, first = cleaner.clean(some, self._number + 1), 0
                    for end in _directives(lines):
                        yield self._number + 1, lines[first:end], []
                        number = self._number = self._number + end - first + 1
                        yield from self._directive(lines[end], above)
                        first = end + 1
                        if self._number != number:
                            self.files.start(self._number + 1, text, at + first)
                    yield self._number + 1, lines[first:], plain
                    tall = height(plain)
                    self._number += len(lines) - first + tall
                    at += len(lines) + tall
            self.files.end(raw)
        cleaner.end()

    def _directive(self, line: str, above: tuple[str, ...]) -> Iterator[Batch]:
        """Yield what ``#include`` brings, or why it brings nothing; as in Asterisk, others mean nothing."""
        found = _directive(line)
        word, name = (found[1].lower(), found[2]) if found else ("", "")
        if word == "exec" and name:
            yield self._number, [f"{NOT_READ} #exec is never run"], []
        if word not in ("include", "tryinclude") or not name:
            return
        if quoted := _quoted(name):
            name = quoted[1] or quoted[2] or ""
        paths, reason = self.files.find(name)
        if reason and not (word == "tryinclude" and reason == MISSING):
            yield self._number, [f"{NOT_READ} {name}: {reason}"], []
        for path in paths:
            text = self.files.open(path, above, self._number)
            if isinstance(text, Text):
                yield self._number, [BEGIN_FILE], []
                yield from self._file(text, above)
                yield self._number, [END_FILE], []
            elif text:
                yield self._number, [f"{NOT_READ} {path.name}: {text}"], []


def _blocks(stream: io.TextIOBase) -> Iterator[tuple[str, int]]:
    """Yield whole lines together, up to a position: that of a header if there is one, so that few are cut."""
    rest = ""
    while some := stream.read(_BATCH):
        block = f"{rest}{some}{stream.readline()}"  # a line end of two characters may be cut, too
        end = block.rfind("\n[") + 1 or len(block)
        rest = block[end:]
        yield block, end
    if rest:
        yield rest, len(rest)


def _pieces(block: str, stop: int, cleaner: _Cleaner) -> Iterator[tuple[list[str], list[Plain]]]:
    """Yield the block's lines, each time with the plain sections behind them; none is beyond ``stop``."""
    commented = cleaner.is_open or _block_comment(block)
    end = 0
    lines: list[str] = []
    run: list[Plain] = []
    for plain in () if commented else plain_sections(block):
        start, behind = plain.span()
        if start != end:
            if run:
                yield lines, run
            lines, run = _split(block[end:start]), []
        run.append(plain)
        end = behind
    yield lines, run
    if end < stop:
        yield _split(block[end:stop]), []


def _split(text: str) -> list[str]:
    return io.StringIO(text, newline="").readlines()


def height(plain: list[Plain]) -> int:
    """Return the number of lines that plain sections take which follow each other."""
    return plain[0].string.count("\n", plain[0].start(), plain[-1].end()) if plain else 0


def _directives(lines: list[str]) -> list[int]:
    return [at for at, line in enumerate(lines) if line.startswith("#")]


class _Cleaner:
    """Remove the comments of one file."""

    def __init__(self, files: Includes) -> None:
        self._files = files
        self._depth = 0
        """Block comments that are open."""
        self._opened = 0

    @property
    def is_open(self) -> bool:
        """Return whether a block comment is open."""
        return self._depth > 0

    def clean(self, lines: list[str], number: int) -> list[str]:
        """Return the lines without comments and outer blanks; the first one has this number."""
        cleaned = [
            (self._line(line, at) if self._depth or ";" in line else line).strip(BLANKS)
            for at, line in enumerate(lines, number)
        ]
        if max(map(len, cleaned), default=0) > _LONGEST:
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
