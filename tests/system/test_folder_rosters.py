"""A folder of exports as one roster: imported, corrected, retried, reported."""

from __future__ import annotations

from pathlib import Path

from tests.program import Program
from tests.sandbox import Sandbox
from tests.system.rosters import result_rows, write
from tests.system.runs import run


def test_a_folder_is_imported_and_retried(office: Program, sandbox: Sandbox) -> None:
    """Lines are unique over all files, so that a correction reaches the row that it means."""
    folder = office.work / "exports"
    folder.mkdir()
    (folder / "a.csv").write_text("user,password\n1001,Secret-aa-1001\n,Secret-aa-1002\n")
    (folder / "b.csv").write_text("password,user\nSecret-bb-2001,2001\nSecret-bb-1001,1001\n,2003\n")
    summary = run(office, "import", folder, code=10)
    rows = result_rows(Path(summary["files"]["results"]))
    assert [(one["bw__row"], one["file"], one["file_line"], one["bw__status"]) for one in rows] == [
        ("2", "a.csv", "2", "created"),
        ("3", "a.csv", "3", "invalid"),
        ("5", "b.csv", "2", "created"),
        ("6", "b.csv", "3", "invalid"),
        ("7", "b.csv", "4", "invalid"),
    ]
    assert rows[3]["bw__error"] == "a.csv, line 2, already has user 1001"
    failed = result_rows(Path(summary["files"]["failed"]))
    failed[0]["user"], failed[1]["user"] = "1002", "2002"
    corrected = write(office.work / "corrected.csv", failed)
    again = run(office, "retry", summary["job"], "--corrections", corrected, code=10)
    assert {one["user"]: one["bw__status"] for one in result_rows(Path(again["files"]["results"]))} == {
        "1002": "created", "2002": "created", "2003": "invalid",
    }  # fmt: skip
    assert sorted(sandbox.digests()) == ["1001", "1002", "2001", "2002"]
    assert office.run("report", summary["job"]).code == 10
    verified = office.run(
        "verify", summary["job"], "--roster", folder, "--registrar", "127.0.0.1:9", "--json"
    )
    assert "contents differ" not in verified.stderr
