"""The result files, written from the ledger alone, in the roster's order.

Every row of the roster gets exactly one line. No password and no digest is in any of the files.
"""

from __future__ import annotations

import csv
import io
import json
import re
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import Any, TextIO

from worker import files
from worker.errors import SiprosterError, UsageError
from worker.ledger import Ledger, Lineage
from worker.ledger.codec import page_values
from worker.ledger.rows import OutcomeValues, SealedPage
from worker.model import NO_REALM, Absent, Job, Status, Stored, TableForm
from worker.reasons import reason_of
from worker.seal import Seal
from worker.text_workbook import TextWorkbook

RESULTS = "results.csv"
WORKBOOK = "results.xlsx"
FAILED = "failed.csv"
SUMMARY = "summary.json"
PAGE = "report.html"
PLAN = "plan.csv"
ABSENT = "absent.csv"
UNDO = "undo.csv"

OWN_COLUMNS = (
    "bw__job", "bw__row", "bw__status", "bw__username", "bw__domain", "bw__realm", "bw__id",
    "bw__error_code", "bw__error", "bw__attempts",
)  # fmt: skip

_STATUS = OWN_COLUMNS.index("bw__status")
_FINE = frozenset(status.value for status in Status if not status.in_trouble)

PLAN_COLUMNS = (
    "bw__job", "bw__row", "bw__action", "bw__differs", "bw__username", "bw__domain", "bw__realm", "bw__id",
    "bw__error_code", "bw__error",
)  # fmt: skip
UNDO_COLUMNS = (
    "bw__job", "bw__row", "bw__undo", "bw__username", "bw__domain", "bw__realm", "bw__id", "bw__error_code",
    "bw__error",
)  # fmt: skip
LEAVER_COLUMNS = ("username", "realm", "id", "application_id", "outcome", "error_code", "error")
"""Columns of absent.csv with ``--absent delete``."""
ABSENT_COLUMNS = ("username", "realm", "id", "application_id")

_AGAIN = "name another folder with --results, or fix this one, and run the command again"


class NotWritten(SiprosterError):
    """Raised for result files that can't be written, as on a full disk."""


_FORMULA = re.compile(r"'*[=+\-@\t\r]")
"""A cell that a spreadsheet would run; behind quotes, too, so that reading back takes off exactly one."""
_may_be_formula = re.compile(r"\n['=+\-@\t\r]").search
"""Whether a cell of several, joined by line feeds, may be one; the first of a line is a job's id."""


def neutral(cell: str) -> str:
    """Return the cell so that no spreadsheet runs it as a formula."""
    return f"'{cell}" if _FORMULA.match(cell) else cell


def folder_of(job: Job, results: str = "") -> Path:
    """Return the folder of the job's result files: ``results`` if given, else the job's own.

    Raises SiprosterError if that is in the working folder, which was removed.
    """
    try:
        return Path(results or job.options.results or f"siproster-{job.id}").absolute()
    except FileNotFoundError:
        raise SiprosterError(
            "the working folder was removed, so it has no result files",
            f"nothing is lost: `siproster report {job.id} --results DIR` writes them into another folder",
        ) from None


def make_folder(folder: Path) -> None:
    """Create the folder for result files before anything is sent. Raises UsageError if it is not writable."""
    try:
        files.make_folder(folder)
        probe = folder / f".{secrets.token_hex(8)}"
        probe.touch(mode=0o600, exist_ok=False)
        probe.unlink()
    except OSError as error:
        raise UsageError(
            f"the result files can't be written to {folder}: {_reason(folder, error)}",
            "nothing was sent; name a folder of yours with --results",
        ) from None


def forget_folder(job: Job) -> None:
    """Remove the folder of a discarded job's result files if it is named after the job, and is empty."""
    if not job.options.results:
        with suppress(OSError, SiprosterError):
            folder_of(job).rmdir()


Lines = list[list[str]]
Beside = Callable[[Mapping[str, Any]], AbstractContextManager[Callable[[Lines], None]]]
"""Open another file of the results, given the job's summary; what it yields is given the lines."""


