"""``report.html``: a job's results as one page for people, in a file that needs nothing else.

It has no secret, loads nothing, and runs no script but its own: its Content-Security-Policy names that by its
hash. Rows are data, and whatever a roster or the service wrote into them stays text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from worker import lineage_report, report
from worker.ledger import Ledger, Lineage, Member
from worker.model import Job
from worker.report import OWN_COLUMNS, PAGE, Lines
from worker.report_page.pace import pace_of
from worker.report_page.page import BEGIN, CSP, MOST_ROWS, About, Later, new_page
from worker.report_page.tally import MarkedLines
from worker.seal import Seal

__all__ = ["BEGIN", "CSP", "PAGE", "write", "write_lineage", "write_results"]

_JOB, _LINE, _UNDO = OWN_COLUMNS.index("bw__job"), OWN_COLUMNS.index("bw__row"), len(OWN_COLUMNS)


def write(ledger: Ledger, seal: Seal, job: Job, folder: Path) -> Path:
    """Write the page of a job as it stands, and return its path.

    Raises SiprosterError if the folder can't be written.
    """
    with _of_job(ledger, job, folder, report.summary(ledger, job, folder)) as add:
        for lines in report.lines_of_pages(ledger, seal, job):
            add(lines)
    return folder / PAGE


def write_results(ledger: Ledger, seal: Seal, job: Job, folder: Path) -> dict[str, Any]:
    """Write all result files of a job, the page among them, and return its summary.

    The rows are read once for all files. Raises SiprosterError if the folder can't be written.
    """
    return report.write(ledger, seal, job, folder, partial(_of_job, ledger, job, folder))


def write_lineage(ledger: Ledger, seal: Seal, lineage: Lineage, folder: Path) -> Path:
    """Write the page of a job with all that retried, carried out or undid it: how each row is now."""
    jobs = {member.id: ledger.jobs.get(member.id) for member in lineage.members}
    first, last = jobs[lineage.members[0].id], jobs[lineage.members[-1].id]
    about = About(
        last, report.summary(ledger, last, folder), pace_of(ledger.answers.of(last.id), last.started), (),
        lineage.sentence, first.rows <= MOST_ROWS,
    )  # fmt: skip
    with new_page(about, first.columns, folder) as add:
        for lines in lineage_report.pages(ledger, seal, lineage.members, list(jobs.values())):
            add(_marked(ledger, jobs, lines))
    return folder / PAGE


@contextmanager
def _of_job(
    ledger: Ledger, job: Job, folder: Path, summary: Mapping[str, Any]
) -> Iterator[Callable[[Lines], None]]:
    """Open the page of a job and yield a function that adds its lines."""
    about = About(
        job, summary, pace_of(ledger.answers.of(job.id), job.started), _later(ledger, job), "",
        job.rows <= MOST_ROWS,
    )  # fmt: skip
    undone = bool(summary["undo"])
    with report.explained(folder), new_page(about, job.columns, folder) as add_rows:

        def add(lines: Lines) -> None:
            job_lines = job.id, int(lines[0][_LINE]), int(lines[-1][_LINE])
            results = ledger.undone.results(*job_lines) if undone else {}
            tried = ledger.registrations.results(*job_lines) if job.verified else {}
            add_rows(MarkedLines(
                lines,
                _of_lines(lines, {line: one.result for line, one in results.items()}),
                _of_lines(lines, {line: one.verdict for line, one in tried.items()}),
            ))  # fmt: skip

        yield add


def _of_lines(lines: Lines, found: Mapping[int, str]) -> Sequence[str]:
    """Return what was found about each line's row; empty: nothing."""
    return [found.get(int(cells[_LINE]), "") for cells in lines] if found else [""] * len(lines)


def _marked(ledger: Ledger, jobs: dict[str, Job], lines: Lines) -> MarkedLines:
    """Return lines of a lineage, each with the result of trying it after the job whose outcome it has."""
    first, last = int(lines[0][_LINE]), int(lines[-1][_LINE])
    tried = {
        (id_, line): one.verdict
        for id_, job in jobs.items() if job.verified
        for line, one in ledger.registrations.results(id_, first, last).items()
    }  # fmt: skip
    return MarkedLines(
        [[*cells[:_UNDO], *cells[_UNDO + 1 :]] for cells in lines],
        [cells[_UNDO] for cells in lines],
        [tried.get((cells[_JOB], int(cells[_LINE])), "") for cells in lines],
    )


def _later(ledger: Ledger, job: Job) -> list[Later]:
    """Return what later jobs of the family have done."""
    members = ledger.lineages.of(job).members
    at = next(at for at, member in enumerate(members) if member.id == job.id)
    return [_later_job(ledger, member) for member in members[at + 1 :]]


def _later_job(ledger: Ledger, member: Member) -> Later:
    job = ledger.jobs.get(member.id)
    counts = ledger.rows.counts(member.id, member.rows)
    in_place = sum(rows for status, rows in counts.items() if status.in_place)
    what = "carried it out" if job.source != f"job {job.parent}" else "ran rows of it again"
    if member.undone:
        what += ", and was undone"
    return Later(member.id, what, member.rows, in_place)
