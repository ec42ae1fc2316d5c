"""Output paths: a command never overwrites its own input, nor a file that siproster did not write."""

from __future__ import annotations

import os
import re
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path

import click

from worker import report
from worker.commands.context import Context
from worker.errors import StreamIsInput, UsageError
from worker.model import Job
from worker.roster import local_files, local_paths
from worker.settings.addresses import sqlite_path
from worker.settings.file import NAME

_HEAD = 4096
_FIRST_SHEET = "xl/worksheets/sheet1.xml"
_BOM = rb"(?:\xef\xbb\xbf|\xff\xfe|\xfe\xff)?"
_of_a_table = re.compile(_BOM + rb'("?)bw__job\1[,;\t\r\n]').match
_MARKS = {
    "verify.csv": re.compile(_BOM + rb'("?)bw__row\1[,;\t\r\n]').match,
    report.ABSENT: re.compile(
        _BOM + rb'("?)username\1([,;\t])\1realm\1\2\1id\1\2\1application_id\1'
        rb"(?:\2\1outcome\1\2\1error_code\1\2\1error\1)?(?:[\r\n]|\Z)"
    ).match,
    report.PAGE: re.compile(rb"<!doctype html>\n<!-- report by siproster -->").match,
    report.SUMMARY: re.compile(rb'\s*\{\s*"job"\s*:\s*"[0-9]{8}-[0-9]{6}-[^"\s]+"\s*[,}]').match,
}
"""The beginning of a result file, by its name, also as a spreadsheet saves it; else ``_of_a_table``."""

_ANOTHER_FOLDER = "choose another folder with --results"
_File = Path | int
"""A path, or the descriptor of an open stream."""
_STDIN, _STDOUT, _STDERR = 0, 1, 2
_STREAMS: Mapping[_File, str] = {_STDOUT: "standard output", _STDERR: "standard error"}


def of_job(job: Job) -> tuple[str, ...]:
    """Return the names of a job's result files."""
    workbook = (report.WORKBOOK,) if job.options.tables.spreadsheet else ()
    return (report.RESULTS, report.FAILED, report.SUMMARY, report.PAGE, *workbook)


def prepare_folder(
    context: Context, folder: Path, names: Sequence[str], *sources: str, passwords: str = ""
) -> None:
    """Make the folder for result files, once nothing that matters is in their place. Raises UsageError.

    ``passwords``: the file of generated passwords, which is both read and written; empty: there is none.
    """
    refuse_overwriting(context, folder, names, *sources, passwords)
    refuse_password_file(context, passwords, *sources, written=[folder / name for name in names])
    report.make_folder(folder)


def refuse_overwriting(context: Context, folder: Path, names: Sequence[str], *sources: str) -> None:
    """Raise UsageError if a file that will be written, or removed, is an input or a foreign file.

    ``names``: the files in the folder. ``sources``: what the command, or its job, reads besides its settings,
    ledger and key; empty ones and those that are no files here are ignored.
    """
    refuse_streams(context, *sources)
    paths = [folder / name for name in names]
    refuse_inputs(paths, _inputs(context, sources))
    refuse_foreign(paths)


def refuse_password_file(
    context: Context, passwords: str, *sources: str, written: Iterable[Path] = ()
) -> None:
    """Raise UsageError if the file of generated passwords is an input, or a result file; it may be new."""
    if not passwords:
        return
    file = Path(passwords)
    inputs = list(_inputs(context, sources))
    refuse_inputs([file], inputs)
    _refuse_inside(file, sources)
    others = [(path, name) for path, name in inputs if isinstance(path, Path)]
    others += [(path, f"the result file {path}") for path in written]
    for path, name in others:
        if path.resolve() == file.resolve():
            raise UsageError(
                f"--generate-passwords {file} is {name}", "nothing was done; name a file of its own"
            )


def refuse_file(context: Context, path: Path, begin: bytes, *sources: str) -> None:
    """Raise UsageError if a file is an input, or wasn't written by siproster: ours begin with ``begin``."""
    hint = "name another file"
    _refuse_inside(path, sources)
    refuse_inputs([path], _inputs(context, sources), hint)
    refuse_foreign([path], re.compile(_BOM + re.escape(begin)).match, hint)