def write(
    ledger: Ledger, seal: Seal, job: Job, folder: Path,
    beside: Beside = lambda _summary: nullcontext(lambda _lines: None),
) -> dict[str, Any]:  # fmt: skip
    """Write the tables and the summary of a job, and return the latter; ``beside`` is given the same lines.

    Raises SiprosterError if the folder can't be written; an existing file stays as it was until the
    new one is complete.
    """
    header = [*OWN_COLUMNS, *map(neutral, job.columns)]
    form = job.options.tables
    with explained(folder):
        files.make_folder(folder)
        if job.options.absent is Absent.DELETE:
            _write_leavers(ledger, seal, job, folder)
        found = summary(ledger, job, folder)
        with (
            beside(found) as also,
            new_results(folder, header, form) as add,
            _new_table(folder / FAILED, form) as troubled,
        ):
            troubled.writerow(header)
            for lines_as_they_are in lines_of_pages(ledger, seal, job):
                also(lines_as_they_are)
                lines = neutral_lines(lines_as_they_are)
                add(lines)
                troubled.writerows(not_in_place_of(lines))
        with new_file(folder / SUMMARY) as file:
            json.dump(found, file, indent=2)
            file.write("\n")
    return found


def _write_leavers(ledger: Ledger, seal: Seal, job: Job, folder: Path) -> None:
    """Write ``absent.csv`` with what became of each user who was not in the roster."""
    hosts = ledger.jobs.hosts(job.id)
    with new_table(folder / ABSENT, LEAVER_COLUMNS, job.options.tables) as write:
        for page in ledger.rows.leavers(job.id):
            for line, user, _, key, _, application, cells in page_values(seal, job.id, page.seq, page.sealed):
                outcome = page.outcome(line)
                told = (leaver_word(outcome.status), outcome.code, outcome.error)
                write([user, hosts.get(key, ""), *cells, application, *told])


def leaver_word(status: Status) -> str:
    """Return what became of a user who was not in the roster, in a word."""
    return "kept" if status is Status.EXISTS else status.value


def write_undone(ledger: Ledger, seal: Seal, job: Job, folder: Path) -> Path:
    """Write ``undo.csv``: a line for each row that the undo has processed, in the roster's order."""
    hosts = ledger.jobs.hosts(job.id)
    with new_table(folder / UNDO, [*UNDO_COLUMNS, *job.columns], job.options.tables) as write:
        for page in chain(ledger.rows.pages(job.id), ledger.rows.leavers(job.id)):
            results = ledger.undone.results(job.id, page.first_line, page.last_line)
            rows = page_values(seal, job.id, page.seq, page.sealed) if results else iter(())
            for line, user, domain, key, _realm, _application, cells in rows:
                if one := results.get(line):
                    outcome = page.recorded_outcome(line)
                    write([
                        job.id, str(line), one.result, user, domain, hosts.get(key, job.options.realm),
                        outcome.credential_id if outcome else "", one.code, one.error,
                        *(cells if line >= 0 else [""] * len(job.columns)),
                    ])  # fmt: skip
    return folder / UNDO


@contextmanager
def new_table(
    path: Path, header: Sequence[str], form: TableForm, hint: str = _AGAIN
) -> Iterator[Callable[[Sequence[str]], None]]:
    """Open a new CSV file and yield a function that writes one line, with its cells neutralised.

    Raises SiprosterError, with the hint, if it can't be written; it gets its name when it is complete.
    """
    with explained(path.parent, hint), _new_table(path, form) as writer:
        writer.writerow(map(neutral, header))
        yield lambda cells: writer.writerow(map(neutral, cells))


def forget_absent(folder: Path | None) -> None:
    """Delete an earlier job's list of absent users, so that nobody deletes users by an outdated list."""
    if folder:
        with explained(folder):
            (folder / ABSENT).unlink(missing_ok=True)


def absent_to(folder: Path | None, form: TableForm) -> Callable[[Iterable[Stored]], int]:
    """Return a function that counts absent users and, if a folder is given, lists them in it."""

    def counted(absent: Iterable[Stored]) -> int:
        if folder is None:
            return sum(1 for _ in absent)
        number = 0
        with new_table(folder / ABSENT, ABSENT_COLUMNS, form) as write:
            for one in absent:
                number += 1
                write([one.composite, one.realm, one.id, one.application])
        if not number:
            (folder / ABSENT).unlink()
        return number

    return counted


def existing(folder: Path | None, *names: str) -> dict[str, str]:
    """Return the named files that exist, by stem."""
    paths = {name.split(".")[0]: folder / name for name in names} if folder else {}
    return {stem: str(path) for stem, path in paths.items() if path.exists()}


