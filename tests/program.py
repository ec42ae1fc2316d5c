"""The program as its users run it: an own process, an own home, an environment of its own."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests import schemas
from tests.forkserver import Forked, ForkServer

CLI = Path(__file__).parents[1] / "cli.py"
INHERITED = {name: os.environ[name] for name in ("PATH", "TMPDIR") if name in os.environ}

SETTINGS = ("BW_", "SIPROSTER_")
"""How those variables begin that only the program reads, and only when it runs a command."""


@functools.cache
def fork_server() -> ForkServer:
    """One for all commands of this process."""
    return ForkServer(CLI.parent, {**INHERITED, "LANG": "C.UTF-8"})


@dataclass(frozen=True)
class Finished:
    """The end of a run of the program: exit code and output."""

    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        """Return the JSON that ``--json`` printed: stdout holds it and nothing else."""
        return json.loads(self.stdout)

    @property
    def error(self) -> str:
        """Return the code of the error that a failure with ``--json`` prints, alone on stdout."""
        (error,) = self.json.values()
        assert (list(self.json), error["exit"]) == (["error"], self.code)
        assert all(line in self.stderr for line in (error["message"], *error["hint"].split("\n")))
        return str(error["code"])


def finished(arguments: Sequence[str | Path], code: int, stdout: str, stderr: str) -> Finished:
    """Return the end of a run, once what ``--json`` printed is as its schema in docs/schemas says."""
    words = [*map(str, arguments)]
    schemas.check(words, code, stdout)
    schemas.check_events(words, stderr)
    return Finished(code, stdout, stderr)


@dataclass
class Program:
    """``python cli.py`` in the folder ``work``. ``environment`` is all that it is given.

    Running several of them, in the background too, is what ``start`` is for; whatever still
    runs at the end of the test is killed with all its children.
    """

    home: Path
    environment: dict[str, str] = field(default_factory=dict)
    started: list[subprocess.Popen[str]] = field(default_factory=list)
    cli: Path = CLI
    inherits: bool = True
    """Whether what is started may inherit its modules, too; ``ps`` doesn't show its arguments then."""

    def __post_init__(self) -> None:
        self.work.mkdir(parents=True, exist_ok=True)
        own = {"HOME": str(self.home), "LANG": "C.UTF-8", "TZ": "America/New_York", "COLUMNS": "100"}
        self._usual = INHERITED | own
        self.environment = self._usual | self.environment

    @property
    def work(self) -> Path:
        """The folder that the program is started in."""
        return self.home / "work"

    def run(self, *arguments: str | Path, stdin: str = "", seconds: float = 120, **more: str) -> Finished:
        """Run it to its end. ``more``: environment variables for this run alone.

        The process inherits its modules unless it is given what Python or a library may read while it is
        imported.
        """
        given = self.environment | more
        if not stdin and self._may_inherit(given):
            return finished(arguments, *fork_server().run([*map(str, arguments)], self.work, given, seconds))
        process = self.start(*arguments, log=None, **more)
        try:
            stdout, stderr = process.communicate(stdin, timeout=seconds)
        except subprocess.TimeoutExpired:
            kill_group(process)
            stdout, stderr = process.communicate()
            raise AssertionError(f"{arguments} still ran after {seconds} s:\n{stdout}\n{stderr}") from None
        return finished(arguments, process.returncode, stdout, stderr)

    def _may_inherit(self, given: Mapping[str, str]) -> bool:
        return self.cli == CLI and self.only_settings(given)

    def only_settings(self, given: Mapping[str, str]) -> bool:
        """Whether this environment differs in no more than settings from the usual one."""
        changed = dict(given.items() ^ self._usual.items())
        return all(name.startswith(SETTINGS) for name in changed)

    def start(self, *arguments: str | Path, log: Path | None = None, **more: str) -> subprocess.Popen[str]:
        """Start it in a process group of its own, with pipes.

        ``log``: a file for all that it prints, for one that runs long: a full pipe would stop it.
        """
        given, command = self.environment | more, [sys.executable, str(self.cli), *map(str, arguments)]
        with log.open("a") if log else contextlib.nullcontext(subprocess.PIPE) as printed:
            streams: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": printed, "stderr": printed}
            if self.inherits and self._may_inherit(given):
                process: subprocess.Popen[str] = Forked(
                    fork_server(), command, cwd=self.work, env=given, **streams
                )
            else:
                process = subprocess.Popen(
                    command, cwd=self.work, env=given, text=True, encoding="utf-8", start_new_session=True,
                    **streams,
                )  # fmt: skip
        self.started.append(process)
        return process

    def close(self) -> None:
        """Kill what still runs, and let go of the pipes."""
        for process in self.started:
            kill_group(process)
            process.communicate()


def kill_group(process: subprocess.Popen[str]) -> None:
    """SIGKILL to a process and all its children, also where only children are left."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
