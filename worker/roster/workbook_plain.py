"""Plain elements of a workbook, cut out of a part before the XML parser sees it.

Nearly all rows hold nothing but short texts in the form that every spreadsheet writes. A regular expression
that describes the whole element reads it three times as fast as an XML parser; any other element goes on to
the parser unchanged.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from secrets import token_hex
from typing import Any, Final, Generic, TypeVar
from xml.sax.saxutils import unescape

_LITERAL: Final = r"[^<>&\0-\x08\x0b-\x1f]*"
TEXT: Final = rf"({_LITERAL}(?:&(?:amp|lt|gt|quot|apos);{_LITERAL})*)"
"""Pattern of a text without markup, control characters, and ends of lines but LF: ``resolved`` reads it."""
Item = TypeVar("Item")

_RUN: Final = f"run-{token_hex(8)}"
"""The attribute with a run's number, which no file can know."""
_MOST_PENDING: Final = 1 << 24
_no_characters = re.compile("[\ufffe\uffff]").search
"""Match what XML doesn't allow, besides control characters."""
_is_utf8 = re.compile(
    rb"""(?:\xef\xbb\xbf)?<(?:[a-z]|\?xml version=["']1\.0["'](?: encoding=["']utf-8["'])?"""
    rb"""(?: standalone=["']\w+["'])?\s*\?>)""",
    re.IGNORECASE,
).match


def resolved(text: str) -> str:
    """Return what a text that matches ``TEXT`` means."""
    return unescape(text, {"&quot;": '"', "&apos;": "'"})


class Pending(Exception):
    """Raised for a part with more plain elements at a wrong place than memory should hold."""


class Plain(Generic[Item]):
    """The plain elements with one tag.

    In place of a run of them, the parser gets an empty element with the same tag and the run's number. So
    the parser decides what they are: in a comment or in another namespace, they are nothing.
    """

    def __init__(
        self,
        tag: str,
        read: Callable[[str], Item | None],
        read_all: Callable[[str], list[Item] | None] = lambda _: None,
    ) -> None:
        """``read``: return what an element without its end tag is; None if it is not plain.

        ``read_all``: return what each of some elements is; None if there is anything but plain ones.
        """
        self._tag, self._end, self._read, self._read_all = tag, f"</{tag}>", read, read_all
        self._rest = b""
        self._runs: dict[str, tuple[list[Item], int]] = {}
        self._number = self._pending = 0
        self._reads: bool | None = None

    def shortened(self, block: bytes) -> bytes:
        """Return the text for the parser, up to the last end tag in the block. Raises Pending."""
        if self._reads is None:
            self._reads = bool(_is_utf8(block))
        if not self._reads:
            return block
        text, end, rest = (self._rest + block).rpartition(self._end.encode())
        if not end:
            return self.rest() + block
        self._rest = rest
        try:
            decoded = text.decode()
            if decoded.isascii() or not _no_characters(decoded):
                return self._without_runs(decoded).encode()
        except UnicodeDecodeError:  # it begins within a character, or is no UTF-8: the parser decides
            pass
        return text + end

    def rest(self) -> bytes:
        """Return what follows the last end tag."""
        rest, self._rest = self._rest, b""
        return rest

    def taken(self, element: Any) -> list[Item] | None:
        """Return the run that an element stands for; None if it stands for itself."""
        number = element.get(_RUN)
        if number is None:
            return None
        items, size = self._runs.pop(number)
        self._pending -= size
        return items

    def _without_runs(self, text: str) -> str:
        """Return the text, which ends before an end tag, with an element for each run."""
        if run := self._read_all(text + self._end):
            return self._kept(run, len(text))
        pieces: list[str] = []
        items: list[Item] = []
        size = 0
        read, end = self._read, self._end
        for piece in text.split(end):
            item = read(piece)
            if item is not None:
                items.append(item)
                size += len(piece)
                continue
            if items:
                pieces.append(self._kept(items, size))
                items, size = [], 0
            pieces += (piece, end)
        if items:
            pieces.append(self._kept(items, size))
        return "".join(pieces)

    def _kept(self, items: list[Item], size: int) -> str:
        """Keep a run; return the element in its place."""
        self._number += 1
        self._runs[str(self._number)] = items, size
        self._pending += size
        if self._pending > _MOST_PENDING:
            raise Pending
        return f'<{self._tag} {_RUN}="{self._number}"/>'
