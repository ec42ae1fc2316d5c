"""``siproster demo``: the whole journey, without an account, a server or a setting."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.program import CLI, Program
from tests.system.rosters import SAMPLES, result_rows
from tests.system.runs import until

SAMPLE = SAMPLES / "roster.csv"


def sandboxes(process: subprocess.Popen[str] | subprocess.Popen[bytes]) -> list[psutil.Process]:
    """The sandbox processes that a demo has started."""
    found = psutil.Process(process.pid).children(recursive=True)
    return [one for one in found if "sandbox" in one.cmdline()]


def gone(processes: list[psutil.Process]) -> bool:
    """Return whether none of them runs any more."""
    return all(not one.is_running() or one.status() == psutil.STATUS_ZOMBIE for one in processes)


@pytest.fixture
def elsewhere(siproster: Program) -> Program:
    """The program of a user who has settings for a real account, in the environment and a file."""
    Path(siproster.work, "siproster.toml").write_text('BW_ACCOUNT_ID = "5551234"\nlimit = 1\n')
    siproster.environment |= {
        "BW_ACCOUNT_ID": "5551234",
        "BW_API_URL": "http://127.0.0.1:1",
        "BW_USERNAME": "me",
        "SIPROSTER_BROKER": "redis://127.0.0.1:1",
        "HTTP_PROXY": "http://127.0.0.1:1",
    }
    return siproster


def test_the_whole_journey(elsewhere: Program, installed: Path) -> None:
    """Every row is in place, proven, and a user is called, with results and no secret shown; then again.

    The settings of one's own are neither used nor shown. First it is the installed package, which needs no
    checkout for its sample; the second time it is on a terminal.
    """
    elsewhere.cli = installed / "cli.py"
    finished = elsewhere.run("demo")
    assert finished.code == 0, finished.stderr
    steps = re.findall(r"^\d  (.*)$", finished.stdout, re.MULTILINE)
    assert steps == [
        "The service",
        "The roster",
        "The import",
        "The registrar",
        "The phones",
        "The call",
        "The results",
        "Your own account",
    ]
    assert "250 of 250 entries have the Hash1 and Hash1b of the roster's passwords" in finished.stdout
    assert re.search(r"^25  registers ", finished.stdout, re.MULTILINE)
    assert re.search(r"^Call c-\S+: it was answered", finished.stdout, re.MULTILINE)
    folder = elsewhere.work / "siproster-demo"
    results = result_rows(folder / "results" / "results.csv")
    assert {row["bw__status"] for row in results} == {"created"}
    assert [row["bw__username"] for row in results] == [row["username"] for row in result_rows(SAMPLE)]
    shown = finished.stdout + finished.stderr
    nothing_is_told(shown, folder)
    assert list(elsewhere.home.rglob(".local")) == []
    elsewhere.cli = CLI
    progress_is_seen(elsewhere)


def nothing_is_told(shown: str, folder: Path) -> None:
    """Assert that the output shows no password, digest or own account, and that files are private."""
    assert [row["password"] for row in result_rows(SAMPLE) if row["password"] in shown] == []
    assert re.search(r"\b[0-9a-f]{32}\b", shown) is None
    assert "5551234" not in shown
    left = [path for path in folder.rglob("*") if path.is_file()]
    assert len(left) >= 5
    assert [path for path in left if path.stat().st_mode & 0o077] == []


def progress_is_seen(program: Program) -> None:
    """Assert that the import's bar moves on a terminal: several numbers between 0 and 250 are shown."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, str(program.cli), "demo"],
        env=program.environment | {"TERM": "xterm-256color"}, cwd=program.work,
        stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
    )  # fmt: skip
    os.close(slave)
    shown = b""
    try:
        while piece := os.read(master, 65536):
            shown += piece
    except OSError:  # Linux says so when the last writer is gone
        pass
    os.close(master)
    assert process.wait(timeout=30) == 0
    assert len({int(number) for number in re.findall(rb"(\d+) of 250", shown)} - {0, 250}) > 3


def test_another_roster_is_never_overwritten(siproster: Program) -> None:
    """A folder with a roster.csv of the user's own is refused, and the file stays."""
    mine = siproster.work / "roster.csv"
    mine.write_text("username,password\nme,secret\n")
    refused = siproster.run("demo", "--folder", ".")
    assert refused.code == 6
    assert "is not the demo's roster" in refused.stderr
    assert mine.read_text() == "username,password\nme,secret\n"


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_the_sandbox_never_outlives_the_demo(siproster: Program, how: signal.Signals) -> None:
    """However the demo ends, in the middle of it, its sandbox is gone shortly after."""
    process = siproster.start("demo")
    found = until(lambda: sandboxes(process), process)
    process.send_signal(how)
    process.communicate(timeout=30)
    assert process.returncode == (-9 if how is signal.SIGKILL else 130)
    until(lambda: gone(found))
