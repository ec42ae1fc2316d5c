"""``--not-before``: the roster is checked now, and nothing is sent before the window."""

from __future__ import annotations

import datetime as dt
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.program import Program
from tests.sandbox import Sandbox
from tests.system.rosters import User, expected, roster_of, truth, users
from tests.system.runs import end_of, jobs, run

STAFF = users(20)
YEARS = "2099-01-01T00:00Z"


def soon(seconds: float = 2) -> str:
    """A time in so many seconds."""
    return (dt.datetime.now(dt.UTC) + dt.timedelta(seconds=seconds)).isoformat()


def waiting(process: subprocess.Popen[str]) -> str:
    """Return what the process has printed, up to the line that says until when it waits."""
    said = ""
    assert process.stderr is not None
    for line in process.stderr:
        said += line
        if "sending begins at" in line:
            return said
    raise AssertionError(said)


def test_import_and_plan_and_retry_wait(office: Program, sandbox: Sandbox) -> None:
    """Each of them begins when its time has come, and says what it waits for."""
    roster = roster_of(office.work / "staff.csv", [*STAFF, User("not valid", "Pw-abcdefgh1234")])
    plan = run(office, "plan", roster, "--save", code=10)["plan"]
    for words in (["import", "--plan", plan], ["retry", "latest"], ["import", roster]):
        begins = soon()
        finished = office.run(*words, "--not-before", begins, "--yes")
        assert finished.code == 10, finished.stderr
        assert "sending begins at" in finished.stderr
        assert dt.datetime.now(dt.UTC) >= dt.datetime.fromisoformat(begins)
    assert truth(sandbox) == expected(sandbox, STAFF)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c(office: Program, sandbox: Sandbox, how: signal.Signals) -> None:
    """Nothing is sent, no job and no folder is left, and the account isn't held."""
    roster = roster_of(office.work / "staff.csv", STAFF)
    process = office.start("import", roster, "--yes", "--not-before", YEARS)
    said = waiting(process)
    assert "2099-01-01 00:00Z" in said or "(2099-01-01 00:00Z)" in said
    assert "Ctrl-C ends this, and nothing is sent" in said
    assert run(office, "import", roster, "--on-existing", "fail")["state"] == "done"  # meanwhile
    process.send_signal(how)
    assert end_of(process).code == 130
    assert len(jobs(office)) == 1
    assert len(list(office.work.glob("siproster-*"))) == 1


CHANGES: dict[str, Callable[[Path], object]] = {
    "written over": lambda path: roster_of(path, users(20, first=50)),
    "replaced": lambda path: roster_of(path.with_suffix(".new"), users(20, first=50)).rename(path),
    "appended to": lambda path: path.open("a").write("late,Pw-late-xY1\n"),
    "gone": lambda path: path.unlink(),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_roster_that_changes_meanwhile(office: Program, sandbox: Sandbox, change: str) -> None:
    """Nobody has checked that one: it is refused, and nothing is sent."""
    roster = roster_of(office.work / "staff.csv", STAFF)
    process = office.start("import", roster, "--yes", "--not-before", soon(4))
    waiting(process)
    CHANGES[change](roster)
    finished = end_of(process)
    assert (finished.code, "has changed, or vanished" in finished.stderr) == (6, True), finished.stderr
    assert not sandbox.credentials()


def test_windows_that_can_not_be(office: Program) -> None:
    """The end comes before the beginning; a detached command can't wait."""
    roster = roster_of(office.work / "staff.csv", STAFF)
    ends = office.run("import", roster, "--not-before", YEARS, "--not-after", "2098-01-01T00:00Z")
    assert (ends.code, "is not after --not-before" in ends.stderr) == (6, True)
    detached = office.run(
        "import", roster, "--detach", "--not-before", YEARS, SIPROSTER_BROKER="redis://127.0.0.1:1/0"
    )
    assert (detached.code, "siproster schedule add" in detached.stderr) == (6, True)
