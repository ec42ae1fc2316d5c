"""Store which users of a job can register: the results of its rows that were last tried on a registrar."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import islice
from typing import Any, NamedTuple

from sqlalchemy import text

from worker.ledger.store import Store

_VERIFIED = text("UPDATE jobs SET verified = :facts WHERE id = :job")
_FORGET = text("DELETE FROM registrations WHERE job = :job")
_ADD = text("""
    INSERT INTO registrations (job, line, verdict, phones, error)
    VALUES (:job, :line, :verdict, :phones, :error)""")
_RESULTS = text("""
    SELECT line, verdict, phones, error FROM registrations
    WHERE job = :job AND line BETWEEN :first AND :last""")
_SLICE = 1000
"""Rows in one call of the driver."""


class Registration(NamedTuple):
    """The result of trying one row on a registrar. ``phones``: registered at the time; None: not known."""

    verdict: str
    phones: int | None
    error: str


class Registrations:
    """The results of one ledger's jobs."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def record(self, job: str, facts: Mapping[str, Any], results: Mapping[int, Registration]) -> None:
        """Record the results of rows by their lines, with their totals, in place of an earlier try's."""
        rows = ({"job": job, "line": line, **one._asdict()} for line, one in results.items())
        with self._store.begin() as connection:
            connection.execute(_FORGET, {"job": job})
            while part := list(islice(rows, _SLICE)):
                connection.execute(_ADD, part)
            connection.execute(_VERIFIED, {"job": job, "facts": json.dumps(facts)})

    def results(self, job: str, first: int, last: int) -> dict[int, Registration]:
        """Return the results of those lines from ``first`` to ``last`` that were tried."""
        with self._store.read() as connection:
            rows = connection.execute(_RESULTS, {"job": job, "first": first, "last": last}).all()
        return {row.line: Registration(row.verdict, row.phones, row.error) for row in rows}
