"""The program as its users run it: an own process, an own home, nothing inherited."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CLI = Path(__file__).parents[1] / "cli.py"

FORKING = """
import json, os, sys
sys.path.insert(0, sys.argv[2])
import cli

def run(words, stdout, stderr):
    for path, number in ((os.devnull, 0), (stdout, 1), (stderr, 2)):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT), number)
    sys.argv[1:] = words
    try:
        cli.main()
    except SystemExit as end:
        sys.stdout.flush()
        os._exit(end.code or 0)

def warm(words):
    with open(os.devnull, "w") as sys.stdout:
        cli._run(words)
    sys.stdout = sys.__stdout__

commands = json.loads(sys.stdin.read())
for command in sorted({words[0] for words in commands}):
    warm([command, "--help"])
codes = []
for number, words in enumerate(commands):
    child = os.fork()
    if not child:
        run(words, f"{sys.argv[1]}/{number}.out", f"{sys.argv[1]}/{number}.err")
    codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
print(json.dumps(codes))
"""
"""Runs commands one after the other, each in a process of its own that inherits the modules."""


@dataclass(frozen=True)
class Finished:
    """How a run of the program ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        """Return the JSON that ``--json`` printed: stdout holds it and nothing else."""
        return json.loads(self.stdout)


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

    def __post_init__(self) -> None:
        self.work.mkdir(parents=True, exist_ok=True)
        inherited = {name: os.environ[name] for name in ("PATH", "TMPDIR") if name in os.environ}
        own = {"HOME": str(self.home), "LANG": "C.UTF-8", "TZ": "America/New_York", "COLUMNS": "100"}
        self.environment = {**inherited, **own, **self.environment}

    @property
    def work(self) -> Path:
        """The folder that the program is started in."""
        return self.home / "work"

    def run(self, *arguments: str | Path, stdin: str = "", seconds: float = 120, **more: str) -> Finished:
        """Run it to its end. ``more``: environment variables for this run alone."""
        process = self.start(*arguments, log=None, **more)
        try:
            stdout, stderr = process.communicate(stdin, timeout=seconds)
        except subprocess.TimeoutExpired:
            kill_group(process)
            stdout, stderr = process.communicate()
            raise AssertionError(f"{arguments} still ran after {seconds} s:\n{stdout}\n{stderr}") from None
        return Finished(process.returncode, stdout, stderr)

    def run_each(self, commands: Sequence[Sequence[str]], seconds: float = 120) -> list[Finished]:
        """Run many commands, each in a process of its own; what they import is loaded once for all."""
        with tempfile.TemporaryDirectory() as printed:
            done = subprocess.run(
                [sys.executable, "-c", FORKING, printed, str(self.cli.parent)],
                cwd=self.work, env=self.environment, input=json.dumps(commands), capture_output=True,
                text=True, timeout=seconds, check=True,
            )  # fmt: skip
            texts = [
                [Path(printed, f"{number}.{kind}").read_text("utf-8") for kind in ("out", "err")]
                for number in range(len(commands))
            ]
        return [Finished(code, *text) for code, text in zip(json.loads(done.stdout), texts, strict=True)]

    def start(self, *arguments: str | Path, log: Path | None = None, **more: str) -> subprocess.Popen[str]:
        """Start it in a process group of its own, with pipes.

        ``log``: a file for all that it prints, for one that runs long: a full pipe would stop it.
        """
        with log.open("a") if log else contextlib.nullcontext(subprocess.PIPE) as printed:
            process = subprocess.Popen(
                [sys.executable, str(self.cli), *map(str, arguments)],
                cwd=self.work,
                env=self.environment | more,
                stdin=subprocess.PIPE,
                stdout=printed,
                stderr=printed,
                text=True,
                encoding="utf-8",
                start_new_session=True,
            )
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
