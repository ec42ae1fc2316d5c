"""Programs that get a notification on their standard input."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress

from worker.notify.message import NotDelivered
from worker.reasons import reason_of

_HANDED_ON = ("HOME", "LANG", "LANGUAGE", "LOGNAME", "PATH", "SHELL", "TEMP", "TMP", "TMPDIR", "TZ", "USER")
"""Variables that a program gets. All others may be secrets, whatever their names are."""

_HANDED_ON_GROUPS = ("LC_", "XDG_")


def run(argv: Sequence[str], given: bytes, seconds: float, more: Mapping[str, str] | None = None) -> None:
    """Run a program with ``given`` on its standard input. Raises NotDelivered if it doesn't exit with 0.

    Its output is discarded. After ``seconds`` it is killed, with all that it has started in its session.
    ``more``: variables beside the usual ones.
    """
    try:
        process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env=environment(os.environ) | dict(more or {}), start_new_session=True,
        )  # fmt: skip
    except (OSError, ValueError) as error:
        raise NotDelivered(f"{argv[0]} can't be run: {reason_of(error)}") from None
    try:
        process.communicate(given, timeout=seconds)
    except BaseException as error:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if isinstance(error, subprocess.TimeoutExpired):
            raise NotDelivered(f"{argv[0]} did not end within {seconds:g} s and was killed") from None
        raise
    if process.returncode:
        raise NotDelivered(f"{argv[0]} {_ending(process.returncode)}")


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that a program may see: no secret of siproster's, nor of anything else."""
    return {
        name: value
        for name, value in environ.items()
        if name in _HANDED_ON or name.startswith(_HANDED_ON_GROUPS)
    }


def _ending(code: int) -> str:
    return f"was ended by signal {-code}" if code < 0 else f"exited with code {code}"
