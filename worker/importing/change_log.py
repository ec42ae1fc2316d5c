"""Record the changes that a job made to single credentials, sealed, so that they can be undone.

For a credential that was created, a mark of its digests is enough to tell later whether it is still the same.
For one that was updated, its previous digests and application are recorded.
"""

from __future__ import annotations

from hashlib import blake2b

from worker.importing.compare import CASE, NOT_SET, NOT_TAKEN, ORIGIN_UNKNOWN
from worker.ledger.codec import Change
from worker.model import Credential, Outcome, Row, Status, Stored

MARK_BYTES = 16


def change_of(
    line: int, realm_key: int, id_: str, done: Credential | Row, before: Stored | None = None
) -> Change:
    """Return the record of a credential that was created, or was changed from ``before``."""
    return Change(
        line, realm_key, id_, done.composite, mark(done.hash1, done.hash1b), done.application, before
    )


def is_confirmed(outcome: Outcome) -> bool:
    """Return whether the service's own answer to the job's request proves that the job made the change."""
    if outcome.status is Status.CREATED or outcome.status is Status.UPDATED:
        return True
    if outcome.status is Status.DELETED:
        return not outcome.code
    return outcome.status in (Status.FAILED, Status.UNKNOWN) and outcome.code in (CASE, NOT_SET, NOT_TAKEN)


def is_unproven(outcome: Outcome) -> bool:
    """Return whether the job may have created or updated it without an answer that says so."""
    return bool(outcome.code) and ORIGIN_UNKNOWN in outcome.code.split(";")


def mark(hash1: str | None, hash1b: str | None) -> str:
    """Return a mark that two pairs of digests share only if they are equal. Only safe inside a seal."""
    return blake2b(f"{hash1}/{hash1b}".encode(), digest_size=MARK_BYTES).hexdigest()
