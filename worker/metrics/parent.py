"""The worker's, or scheduler's, side of the metrics server: its folder, its process, and the sign of life."""

from __future__ import annotations

import json
import logging
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from worker.errors import UsageError
from worker.files import new_part
from worker.metrics.counts import begin_counting
from worker.reasons import reason_of

log = logging.getLogger(__name__)

BEAT = "beat.json"
"""The file with the last sign of life."""

_PREFIX = "siproster-metrics-"
_ROOT = Path(__file__).parents[2]
_ENDING = 5.0
"""Seconds that the server has to end."""

_MAIN = "import sys; sys.path.insert(0, sys.argv[1]); from worker.metrics.server import main; main()"


@dataclass(frozen=True, slots=True)
class Places:
    """The sources of the metrics server, passed on its stdin, since URLs contain passwords."""

    ledger: str
    broker: str
    """Empty: none is used."""
    identity: str
    """The ledger's."""
    accounts: Sequence[str]
    """Accounts of this process, which have figures even if there is nothing to do."""
    pool: bool
    """Whether this process has a pool, without whose processes it isn't ready."""


class MetricsServer:
    """A process that answers ``/metrics``, ``/health`` and ``/ready`` for this one, until ``stop``."""

    def __init__(self, host: str, port: int, places: Places) -> None:
        """Start it. Raises UsageError if the address can't be listened on."""
        listening = _listening(host, port)
        _remove_left_over()
        self.folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))  # of mode 0700
        shown = f"[{host}]" if ":" in host else host
        self.url = f"http://{shown}:{listening.getsockname()[1]}"
        own = {"fd": listening.fileno(), "folder": str(self.folder), "parent": os.getpid()}
        with listening:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", _MAIN, str(_ROOT)],
                stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, pass_fds=[listening.fileno()],
                start_new_session=True, text=True,  # Ctrl-C is for this process, which then stops it
            )  # fmt: skip
        if self._process.stdin:
            with suppress(BrokenPipeError), self._process.stdin as stdin:
                json.dump({**asdict(places), **own}, stdin)
        self._gone = False
        self.beat([])

    def begin(self, position: str) -> None:
        """Count the work of this process, a child of the one that started the server."""
        begin_counting(self.folder, position)

    def beat(self, pool: Sequence[int]) -> None:
        """Record that this process is alive, every few seconds. ``pool``: pids of the pool's processes."""
        with suppress(OSError):
            descriptor, part = new_part(self.folder / BEAT)
            with os.fdopen(descriptor, "w") as file:
                json.dump({"at": time.monotonic(), "pool": list(pool)}, file)
            part.replace(self.folder / BEAT)
        if not self._gone and self._process.poll() is not None:
            self._gone = True
            log.error("the metrics server has ended; restart this process to have metrics again")

    def stop(self) -> None:
        """End the server, and remove the folder."""
        self._process.terminate()
        try:
            self._process.wait(_ENDING)
        except subprocess.TimeoutExpired:
            self._process.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise UsageError(
            f"--metrics: {host}:{port} can't be listened on: {reason_of(error)}",
            "choose another port, or an address of this machine",
        ) from None


def _remove_left_over() -> None:
    """Remove the folders of processes that were killed, so that they don't add up."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*-*"):
        pid = folder.name.removeprefix(_PREFIX).partition("-")[0]
        with suppress(OSError):
            if pid.isdigit() and folder.lstat().st_uid == os.geteuid() and not _exists(int(pid)):
                shutil.rmtree(folder, ignore_errors=True)


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass
    return True
