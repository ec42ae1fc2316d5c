"""The tags of FreeSWITCH's XML, as a stream, with what the preprocessor includes and sets.

FreeSWITCH doesn't read XML by the book: FusionPBX writes ``&`` and ``<`` in values as they are, and a library
either stops there or changes the values in silence. So this reader takes tags whose values are in quotes, and
leaves their text to ``decoded``. It knows the five entities and characters by number, and refuses a DTD:
nothing is expanded. Sources: switch_xml.c of FreeSWITCH, and the files that FreeSWITCH and FusionPBX write.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple, TextIO

from worker.roster.formats.includes import Includes
from worker.roster.source import Hashed
from worker.roster.text import LONGEST, Text

OPEN: Final = "<"
CLOSE: Final = "</"
EMPTY: Final = "</>"
USER: Final = "</user>"
"""A whole user."""
BROKEN: Final = "?"
"""Kinds of tags; a broken one has the text that is wrong with it as its name."""
NOT_READ: Final = "!"
"""Instead of a file that was not read; its name is the reason."""
_CHUNK: Final = 1 << 17
_MOST_VARIABLES: Final = 10_000
_NAME = r"[A-Za-z_][\w.:-]*+"
_VALUE = r"""(?:"[^"\n]*+"|'[^'\n]*+')"""
_tag = re.compile(rf"<(/?)({_NAME})((?:\s++{_NAME}\s*+=\s*+{_VALUE})*+)\s*+(/?)>").match
_attribute = re.compile(rf"({_NAME})\s*+=\s*+({_VALUE})").findall
_PLAIN = r'"[^"<&\n]*+"'


def _plain_elements(name: str) -> str:
    return rf"<{name}s>((?:\s*+<{name} name={_PLAIN} value={_PLAIN}\s*+/>)*+)\s*+</{name}s>"


_user = re.compile(
    rf"<user((?:\s++{_NAME}={_PLAIN})*+)>\s*+{_plain_elements('param')}"
    rf"\s*+(?:{_plain_elements('variable')}\s*+)?</user>"
).match
"""Match the usual user, which needs no closer look: nothing in it has to be decoded."""
_pairs = re.compile(r' name="([^"]*+)" value="([^"]*+)"').findall
_entity = re.compile(r"&(?:(amp|lt|gt|quot|apos)|#([0-9]{1,7})|#x([0-9A-Fa-f]{1,6}));")
_NAMED: Final = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'"}
_variable = re.compile(r"\$\$\{([^}]*)\}")
_unusable = re.compile("[\\0\\ud800-\\udfff]").search
_set_in_comment = re.compile(r'<X-PRE-PROCESS\s[^>]*data\s*=\s*"([^"=]*)=', re.IGNORECASE).findall
COMMENT: Final = "!--"
_LONGEST_MARK: Final = len("<![CDATA[")
_SKIPPED: Final = {"<!--": "-->", "<![CDATA[": "]]>", "<?": "?>"}


class Tag(NamedTuple):
    """A tag, and the number of the line where it starts."""

    line: int
    kind: str
    name: str
    text: str = ""
    """The attributes as they are written."""
    params: str = ""
    variables: str = ""
    """The elements of a whole user."""


class Tags:
    """The tags of a file and of those that it includes, each iteration from the start."""

    def __init__(self, files: Includes) -> None:
        self.files = files
        self._variables: dict[str, str] = {}
        self._last = 0
        """The number of the last line that was read."""

    def __iter__(self) -> Iterator[Tag]:
        """Yield all tags. Raises UsageError, with the line, for a DTD and for markup without an end."""
        self.files.begin()
        self._variables.clear()
        self._last = 0
        yield from self._file(self.files.text, ())

    def attributes(self, tag: Tag) -> dict[str, str]:
        """Return the attributes as they are written, with the values of variables that the files set."""
        text = self._expanded(tag.text) if "$${" in tag.text else tag.text
        return {name: value[1:-1] for name, value in _attribute(text)}

    def pairs(self, text: str) -> list[tuple[str, str]]:
        """Return names and values of the elements in a whole user."""
        found: list[tuple[str, str]] = _pairs(self._expanded(text) if "$${" in text else text)
        return found

    def _expanded(self, text: str) -> str:
        return _variable.sub(lambda found: self._variables.get(found[1], found[0]), text)

    def _file(self, text: Text, above: tuple[str, ...]) -> Iterator[Tag]:
        raw = Hashed(text.source.open())
        self.files.start(self._last + 1, text, 1)
        with text.lines(raw) as stream:
            reading = _Reading(stream, self._last, self.files)
            for tag in reading.tags():
                if tag.name.upper() == "X-PRE-PROCESS" and tag.kind != BROKEN:
                    self._last = tag.line
                    yield from self._preprocess(tag, (*above, text.source.place))
                    if self._last != tag.line:  # go on with a number of its own for the rest of the line
                        self.files.start(self._last + 1, text, reading.line)
                        reading.before = self._last + 1 - reading.line
                elif tag.name == COMMENT:
                    yield from self._commented(tag)
                else:
                    yield tag
            self._last = reading.before + reading.line
            self.files.end(raw)

    def _preprocess(self, tag: Tag, above: tuple[str, ...]) -> Iterator[Tag]:
        """Yield the tags that a preprocessor's tag brings."""
        attributes = self.attributes(tag)
        command, data = attributes.get("cmd", ""), attributes.get("data", "")
        if command == "set" and len(self._variables) < _MOST_VARIABLES:
            name, _, value = data.partition("=")
            self._variables.setdefault(name, value)
            if self._variables[name] != value:  # which one counts depends on FreeSWITCH's version
                self._variables[name] = f"$${{{name}}}"
        elif command in ("exec", "exec-set"):
            yield Tag(tag.line, NOT_READ, "a program's output: it is never run")
        elif command == "include":
            paths, reason = self.files.find(data, above[-1])
            if reason:
                yield Tag(tag.line, NOT_READ, f"{data}: {reason}")
            for path in paths:
                text = self.files.open(path, above, self._last)
                if isinstance(text, Text):
                    yield from self._file(text, above)
                elif text:
                    yield Tag(tag.line, NOT_READ, f"{path.name}: {text}")

    def _commented(self, tag: Tag) -> Iterator[Tag]:
        """Follow FreeSWITCH, whose preprocessor doesn't know comments: what they set is in doubt."""
        if tag.text.startswith("#include"):
            yield Tag(tag.line, NOT_READ, "a file in the old form <!--#include-->; use X-PRE-PROCESS")
        for name in _set_in_comment(tag.text):
            self._variables[name] = f"$${{{name}}}"


