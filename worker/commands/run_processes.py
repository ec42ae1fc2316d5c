"""The processes of scheduled runs: a ``siproster schedule run`` for each run that a scheduler has claimed."""

from __future__ import annotations

import itertools
import logging
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from worker.errors import NotFound, SiprosterError
from worker.ledger import Ledger
from worker.ledger.schedule_columns import Run
from worker.model import JobState
from worker.schedules.results import RunResult, end_of

log = logging.getLogger(__name__)

_RETRY_AFTER = 60.0
"""Seconds until a run whose process has died is tried again."""

_MOST_DEATHS = 5
"""Attempts after which a run whose process dies each time has failed."""

STOP_SECONDS = 90.0
"""Seconds that runs have to finish their requests in flight when the scheduler is told to end."""

_POLL_SECONDS = 0.1

_PROGRAM = Path(__file__).parents[2] / "cli.py"

_INTERRUPTED, _USAGE_ERROR, _UNAVAILABLE = 130, 6, 5
"""Exit codes of the processes (docs/commands.md)."""


class RunProcesses:
    """The processes that carry out a scheduler's runs, one each: a run that hangs holds no other one up.

    They outlive a scheduler that is killed, and finish their runs. ``limit``: how many may run at once.
    ``arguments``: options with which they find the scheduler's settings.
    """

    def __init__(self, ledger: Ledger, limit: int, arguments: Sequence[str]) -> None:
        self._ledger = ledger
        self._limit = limit
        self._arguments = arguments
        self._running: dict[int, tuple[Run, subprocess.Popen[bytes]]] = {}
        """By number, the lowest free one: it names the file that the process counts metrics into."""
        self.counts: Path | None = None
        """The folder of those files; None without metrics."""

    def free(self) -> int:
        """Return how many more runs may be started now."""
        return self._limit - len(self._running)

    def pids(self) -> list[int]:
        """Return the processes' pids."""
        return [process.pid for _, process in self._running.values()]

    def start(self, run: Run) -> None:
        """Start the process of a claimed run, which takes the claim over."""
        profile = self._ledger.schedules.get(run.schedule).profile
        number = next(number for number in itertools.count() if number not in self._running)
        arguments = [*self._arguments, *(["--profile", profile] if profile else [])]
        if self.counts:
            arguments += ["--counts", str(self.counts / str(number))]
        at = f"{run.slot:%Y-%m-%d %H:%M}Z"
        log.info("schedule %s: the run of %s begins", run.schedule, at, extra={"schedule": run.schedule})
        process = subprocess.Popen(
            [sys.executable, str(_PROGRAM), "schedule", "run", run.schedule,
             "--slot", repr(run.slot.timestamp()), *arguments],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C reaches the scheduler alone, whose stop() passes it on
        )  # fmt: skip
        self._running[number] = run, process

    def reap(self) -> None:
        """Remove the processes that have ended, and end or release the runs of those that failed."""
        ended = [number for number, (_, process) in self._running.items() if process.poll() is not None]
        for number in ended:
            run, process = self._running.pop(number)
            if process.returncode:
                self._end_or_release(run, process.returncode)

    def stop(self) -> None:
        """Tell all processes to end, and wait until they have finished their requests in flight."""
        for _, process in self._running.values():
            process.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        for _, process in self._running.values():
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.1, deadline - time.monotonic()))
        with suppress(SiprosterError):  # their claims expire in a minute anyway
            self.reap()

    def wait(self) -> None:
        """Wait until all runs have ended."""
        while self._running:
            self.reap()
            time.sleep(_POLL_SECONDS)

    def _end_or_release(self, run: Run, code: int) -> None:
        """End or release a run whose process may have died before it could. No effect if it did so itself."""
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        why = (
            f"its process ended with {how}; see the log of the scheduler, or try it: "
            f"siproster schedule run {run.schedule}"
        )
        if code == _INTERRUPTED:
            self._ledger.schedules.release(run, 0, why)
        elif code == _UNAVAILABLE or (code != _USAGE_ERROR and run.attempts < _MOST_DEATHS):
            self._ledger.schedules.release(run, _RETRY_AFTER, why, died=True)
        else:
            schedule = self._ledger.schedules.get(run.schedule)
            end = end_of(schedule, run, RunResult.FAILED, why, self._begun_job(run))
            self._ledger.schedules.end(run, end)

    def _begun_job(self, run: Run) -> str:
        """Return the run's job; empty if it never began: then the next run imports its files."""
        latest = self._ledger.schedules.run(run.schedule, run.slot)
        with suppress(NotFound):
            job = self._ledger.jobs.get(latest.job)
            return job.id if job.saved or job.state is not JobState.PLANNING else ""
        return ""
