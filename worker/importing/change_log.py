"""What a job did to single credentials, kept sealed so that it can be taken back.

Of a credential that was made, a mark of its digests is enough to know whether it is still the same; of one
that was set anew, the digests and the application that it had before are kept.
"""

from __future__ import annotations

import hashlib

from worker.importing.compare import CASE, NOT_SET, NOT_TAKEN, ORIGIN_UNKNOWN
from worker.ledger.codec import Change
from worker.model import Credential, Outcome, Row, Status, Stored

MARK_BYTES = 16


def change_of(
    line: int, realm_key: int, id_: str, done: Credential | Row, before: Stored | None = None
) -> Change:
    """Return the change of having put a credential there."""
    return Change(
        line, realm_key, id_, done.composite, mark(done.hash1, done.hash1b), done.application, before
    )


def is_confirmed(outcome: Outcome) -> bool:
    """Whether the service's own answer to the job's request says that the job has made or set it."""
    if outcome.status is Status.CREATED or outcome.status is Status.UPDATED:
        return True
    return outcome.status in (Status.FAILED, Status.UNKNOWN) and outcome.code in (CASE, NOT_SET, NOT_TAKEN)


def is_unproven(outcome: Outcome) -> bool:
    """Whether the job may have made or set it, and no answer says so."""
    return bool(outcome.code) and ORIGIN_UNKNOWN in outcome.code.split(";")


def mark(hash1: str | None, hash1b: str | None) -> str:
    """What two pairs of digests have in common only where they are the same. Of use inside a seal only."""
    return hashlib.blake2b(f"{hash1}/{hash1b}".encode(), digest_size=MARK_BYTES).hexdigest()