class _Reading:
    """One file's text, in chunks."""

    def __init__(self, stream: TextIO, before: int, files: Includes) -> None:
        self.before = before
        """The number that is added to a line of this file."""
        self.line = 1
        """The line of this file that is being read."""
        self._stream = stream
        self._files = files
        self._text = ""
        self._at = 0
        self._ended = False

    def tags(self) -> Iterator[Tag]:
        """Yield the file's tags, and its comments as far as they matter."""
        while True:
            start = self._text.find("<", self._at)
            self._go_to(start if start >= 0 else len(self._text))
            if start < 0:
                if not self._more():
                    return
            elif len(self._text) - self._at < _LONGEST_MARK and not self._ended:
                self._more()
            elif found := _user(self._text, self._at):
                yield Tag(self.before + self.line, USER, "user", *found.groups(""))
                self._go_to(found.end())
            elif found := _tag(self._text, self._at):
                close, name, text, empty = found.groups()
                yield Tag(self.before + self.line, CLOSE if close else EMPTY if empty else OPEN, name, text)
                self._go_to(found.end())
            elif mark := next((one for one in _SKIPPED if self._text.startswith(one, self._at)), ""):
                yield from self._skipped(mark, _SKIPPED[mark])
            elif self._text.startswith("<!", self._at):
                text = "a DTD, which no directory of FreeSWITCH has"
                raise self._files.error(self.before + self.line, text, "remove it, and what it defines")
            elif self._ended or len(self._text) - self._at > LONGEST:
                yield self._broken()
            else:
                self._more()

    def _broken(self) -> Tag:
        """Return the tag for what is no tag, and go to the end of its line."""
        tag = Tag(
            self.before + self.line, BROKEN, "not well-formed: is a quote, & or < in a value not escaped?"
        )
        end = self._text.find("\n", self._at)
        self._go_to(end if end >= 0 else len(self._text))
        return tag

    def _skipped(self, begin: str, end: str) -> Iterator[Tag]:
        """Go behind a comment, CDATA or instruction; yield a comment that sets or includes something."""
        line = self.before + self.line
        at = self._at + len(begin)
        while (found := self._text.find(end, at)) < 0:
            self._go_to(max(at, len(self._text) - len(end)))
            if not self._more():
                raise self._files.error(line, f"{begin} without {end}", "close it")
            at = 0
        text = self._text[at:found]
        self._go_to(found + len(end))
        if begin == "<!--" and ("#include" in text or _set_in_comment(text)):
            yield Tag(line, OPEN, COMMENT, text)

    def _more(self) -> bool:
        """Read a chunk; return whether there was one."""
        chunk = self._stream.read(_CHUNK)
        if chunk.endswith("\r"):
            chunk += self._stream.read(1)
        self._ended = not chunk
        self._text = self._text[self._at :] + chunk.replace("\r\n", "\n").replace("\r", "\n")
        self._at = 0
        return bool(chunk)

    def _go_to(self, end: int) -> None:
        """Go on to the position, and count the line ends up to it."""
        self.line += self._text.count("\n", self._at, end)
        self._at = end


def decoded(value: str) -> str | None:
    """Return the text of a value; None if it holds a ``<`` or ``&`` that is not written as XML has it."""
    if "&" not in value and "<" not in value:
        return value
    text = _entity.sub(_character, value)
    return None if "<" in value or "&" in _entity.sub("", value) or _unusable(text) else text


def shown(value: str) -> str:
    """Return the text of a value for people: what is not written as XML has it stays as it is."""
    return decoded(value) or value


def _character(found: re.Match[str]) -> str:
    if found[1]:
        return _NAMED[found[1]]
    number = int(found[2]) if found[2] else int(found[3], 16)
    return chr(number) if number <= 0x10FFFF else "\0"
