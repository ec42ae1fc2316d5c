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

from tests.program import Program
from tests.system.rosters import SAMPLES, result_rows
from tests.system.runs import until

SAMPLE = SAMPLES / "roster.csv"


def sandboxes(process: subprocess.Popen[str] | subprocess.Popen[bytes]) -> list[psutil.Process]:
    """The sandbox processes that a demo has started."""
    found = psutil.Process(process.pid).children(recursive=True)
    return [one for one in found if "sandbox" in one.cmdline()]


def gone(processes: list[psutil.Process]) -> bool:
    """Whether none of them runs any more."""
    return all(not one.is_running() or one.status() == psutil.STATUS_ZOMBIE for one in processes)


def test_the_whole_journey(siproster: Program) -> None:
    """Every row of the sample is in place, proven entry by entry, and a user is called; results are left."""
    finished = siproster.run("demo")
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
    assert "250 of 250 entries hold Hash1 and Hash1b of the roster's password" in finished.stdout
    assert re.search(r"^25  registers ", finished.stdout, re.MULTILINE)
    assert re.search(r"^Call c-\S+: it was answered", finished.stdout, re.MULTILINE)
    results = result_rows(siproster.work / "siproster-demo" / "results" / "results.csv")
    assert {row["bw__status"] for row in results} == {"created"}
    assert [row["bw__username"] for row in results] == [row["username"] for row in result_rows(SAMPLE)]


def test_no_secret_is_shown(siproster: Program) -> None:
    """No password of the sample and no digest on the screen; what is left behind is its owner's alone."""
    finished = siproster.run("demo", "--folder", "here")
    shown = finished.stdout + finished.stderr
    assert [row["password"] for row in result_rows(SAMPLE) if row["password"] in shown] == []
    assert re.search(r"\b[0-9a-f]{32}\b", shown) is None
    left = [path for path in (siproster.work / "here").rglob("*") if path.is_file()]
    assert len(left) >= 5
    assert [path for path in left if path.stat().st_mode & 0o077] == []


def test_a_users_own_set_up_is_left_alone(siproster: Program) -> None:
    """Settings for a real account, in the environment or a file, are neither used nor shown; again works."""
    Path(siproster.work, "siproster.toml").write_text('BW_ACCOUNT_ID = "5551234"\nlimit = 1\n')
    siproster.environment |= {
        "BW_ACCOUNT_ID": "5551234",
        "BW_API_URL": "http://127.0.0.1:1",
        "BW_USERNAME": "me",
        "SIPROSTER_BROKER": "redis://127.0.0.1:1",
        "HTTP_PROXY": "http://127.0.0.1:1",
    }
    for _ in range(2):
        finished = siproster.run("demo")
        assert finished.code == 0, finished.stderr
        assert "5551234" not in finished.stdout + finished.stderr
    assert list(siproster.home.rglob(".local")) == []


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


def test_on_a_terminal_the_progress_is_seen(siproster: Program) -> None:
    """The import's bar moves: several numbers of settled rows are shown between 0 and 250."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, str(siproster.cli), "demo"],
        env=siproster.environment | {"TERM": "xterm-256color"}, cwd=siproster.work,
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
    assert len({int(number) for number in re.findall(rb"(\d+)/250", shown)} - {0, 250}) > 3
