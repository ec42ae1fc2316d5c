"""A job, its retries, the plan it carried out and its undo, as users see them together."""

from __future__ import annotations

from pathlib import Path

from tests.program import Program
from tests.system.rosters import result_rows, write
from tests.system.runs import run

GOOD = "Tb7xQ2mK9rL4vN8s"
ROSTER = [
    {"username": "alice", "password": f"{GOOD}a", "site": "HQ"},
    {"username": "bad name", "password": f"{GOOD}b", "site": "HQ"},
    {"username": "carol", "password": "", "site": "LAB"},
    {"username": "dave", "password": f"{GOOD}d", "site": "LAB"},
    {"username": "left out", "password": f"{GOOD}e", "site": "XX"},
]


def corrected(office: Program, job: str, **users: tuple[str, str]) -> Path:
    """Return a job's failed.csv with these corrections of user names and passwords."""
    rows = result_rows(office.work / f"siproster-{job}" / "failed.csv")
    for row in rows:
        name, row["password"] = users.get(row["username"].replace(" ", "_"), (row["username"], ""))
        row["username"] = name
    return write(office.work / "corrected.csv", rows)


def test_a_plan_its_job_and_two_retries(office: Program) -> None:
    """Any of them names all; the file has each row of the roster once, as the latest job knows it."""
    roster = write(office.work / "staff.csv", ROSTER)
    plan = run(office, "plan", roster, "--save", "--where", "site!=XX", code=10)["plan"]
    first = run(office, "import", "--plan", plan, "--yes", code=10)["job"]
    second = run(
        office, "retry", first, "--corrections", corrected(office, first, bad_name=("bob", "")), code=10
    )
    assert second["lineage"]["sentence"] == "4 rows: 3 in place after 2 runs"
    again = corrected(office, second["job"], carol=("carol", f"{GOOD}c"))
    third = run(office, "retry", second["job"], "--corrections", again)
    jobs = [plan, first, second["job"], third["job"]]
    assert third["lineage"] == {
        "root": plan, "jobs": jobs, "schedule": None, "rows": 4, "in_place": 4,
        "sentence": "4 rows: 4 in place after 3 runs",
    }  # fmt: skip
    assert run(office, "status", first)["lineage"] == third["lineage"]
    shown = office.run("status", first).stdout
    assert f"4 rows: 4 in place after 3 runs; in one file: siproster report --lineage {first}" in shown
    assert f"the latest run: siproster status {third['job']}" in shown
    assert "the latest run" not in office.run("status", third["job"]).stdout
    for job in jobs:
        told = run(office, "report", "--lineage", job)
        lines = result_rows(told["files"]["results"])
        columns = ("bw__row", "bw__job", "bw__status", "bw__username")
        assert [tuple(line[column] for column in columns) for line in lines] == [
            ("2", first, "created", "alice"), ("3", second["job"], "created", "bob"),
            ("4", third["job"], "created", "carol"), ("5", first, "created", "dave"),
        ]  # fmt: skip
        assert [line["site"] for line in lines] == ["HQ", "HQ", "LAB", "LAB"]
        assert list(lines[0])[9:] == ["bw__attempts", "bw__undo", "username", "site"]
        assert not any(GOOD in cell for line in lines for cell in line.values())
    own = result_rows(office.work / f"siproster-{first}" / "results.csv")
    assert [line["bw__status"] for line in own] == ["created", "invalid", "invalid", "created"]


def test_an_undo_is_marked(office: Program) -> None:
    """Undone rows say so, and the exit code that not all rows are in place."""
    roster = write(office.work / "staff.csv", ROSTER[:2])
    job = run(office, "import", roster, code=10)["job"]
    again = run(office, "retry", job, "--corrections", corrected(office, job, bad_name=("bob", "")))["job"]
    assert office.run("undo", again, "--yes").code == 0
    told = run(office, "report", "--lineage", job, "--results", "together", code=10)
    assert told["sentence"] == "2 rows: 1 in place after 2 runs and an undo"
    assert "1 of 2 users are in place." in Path(told["files"]["page"]).read_text("utf-8")
    lines = result_rows(told["files"]["results"])
    assert [(line["bw__username"], line["bw__undo"]) for line in lines] == [("alice", ""), ("bob", "removed")]


def test_a_foreign_file_stays(office: Program) -> None:
    """The file of somebody else, and the roster itself, are not overwritten."""
    roster = write(office.work / "results.csv", ROSTER[:1])
    job = run(office, "import", roster)["job"]
    before = roster.read_bytes()
    finished = office.run("report", "--lineage", job, "--results", ".")
    assert (finished.code, "would be overwritten" in finished.stderr) == (6, True)
    assert roster.read_bytes() == before
