"""What a job did to single credentials, kept sealed so that it can be taken back.

Of a credential that was made, a mark of its digests is enough to know whether it is still the same; of one
that was set anew, the digests and the application that it had before are kept.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from worker.importing.compare import CASE, ORIGIN_UNKNOWN
from worker.importing.packing import pack_stored, stored_of
from worker.importing.update import NOT_SET, NOT_TAKEN
from worker.model import Credential, Outcome, Status, Stored
from worker.seal import Seal

MARK_BYTES = 16
_OWN = 6
"""Values of a packed deed that are its own; those behind are how it was before."""


@dataclass(frozen=True, slots=True)
class Deed:
    """One credential that a job made or set."""

    line: int
    realm: int
    """The key of its realm."""
    id: str
    """As the service gave it; empty where it gave none."""
    composite: str
    mark: str = field(repr=False)
    """Of the digests that the job has put there."""
    application: str
    """That the job has put there; empty: none in particular."""
    before: Stored | None = field(default=None, repr=False)
    """How it was before; None: it was not there."""


def deed_of(line: int, realm: int, id_: str, done: Credential, before: Stored | None = None) -> Deed:
    """The deed of having put a credential there."""
    return Deed(line, realm, id_, done.composite, mark(done.hash1, done.hash1b), done.application, before)


def is_confirmed(outcome: Outcome) -> bool:
    """Whether the service's own answer to the job's request says that the job has made or set it."""
    if outcome.status in (Status.CREATED, Status.UPDATED):
        return True
    return outcome.status in (Status.FAILED, Status.UNKNOWN) and outcome.code in (CASE, NOT_SET, NOT_TAKEN)


def is_unproven(outcome: Outcome) -> bool:
    """Whether the job may have made or set it, and no answer says so."""
    return ORIGIN_UNKNOWN in outcome.code.split(";")


def mark(hash1: str | None, hash1b: str | None) -> str:
    """What two pairs of digests have in common only where they are the same. Of use inside a seal only."""
    return hashlib.blake2b(f"{hash1}/{hash1b}".encode(), digest_size=MARK_BYTES).hexdigest()


def seal_deeds(seal: Seal, job: str, chunk: int, nr: int, deeds: Iterable[Deed]) -> bytes:
    """Deeds, sealed for their place in the ledger."""
    packed: list[Any] = [
        [d.line, d.realm, d.id, d.composite, d.mark, d.application, *pack_stored(d.before)] for d in deeds
    ]
    return seal.close_over(packed, f"{job}/deeds/{chunk}/{nr}")


def open_deeds(seal: Seal, job: str, chunk: int, nr: int, sealed: bytes) -> list[Deed]:
    """The way back; LedgerError when the key is another."""
    opened = seal.open(sealed, f"{job}/deeds/{chunk}/{nr}")
    return [Deed(*[*row[:_OWN], stored_of(row[_OWN:])]) for row in opened]
