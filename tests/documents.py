"""The documentation's code blocks, and the sessions in it that are run as they are printed.

``python -m tests.documents`` writes the output in ``console`` blocks anew, as the program prints it now.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
FENCED = re.compile(r"^(?P<indent> *)```(?P<kind>\w*)\n(?P<text>.*?)^ *```$", re.DOTALL | re.MULTILINE)
MARK = "\N{SYMBOL FOR RECORD SEPARATOR}"
"""Printed before each command of a session, so that the outputs can be told apart."""

PRINTED_HOME, PRINTED_PORTS = "/home/dana", ("8321", "5060")
"""The home folder, and the ports of API and registrar, in the documentation."""

SESSIONS = ("docs/getting-started.md", "docs/first-import.md")
"""Pages whose ``console`` blocks are one session of a shell, shown with its output."""

WAITING = r"^(waiting for|no answer from|the service answers again|looking up) .*\n"
"""Lines that a command prints only on a machine that is too busy."""

READY = {
    "siproster sandbox": "grep -q 'sandbox ready' {log}",
    # Its own output stays in its buffer, so the registrar is asked.
    "baresip": "exec 3<>/dev/tcp/127.0.0.1/{api} && printf 'GET /_sandbox/bindings HTTP/1.0\\r\\n\\r\\n' >&3"
    " && grep -q '^{{' <&3",
}
"""What runs in the background, and what succeeds in the shell once it can be used."""


@dataclass(frozen=True)
class Block:
    """A code block of a page."""

    kind: str
    """The word behind the backticks; may be empty."""
    text: str
    line: int
    """The line of its backticks."""

    @property
    def commands(self) -> list[str]:
        """Return what is typed in a ``console`` block; a here-document's lines belong to their command."""
        return [command for command, _ in _turns(self.text)]


def pages() -> dict[str, str]:
    """Return every page of the documentation, by its path."""
    paths = [*ROOT.glob("*.md"), *sorted((ROOT / "docs").rglob("*.md")), ROOT / "samples" / "README.md"]
    return {str(path.relative_to(ROOT)): path.read_text("utf-8") for path in paths}


def blocks(page: str) -> list[Block]:
    """Return a page's code blocks, without the indent that a list gives them."""
    return [
        Block(
            found["kind"],
            re.sub(f"^{found['indent']}", "", found["text"], flags=re.MULTILINE),
            page.count("\n", 0, found.start()) + 1,
        )
        for found in FENCED.finditer(page)
    ]


def _turns(console: str) -> Iterator[tuple[str, str]]:
    """Yield the commands of a ``console`` block, each with its output."""
    for turn in re.split(r"^\$ ", console, flags=re.MULTILINE)[1:]:
        end = re.search(r"<<'(\w+)'", turn.split("\n", 1)[0])
        length = turn.index(f"\n{end[1]}\n") + len(end[1]) + 2 if end else turn.index("\n") + 1
        yield turn[: length - 1], turn[length:]


def normalized(output: str) -> str:
    """Return an output without what each run has anew: ids, times, fingerprints, waits."""
    jobs: dict[str, str] = {}
    names = ("20261129-091502-staff-7f3a", "20261129-092140-staff-1c52", "20261129-093307-staff-b80e")

    def known(found: re.Match[str]) -> str:
        if found[0] not in jobs:
            jobs[found[0]] = names[len(jobs)]
        return jobs[found[0]]

    output = re.sub(WAITING, "", output, flags=re.MULTILINE)
    output = re.sub(r"\b\d{8}-\d{6}-[a-z]+-[0-9a-f]{4}\b", known, output)
    began = re.compile(r"^(\d{8}-(\d\d)(\d\d)\d\d-.*) \d\d-\d\d \d\d:\d\dZ {2}\w+@[\w.-]+", re.MULTILINE)
    output = began.sub(r"\1 11-29 \2:\3Z  dana@pbx1", output)
    output = re.sub(r"\bin \d+\.\d s\b", "in 0.1 s", output)
    output = re.sub(r"\bidentity [0-9a-f]{8}", "identity 7ea67325", output)
    return re.sub(r"\bseals as [0-9a-f]{16}", "seals as 5dbcf9f1553363f7", output)


