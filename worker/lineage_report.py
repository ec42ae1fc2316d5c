"""One ``results.csv`` for a job and all that retried it, carried it out or undid it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from worker import report
from worker.ledger import Ledger, Lineage, Member
from worker.ledger.lineage import NEVER_SENT
from worker.model import Job, Status, TableForm
from worker.report import OWN_COLUMNS, Lines
from worker.seal import Seal

UNDO = "bw__undo"
_JOB, _ROW, _STATUS = map(OWN_COLUMNS.index, ("bw__job", "bw__row", "bw__status"))
REVERSED = ("removed", "restored")
"""Results of an undo after which a row is not in place any more."""


def folder_of(lineage: Lineage, results: str = "") -> Path:
    """Return the folder of the file: ``results`` if given, else one beside that of the first job."""
    return Path(results or f"siproster-{lineage.root}-lineage").absolute()


def write(ledger: Ledger, seal: Seal, lineage: Lineage, folder: Path, form: TableForm) -> dict[str, str]:
    """Write the latest outcome of every row, in the roster's order, and return the files by their stems.

    ``bw__job`` is the job whose outcome it is, and ``bw__undo`` the result of an undo. Memory doesn't
    grow with the roster. Raises SiprosterError if the folder can't be written.
    """
    jobs = [ledger.jobs.get(member.id) for member in lineage.members]
    header = [*OWN_COLUMNS, UNDO, *map(report.neutral, jobs[0].columns)]
    with report.new_results(folder, header, form) as add:
        for lines in pages(ledger, seal, lineage.members, jobs):
            add(report.neutral_lines(lines))
    files = {"results": report.RESULTS, **({"workbook": report.WORKBOOK} if form.spreadsheet else {})}
    return {name: str(folder / file) for name, file in files.items()}


class _Reader:
    """The lines of one job in the roster's order, read ahead as far as they are needed."""

    def __init__(self, pages: Iterator[Lines]) -> None:
        self._pages = pages
        self._read_to = 0
        self.lines: dict[str, list[str]] = {}
        """Lines that were read and not used yet, by their number in the roster."""

    def read_to(self, last: int) -> None:
        """Read all lines up to this one."""
        while self._read_to < last and self._read_page():
            pass

    def page(self) -> Lines:
        """Return the next lines that no earlier job has; none at the end."""
        if not self.lines:
            self._read_page()
        lines, self.lines = self.lines, {}
        return list(lines.values())

    def _read_page(self) -> bool:
        lines = next(self._pages, [])
        self.lines.update((cells[_ROW], cells) for cells in lines)
        self._read_to = int(lines[-1][_ROW]) if lines else self._read_to
        return bool(lines)


def pages(ledger: Ledger, seal: Seal, members: Sequence[Member], jobs: Sequence[Job]) -> Iterator[Lines]:
    """Yield the lines of all jobs, each row once: those of the first job, then what only others have.

    The result of an undo is in the cell after those of OWN_COLUMNS.
    """
    readers = [_Reader(report.lines_of_pages(ledger, seal, job)) for job in jobs]
    for at, reader in enumerate(readers):
        while lines := reader.page():
            for later in readers[at + 1 :]:
                later.read_to(int(lines[-1][_ROW]))
            yield _marked(ledger, members, [_latest(cells, readers[at + 1 :]) for cells in lines])


def _latest(cells: list[str], later: Sequence[_Reader]) -> list[str]:
    """Return the line of a row from the job that says how it is now."""
    for reader in later:
        again = reader.lines.pop(cells[_ROW], None)
        if again and _replaces(Status(again[_STATUS]), Status(cells[_STATUS])):
            cells = again
    return cells


def _replaces(status: Status, earlier: Status) -> bool:
    """Return whether a later job's status says how a row is, rather than an earlier one's.

    A row that the later job has not sent may still be in place since the earlier one.
    """
    if status in NEVER_SENT:
        return status is not Status.UNPROCESSED and not earlier.in_place
    return True


def _marked(ledger: Ledger, members: Sequence[Member], lines: Lines) -> Lines:
    """Insert the results of undos."""
    first, last = int(lines[0][_ROW]), int(lines[-1][_ROW])
    undone = [
        (member, ledger.undone.results(member.id, first, last)) for member in members if member.undo_begun
    ]
    by_id = {member.id: member for member in members}
    at = len(OWN_COLUMNS)
    marked = []
    for cells in lines:
        owner, line = by_id[cells[_JOB]], int(cells[_ROW])
        results = {
            member.id: results[line].result
            for member, results in undone
            if line in results and member.is_undone_for(owner)
        }
        reversed_ = next((one for one in results.values() if one in REVERSED), "")
        marked.append([*cells[:at], reversed_ or results.get(owner.id, ""), *cells[at:]])
    return marked
