"""Records that are parsed only once: kept sealed in a temporary file, and read back as often as needed.

So a format with sections, a workbook, a database or a folder of files takes the memory of one group of
records, and all readings see the same, whatever happens to the source meanwhile.
"""

from __future__ import annotations

import hashlib
import io
import marshal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, Final, cast

from worker.roster.source import BLOCK, spooled
from worker.roster.spool import Spool
from worker.roster.text import Fields, Malformed, Record, apart
from worker.roster.workbook_cells import Doubted

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_GROUP: Final = 1000
"""Most records that are packed together."""
_LARGE: Final = 1 << 20
"""Characters after which a group ends, however few records it has."""
_FORMAT: Final = 2
"""The version of marshal's format: the last one whose bytes depend on nothing but the values."""
_SIZE: Final = 8
"""Bytes before each group, which tell its size."""


@dataclass(frozen=True, slots=True)
class KeptTable:
    """The records of a source, kept (worker.roster.format.Table). Close it after use."""

    shown: str
    sha256: str
    spool: Spool
    encoding: str = ""
    delimiter: str = ""
    strip: bool = False
    """Whether blanks around all cells are stripped (``--blanks strip``)."""
    later: KeptTable | None = None
    """More records, which were known later; they are read in the places that their lines give them."""

    @contextmanager
    def read(self) -> Iterator[Iterator[Record]]:
        """Open the records, the header first."""
        with io.BufferedReader(self.spool.open(), BLOCK) as stream:
            records = _records(stream)
            with self.later.read() if self.later else nullcontext() as more:
                records = _merged(records, more) if more else records
                yield map(_stripped, records) if self.strip else records

    read_again = read
    """Kept records are always the same."""

    def close(self) -> None:
        """Delete the records."""
        self.spool.close()
        if self.later:
            self.later.close()


def _merged(records: Iterator[Record], more: Iterator[Record]) -> Iterator[Record]:
    """Yield the records of two tables with the same header, by their lines, each with a line of its own."""
    yield next(records)
    next(more)
    yield from apart(_by_line(records, more))


def _by_line(records: Iterator[Record], more: Iterator[Record]) -> Iterator[Record]:
    """Yield the records by their lines. Many times as quick as heapq.merge, if few are in ``more``."""
    other = next(more, None)
    for record in records:
        while other and other[0] < record[0]:
            yield other
            other = next(more, None)
        yield record
    if other:
        yield other
        yield from more


def _stripped(record: Record) -> Record:
    """Return the record with its cells stripped in place, so that what is known about them stays."""
    fields = record[1]
    fields[:] = map(str.strip, fields)
    return record


def keep(
    records: Iterable[Record], shown: str, sha256: str = "", encoding: str = "", delimiter: str = ""
) -> KeptTable:
    """Keep the records, the header first, of a source that messages name as ``shown``.

    ``sha256``: the hash of the source, where its bytes were read; else that of the records. Raises what
    reading the records raises, and UsageError if the temporary folder is full.
    """
    lines = _Lines(records)
    spool = spooled(shown, cast(Any, io.BufferedReader(lines, BLOCK)))
    return KeptTable(shown, sha256 or lines.sha256.hexdigest(), spool, encoding, delimiter)


class _Lines(io.RawIOBase):
    """Records as a stream of packed groups, each after its size."""

    def __init__(self, records: Iterable[Record]) -> None:
        self._groups = _groups(iter(records))
        self._rest = memoryview(b"")
        self.sha256 = hashlib.sha256()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        if not self._rest:
            group = next(self._groups, None)
            if group is None:
                return 0
            # A sixth of JSON's time. Also packs half a surrogate pair, which is refused later, with its line.
            packed = marshal.dumps(group, _FORMAT)
            packed = len(packed).to_bytes(_SIZE) + packed
            self.sha256.update(packed)
            self._rest = memoryview(packed)
        target = memoryview(buffer)
        count = min(len(target), len(self._rest))
        target[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


_Packed = tuple[list[int], list[Fields], dict[int, str | dict[int, str]]]
"""The lines of some records, their fields, and by position: the doubts of one, or why it can't be read."""


def _groups(records: Iterator[Record]) -> Iterator[_Packed]:
    group: _Packed = ([], [], {})
    lines, table, doubts = group
    size = 0
    for line, fields in records:
        if isinstance(fields, Malformed):
            doubts[len(lines)] = fields.reason
        elif isinstance(fields, Doubted):
            doubts[len(lines)] = fields.doubts
        lines.append(line)
        table.append([*fields])  # a plain list, whatever it was
        size += len("".join(fields))
        if len(lines) == _GROUP or size > _LARGE:
            yield group
            group, size = ([], [], {}), 0
            lines, table, doubts = group
    if lines:
        yield group


def _records(stream: BinaryIO) -> Iterator[Record]:
    while size := stream.read(_SIZE):
        # This process has sealed everything that the spool opens.
        lines, table, doubts = marshal.loads(stream.read(int.from_bytes(size)))  # noqa: S302
        for at, doubt in doubts.items():
            table[at] = Malformed(doubt) if isinstance(doubt, str) else Doubted(table[at], doubt)
        yield from zip(lines, table, strict=True)
