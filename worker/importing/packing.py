"""How rows lie in the ledger's sealed bytes: a page for the results, a chunk for the work.

A page has every row, without passwords; a chunk has the rows to be sent, with them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from worker.model import Row, Stored
from worker.seal import Seal


class PageRow(NamedTuple):
    """A row as the results show it. ``realm``: the key of a realm of the job's, or the text as written."""

    line: int
    user: str
    domain: str
    realm: int | str
    application: str
    cells: list[str]
    corrected: bool = False
    """Its password is not the roster's, but a correction's."""


@dataclass(frozen=True, slots=True)
class ChunkRow:
    """A row as it is worked on. ``realm`` is the key of a realm of the job's; -1 in a refused row."""

    line: int
    user: str
    domain: str
    realm: int
    application: str
    password: str = field(repr=False)
    hash1: str = field(default="", repr=False)
    """The roster's own digest, where there is no password."""
    hash1b: str = field(default="", repr=False)
    before: Stored | None = field(default=None, repr=False)
    """What the service held when the job was planned, and is to be set anew. None: nothing."""

    @property
    def composite(self) -> str:
        """``user`` or ``user@domain``."""
        return f"{self.user}@{self.domain}" if self.domain else self.user


NO_REALM = -1

_OWN = 8
"""Values of a packed row that are its own; those behind are what is to be set anew."""


def page_row(row: Row, realm: int) -> PageRow:
    """What the results need of a row."""
    shown: int | str = row.realm if realm == NO_REALM else realm
    return PageRow(row.line, row.user, row.domain, shown, row.application, list(row.cells), row.corrected)


def chunk_row(row: Row, realm: int, before: Stored | None = None) -> ChunkRow:
    """What the work needs of a row."""
    own = ("", "") if row.password else (row.hash1, row.hash1b)
    return ChunkRow(row.line, row.user, row.domain, realm, row.application, row.password, *own, before)


def seal_page(seal: Seal, job: str, seq: int, rows: Sequence[PageRow]) -> bytes:
    """One page, sealed."""
    return seal.close_over(rows, f"{job}/page/{seq}")


def open_page(seal: Seal, job: str, seq: int, sealed: bytes) -> list[PageRow]:
    """One page; LedgerError when the key is another."""
    return [PageRow(*row) for row in seal.open(sealed, f"{job}/page/{seq}")]


def seal_chunk(seal: Seal, job: str, seq: int, rows: Iterable[ChunkRow]) -> bytes:
    """One chunk, sealed."""
    packed: list[Any] = [
        [r.line, r.user, r.domain, r.realm, r.application, *_secrets(r), *pack_stored(r.before)] for r in rows
    ]
    return seal.close_over(packed, f"{job}/chunk/{seq}")


def _secrets(row: ChunkRow) -> tuple[str, str, str]:
    return row.password, row.hash1, row.hash1b


def open_chunk(seal: Seal, job: str, seq: int, sealed: bytes) -> list[ChunkRow]:
    """One chunk; LedgerError when the key is another."""
    return [_opened(row) for row in seal.open(sealed, f"{job}/chunk/{seq}")]


def _opened(packed: list[Any]) -> ChunkRow:
    own = [*packed[:_OWN], *[""] * (_OWN - len(packed))]  # older chunks have no digests
    return ChunkRow(*[*own, stored_of(packed[_OWN:])])


def pack_stored(stored: Stored | None) -> list[str | None]:
    """A stored credential as it is sealed: nothing where there is none."""
    if stored is None:
        return []
    return [stored.id, stored.composite, stored.realm, stored.hash1, stored.hash1b, stored.application]


def stored_of(packed: Sequence[str | None]) -> Stored | None:
    """The way back."""
    if not packed:
        return None
    id_, composite, realm, hash1, hash1b, application = packed
    return Stored(id_ or "", composite or "", realm or "", hash1, hash1b, application or "")
