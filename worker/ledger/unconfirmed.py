"""Chunks with unconfirmed rows: rows that a claim, now over, may have sent without getting an answer."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import text

from worker.ledger.chunks import unconfirmed_lines
from worker.ledger.store import Store

# An expired lease is not enough: its worker may wake up and renew it. A lease of 0 was ended for a process
# that is known to be dead.
_OVER = text("""
    SELECT seq, generation, state, doubt, rows - settled AS left_over FROM chunks
    WHERE job = :job AND ((state = 'waiting' AND doubt <> '') OR (state = 'claimed' AND lease_until = 0))""")


@dataclass(frozen=True, slots=True)
class OverClaim:
    """A claim that can't send anything any more; ``rows`` of its chunk are unconfirmed."""

    seq: int
    generation: int
    rows: int


class Unconfirmed:
    """The unconfirmed rows of one ledger's jobs."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def claims_over(self, job: str) -> list[OverClaim]:
        """Return the last claim of each chunk that no worker has and that has unconfirmed rows.

        The next claim of the chunk has the next generation. So the worker that gets it knows that no other
        claim has sent anything since this was read.
        """
        with self._store.read() as connection:
            found = connection.execute(_OVER, {"job": job}).all()
        claims = []
        for row in found:
            lines = unconfirmed_lines(row.state, row.doubt)
            rows = row.left_over if lines is None else len(lines)
            claims.append(OverClaim(row.seq, row.generation, rows))
        return claims
