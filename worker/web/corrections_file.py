"""The corrections that were typed on the page for a job's rows, as the failed.csv that ``retry`` reads."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping

from worker import report
from worker.errors import UsageError
from worker.ledger import Ledger
from worker.ledger.codec import open_page
from worker.model import Job
from worker.seal import Seal


def password_column(job: Job) -> str:
    """Return the column under which the corrections of a job have passwords."""
    return job.options.map.get("password") or "password"


def corrections_file(ledger: Ledger, seal: Seal, job: Job, cells: Mapping[int, Mapping[str, str]]) -> str:
    """Return a corrected failed.csv: the job's cells on these lines, with the corrected ones in their place.

    ``cells``: line → {column: value}; a password is under ``password_column``. Raises
    UsageError for a line or a column that the job doesn't have.
    """
    password = password_column(job)
    known = (*job.columns, password)
    text = io.StringIO()
    write = csv.writer(text).writerow
    write(["bw__job", "bw__row", *map(report.neutral, job.columns), password])
    left = set(cells)
    for page in ledger.rows.pages(job.id):
        if not any(page.first_line <= line <= page.last_line for line in left):
            continue
        for row in open_page(seal, job.id, page.seq, page.sealed):
            if row.line not in left:
                continue
            left.remove(row.line)
            new = cells[row.line]
            if strange := set(new) - set(known):
                raise UsageError(
                    f"line {row.line}: job {job.id} has no column {min(strange)!r}",
                    f"it has {', '.join(known)}",
                )
            # Not by name alone: a file may have two columns of one name.
            cells_now = (new.get(name, cell) for name, cell in zip(job.columns, row.cells, strict=True))
            shown = [report.neutral(cell) for cell in cells_now]
            write([job.id, str(row.line), *shown, new.get(password, "")])
    if left:
        raise UsageError(
            f"job {job.id} has no row on line {min(left)}",
            "open the page of the job again, and correct the row there",
        )
    return text.getvalue()
