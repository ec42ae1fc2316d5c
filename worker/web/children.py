"""Child processes of the page's server: commands of this program, bounded, that outlive the server."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

from worker.importing.process_id import process_id_of

PROGRAM: Final = Path(__file__).parents[2] / "cli.py"
_LAUNCHER: Final = Path(__file__).with_name("child.py")
_POLL: Final = 5.0
"""Seconds between two signs of life of a child in the ledger."""
_GRACE: Final = 30
"""Seconds beyond its limit after which a child ends itself, should the server be dead."""
_MOST_PRINTED: Final = 32 << 20
"""Bytes of a child's output that are read."""
_LAST_LINES: Final = 4
_out_of_memory: Final = re.compile(
    r"failed to map segment|[Cc]annot allocate memory|in start \(threading\.py"
).search
"""Match what a program prints that gets no more memory for a library or a thread's stack."""
_KILLED: Final = (signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT)
"""Signals with which the system, or a library, ends a process that gets no more memory."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """The most that a child may take; 0: no bound."""

    memory: int = 0
    """Bytes of address space."""
    seconds: int = 0


UNBOUNDED: Final = Bounds()


@dataclass(frozen=True, slots=True)
class Ended:
    """The end of a child."""

    facts: Mapping[str, Any] | None
    """The JSON that it printed, if it was facts."""
    error: Mapping[str, Any] | None
    """Why it failed: ``code``, ``message``, ``hint``, ``exit``."""


class Child:
    """A child that waits for ``go``. Its output goes to memory, never to a disk."""

    def __init__(self, arguments: Sequence[str], bounds: Bounds, environment: Mapping[str, str]) -> None:
        self._bounds = bounds
        with ExitStack() as stack:
            self._out = stack.enter_context(_memory("stdout"))
            self._err = stack.enter_context(_memory("stderr"))
            command = [sys.executable, str(PROGRAM), *arguments]
            alarm = bounds.seconds + _GRACE if bounds.seconds else 0
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(_LAUNCHER), str(bounds.memory), str(alarm), *command],
                stdin=subprocess.PIPE, stdout=self._out, stderr=self._err, env={**environment},
                start_new_session=True,  # it outlives the server, and Ctrl-C reaches the server alone
            )  # fmt: skip
            stack.pop_all()
        self.id = process_id_of(self._process.pid)

    def go(self) -> None:
        """Let it begin."""
        with suppress(BrokenPipeError):  # it was killed
            self._end_input(b"\n")

    def drop(self) -> None:
        """Let it end without having begun."""
        self._end_input(b"")
        self._process.wait()
        self._close()

    def wait(self, seen: Callable[[], None]) -> Ended:
        """Wait until it ends; kill its group if it takes too long. ``seen`` is called every few seconds."""
        deadline = time.monotonic() + self._bounds.seconds if self._bounds.seconds else None
        late = False
        while True:
            left = _POLL if deadline is None else max(0.0, min(_POLL, deadline - time.monotonic()))
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(left)
                break
            if deadline is not None and time.monotonic() >= deadline:
                late = True
                with suppress(ProcessLookupError):
                    os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
                break
            seen()
        try:
            return _end(
                self._process.returncode, _printed(self._out), _printed(self._err), self._bounds, late
            )
        finally:
            self._close()

    def _end_input(self, last: bytes) -> None:
        stream = self._process.stdin
        if stream:
            stream.write(last)
            stream.close()

    def _close(self) -> None:
        self._out.close()
        self._err.close()


def _memory(name: str) -> BinaryIO:
    """Return a file that is in memory alone, where the system has such files."""
    if hasattr(os, "memfd_create"):
        return cast(BinaryIO, os.fdopen(os.memfd_create(name), "w+b"))
    return cast(BinaryIO, tempfile.TemporaryFile())


def _printed(file: BinaryIO) -> str:
    file.seek(0)
    return file.read(_MOST_PRINTED).decode("utf-8", "replace")


def _end(code: int, out: str, err: str, bounds: Bounds, late: bool) -> Ended:
    facts = _json(out)
    if late or -code == signal.SIGALRM:
        return Ended(None, too_long(bounds))
    lacked = _out_of_memory(err) or ((facts or {}).get("error") or {}).get("code") == "no_memory"
    if bounds.memory and code and (lacked or -code in _KILLED):
        return Ended(None, too_large(bounds))
    if facts is not None and set(facts) != {"error"}:
        return Ended(facts, None)
    if facts is not None:
        return Ended(None, facts["error"])
    if code == 0:
        return Ended({}, None)
    return Ended(None, _unexplained(code, err))


def _json(out: str) -> dict[str, Any] | None:
    with suppress(ValueError):
        found = json.loads(out)
        if isinstance(found, dict):
            return found
    return None


def too_long(bounds: Bounds) -> dict[str, Any]:
    """Return the error of a child that took too long."""
    return failure(
        "too_long", f"reading the file took more than {bounds.seconds} seconds and was stopped",
        "split the file into smaller ones, or import it in a terminal: siproster plan FILE --save",
    )  # fmt: skip


def too_large(bounds: Bounds) -> dict[str, Any]:
    """Return the error of a child that took too much memory."""
    return failure(
        "too_large", f"reading the file took more than {bounds.memory >> 20:,} MiB of memory and was stopped",
        "split the file into smaller ones, save a workbook as CSV, or import it in a terminal: "
        "siproster plan FILE --save",
    )  # fmt: skip


def interrupted() -> dict[str, Any]:
    """Return the error of a step whose process has ended without an answer."""
    return failure("interrupted", "its process ended before it was done", "start it again", 130)


def failure(code: str, message: str, hint: str, exit_code: int = 6) -> dict[str, Any]:
    """Return an error as commands print it under --json."""
    return {"code": code, "message": message, "hint": hint, "exit": exit_code}


def _unexplained(code: int, err: str) -> dict[str, Any]:
    """Return the error of a child that printed no JSON, from the last lines of its stderr."""
    lines = [line.strip() for line in err.splitlines() if line.strip()]
    message = next((line.removeprefix("siproster: ") for line in lines if line.startswith("siproster: ")), "")
    hint = ""
    if message:
        after = lines[lines.index(f"siproster: {message}") + 1 :]
        hint = " ".join(after[:_LAST_LINES])
    how = f"signal {-code}" if code < 0 else f"exit code {code}"
    last = " ".join(lines[-_LAST_LINES:])
    return failure("failed", message or last or f"its process ended with {how}", hint, abs(code))
