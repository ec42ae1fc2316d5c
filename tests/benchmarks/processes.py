"""Processes as they are measured: CPU seconds and peak memory, of each and of all below it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

_SAMPLE_SECONDS = 0.05
_MEGA = 1024 * 1024


@dataclass(frozen=True)
class Finished:
    """A command that has ended. ``cpu``: user and system seconds, its children's included."""

    code: int
    seconds: float
    cpu: float
    megabytes: float
    """Peak resident memory of the command's own process."""
    memory: list[tuple[float, float]]
    """Resident megabytes of the command's process, at seconds since its start."""
    stdout: str
    stderr: str


@dataclass
class Tree:
    """A process and all below it, as they come and go: a pool replaces its processes."""

    pid: int | None
    """None: it was never started."""
    peaks: dict[int, float] = field(default_factory=dict)
    """Peak resident megabytes by process id."""

    def processes(self) -> list[psutil.Process]:
        """Return those that are alive."""
        if self.pid is None:
            return []
        try:
            root = psutil.Process(self.pid)
            return [root, *root.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def cpu(self) -> float:
        """Return user and system seconds so far, those of processes that have ended included."""
        total = 0.0
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                total += sum(process.cpu_times()[:4])  # user, system, and both of children that have ended
        return total

    def sample(self) -> None:
        """Note the memory of each."""
        for process in self.processes():
            peak, _ = _memory(process.pid)
            self.peaks[process.pid] = max(peak, self.peaks.get(process.pid, 0.0))


def run(
    command: list[str], folder: Path, environment: dict[str, str], beside: list[Tree], seconds: float = 3600
) -> Finished:
    """Run a command to its end, sampling its memory and that of the trees beside it.

    Raises AssertionError when it still runs after ``seconds``.
    """
    with (folder / "stdout").open("w+b") as out, (folder / "stderr").open("w+b") as err:
        began = time.monotonic()
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=err
        )
        with _sampled(process.pid, beside, began) as samples:
            timer = threading.Timer(seconds, process.kill)
            timer.start()
            _, status, usage = os.wait4(process.pid, 0)
            took = time.monotonic() - began
            timer.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        peak = max((megabytes for megabytes, _ in samples.values()), default=0.0)
        return Finished(
            process.returncode, took, usage.ru_utime + usage.ru_stime, peak,
            [(at, resident) for at, (_, resident) in samples.items()],
            out.read().decode(), err.read().decode(),
        )  # fmt: skip


@contextlib.contextmanager
def _sampled(pid: int, beside: list[Tree], began: float) -> Iterator[dict[float, tuple[float, float]]]:
    """Sample until the block ends: peak and resident megabytes, by the seconds since ``began``."""
    samples: dict[float, tuple[float, float]] = {}
    over = threading.Event()

    def watch() -> None:
        while not over.wait(_SAMPLE_SECONDS):
            peak, resident = _memory(pid)
            if peak:
                samples[time.monotonic() - began] = (peak, resident)
            if len(samples) % 10 == 0:  # they change more slowly, and a walk over all processes costs more
                for tree in beside:
                    tree.sample()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield samples
    finally:
        over.set()
        thread.join()
        for tree in beside:
            tree.sample()


def _memory(pid: int) -> tuple[float, float]:
    """Return peak and present resident megabytes; 0 for a process that is gone.

    Not ``ru_maxrss``: Linux hands a child its parent's peak. If the kernel has no peak (macOS), the
    present figure stands for both.
    """
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        with contextlib.suppress(psutil.Error):
            resident = psutil.Process(pid).memory_info().rss / _MEGA
            return resident, resident
        return 0.0, 0.0
    found = dict(line.split(":", 1) for line in text.splitlines() if line.startswith(("VmHWM", "VmRSS")))
    peak, resident = (int(found.get(name, "0 kB").split()[0]) / 1024 for name in ("VmHWM", "VmRSS"))
    return peak, resident


def wait_until(ready: Callable[[], bool], what: str, seconds: float = 60) -> None:
    """Return when it is; AssertionError after so many seconds."""
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end, f"{what}: not within {seconds:g} s"
        time.sleep(0.05)
