"""The rows of a job that are in place, with their passwords, which are read from the roster again."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from worker.importing.validation import RosterPage, RosterPages
from worker.ledger import Ledger
from worker.ledger.codec import open_page
from worker.model import Job, Problem, Row
from worker.seal import Seal

_HINT = "to try it, put the corrected row into a file of its own: siproster verify FILE"


def count_in_place(ledger: Ledger, job: Job) -> int:
    """Return how many rows of a job are in place."""
    counts = ledger.rows.counts(job.id, job.rows)
    return sum(rows for status, rows in counts.items() if status.in_place)


def rows_in_place(ledger: Ledger, seal: Seal, job: Job, roster: RosterPages) -> Iterator[RosterPage]:
    """Yield the rows in place in the roster's order, matched by line and name, with their realms' hosts.

    ``roster`` is the one that the job was made from. A row whose name or password differs in the job (it was
    corrected for a retry) has that as its problem: the roster's password is not the row's.
    """
    again = chain.from_iterable(roster.pages())
    hosts = ledger.jobs.hosts(job.id)
    for page in ledger.rows.pages(job.id):
        imported_rows = open_page(seal, job.id, page.seq, page.sealed)
        in_place = [imported for imported in imported_rows if page.outcome(imported.line).status.in_place]
        rows = [_matched(imported, _of_line(again, imported.line)) for imported in in_place]
        for row, imported in zip(rows, in_place, strict=True):
            row.realm_key, row.host = imported.realm_key, hosts.get(imported.realm_key, "")
        yield rows


def _of_line(rows: Iterator[Row], line: int) -> Row | None:
    return next((row for row in rows if row.line >= line), None)


def _matched(imported: Row, row: Row | None) -> Row:
    if row and (row.line, row.user, row.domain) == (imported.line, imported.user, imported.domain):
        if not imported.corrected:
            return row
        other = "password"
    else:
        other = "name"
    text = f"the job has another {other} here than the roster, since the row was corrected; {_HINT}"
    imported.realm, imported.problems = "", (Problem("corrected", text),)
    return imported
