"""The fault matrix, disks: full, or not to be written. What is committed stays, the rest can be resumed."""

from __future__ import annotations

import resource
import shutil
import signal
import sys
from pathlib import Path

import pytest

from tests.chaos.fleet import holds
from tests.program import Program
from tests.sandbox import Sandbox
from tests.system.rosters import made_once, result_rows, roster_of, users
from tests.system.runs import end_of, run, until

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux lets a test limit another process"
)


def fill_disk(pid: int, room: int) -> None:
    """From now on the process can write no file beyond so many bytes, as if its disk were full."""
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (room, room))


def test_the_ledgers_disk_is_full(office: Program, sandbox: Sandbox) -> None:
    """The job ends with the reason instead of a traceback, and ``resume`` goes on when there is room again.

    Guard: store._explained, which makes a LedgerError of it; the task that leaves its chunk to a later sweep.
    """
    sandbox.knobs(latency=0.2)
    roster = roster_of(office.work / "staff.csv", users(30))
    process = office.start("import", roster, "--batch-size", "2", "--concurrency", "1", "--json")
    until(lambda: len(sandbox.credentials()) >= 6, process)
    fill_disk(process.pid, 4096)
    ended = end_of(process)
    assert (ended.code, ended.error) == (1, "ledger")
    assert "the ledger /" in ended.stderr
    assert "make room where it is" in ended.stderr
    assert "siproster resume" in ended.stderr
    assert "Traceback" not in ended.stderr
    sandbox.knobs(latency=0)
    (job,) = (found["job"] for found in office.run("jobs", "--json").json)
    counts = run(office, "resume", job)["counts"]
    # Rows that were answered and could not be recorded were found again, and no answer names them any more.
    assert counts["created"] + counts.get("unchanged", 0) == 30
    assert holds(sandbox, users(30))
    assert made_once(sandbox)


def test_results_that_can_not_be_written(office: Program, sandbox: Sandbox) -> None:
    """A results folder that disappears during the job is reported; ``report`` writes the files afterwards.

    Guard: report.explained.
    """
    sandbox.knobs(latency=0.3)
    roster = roster_of(office.work / "staff.csv", users(4))
    folder = office.work / "results"
    process = office.start("import", roster, "--batch-size", "1", "--concurrency", "1", "--results", folder)
    until(lambda: sandbox.credentials(), process)
    shutil.rmtree(folder)
    folder.touch()  # permissions would not stop root
    ended = end_of(process)
    assert ended.code == 1
    assert "the result files can't be written" in ended.stderr
    assert "siproster report" in ended.stderr
    (job,) = (found["job"] for found in office.run("jobs", "--json").json)
    summary = run(office, "report", job, "--results", office.work / "elsewhere")
    assert summary["counts"] == {"created": 4}
    assert len(result_rows(summary["files"]["results"])) == 4


@pytest.mark.parametrize("how", ["disk full", "killed"])
def test_torn_results(office: Program, sandbox: Sandbox, how: str) -> None:
    """A report that breaks off leaves the files of before as they were, whole, and can be repeated.

    Guard: report.new_file.
    """
    rows = 20_000 if how == "killed" else 1500  # writing the files must take long enough to be seen
    summary = run(office, "import", roster_of(office.work / "staff.csv", users(rows)))
    files = [Path(path) for path in summary["files"].values()]
    before = [path.read_bytes() for path in files]
    process = office.start("report", summary["job"])
    if how == "killed":
        until(lambda: list(files[0].parent.glob(".results*")), process)
        process.send_signal(signal.SIGKILL)
    else:
        fill_disk(process.pid, 65_536)
    ended = end_of(process)
    assert ended.code == (-signal.SIGKILL if how == "killed" else 1)
    assert [path.read_bytes() for path in files] == before
    if how == "disk full":
        assert "the result files can't be written" in ended.stderr
        assert sorted(files[0].parent.iterdir()) == sorted(files)
    assert run(office, "report", summary["job"])["counts"] == {"created": rows}