@dataclass
class Session:
    """A shell in a new home, in which the ``console`` blocks of a page are typed."""

    home: Path

    def __post_init__(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        program = self.home / "bin" / "siproster"
        program.parent.mkdir()
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{ROOT / "cli.py"}" "$@"\n', "utf-8")
        program.chmod(0o755)
        self.ports = _free_ports()
        self.environment = {
            "HOME": str(self.home),
            "PATH": f"{program.parent}:{os.environ['PATH']}",
            "LANG": "C.UTF-8",
            "TZ": "UTC",
            "SHELL": "/bin/bash",
            "COLUMNS": "100",
        }

    def follow(self, commands: list[str]) -> list[str]:
        """Type commands, one after the other; return the output of each, as the documentation prints it."""
        log = self.home / "typed"
        script = "".join(
            f"echo '{MARK}'\n{self._typed(command)}\n{self._waiting(command, log)}" for command in commands
        )
        with log.open("w") as printed:
            shell = subprocess.Popen(
                ["bash", "-c", script],
                cwd=self.home,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                shell.wait(timeout=200)
            except subprocess.TimeoutExpired:
                raise AssertionError(f"still running after 200 s:\n{log.read_text('utf-8')}") from None
            finally:
                with suppress(ProcessLookupError):  # what runs in the background, too
                    os.killpg(shell.pid, signal.SIGKILL)
        shown = normalized(self._printed(log.read_text("utf-8")))
        return shown.split(f"{MARK}\n")[1:]

    def _typed(self, command: str) -> str:
        for printed, real in zip(PRINTED_PORTS, self.ports, strict=True):
            command = re.sub(rf"\b{printed}\b", real, command)
        return command

    def _waiting(self, command: str, log: Path) -> str:
        """Return the line that waits until a command in the background is ready."""
        if not command.endswith("&"):
            return ""
        (ready,) = (test for name, test in READY.items() if command.startswith(name))
        ready = ready.format(log=log, api=self.ports[0])
        return f"for i in $(seq 300); do ({ready}) 2>/dev/null && break; sleep 0.05; done\n"

    def _printed(self, text: str) -> str:
        text = text.replace(str(self.home), PRINTED_HOME)
        for printed, real in zip(PRINTED_PORTS, self.ports, strict=True):
            text = re.sub(rf"(?<=:){real}\b", printed, text)
        return text


def _free_ports() -> list[str]:
    """Return two free ports with as many digits as those printed, so that columns keep their widths."""
    free: list[str] = []
    while len(free) < len(PRINTED_PORTS):
        port = random.randrange(8400, 9999)
        kinds = (socket.SOCK_STREAM, socket.SOCK_DGRAM)
        with suppress(OSError):
            for kind in kinds:
                with closing(socket.socket(socket.AF_INET, kind)) as one:
                    one.bind(("127.0.0.1", port))
            free.append(str(port))
    return free


def followed(page: str, home: Path) -> str:
    """Return a page with the output that its commands have now."""
    commands = [command for block in blocks(page) if block.kind == "console" for command in block.commands]
    outputs = iter(Session(home).follow(commands))

    def block(found: re.Match[str]) -> str:
        if found["kind"] != "console":
            return found[0]
        turns = "".join(f"$ {command}\n{next(outputs)}" for command, _ in _turns(found["text"]))
        return f"```console\n{turns}```"

    return FENCED.sub(block, page)


def main() -> None:
    """Write anew what the pages show of the program."""
    for name in SESSIONS:
        # As long as the printed home, so that columns keep their widths.
        home = Path(tempfile.gettempdir(), "".join(random.choices("abcdefghijkmnpqrstuvwxyz", k=5)))
        try:
            page = ROOT / name
            page.write_text(followed(page.read_text("utf-8"), home), "utf-8")
        finally:
            shutil.rmtree(home)


if __name__ == "__main__":
    main()