def _refuse_inside(path: Path, sources: Iterable[str]) -> None:
    """Raise UsageError if a file would lie in a folder that is read as a roster, and so be a part of it."""
    for folder in chain.from_iterable(map(local_paths, filter(None, sources))):
        if os.path.isdir(folder) and path.resolve().parent == folder.resolve():  # noqa: PTH112 (never raises)
            raise UsageError(
                f"{path} would be in {folder}, and be read as a part of that roster the next time",
                "nothing was done; name a file elsewhere",
            )


def refuse_streams(context: Context, *sources: str) -> None:
    """Raise UsageError if standard output or error goes to a file that is read."""
    refuse_inputs((_STDOUT, _STDERR), _inputs(context, sources))


def refuse_inputs(
    written: Iterable[_File],
    read: Iterable[tuple[_File, str]],
    hint: str = f"{_ANOTHER_FOLDER}, or another file",
) -> None:
    """Raise UsageError if a file is both read and written. ``read``: files with their names for people."""
    inputs = {identity: name for file, name in read if (identity := _identity(file))}
    for file in written:
        if (identity := _identity(file)) in inputs and identity is not None:
            kind = StreamIsInput if file == _STDOUT else UsageError
            raise kind(
                f"{_STREAMS.get(file, file)} would be overwritten, but is {inputs[identity]}, which is read",
                f"nothing was done; {hint}",
            )


def refuse_foreign(
    paths: Iterable[Path], mark: Callable[[bytes], object] | None = None, hint: str = _ANOTHER_FOLDER
) -> None:
    """Raise UsageError if there is a file that siproster has not written. ``mark`` matches how ours begin."""
    for path in paths:
        if os.path.lexists(path) and not _is_ours(path, mark or _MARKS.get(path.name, _of_a_table)):
            raise UsageError(
                f"{path} would be overwritten, but was not written by siproster",
                f"nothing was done; move it, or {hint}",
            )


def _inputs(context: Context, sources: Sequence[str]) -> Iterator[tuple[_File, str]]:
    """Yield each input with its name for people."""
    config = click.get_current_context().params.get("config") or Path(NAME)
    yield config, f"the settings file {config}"
    for source in sources:
        if source == "-":
            yield _STDIN, "standard input"
        elif source:
            yield from ((path, source) for path in local_files(source))
    if ledger := sqlite_path(context.settings.ledger):
        for end in ("", "-wal", "-shm", ".key"):
            path = ledger.with_name(f"{ledger.name}{end}")
            yield path, f"the ledger's file {path}"


def _identity(file: _File) -> tuple[int, int] | None:
    """Return device and inode, which all names of a file share, or None if nothing can be overwritten."""
    try:
        facts = os.fstat(file) if isinstance(file, int) else file.stat()
    except (OSError, ValueError):
        return None
    return (facts.st_dev, facts.st_ino) if stat.S_ISREG(facts.st_mode) else None


def _is_ours(path: Path, mark: Callable[[bytes], object]) -> bool:
    """Return whether siproster wrote the file, so that its job may replace it; empty files prove nothing."""
    if path.name == report.WORKBOOK:
        return _is_result_workbook(path)
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            head = file.read(_HEAD).replace(b"\0", b"")  # UTF-16, as a spreadsheet may save it
    except OSError:
        return False
    return not head or bool(mark(head))


def _is_result_workbook(path: Path) -> bool:
    """Return whether siproster wrote the workbook, perhaps saved again by a spreadsheet."""
    try:
        if not path.stat().st_size:
            return True
        with zipfile.ZipFile(path) as book:
            texts = [one for one in ("xl/sharedStrings.xml", _FIRST_SHEET) if one in book.namelist()]
            return any(b">bw__job<" in book.open(name).read(_HEAD) for name in texts)
    except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError, zlib.error, ValueError):
        return False
