"""The rows of a job that are in place, with their passwords out of the roster, which it needs for that."""

from __future__ import annotations

from collections.abc import Iterator

from worker.importing.checked import Checked
from worker.importing.look import RosterRows
from worker.ledger import Ledger
from worker.ledger.codec import open_page
from worker.model import Job, Problem, Row
from worker.seal import Seal

_HINT = "to try it, put the corrected row into a file of its own: siproster verify FILE"


def in_place(ledger: Ledger, job: Job) -> int:
    """How many rows of a job are in place."""
    counts = ledger.rows.counts(job.id, job.rows)
    return sum(rows for status, rows in counts.items() if status.in_place)


def placed(ledger: Ledger, seal: Seal, job: Job, roster: RosterRows) -> Iterator[Checked]:
    """Those rows in the roster's order, matched by line and name.

    ``roster`` is the one that the job was made from. A row whose name or password the job has otherwise
    (somebody corrected it for a retry) has that as its problem: the roster's password is not the row's.
    """
    again = roster.rows()
    for page in ledger.rows.pages(job.id):
        for kept in open_page(seal, job.id, page.seq, page.sealed):
            if page.outcome(kept.line).status.in_place:
                yield _matched(kept, _of_line(again, kept.line))


def _of_line(rows: Iterator[Row], line: int) -> Row | None:
    return next((row for row in rows if row.line >= line), None)


def _matched(kept: Row, row: Row | None) -> Checked:
    key = kept.realm_key
    if row and (row.line, row.user, row.domain) == (kept.line, kept.user, kept.domain):
        if not kept.corrected:
            return Checked(row, key)
        other = "password"
    else:
        other = "name"
    text = f"the job has another {other} here than the roster, since the row was corrected; {_HINT}"
    wrong = (Problem("corrected", text),)
    return Checked(Row(kept.line, kept.user, kept.domain, "", kept.application, "", kept.cells, wrong), key)
