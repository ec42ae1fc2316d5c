"""Families of jobs: a job or a saved plan, the jobs that carried it out or retried it, and their undos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import BindParameter, Connection, String, bindparam, text

from worker.ledger.rows import Rows
from worker.ledger.store import Store
from worker.model import Job, Status
from worker.reasons import plural

NEVER_SENT = (Status.INVALID, Status.SKIPPED, Status.UNPROCESSED)
"""Statuses that don't change an earlier job's result: it may have put the user in place."""

_IN_PLACE = tuple(status for status in Status if status.in_place)
_SLICE = 500
"""Lines in one query."""

_MEMBERS = text("""
    SELECT id, created, started, rows, undone,
        EXISTS (SELECT 1 FROM undone u WHERE u.job = jobs.id) AS undo_begun
    FROM jobs WHERE root = :root ORDER BY created, id""")
_SCHEDULE = text("SELECT schedule FROM jobs WHERE root = :root AND schedule <> '' ORDER BY created LIMIT 1")
# Negative lines are users who are not in the roster.
_COUNT = text("""
    SELECT count(*) FROM outcomes WHERE job = :job AND line > 0 AND status IN :statuses""").bindparams(
    bindparam("statuses", expanding=True)
)
# Lines with a later result: another job's outcome, or a reversal by an undo.
_LATER = """
    SELECT line FROM outcomes WHERE job IN :later AND status NOT IN :never
    UNION SELECT line FROM undone WHERE job IN :undone AND result IN ('removed', 'restored')"""
_LISTS: list[BindParameter[str]] = [
    bindparam(name, expanding=True, type_=String) for name in ("statuses", "never", "later", "undone")
]
_SUPERSEDED = text(f"""
    SELECT count(*) FROM outcomes o JOIN ({_LATER}) l ON l.line = o.line
    WHERE o.job = :job AND o.line > 0 AND o.status IN :statuses""").bindparams(*_LISTS)  # noqa: S608  all ours
_SENT_AGAIN = text(f"""
    SELECT count(*) FROM outcomes o WHERE o.job = :job AND o.status IN :statuses AND o.line IN :lines
        AND o.line NOT IN ({_LATER})""").bindparams(*_LISTS, bindparam("lines", expanding=True))  # noqa: S608


@dataclass(frozen=True, slots=True)
class Member:
    """A job of a family. Times are epoch seconds."""

    id: str
    created: float
    started: float | None
    rows: int
    undone: float | None
    """When all its changes were undone; None: not, or not completely."""
    undo_begun: bool

    def is_undone_for(self, other: Member) -> bool:
        """Return whether undoing this job may have reversed rows that ``other``, or itself, found in place.

        It can't have if ``other`` began after the undo, since it looked up its users then.
        """
        return self.undo_begun and (self.undone is None or other.created < self.undone)


@dataclass(frozen=True, slots=True)
class Lineage:
    """A family of jobs, the oldest first, and how many of its rows are in place after all of them."""

    root: str
    members: Sequence[Member]
    schedule: str
    """The schedule that began it; else empty."""
    in_place: int
    skipped: int

    @property
    def rows(self) -> int:
        """Return the rows of the first job; if that was removed, of the oldest that is left."""
        return self.members[0].rows

    @property
    def sentence(self) -> str:
        """Return the result in words: ``600 rows: 598 in place after 3 runs``."""
        runs = sum(member.started is not None for member in self.members)
        when = f"after {plural(runs, 'run')}" if runs else "before the first run"
        undo = " and an undo" if any(member.undo_begun for member in self.members) else ""
        skipped = f", {self.skipped:,} skipped" if self.skipped else ""
        removed = "" if self.members[0].id == self.root else f"; job {self.root} was removed"
        return f"{plural(self.rows, 'row')}: {self.in_place:,} in place{skipped} {when}{undo}{removed}"


class Lineages:
    """The families of one ledger."""

    def __init__(self, store: Store, rows: Rows) -> None:
        self._store = store
        self._rows = rows

    def of(self, job: Job) -> Lineage:
        """Return the family of a job."""
        with self._store.read() as connection:
            found = connection.execute(_MEMBERS, {"root": job.root}).all()
            members = [
                Member(row.id, row.created, row.started, row.rows, row.undone, bool(row.undo_begun))
                for row in found
            ]
            schedule = connection.execute(_SCHEDULE, {"root": job.root}).scalar_one_or_none() or ""
            first = {"job": members[0].id, "statuses": [Status.SKIPPED]}
            skipped = int(connection.execute(_COUNT, first).scalar_one())
        in_place = sum(self._in_place(members, at) for at in range(len(members)))
        return Lineage(job.root, members, schedule, in_place, skipped)

    def _in_place(self, members: Sequence[Member], at: int) -> int:
        """Return how many rows a job put, or found, in place that have no later result."""
        this, later = members[at], [member.id for member in members[at + 1 :]]
        values = {
            "job": this.id, "statuses": _IN_PLACE, "never": NEVER_SENT, "later": later,
            "undone": [member.id for member in members if member.is_undone_for(this)],
        }  # fmt: skip
        unanswered = sorted({line for job in later for line in self._rows.unconfirmed(job) if line > 0})
        with self._store.read() as connection:
            count = int(connection.execute(_COUNT, values).scalar_one())
            if not count or not (later or values["undone"]):
                return count
            count -= int(connection.execute(_SUPERSEDED, values).scalar_one())
            return count - _sent_again(connection, values, unanswered)


def _sent_again(connection: Connection, values: Mapping[str, object], lines: Sequence[int]) -> int:
    """Return how many of a job's rows in place are among lines that a later job sent without an answer."""
    slices = (lines[start : start + _SLICE] for start in range(0, len(lines), _SLICE))
    return sum(
        int(connection.execute(_SENT_AGAIN, {**values, "lines": part}).scalar_one()) for part in slices
    )
