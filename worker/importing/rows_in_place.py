"""The rows of a job that are in place; with their passwords, if the roster is read again."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from worker.errors import NotFound
from worker.importing.validation import RosterPage, RosterPages
from worker.ledger import Ledger
from worker.ledger.codec import open_page
from worker.model import NO_REALM, Job, Problem, Row
from worker.seal import Seal

_HINT = "to try it, put the corrected row into a file of its own: siproster verify FILE"


def count_in_place(ledger: Ledger, job: Job) -> int:
    """Return how many rows of a job are in place."""
    counts = ledger.rows.counts(job.id, job.rows)
    return sum(rows for status, rows in counts.items() if status.in_place)


def pages_in_place(ledger: Ledger, seal: Seal, last: Job) -> Iterator[RosterPage]:
    """Yield the rows that are in place since a job, or one that it retries, with their realms' hosts."""
    job: Job | None = last
    while job:
        hosts = ledger.jobs.hosts(job.id)
        for page in ledger.rows.pages(job.id):
            rows = open_page(seal, job.id, page.seq, page.sealed)
            in_place = [row for row in rows if page.outcome(row.line).status.in_place]
            for row in in_place:
                row.realm, row.realm_key = hosts.get(row.realm_key, row.realm), NO_REALM
            yield in_place
        job = _before(ledger, job)


def _before(ledger: Ledger, job: Job) -> Job | None:
    """Return the job that another one retries, if the ledger still has it."""
    try:
        return ledger.jobs.get(job.parent) if job.parent else None
    except NotFound:  # purged
        return None


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
