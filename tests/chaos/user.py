"""The user of a chaos run: starts an import and goes on with it, by the command line alone."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.chaos.tally import RESUMED, RETRIED, Tally
from tests.chaos.world import World

_ENDED = (0, 10)
_GO_ON = (-9, 5, 7)
"""Exit codes after which the documentation says: resume. The first is the SIGKILL's."""

_JOB = re.compile(r"^job (\d{8}-\d{6}-\S+)$", re.MULTILINE)


class Unexpected(Exception):
    """The program did what its documentation rules out."""


class User:
    """One job, from its roster to its results.

    ``settings``: environment of every command. ``detached``: the commands leave the job to the workers and
    the scheduler, and the user only follows it.
    """

    def __init__(
        self, world: World, tally: Tally, name: str, arguments: Sequence[str | Path],
        settings: Mapping[str, str], *, detached: bool = False,
    ) -> None:  # fmt: skip
        self._world = world
        self._tally = tally
        self._name = name
        self._arguments = arguments
        self._settings = dict(settings)
        self._detached = detached
        self._commands = 0
        self._job = ""
        self._before = self._newest()
        self.command = self._import()

    @property
    def job(self) -> str:
        """The job's id, once the import has said it."""
        if not self._job and (said := _JOB.search(self._log().read_text())):
            self._job = said[1]
        return self._job

    def look(self) -> bool:
        """Return whether the job is over; follow a command that ended before that by the next one."""
        code = self.command.poll()
        if code is None:
            return False
        self._world.end(self.command)
        self._check(code)
        if not self.job:
            self._job = self._unsaid()
        if code in _ENDED and not (self._detached and self._word != "status"):
            return True
        self.command = self._next(code)
        return False

    def insist(self) -> None:
        """End a command that waits, and resume the job at once, watching it."""
        self._world.end(self.command)
        self._job = self.job or self._unsaid()
        self._detached = False
        self.command = self._next(-9)

    def summary(self) -> dict[str, Any]:
        """Resume the job until its result files are written, and return its summary."""
        return self._told("resume", self.job)

    def retry(self) -> dict[str, Any]:
        """Retry the rows that are not in place, and return the new job's summary."""
        self._tally.add(RETRIED)
        return self._told("retry", self.job, "--yes")

    def _told(self, *words: str) -> dict[str, Any]:
        for _ in range(5):
            finished = self._world.program.run(*words, "--json", stdin="", seconds=240, **self._settings)
            summary = finished.json if finished.stdout else {}
            if finished.code in _ENDED and summary["state"] == "done":
                return dict(summary)
            if finished.code not in _GO_ON:
                break
            words = ("resume", summary.get("job", self.job))
        raise Unexpected(f"{words} ended with {finished.code}:\n{finished.stderr[-2000:]}")

    def _next(self, code: int) -> subprocess.Popen[str]:
        if not self._job:
            return self._import()
        if self._detached and (code == 0 or self._word == "status"):
            return self._start("status", self._job, "--follow")
        self._tally.add(RESUMED)
        return self._start("resume", self._job, *(["--detach"] if self._detached else []))

    def _import(self) -> subprocess.Popen[str]:
        return self._start("import", *self._arguments, "--yes", *(["--detach"] if self._detached else []))

    def _start(self, word: str, *arguments: str | Path) -> subprocess.Popen[str]:
        self._word = word
        self._commands += 1
        self._log().touch()
        return self._world.start(self._log().name, word, *arguments, **self._settings)

    def _log(self) -> Path:
        return self._world.folder / "logs" / f"{self._name}-{self._commands:03d}-{self._word}.log"

    def _check(self, code: int) -> None:
        printed = self._log().read_text()
        if code not in (*_ENDED, *_GO_ON) or "Traceback" in printed:
            raise Unexpected(f"{self._log().name}: exit code {code}\n{printed[-2000:]}")

    def _unsaid(self) -> str:
        """The job of an import that was killed before it could say its id; empty: there is none."""
        newest = self._newest()
        return newest if newest != self._before else ""

    def _newest(self) -> str:
        finished = self._world.program.run(
            "jobs", "--limit", "1", "--json", stdin="", seconds=60, **self._settings
        )
        return str(finished.json[0]["job"]) if finished.code == 0 and finished.json else ""


def wait_until(over: Callable[[], bool], seconds: float) -> bool:
    """Ask until it says yes, for so long at most; whether it did."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if over():
            return True
        time.sleep(0.05)
    return False
