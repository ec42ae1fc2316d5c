"""Record when the service answered a job's rows: the points of its pace."""

from __future__ import annotations

from collections import Counter

from sqlalchemy import text

from worker.ledger.store import Store

# Leavers, whose lines are negative, are no rows of the roster.
_ANSWERS = text("""
    SELECT answers, settled, ended_at FROM chunks WHERE job = :job AND first_line >= 0 AND settled > 0""")


class Answers:
    """The times of answers, as the chunks of one ledger have them."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def of(self, job: str) -> list[tuple[float, int]]:
        """Return the moments (epoch seconds) when rows were answered, in order, each with how many were.

        Rows that needed no request are in none, nor those that a program before this one has processed.
        """
        found: Counter[float] = Counter()
        with self._store.read() as connection:
            for chunk in connection.execute(_ANSWERS, {"job": job}):
                rest = chunk.settled
                for answer in filter(None, chunk.answers.split(";")):
                    seconds, rows = answer.split()
                    found[round(float(seconds), 1)] += int(rows)
                    rest -= int(rows)
                if rest > 0 and chunk.ended_at is not None:
                    found[round(chunk.ended_at, 1)] += rest
        return sorted(found.items())
