"""Uploaded files as sources: the caller gives their blocks, one at a time; none is on a disk in clear."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO, Final, cast

from worker.errors import UsageError
from worker.roster.source import BLOCK, Bounded, Source, Spooled
from worker.roster.spool import BlockReading

CellsByLine = Mapping[int, Mapping[str, str]]
"""Corrected cells: physical line on which a record starts → {column: value}."""
MOST_UNPACKED: Final = 1 << 30
"""Bytes that an uploaded, compressed roster may unpack to."""


@dataclass(frozen=True, slots=True)
class UploadedFile:
    """An uploaded file (worker.roster.source.Source), with the cells of it that were corrected since."""

    name: str
    place: str
    """``upload:ID``."""
    size: int
    """Bytes."""
    block: Callable[[int], bytes] = field(repr=False)
    """Returns a block of ``spool.BLOCK`` bytes by its number; empty after the last one."""
    corrections: CellsByLine = field(default_factory=dict, repr=False)
    version: str = ""
    """Changes with each correction; empty: there are none."""

    @property
    def shown(self) -> str:
        """Return the file's name and its place, as messages name it."""
        return f"{self.name} ({self.place})"

    def open(self) -> io.RawIOBase:
        """Return a new, seekable reading from the start."""
        return BlockReading(self)

    def close(self) -> None:
        """Close nothing: each block is fetched when it is read."""


@dataclass(frozen=True, slots=True)
class CorrectedSource:
    """Another source with corrected cells: an uploaded file's unpacked content."""

    source: Source
    corrections: CellsByLine = field(repr=False)
    version: str

    @property
    def name(self) -> str:
        """Return the source's name."""
        return self.source.name

    @property
    def place(self) -> str:
        """Return the source's place."""
        return self.source.place

    @property
    def shown(self) -> str:
        """Return the place, as messages name it."""
        return self.source.shown

    def open(self) -> io.RawIOBase:
        """Return a new reading from the start."""
        return self.source.open()

    def close(self) -> None:
        """Delete the copy."""
        self.source.close()


def unpacked(file: UploadedFile, most: int = MOST_UNPACKED) -> UploadedFile | CorrectedSource:
    """Return the file, or the content of one whose name ends with ``.gz``, sealed in a temporary file.

    Raises UsageError if it is damaged, or unpacks to more than ``most`` bytes.
    """
    stem, dot, end = file.name.rpartition(".")
    if not (stem and dot and end.lower() == "gz"):
        return file
    try:
        with io.BufferedReader(file.open(), BLOCK) as packed, gzip.open(packed) as stream:
            content = cast(BinaryIO, Bounded(stream, most))
            return CorrectedSource(Spooled(stem, file.place, content), file.corrections, file.version)
    except (EOFError, gzip.BadGzipFile, zlib.error):
        raise UsageError(
            f"{file.shown} can't be unpacked: it is damaged, or not a gzip file", "unpack it and upload that"
        ) from None
