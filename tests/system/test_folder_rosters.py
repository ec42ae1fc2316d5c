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


def test_no_file_is_put_into_the_folder_that_is_read(office: Program) -> None:
    """It would be a part of the roster the next time."""
    folder = office.work / "exports"
    folder.mkdir()
    write(folder / "berlin.csv", [{"username": "1001", "password": ""}])
    for words in (
        ("import", "exports", "--generate-passwords", "exports/new.csv"),
        ("phones", "exports", "--out", "exports/phones.csv"),
        ("phones", "exports/", "--cards", "./exports/cards.html"),
    ):
        finished = office.run(*words)
        assert (finished.code, "a part of that roster the next time" in finished.stderr) == (6, True), (
            finished
        )
    assert [path.name for path in folder.iterdir()] == ["berlin.csv"]


def test_a_query_file_that_is_missing_is_said(office: Program) -> None:
    """It is not called unreadable text."""
    (office.work / "pbx.db").touch()
    finished = office.run("plan", "sqlite:///pbx.db", "--query", "no.sql")
    assert (finished.code, "no.sql can't be read: no such file" in finished.stderr) == (6, True), finished