def summary(ledger: Ledger, job: Job, folder: Path) -> dict[str, Any]:
    """Return the job's summary, which ``--json`` prints."""
    counts = ledger.rows.counts(job.id, job.rows)
    codes = ledger.rows.codes(job.id)
    seconds = (job.finished - job.started).total_seconds() if job.finished and job.started else None
    worked = None if seconds is None else max(0.0, seconds - job.paused_seconds)
    return {
        "job": job.id,
        "state": job.state,
        "reason": job.why.reason if job.why else "",
        "why": str(job.why or ""),
        "account": job.account,
        "operator": job.operator,
        "version": job.version,
        "options": _options_shown(asdict(job.options)),
        "roster": {"name": job.roster, "sha256": job.sha256, "rows": job.rows},
        "realms": list(ledger.jobs.hosts(job.id).values()),
        "counts": {status.value: rows for status, rows in counts.items()},
        "codes": {status.value: codes[status] for status in counts if status in codes},
        "not_in_place": not_in_place(ledger, job, counts),
        "warnings": ledger.jobs.warnings(job.id),
        "started": _iso(job.started or job.created),
        "finished": _iso(job.finished) if job.finished else None,
        "seconds": None if worked is None else round(worked, 3),
        "paused_seconds": round(job.paused_seconds, 3),
        "requests": job.requests,
        "retries": job.retries,
        "parent": job.parent or None,
        "lineage": lineage_facts(ledger.lineages.of(job)),
        "retries_job": job.parent if job.source == f"job {job.parent}" else None,
        "absent": job.absent,
        "leavers": _leavers(ledger, job),
        "verify": job.verified,
        "saved": _iso(job.saved) if job.saved else None,
        "carried_out_by": job.carried_out_by or None,
        "resumable_until": _iso(job.expires) if job.expires else None,
        "kept_until": _iso(kept) if (kept := ledger.chunks.kept_until(job.id)) else None,
        **_undo(ledger, job),
        "files": {
            **{name.split(".")[0]: str(folder / name) for name in (RESULTS, FAILED, SUMMARY)},
            "page": str(folder / PAGE),
            **({"workbook": str(folder / WORKBOOK)} if job.options.tables.spreadsheet else {}),
            **(existing(folder, ABSENT) if job.absent or job.options.absent is Absent.DELETE else {}),
        },
    }


def lineage_facts(lineage: Lineage) -> dict[str, Any]:
    """Return a job's family, and how many of the rows are in place after all of its jobs."""
    return {
        "root": lineage.root,
        "jobs": [member.id for member in lineage.members],
        "schedule": lineage.schedule or None,
        "rows": lineage.rows,
        "in_place": lineage.in_place,
        "sentence": lineage.sentence,
    }


def _leavers(ledger: Ledger, job: Job) -> dict[str, int] | None:
    """Return what became of users who were not in the roster, counted; None without ``--absent delete``."""
    if job.options.absent is not Absent.DELETE:
        return None
    return {leaver_word(status): users for status, users in ledger.rows.leaver_counts(job.id).items()}


def not_in_place(ledger: Ledger, job: Job, counts: Mapping[Status, int]) -> int:
    """Return how many rows are not in place now; rows that ``undo`` reversed are in place no more."""
    never = sum(rows for status, rows in counts.items() if status.in_trouble)
    return never + ledger.undone.reversed(job.id)


def users_not_in_place(ledger: Ledger, seal: Seal, job: Job) -> Iterator[str]:
    """Yield the names of the job's users who are not in place, in the roster's order."""
    for lines in lines_of_pages(ledger, seal, job):
        for _job, _line, _status, user, domain, *_ in not_in_place_of(lines):
            yield f"{user}@{domain}" if domain else user


def _undo(ledger: Ledger, job: Job) -> dict[str, Any]:
    """Return how far the job was undone.

    ``undo_state``: None, ``partly`` (interrupted, running, or some rows failed) or ``done``. ``undo_by``: the
    process that is undoing it.
    """
    counts = ledger.undone.counts(job.id)
    done = sum(counts.values())
    state = "done" if job.undone and not counts.get("failed") else "partly"
    return {
        "undo": counts or None,
        "undo_state": state if counts or job.undone else None,
        "undo_rows": max(ledger.changes.rows(job.id), done) if counts else None,
        "undo_by": (ledger.accounts.holder_of(job) or None) if counts and not job.undone else None,
    }


def lines_of_pages(ledger: Ledger, seal: Seal, job: Job) -> Iterator[Lines]:
    """Yield the lines of each page of the roster, their cells as they are."""
    hosts = ledger.jobs.hosts(job.id)  # a realm without one was never made (--create-realm)
    for page in ledger.rows.pages(job.id):
        lines = []
        rows = page_values(seal, job.id, page.seq, page.sealed)
        for line, user, domain, key, realm, _application, cells in rows:
            status, id_, code, error, attempts = page.recorded.get(line) or _unrecorded(page, line)
            host = realm if key == NO_REALM else hosts.get(key, job.options.realm)
            lines.append(
                [job.id, str(line), status, user, domain, host, id_, code, error, str(attempts), *cells]
            )
        yield lines


