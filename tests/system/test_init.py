"""``init``: from an empty folder to a settings file that works, on a terminal and without one."""

from __future__ import annotations

import os
import pty
import select
import signal
import stat
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import pytest

from tests.program import Program
from tests.sandbox import ACCOUNT, SECRET, USER, Sandbox

NOWHERE = "http://127.0.0.1:9"


@dataclass
class Terminal:
    """The program on a terminal of its own."""

    process: subprocess.Popen[bytes]
    master: int
    shown: str = ""

    def until(self, text: str) -> None:
        """Read what is shown until this text comes."""
        end = time.monotonic() + 30
        while text not in self.shown:
            assert select.select([self.master], [], [], end - time.monotonic())[0], self.shown
            self.shown += os.read(self.master, 4096).decode()

    def answer(self, question: str, text: str) -> None:
        """Wait for a question, and type the answer; the next question is another one."""
        self.until(question)
        self.shown = self.shown.rpartition(question)[2]
        os.write(self.master, f"{text}\n".encode())

    def control_c(self) -> None:
        """Press Ctrl-C, and again if nothing happens: Python misses one just before it reads a line."""
        for _ in range(3):
            os.killpg(self.process.pid, signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(15)
                return

    def end(self) -> int:
        """Read to the end, and return the exit code."""
        while True:
            try:
                piece = os.read(self.master, 4096)
            except OSError:  # the terminal's other end is closed
                break
            if not piece:
                break
            self.shown += piece.decode()
        return self.process.wait(30)


@contextmanager
def terminal(program: Program, *words: str) -> Iterator[Terminal]:
    """Start the program on a terminal, with everything that it shows there."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, str(program.cli), *words],
        cwd=program.work, env=program.environment, stdin=slave, stdout=slave, stderr=slave,
        start_new_session=True,
    )  # fmt: skip
    os.close(slave)
    try:
        yield Terminal(process, master)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        os.close(master)


def settings(program: Program) -> dict[str, object]:
    """The written file, which nobody else may read."""
    path = program.work / "siproster.toml"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    return tomllib.loads(path.read_text("utf-8"))


def files(program: Program) -> list[str]:
    """All files in the working folder, hidden ones too."""
    return sorted(path.name for path in program.work.iterdir())


def test_on_a_terminal(siproster: Program, sandbox: Sandbox) -> None:
    """The answers are tried and written; the secret is not shown; the next command works without settings."""
    with terminal(siproster, "init") as shown:
        shown.answer("Account ID", ACCOUNT)
        shown.answer("or the API's URL [prod]", sandbox.url)
        shown.answer("OAuth client ID", USER)
        shown.answer("(not shown)", "sandbox-wrong\x15" + SECRET)  # ^U: the line is begun again
        shown.answer("Ledger", "jobs.sqlite")
        assert shown.end() == 0
        assert "sandbox-wrong" not in shown.shown
        assert "siproster plan staff.xlsx" in shown.shown
    assert settings(siproster) == {
        "BW_ACCOUNT_ID": ACCOUNT, "BW_API_URL": sandbox.url, "BW_CLIENT_ID": USER, "BW_CLIENT_SECRET": SECRET,
        "SIPROSTER_LEDGER": f"sqlite:///{siproster.work / 'jobs.sqlite'}",
    }  # fmt: skip
    assert siproster.run("doctor").code == 0


def test_a_wrong_answer_is_asked_for_again(siproster: Program, sandbox: Sandbox) -> None:
    """A typing error doesn't cost the other answers; an unknown home folder is a sentence."""
    with terminal(siproster, "init") as shown:
        shown.answer("Account ID", "50 01234")
        shown.until("is not an account id")
        shown.answer("Account ID", ACCOUNT)
        shown.answer("or the API's URL [prod]", "tset")
        shown.until("'tset' is not known")
        shown.answer("or the API's URL [prod]", sandbox.url)
        shown.answer("OAuth client ID", USER)
        shown.answer("(not shown)", SECRET)
        shown.answer("Ledger", "~nobody-of-this-name/jobs.sqlite")
        shown.until("the home folder of an unknown user")
        shown.answer("Ledger", "jobs.sqlite")
        assert shown.end() == 0, shown.shown
    assert settings(siproster)["SIPROSTER_LEDGER"] == f"sqlite:///{siproster.work / 'jobs.sqlite'}"


@pytest.mark.parametrize(("place", "told"), [(".", "it is a folder"), ("no/x.toml", "no such folder")])
def test_a_place_that_can_not_be_written_is_refused_before_the_questions(
    siproster: Program, place: str, told: str
) -> None:
    """Nobody types a secret for nothing."""
    with terminal(siproster, "init", "--config", place) as shown:
        assert shown.end() == 6
        assert told in shown.shown
        assert "Account ID" not in shown.shown


def test_from_the_environment(office: Program) -> None:
    """Without a terminal the environment has the answers, which later runs don't need any more."""
    done = office.run("init", "--json")
    assert (done.code, done.json["ok"], done.json["file"]) == (0, True, str(office.work / "siproster.toml"))
    assert SECRET not in str([one for one in done.json["settings"] if one["name"] == "BW_CLIENT_SECRET"])
    for name in [name for name in office.environment if name.startswith("BW_")]:
        del office.environment[name]
    assert office.run("realm", "list").code == 0


def test_missing_answers(siproster: Program) -> None:
    """Without a terminal, what is not set is named, and nothing is written."""
    finished = siproster.run("init", BW_ACCOUNT_ID=ACCOUNT)
    assert (finished.code, files(siproster)) == (6, [])
    assert "not set: BW_CLIENT_ID, BW_CLIENT_SECRET" in finished.stderr


@pytest.mark.parametrize(
    ("changed", "code", "told"),
    [
        ({"BW_CLIENT_SECRET": "wrong-canary"}, 2, "no token for this client"),
        ({"BW_ACCOUNT_ID": "123"}, 3, "123"),
        ({"BW_API_URL": NOWHERE}, 5, "127.0.0.1:9"),
        ({"BW_API_URL": "api.example.com"}, 6, "has no scheme"),
    ],
)
def test_nothing_is_written_that_does_not_work(
    office: Program, changed: dict[str, str], code: int, told: str
) -> None:
    """Wrong credentials, account or host: a sentence, the exit code of `doctor`, no file and no ledger."""
    office.environment |= {"SIPROSTER_LEDGER": f"sqlite:///{office.work}/new.sqlite", **changed}
    finished = office.run("init")
    assert (finished.code, files(office)) == (code, [])
    assert told in finished.stdout + finished.stderr
    assert "wrong-canary" not in finished.stdout + finished.stderr
    assert "Traceback" not in finished.stderr


def test_an_existing_file(office: Program) -> None:
    """It is replaced only with --yes, or after a question on the terminal that says what would be lost."""
    path = office.work / "siproster.toml"
    path.write_text('realm = "office"\n', encoding="utf-8")
    refused = office.run("init")
    assert (refused.code, path.read_text("utf-8")) == (6, 'realm = "office"\n')
    assert "siproster.toml exists" in refused.stderr
    with terminal(office, "init") as shown:
        shown.answer("Replace it", "n")
        assert shown.end() == 130
    assert path.read_text("utf-8") == 'realm = "office"\n'
    assert office.run("init", "--yes").code == 0
    assert settings(office)["BW_ACCOUNT_ID"] == ACCOUNT


def test_control_c(office: Program) -> None:
    """Ctrl-C at a question ends it with 130, and nothing is written."""
    with terminal(office, "init") as shown:
        shown.until("Account ID")
        shown.control_c()
        assert shown.end() == 130
        assert "Traceback" not in shown.shown
    assert files(office) == []


def test_a_ledger_on_postgresql(office: Program, postgres_url: str) -> None:
    """It needs a sealing key, which is generated into the same file as the ledger's address."""
    assert office.run("init", SIPROSTER_LEDGER=postgres_url).code == 0
    written = settings(office)
    assert written["SIPROSTER_LEDGER"] == postgres_url
    for name in [name for name in office.environment if name.startswith("BW_")]:
        del office.environment[name]
    finished = office.run("doctor", "--json")
    assert finished.code == 0, finished.stdout
    assert str(written["SIPROSTER_KEY"]) not in finished.stdout


def test_another_file(office: Program) -> None:
    """A file that is not found by itself comes with its option in the next command."""
    path = office.work / "elsewhere.toml"
    assert f"siproster plan staff.xlsx --config {path}" in office.run("init", "--config", path).stderr


def test_an_environment_in_the_way(office: Program) -> None:
    """An answer that the environment would override is not written in silence."""
    office.environment["SIPROSTER_LEDGER"] = f"sqlite:///{office.work}/mine.sqlite"
    with terminal(office, "init") as shown:
        for question in ("Account ID", "API's URL", "client ID", "(not shown)"):
            shown.answer(question, "")
        shown.answer("Ledger", "other.sqlite")
        assert shown.end() == 0
        assert "SIPROSTER_LEDGER from the environment is used instead" in shown.shown


def test_an_environment_that_makes_the_file_unusable(office: Program, postgres_url: str) -> None:
    """A PGPASSWORD that would go to a server which a found file names: said now, not at the next command."""
    office.environment |= {"SIPROSTER_LEDGER": postgres_url, "PGPASSWORD": "secret-canary"}
    finished = office.run("init")
    assert finished.code == 0, finished.stderr
    assert "with the present environment, siproster.toml is refused" in finished.stderr
    assert "secret-canary" not in finished.stderr + finished.stdout
