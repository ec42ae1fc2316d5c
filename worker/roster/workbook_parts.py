"""The parts of a zipped workbook, read as streams and within bounds, whatever the file claims about them."""

from __future__ import annotations

import lzma
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any, BinaryIO, Final
from zipfile import BadZipFile, ZipFile

from lxml import etree

from worker.roster.workbook_plain import Pending, Plain

_BLOCK: Final = 1 << 18
_LARGEST: Final = 1 << 32
"""Bytes of a part, unpacked."""
_SUSPICIOUS: Final = 1 << 25
_MOST_PACKED: Final = 250
"""From ``_SUSPICIOUS`` bytes on, no part of a real workbook shrinks to less than a 250th."""
_SMALL_PART: Final = 1 << 25
_LONGEST_ELEMENT: Final = 1 << 24
"""Bytes of a row or a text, with its markup: it is in memory as a whole."""


UNPACKING: Final = (
    BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, OSError, RuntimeError, ValueError,
    OverflowError,
)  # fmt: skip
"""Errors that zipfile raises for a damaged archive, besides its own."""


class Damaged(Exception):
    """Raised for a workbook that can't be read; its text says why and holds nothing of the content."""


class Protected(Damaged):
    """Raised for a workbook that needs a password to be opened."""


class Parts:
    """The parts of a zipped workbook."""

    def __init__(self, file: BinaryIO) -> None:
        """Read the directory. Raises Damaged."""
        try:
            self._zip = ZipFile(file)
        except UNPACKING as error:
            raise Damaged("its ZIP directory is incomplete or damaged") from error
        self.names = frozenset(self._zip.namelist())

    def small(self, name: str) -> Any:
        """Return a part's root element; None if there is no such part. Raises Damaged if it is not small."""
        if name not in self.names:
            return None
        root = None
        for _, element in self.elements(name, ("*",), small=True):
            root = element
        return root

    def elements(
        self, name: str, tags: tuple[str, ...], *, small: bool = False, plain: Plain[Any] | None = None
    ) -> Iterator[tuple[str, Any]]:
        """Yield the start and the end of each element with one of the tags.

        The caller clears what it has read. ``small``: the whole part stays in memory. ``plain``: elements
        that come in runs. Raises Damaged.
        """
        parser = etree.XMLPullParser(
            ("start", "end"), tag=tags, resolve_entities=False, no_network=True, load_dtd=False,
            remove_comments=True, remove_pis=True,
        )  # fmt: skip
        since = total = 0
        with self._open(name) as part:
            try:
                while block := part.read(_BLOCK):
                    if total == 0 and b"<!DOCTYPE" in block.replace(b"\0", b""):
                        raise Damaged(f"its part {name} declares a document type, as no spreadsheet does")
                    total += len(block)
                    since += len(block)
                    parser.feed(plain.shortened(block) if plain else block)
                    for event in parser.read_events():
                        since = 0
                        yield event
                    if since > _LONGEST_ELEMENT or (small and total > _SMALL_PART):
                        raise Damaged(f"its part {name} has an element that is too long")
                parser.feed(plain.rest() if plain else b"")
                parser.close()
                yield from parser.read_events()
            except Pending:
                raise Damaged(f"its part {name} has its elements at a wrong place") from None
            except etree.XMLSyntaxError as error:
                raise Damaged(f"its part {name} is not well-formed XML, at line {error.lineno}") from None
            except UNPACKING as error:
                raise Damaged(f"its part {name} can't be unpacked") from error

    @contextmanager
    def _open(self, name: str) -> Iterator[_Bounded]:
        try:
            found = self._zip.getinfo(name)
            if found.flag_bits & 1:
                raise Protected
            stream = self._zip.open(found)
        except KeyError:
            raise Damaged(f"it has no part {name}") from None
        except UNPACKING as error:
            raise Damaged(f"its part {name} can't be unpacked") from error
        with stream:
            yield _Bounded(stream, found.compress_size)

    def close(self) -> None:
        """Close the directory; the file stays open."""
        self._zip.close()


class _Bounded:
    """A part that ends with an error when it is larger than a workbook's part can be."""

    def __init__(self, stream: IO[bytes], packed: int) -> None:
        self._stream, self._packed, self._total = stream, packed, 0

    def read(self, size: int) -> bytes:
        block = self._stream.read(size)
        self._total += len(block)
        is_bomb = self._total > _SUSPICIOUS and self._total > _MOST_PACKED * self._packed
        if is_bomb or self._total > _LARGEST:
            raise Damaged("it unpacks to far more than a workbook holds")
        return block


_locals: dict[object, str] = {}
"""Names without their namespaces, by tags; a workbook has some hundred."""
_MOST_TAGS = 1000


def local(element: Any) -> str:
    """Return an element's name without its namespace."""
    tag = element.tag
    name = _locals.get(tag)
    if name is None:
        name = str(tag).rpartition("}")[2]
        if len(_locals) < _MOST_TAGS:
            _locals[tag] = name
    return name


def let_go(element: Any) -> None:
    """Free an element that was read, and those before it in its parent."""
    element.clear()
    parent = element.getparent()
    if parent is not None:
        while element.getprevious() is not None:
            del parent[0]
