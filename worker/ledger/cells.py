"""Cells of an upload, or of a job that is retried, that were corrected on the page: sealed, one by one."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import Connection, text

from worker.errors import UsageError
from worker.ledger.store import Store
from worker.ledger.uploads import PREFIX, change, shred_cells
from worker.seal import Seal

MOST_CORRECTIONS: Final = 10_000
"""Cells of one upload or job that can be corrected on the page."""
LONGEST_CELL: Final = 4096
"""Characters of a corrected cell."""


_CORRECT = text("""
    INSERT INTO cell_corrections (subject, line, name, sealed, person, at)
    VALUES (:subject, :line, :name, :sealed, :person, :now)
    ON CONFLICT (subject, line, name)
        DO UPDATE SET sealed = excluded.sealed, person = excluded.person, at = excluded.at""")
_COUNT_CELLS = text("SELECT count(*) FROM cell_corrections WHERE subject = :subject")
_CELLS = text("""
    SELECT line, name, sealed, person FROM cell_corrections WHERE subject = :subject ORDER BY line, name""")


@dataclass(frozen=True, slots=True)
class CellCorrection:
    """A cell that was corrected on the page. ``line``: the physical line on which its record starts."""

    line: int
    column: str
    value: str = field(repr=False)
    person: str = ""


@dataclass(frozen=True, slots=True)
class Corrected:
    """All corrected cells of an upload or a job."""

    cells: Sequence[CellCorrection]
    version: str
    """Changes with each correction; reveals nothing of the cells. Empty: there are none."""

    @property
    def by_line(self) -> dict[int, dict[str, str]]:
        """Return line → {column: value}."""
        found: dict[int, dict[str, str]] = {}
        for cell in self.cells:
            found.setdefault(cell.line, {})[cell.column] = cell.value
        return found

    @property
    def people(self) -> tuple[str, ...]:
        """Return the names of those who typed them."""
        return tuple(dict.fromkeys(cell.person for cell in self.cells))


class Cells:
    """The corrected cells of one ledger. A subject is ``upload:ID`` or ``job:ID``."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def correct(self, seal: Seal, subject: str, cell: CellCorrection) -> None:
        """Record a corrected cell of ``upload:ID`` or ``job:ID``, with the person who typed it.

        An upload has to be planned again afterwards. Raises UsageError for a cell that is too long or one
        too many, Conflict if the upload was shredded or carried out.
        """
        if len(cell.value) > LONGEST_CELL:
            raise UsageError(
                f"line {cell.line}, column {cell.column!r}: more than {LONGEST_CELL:,} characters",
                "shorten it",
            )
        values = {"subject": subject, "line": cell.line, "name": cell.column, "person": cell.person}
        sealed = seal.close_over(cell.value, _cell_context(subject, cell.line, cell.column))
        with self._store.begin() as connection:
            now = self._changed(connection, subject, cell.person)
            if connection.execute(_COUNT_CELLS, values).scalar_one() >= MOST_CORRECTIONS:
                raise UsageError(
                    f"more than {MOST_CORRECTIONS:,} cells are corrected",
                    "correct the file and upload it again",
                )
            connection.execute(_CORRECT, {**values, "sealed": sealed, "now": now})

    def of(self, seal: Seal, subject: str) -> Corrected:
        """Return the corrected cells of ``upload:ID`` or ``job:ID``."""
        with self._store.read() as connection:
            rows = connection.execute(_CELLS, {"subject": subject}).all()
        version = hashlib.sha256()
        cells = []
        for row in rows:
            version.update(bytes(row.sealed))
            value = seal.open(bytes(row.sealed), _cell_context(subject, row.line, row.name))
            cells.append(CellCorrection(row.line, row.name, value, row.person))
        return Corrected(cells, version.hexdigest() if cells else "")

    def forget(self, subject: str) -> None:
        """Shred the corrections of an upload or a job: they were used, or are discarded."""
        with self._store.begin() as connection:
            shred_cells(connection, subject)
        self._store.clean()

    def _changed(self, connection: Connection, subject: str, person: str) -> float:
        """Drop the plan of an upload in the same transaction, and return the time."""
        now = self._store.now(connection)
        if subject.startswith(PREFIX):
            change(connection, subject.removeprefix(PREFIX), person, now)
        return now


def _cell_context(subject: str, line: int, column: str) -> str:
    return f"cell/{subject}/{line}/{column}"
