"""Siproster's own log: on stderr, and in the file of ``--log-file``. Never a password, never a digest."""

from __future__ import annotations

import logging
import logging.handlers
import os
import sys
import time
from collections.abc import Callable, Mapping
from io import TextIOWrapper
from pathlib import Path
from typing import Any, TextIO, TypeVar

import click

from worker.commands import terminal
from worker.commands.terminal import LEVELS, ProgressForm, visible
from worker.errors import UsageError
from worker.logs import JsonLine
from worker.reasons import reason_of

log = logging.getLogger("siproster")

F = TypeVar("F", bound=Callable[..., Any])


def log_format_option(command: F) -> F:
    """Add ``--log-format``, which commands that run for long have."""
    return click.option(
        "--log-format", type=click.Choice(("text", "json")), default="text", show_default=True,
        help="Format of stderr and of --log-file: lines of text, or one JSON object a line.",
    )(command)  # fmt: skip


def log_file_option(command: F) -> F:
    """Add ``--log-file``."""
    return click.option(
        "--log-file", metavar="FILE", type=click.Path(path_type=Path),
        help="Also append messages and details (never secrets) to FILE, which may be rotated meanwhile.",
    )(command)  # fmt: skip


class _Line(logging.Formatter):
    """A formatter of lines without control characters; times are UTC, as in the ledger and the results."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%SZ")
        self.converter = time.gmtime

    def format(self, record: logging.LogRecord) -> str:
        return "\n".join(map(visible, super().format(record).split("\n")))


class _Event(logging.Handler):
    """A handler for ``--progress json``: each line of the log is an event."""

    def emit(self, record: logging.LogRecord) -> None:
        terminal.print_event({"event": "log", **JsonLine().facts(record)})


class _Stderr(logging.StreamHandler[TextIO]):
    """A handler that finds stderr anew for each line, since a progress display replaces it for a while."""

    @property
    def stream(self) -> TextIO:
        return sys.stderr

    @stream.setter
    def stream(self, stream: TextIO) -> None:
        pass


class _LogFile(logging.handlers.WatchedFileHandler):
    """A file of mode 0600, created again after logrotate, or somebody, has moved it away."""

    def _open(self) -> TextIOWrapper:
        return open(self.baseFilename, "a", encoding="utf-8", errors="backslashreplace", opener=_private)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def set_up_log(level: int, given: Mapping[str, Any]) -> None:
    """Log siproster's lines from ``level`` on to stderr, and all to a file if one is given.

    Of libraries only warnings are logged, since they may show whole URLs. With ``--log-format json``, lines
    for people become log lines, too. Raises UsageError if the file can't be written.
    """
    as_json = given.get("log_format") == "json"
    events = terminal.progress_form() is ProgressForm.JSON
    stderr: logging.Handler = _Event() if events else _Stderr(sys.stderr)
    stderr.setLevel(level)
    formatter = JsonLine() if as_json else _Line()
    stderr.setFormatter(formatter)
    if not events:
        terminal.echo_with(_log_line if as_json else None)
    logging.captureWarnings(as_json or events)
    handlers = [stderr]
    if file := given.get("log_file"):
        handlers.append(_log_file(file, formatter))
    terminal.record_with(None if as_json or not file else _record_in(handlers[-1]))
    root = logging.getLogger()
    for handler in root.handlers:
        if isinstance(handler, _LogFile):
            handler.close()
    root.handlers[:] = handlers
    root.setLevel(logging.WARNING)
    # It logs the driver's traceback for every lost connection; we log one line instead.
    logging.getLogger("sqlalchemy.pool").setLevel(logging.CRITICAL)
    logging.getLogger("worker").setLevel(logging.DEBUG if file else level)


def _log_file(path: Path, formatter: logging.Formatter) -> logging.Handler:
    """Open the log file. Raises UsageError if it can't be written, or is a file that the command reads."""
    for name, value in click.get_current_context().params.items():
        if name != "log_file" and isinstance(value, str | Path) and value and _same(path, Path(value)):
            raise UsageError(f"--log-file {path} is a file that the command uses itself", "name another file")
    try:
        handler = _LogFile(path, delay=False)
    except OSError as error:
        raise UsageError(
            f"--log-file {path}: can't be written: {reason_of(error)}", "name a file that you can write to"
        ) from None
    handler.setFormatter(formatter)
    return handler


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except (OSError, ValueError):  # one of them does not exist, or is no path
        return False


def _log_line(text: str, colour: str) -> None:
    """Log a line that is meant for people, whatever the level of the log is."""
    log.handle(_message(text, colour))


def _record_in(handler: logging.Handler) -> terminal.Line:
    """Return a function that puts lines for people into the log file, beside stderr."""

    def record(text: str, colour: str) -> None:
        handler.handle(_message(text, colour))

    return record


def _message(text: str, colour: str) -> logging.LogRecord:
    level = logging.getLevelNamesMapping()[LEVELS.get(colour, "info").upper()]
    return log.makeRecord(log.name, level, "", 0, text.strip(), (), None)
