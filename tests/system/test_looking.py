"""Looking at a ledger that another process works with."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.program import Program
from tests.sandbox import Sandbox
from tests.system.rosters import roster_of, users
from tests.system.runs import until


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_looking_at_a_running_import_leaves_its_ledger_alone(
    office: Program, sandbox: Sandbox, tmp_path: Path
) -> None:
    """Commands that open and close the ledger of a running import don't delete the WAL under it.

    Guard: store._make_private, which never opens a ledger that is there.
    """
    sandbox.knobs(latency=2)
    roster = roster_of(tmp_path / "staff.csv", users(200))
    running = office.start("import", roster, "--batch-size", "5", "--concurrency", "2")
    until(lambda: len(sandbox.log("POST", "sipcredentials")) > 1)
    for command in (["jobs"], ["jobs", "--json"], ["doctor"]):
        office.run(*command)
    opened = [str(path.readlink()) for path in Path(f"/proc/{running.pid}/fd").iterdir() if path.is_symlink()]
    assert any(name.endswith("-wal") for name in opened)
    assert [name for name in opened if "ledger" in name and "(deleted)" in name] == []
    sandbox.knobs(latency=0)
    _, errors = running.communicate(timeout=120)
    assert running.returncode == 0, errors
    assert "the ledger failed" not in errors
