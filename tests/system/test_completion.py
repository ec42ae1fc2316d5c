"""Completion in a real bash, and what the other shells are told."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from tests.program import Program
from tests.system.rosters import users, write
from tests.system.runs import end_of, run

TAB = "\t"


class Bash:
    """An interactive bash on a terminal, in the program's folder, in which siproster is a command."""

    def __init__(self, program: Program) -> None:
        commands = program.home / "bin"
        commands.mkdir(exist_ok=True)
        command = commands / "siproster"
        command.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{program.cli}" "$@"\n')
        command.chmod(0o700)
        environment = {**program.environment, "PS1": "> ", "TERM": "dumb", "COLUMNS": "500"}
        environment["PATH"] = f"{commands}:{environment['PATH']}"
        self._ours, theirs = pty.openpty()
        self.process = subprocess.Popen(
            ["bash", "--norc", "--noprofile", "-i"], cwd=program.work, env=environment, stdin=theirs,
            stdout=theirs, stderr=theirs, start_new_session=True,
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
    """Return the answer to a shell, which asks by variables alone. ``word``: its number, or itself (fish)."""
    asked = {"_SIPROSTER_COMPLETE": f"{shell}_complete", "COMP_WORDS": words, "COMP_CWORD": word}
    program.environment |= asked
    ended = end_of(program.start())
    for name in asked:
        del program.environment[name]
    assert (ended.code, ended.stderr) == (0, "")
    return ended.stdout


@contextmanager
def bash(program: Program) -> Iterator[Bash]:
    """A bash in which completion was switched on with the line that `siproster completion bash` prints."""
    shell = Bash(program)
    try:
        shell.type('eval "$(siproster completion bash 2> told)"; echo ready$((1))\n', r"\nready1")
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
    with bash(office) as shell:
        for keys, completed in (
            ("siproster impo", "rt "),
            (f"siproster report {job[-4:]}", f"{job} "),
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
    with bash(office) as shell:
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


@pytest.mark.parametrize(
    ("shell", "word", "told"), [("zsh", "1", "plain\nundo\n"), ("fish", "und", "plain,undo\t")]
)
def test_the_other_shells_are_answered(siproster: Program, shell: str, word: str, told: str) -> None:
    """The line that is printed yields a script for the shell, which gets its answers in the shell's form."""
    line = siproster.run("completion", shell, "--json").json["line"]
    assert f"_SIPROSTER_COMPLETE={shell}_source siproster" in line
    siproster.environment["_SIPROSTER_COMPLETE"] = f"{shell}_source"
    script = end_of(siproster.start())
    assert (script.code, script.stderr) == (0, "")
    assert f"_SIPROSTER_COMPLETE={shell}_complete" in script.stdout
    assert answered(siproster, shell, "siproster und", word).startswith(told)


def test_a_job_is_offered_only_where_it_fits(office: Program) -> None:
    """`resume` offers no job that is done; where a roster or a job may be given, files are completed, too."""
    roster = write(office.work / "staff.csv", [{"user": "a", "pass": "Tb7xQ2mK9rL4vN8s"}])
    job = run(office, "import", roster)["job"]
    assert answered(office, "bash", "siproster resume ", "2").strip() == ""
    assert answered(office, "bash", f"siproster verify {job[:12]}", "2") == f"plain,{job}\n"
    assert answered(office, "bash", "siproster verify x", "2") == "file,\n"