def neutral_lines(lines: Lines) -> Lines:
    """Return lines whose cells no spreadsheet runs as a formula."""
    if _may_be_formula("\n".join(["\n".join(cells) for cells in lines])):
        return [list(map(neutral, cells)) for cells in lines]
    return lines


def not_in_place_of(lines: Lines) -> Lines:
    """Return those lines whose rows are not in place."""
    return [cells for cells in lines if cells[_STATUS] not in _FINE]


def _unrecorded(page: SealedPage, line: int) -> OutcomeValues:
    """Return the outcome of a row without a recorded one: not attempted, or sent without an answer."""
    outcome = page.outcome(line)
    return outcome.status.value, outcome.credential_id, outcome.code, outcome.error, outcome.attempts


def _options_shown(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options in the words of the command line, without unset ones."""
    conditions = [one._asdict() for one in options["where"]]
    shown = {**options, "where": conditions, "excel": options["tables"]["excel"]}
    del shown["tables"]
    return {name: value for name, value in shown.items() if value not in ("", None, {}, (), [], False)}


def _iso(moment: Any) -> str:
    return str(moment.isoformat(timespec="seconds").replace("+00:00", "Z"))


@contextmanager
def new_results(folder: Path, header: list[str], form: TableForm) -> Iterator[Callable[[Lines], None]]:
    """Open ``results.csv``, and a workbook beside it if the form says so; yield what adds lines to them.

    Raises SiprosterError if the folder can't be written. Cells are written as they are.
    """
    with explained(folder):
        files.make_folder(folder)
        with (
            _new_table(folder / RESULTS, form) as table,
            _new_workbook(folder / WORKBOOK, header, form) as add_to_workbook,
        ):
            table.writerow(header)

            def add(lines: Lines) -> None:
                table.writerows(lines)
                add_to_workbook(lines)

            yield add


@contextmanager
def _new_table(path: Path, form: TableForm) -> Iterator[Any]:
    """Open a new CSV file and yield its ``csv.writer``. A text that its encoding lacks makes it UTF-8."""
    with new_file(path, form.codec) as file:
        yield csv.writer(file, delimiter=form.delimiter)


@contextmanager
def _new_workbook(path: Path, header: Sequence[str], form: TableForm) -> Iterator[Callable[[Lines], None]]:
    """Open a new workbook and yield a function that adds lines to it; without one, they go nowhere."""
    if not form.spreadsheet:
        yield lambda lines: None
        return
    with files.replacing_file(path) as (file, _), TextWorkbook(file, "results", header) as book:
        yield book.add


@contextmanager
def new_file(path: Path, codec: str = "utf-8") -> Iterator[TextIO]:
    """Open a text file of mode 0600 that gets its name when it is complete.

    The codec of a roster may lack a character of a message, or of a correction: then it is UTF-8 with a BOM.
    """
    unicode = codec.startswith("utf-")
    with files.replacing_file(path) as (raw, part):
        # A ledger may hold rows of earlier versions with a lone surrogate, which UTF-8 can't encode.
        written = codec if unicode else "utf-8-sig"
        with io.TextIOWrapper(raw, written, "backslashreplace", newline="") as file:
            yield file
        if not unicode:
            _encode_again(part, codec)


def _encode_again(part: Path, codec: str) -> None:
    """Encode a complete UTF-8 file in another codec, unless that lacks one of its characters."""
    with (
        suppress(UnicodeEncodeError),
        files.replacing_file(part) as (raw, _),
        io.TextIOWrapper(raw, codec, newline="") as file,
        part.open(encoding="utf-8-sig", newline="") as text,
    ):
        shutil.copyfileobj(text, file)


@contextmanager
def explained(folder: Path, hint: str = _AGAIN) -> Iterator[None]:
    """Raise SiprosterError, with the hint, for an OSError about a file in the folder."""
    try:
        yield
    except OSError as error:
        raise NotWritten(
            f"the result files can't be written to {folder}: {_reason(folder, error)}", hint
        ) from None


def _reason(folder: Path, error: OSError) -> str:
    if isinstance(error, FileExistsError):
        return "it is a link to nothing" if folder.is_symlink() and not folder.exists() else "it is a file"
    return reason_of(error)
