"""The standard streams. This module loads next to nothing, so that ``--help`` is quick."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import resource
import sys
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_CLOSED = (os.O_WRONLY, os.O_RDONLY, os.O_WRONLY)
"""The modes for a closed stdin, stdout and stderr: the first two fail when used, the last discards all."""


def visible(text: str) -> str:
    """Return one line of text without the control characters that could control a terminal."""
    return text if text.isprintable() else "".join(c if c.isprintable() else "\ufffd" for c in text)


class ProgressForm(StrEnum):
    """Forms in which progress is shown: the values of ``--progress``."""

    AUTO = "auto"
    """A display on a terminal, lines elsewhere."""
    LINES = "lines"
    JSON = "json"
    """Stderr holds one JSON object a line."""
    NONE = "none"


Line = Callable[[str, str], None]
"""Take a line and its colour."""

_lines: list[Line] = []


_progress: list[ProgressForm] = []


def show_progress(form: ProgressForm) -> None:
    """Choose how progress is shown. With JSON, lines for people become events, too."""
    _progress[:] = [form]
    if form is ProgressForm.JSON:
        echo_with(_print_message)


def progress_form() -> ProgressForm:
    """Return how progress is shown."""
    return _progress[0] if _progress else ProgressForm.AUTO


def print_event(event: Mapping[str, object]) -> None:
    """Print an event as one line of JSON on stderr. A stderr that fails ends no job."""
    with contextlib.suppress(OSError):
        click.echo(json.dumps(event), err=True)


def _print_message(text: str, colour: str) -> None:
    print_event({"event": "message", "level": LEVELS.get(colour, "info"), "text": text.strip()})


LEVELS = {"red": "error", "yellow": "warning"}
"""How serious a line of this colour is."""


def echo_with(line: Line | None) -> None:
    """Pass the lines for people to ``line``, for a stderr that holds JSON; None: print them."""
    _lines[:] = [line] if line else []


def echoes_elsewhere() -> bool:
    """Return whether stderr holds JSON, so that nothing may be drawn there."""
    return bool(_lines)


def record_with(line: Line | None) -> None:
    """Also pass the lines for people to ``line``, which records them; None: no longer."""
    _records[:] = [line] if line else []


_records: list[Line] = []


def echo(text: str, colour: str = "") -> None:
    """Print a line for people on stderr. A stderr that fails ends no job."""
    for record in _records:
        record(text, colour)
    if _lines:
        _lines[0](text, colour)
        return
    with contextlib.suppress(OSError):
        click.secho(visible(text), err=True, fg=colour or None)


def leave_no_core() -> None:
    """Write no core dump of this process or its children: keys and passwords are in their memory."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def prepare() -> None:
    """Replace standard streams that are closed.

    Otherwise the next file that is opened, such as the ledger, would get the number of one, and its output. A
    closed stdin stays None in ``sys``.
    """
    for number, flags in enumerate(_CLOSED):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, flags)
    sys.stderr = sys.stderr or os.fdopen(2, "w", encoding="utf-8", closefd=False)
    encoding = sys.stdout.encoding if sys.stdout else "utf-8"
    raw = _Output(1, "w", closefd=False)
    # A name that the terminal can't encode, or a file name that is not UTF-8, must not end the program.
    sys.stdout = io.TextIOWrapper(
        io.BufferedWriter(raw), encoding, "backslashreplace", line_buffering=raw.isatty()
    )
    _output.append(raw)


def be_silent() -> None:
    """Discard all that would be printed on stderr: at a Tab it would end up in the line that is typed."""
    sys.stderr = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8")


def output_fails() -> bool:
    """Return whether stdout fails, so that an error which came up is due to it."""
    return any(raw.fault for raw in _output)


def flushed(code: int) -> int:
    """Return the exit code once stdout has taken all output; print an error if it has not.

    Prints nothing if the reader closed the pipe, the usual end of ``siproster jobs | head``.
    """
    for number, stream in ((1, sys.stdout), (2, sys.stderr)):
        with _dropped(number):
            stream.flush()
    fault = next((raw.fault for raw in _output if raw.fault), None)
    if fault is None:
        return code
    if fault.errno != errno.EPIPE:
        echo(f"siproster: standard output can't be written: {fault.strerror}", "red")
        echo("           only that output is lost; see the jobs with: siproster jobs")
    return code or 1


def asks() -> bool:
    """Return whether a question can be asked: stdin is a terminal."""
    return sys.stdin is not None and sys.stdin.isatty()


class _Output(io.FileIO):
    """A wrapper of stdout that remembers errors: a failed flush may leave no trace for the next."""

    fault: OSError | None = None

    def write(self, data: ReadableBuffer, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            self.fault = error
            raise


_output: list[_Output] = []


@contextlib.contextmanager
def _dropped(number: int) -> Iterator[None]:
    """Discard what a stream doesn't take: otherwise the interpreter would fail on it at exit."""
    try:
        yield
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), number)
