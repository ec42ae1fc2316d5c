"""The standard streams. Whatever else a command loads, this loads next to nothing (``--help`` is quick)."""

from __future__ import annotations

import contextlib
import errno
import os
import sys

import click

_CLOSED = (os.O_WRONLY, os.O_RDONLY, os.O_WRONLY)
"""How a closed stdin, stdout and stderr are opened: the first two fail when used, the last takes all."""


def visible(text: str) -> str:
    """One line of text for a terminal, which control characters in a name could steer."""
    return text if text.isprintable() else "".join(c if c.isprintable() else "\ufffd" for c in text)


def say(text: str, colour: str = "") -> None:
    """A line for people, on stderr. A stderr that takes nothing ends no job."""
    with contextlib.suppress(OSError):
        click.secho(visible(text), err=True, fg=colour or None)


def prepare() -> None:
    """Put something in the place of standard streams that are closed.

    Else the next file that is opened, such as the ledger, gets the number of one, and what is printed.
    A closed stdin stays None in ``sys``.
    """
    for number, flags in enumerate(_CLOSED):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, flags)
    sys.stdout = sys.stdout or os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", encoding="utf-8", closefd=False)
    # A name that the terminal's encoding doesn't have, or a file's that is not UTF-8, must end nothing.
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def flushed(code: int) -> int:
    """The exit code, once stdout has taken all that was printed; where it hasn't, that is told.

    Nothing is said where whoever read it left, the usual end of ``siproster jobs | head``.
    """
    fault = _fault(1)
    if fault and fault.errno != errno.EPIPE:
        say(f"siproster: standard output can't be written: {fault.strerror}", "red")
        say("           what was to be printed is lost; what was done is done: `siproster jobs` lists jobs")
    _fault(2)
    return code or int(fault is not None)


def output_fails() -> bool:
    """Whether stdout takes nothing more, so that an error which came up is its."""
    try:
        sys.stdout.flush()
    except OSError:
        return True
    return False


def _fault(number: int) -> OSError | None:
    """Why a stream doesn't take what is left, which is dropped then: the interpreter would fail on it."""
    try:
        (sys.stdout if number == 1 else sys.stderr).flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), number)
        return error
    return None
