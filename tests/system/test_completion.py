"""Completion in a real bash, zsh and fish."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tests.program import Program
from tests.system.rosters import users, write
from tests.system.runs import end_of, run

TAB = "\t"


SHELLS = {
    "bash": ("bash --norc --noprofile -i", 'eval "$(siproster completion bash 2> told)"; echo ready$((1))'),
    "zsh": (
        "zsh -f -i",
        'autoload -Uz compinit; compinit -D; eval "$(siproster completion zsh 2> told)"; echo ready$((1))',
    ),
    "fish": (
        "fish --no-config -i",
        "set fish_autosuggestion_enabled 0; siproster completion fish 2> told | source; echo ready(math 1)",
    ),
}
"""Shell to its command, and to the line that runs the one that `siproster completion` prints."""


class Shell:
    """An interactive shell on a terminal, in the program's folder, in which siproster is a command."""

    def __init__(self, program: Program, name: str) -> None:
        commands = program.home / "bin"
        commands.mkdir(exist_ok=True)
        command = commands / "siproster"
        command.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{program.cli}" "$@"\n')
        command.chmod(0o700)
        environment = {**program.environment, "PS1": "> ", "TERM": "dumb", "COLUMNS": "500"}
        environment["PATH"] = f"{commands}:{environment['PATH']}"
        self._ours, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (50, 500))
        self.process = subprocess.Popen(
            ["setsid", "--ctty", *SHELLS[name][0].split()], cwd=program.work, env=environment, stdin=theirs,
            stdout=theirs, stderr=theirs,
        )  # fmt: skip
        os.close(theirs)
        self._text = ""
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        with suppress(OSError):  # a terminal's end
            while piece := os.read(self._ours, 65_536):
                self._text += piece.decode(errors="replace")

    def type(self, keys: str, until: str) -> str:
        """Type on an empty line, and return all that is shown then, once it holds this pattern."""
        self._text = ""
        os.write(self._ours, f"\x15{keys}".encode())  # Ctrl-U empties the line
        end = time.monotonic() + 60
        while not re.search(until, self._text):
            assert time.monotonic() < end, (keys, self._text)
            time.sleep(0.02)
        return self._text

    def close(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()
        os.close(self._ours)


def answered(program: Program, shell: str, words: str, word: str) -> str:
    """Return the answer to a shell, which asks by variables alone. ``word``: its number."""
    asked = {"_SIPROSTER_COMPLETE": f"{shell}_complete", "COMP_WORDS": words, "COMP_CWORD": word}
    program.environment |= asked
    ended = end_of(program.start())
    for name in asked:
        del program.environment[name]
    assert (ended.code, ended.stderr) == (0, "")
    return ended.stdout


@contextmanager
def completing(program: Program, name: str = "bash") -> Iterator[Shell]:
    """A shell in which completion was switched on with the line that `siproster completion` prints."""
    shell = Shell(program, name)
    try:
        shell.type(f"{SHELLS[name][1]}\n", r"ready1")
        yield shell
    finally:
        shell.close()


def test_bash_completes_what_the_ledger_knows(office: Program) -> None:
    """Commands, values, job ids, plans, realms, schedules, profiles and files complete at a Tab."""
    roster = write(office.work / "staff.csv", [{"user": u.name, "pass": u.password} for u in users(3)])
    job = run(office, "import", roster)["job"]
    plan = office.run("plan", roster, "--save", "--json").json["plan"]
    office.run("schedule", "add", "nightly", roster, "--every", "30 2 * * *")
    (office.work / "siproster.toml").write_text("[profile.branch]\nBW_ENVIRONMENT = 'test'\n")
    (realm,) = run(office, "status", job)["realms"]
    with completing(office) as shell:
        for keys, completed in (
            ("siproster impo", "rt "),
            (f"siproster report {job[-6:]}", f"{job} "),
            ("siproster import --plan ", f"{plan} "),
            ("siproster plan --realm ", f"{realm} "),
            ("siproster schedule show n", "ightly "),
            ("siproster plan --profile b", "ranch "),
            ("siproster retry latest --corrections sta", "ff.csv "),
        ):
            shell.type(f"{keys}{TAB}", re.escape(completed))
        assert "~/.bashrc" in (office.work / "told").read_text()


def test_a_tab_makes_no_ledger_and_prints_nothing(office: Program) -> None:
    """Without a ledger, or with one that can't be read: no file, no message, no answer."""
    ledger = office.home / "none" / "ledger.db"
    with completing(office) as shell:
        for setting in (
            f"SIPROSTER_LEDGER=sqlite:///{ledger}",
            f"SIPROSTER_LEDGER=sqlite:///{office.cli}",
            "SIPROSTER_LEDGER=postgresql://127.0.0.1:1/none",
        ):
            shell.type(f"export {setting}; echo set$((1))\n", r"\nset1")
            shown = shell.type(f"siproster status {TAB}y", "y")
            assert shown.replace("\a", "").strip("\r\n> ").endswith("siproster status y"), shown
    assert not ledger.parent.exists()
    assert sorted(path.name for path in office.work.iterdir()) == ["told"]


def test_the_other_shells_complete(office: Program) -> None:
    """Commands, a part of a job's id and files complete at a Tab; the line's file is named."""
    roster = write(office.work / "staff.csv", [{"user": "a", "pass": "Tb7xQ2mK9rL4vN8s"}])
    job = run(office, "import", roster)["job"]
    for name, file in (("zsh", "~/.zshrc"), ("fish", "config.fish")):
        with completing(office, name) as shell:
            for keys, completed in (
                ("siproster impo", "rt "),
                (f"siproster report {job[:9]}", job[9:]),
                ("siproster plan sta", "ff.csv "),
            ):
                shell.type(f"{keys}{TAB}", re.escape(completed))
        assert file in (office.work / "told").read_text()


def test_a_job_is_offered_only_where_it_fits(office: Program) -> None:
    """`resume` offers no job that is done; where a roster or a job may be given, files are completed, too."""
    roster = write(office.work / "staff.csv", [{"user": "a", "pass": "Tb7xQ2mK9rL4vN8s"}])
    job = run(office, "import", roster)["job"]
    assert answered(office, "bash", "siproster resume ", "2").strip() == ""
    assert answered(office, "bash", f"siproster verify {job[:12]}", "2") == f"plain,{job}\n"
    assert answered(office, "bash", "siproster verify x", "2") == "file,\n"
