"""Closed or full streams, names that are no text, devices: each is reported, with its exit code."""

from __future__ import annotations

import os
import shlex
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.program import Program
from tests.sandbox import Sandbox
from tests.system.accounts import on_account
from tests.system.rosters import result_rows, write
from tests.system.runs import run

ROSTER = "username,password\nbob,Tb7xQ2mK9rL4vN8s\n"


def shell(program: Program, line: bytes, **more: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a line for the shell, in which SIPROSTER is the program."""
    cli = f"{shlex.quote(sys.executable)} {shlex.quote(str(program.cli))}".encode()
    done = subprocess.run(
        [b"/bin/sh", b"-c", line.replace(b"SIPROSTER", cli)], cwd=program.work, capture_output=True,
        env={**program.environment, **more}, timeout=120, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout.decode(), done.stderr.decode()


@pytest.fixture
def roster(siproster: Program) -> Path:
    """A roster of one user."""
    path = siproster.work / "staff.csv"
    path.write_text(ROSTER, "utf-8")
    return path


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        (b"SIPROSTER import - <&-", 6, "standard input is closed"),
        (b"SIPROSTER hash bob --realm a.b <&-", 6, "standard input is closed"),
        (b"SIPROSTER jobs purge --older-than 1 <&-", 0, "0 jobs removed"),
        (b"SIPROSTER jobs --json >&-", 1, "standard output can't be written: Bad file descriptor"),
        (b"SIPROSTER jobs --json >/dev/full", 1, "standard output can't be written: No space left"),
        (b"SIPROSTER --help >/dev/full", 1, "standard output can't be written: No space left"),
        (b"SIPROSTER jobs 2>&-", 0, ""),
        (b"SIPROSTER jobs 2>/dev/full", 0, ""),
        (b"SIPROSTER no-such 2>/dev/full", 6, ""),
        (b"SIPROSTER plan /dev/zero", 6, "/dev/zero is a device, not a roster"),
        (b"SIPROSTER plan /dev/null", 6, "/dev/null is a device, not a roster"),
        (b"mkfifo pipe; cat staff.csv > pipe & SIPROSTER plan pipe", 0, "1 row, 1 to send"),
        (b"cp staff.csv st\xff.csv; SIPROSTER plan st\xff.csv", 0, "st\ufffd.csv: 1 row, 1 to send"),
        (b"SIPROSTER plan none\xff.csv", 6, "is not UTF-8, and no file has that name"),
        (b"SIPROSTER status j\xff", 6, "is not UTF-8"),
        (b"SIPROSTER plan '~nosuch/staff.csv'", 6, "there is no file ~nosuch/staff.csv"),
        (b"TMPDIR=/none/such SIPROSTER plan staff.csv", 0, "1 row, 1 to send"),
        (b"cat staff.csv | TMPDIR=/none/such SIPROSTER plan -", 0, "1 row, 1 to send"),
        (b"HOME=/proc/none SIPROSTER jobs", 6, "the folder for the ledger can't be created"),
        (b"PYTHONIOENCODING=latin-1 SIPROSTER plan staff.csv --json", 0, "1 row, 1 to send"),
    ],
)
def test_an_odd_place_is_told(siproster: Program, roster: Path, line: bytes, code: int, said: str) -> None:
    """A clear message and the right code, never a traceback or a claim that the program itself failed."""
    assert roster.is_file()
    found, stdout, stderr = shell(siproster, line)
    assert (found, said in stdout + stderr) == (code, True), (found, stdout, stderr)

    assert "Traceback" not in stderr
    assert "unexpected" not in stderr
    assert "ignored" not in stderr  # the interpreter's own words about a stream


def test_a_stdin_that_is_closed_has_ended(siproster: Program) -> None:
    """The sandbox ends if its stdin is closed, as when the process at its other end dies."""
    _, _, stderr = shell(siproster, b"exec SIPROSTER sandbox --port 0 --with-stdin <&-")
    assert "Errno" not in stderr


def test_a_full_stdout_loses_no_job(office: Program, sandbox: Sandbox, roster: Path) -> None:
    """The job ends, its files are whole, and the code says that something could not be written."""
    code, _, stderr = shell(office, b"SIPROSTER import staff.csv --results out --json > /dev/full")
    assert (code, "standard output can't be written" in stderr) == (1, True), stderr
    assert [row["bw__status"] for row in result_rows(office.work / "out" / "results.csv")] == ["created"]
    assert on_account(sandbox) == {"bob"}
    assert roster.is_file()


@pytest.mark.parametrize("lost", [b">&- 2>&-", b"2>/dev/full", b"<&-"])
def test_lost_streams_end_no_job(office: Program, sandbox: Sandbox, roster: Path, lost: bytes) -> None:
    """The ledger doesn't get the number of a closed stream, and nothing is printed into it."""
    shell(office, b"SIPROSTER import staff.csv --results out " + lost)
    assert on_account(sandbox) == {"bob"}
    assert [row["bw__status"] for row in result_rows(office.work / "out" / "results.csv")] == ["created"]
    listed = office.run("jobs", "--json")
    assert [job["state"] for job in listed.json] == ["done"]
    assert roster.is_file()


def test_a_name_that_is_no_text_gets_into_the_ledger(office: Program, sandbox: Sandbox, roster: Path) -> None:
    """A roster, its folder, the folder of results and the user may have names that are not UTF-8."""
    folder = office.work / os.fsdecode(b"d\xff")
    folder.mkdir()
    Path(folder, os.fsdecode(b"s\xfe.csv")).write_bytes(roster.read_bytes())
    line = b"cd d\xff && mkdir out\xfd && LOGNAME=u\xfe SIPROSTER import s\xfe.csv --results out\xfd"
    code, _, stderr = shell(office, line)
    assert code == 0, stderr
    (job,) = office.run("jobs", "--json").json
    assert (job["roster"]["name"], job["operator"]) == ("s\ufffd.csv", "u?")
    assert on_account(sandbox) == {"bob"}


def test_results_can_not_go_into_a_file(office: Program, sandbox: Sandbox, roster: Path) -> None:
    """A results folder that can't be made is wrong usage before the import; afterwards nothing is lost."""
    Path(office.work, "out").touch()
    refused = office.run("import", roster, "--results", "out")
    assert (refused.code, "out: it is a file" in refused.stderr) == (6, True), refused.stderr
    assert on_account(sandbox) == set()
    job = run(office, "import", roster)["job"]
    again = office.run("report", job, "--results", "out")
    assert (again.code, "nothing is lost" in again.stderr) == (1, True), again.stderr


def test_sealed_rows_that_were_changed_stop_the_job(
    office: Program, sandbox: Sandbox, tmp_path: Path
) -> None:
    """If somebody changes the ledger's bytes, the job stops and says so, and no command waits for ever."""
    roster = write(
        tmp_path / "staff.csv",
        [{"username": "bob", "password": "Tb7xQ2mK9rL4vN8s"}, {"username": "", "password": "pw"}],
    )
    job = run(office, "import", roster, "--max-failed", "0", code=11)["job"]
    ledger = next(office.home.rglob("ledger.sqlite"))
    with closing(sqlite3.connect(ledger)) as database, database:
        waiting = "(SELECT seq FROM chunks WHERE state = 'waiting')"
        database.execute(f"UPDATE chunk_rows SET sealed = zeroblob(60) WHERE seq IN {waiting}")  # noqa: S608
    summary = run(office, "resume", job, code=1)
    assert (summary["state"], summary["why"].split(":")[0]) == ("stopped", "seal_broken")
    assert summary["counts"] == {"invalid": 1, "unprocessed": 1}
    assert on_account(sandbox) == set()
