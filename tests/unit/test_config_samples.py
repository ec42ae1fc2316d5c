"""The samples of configuration files: every entry is a row, with the expected outcome and password."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from worker.model import Options, Row
from worker.roster import open_roster

SAMPLES = Path(__file__).parents[2] / "samples" / "pbx"
FORMATS = {"asterisk": ".conf", "freeswitch": ".xml"}
EXPECTED = [
    (name, path)
    for name in FORMATS
    for path in sorted((SAMPLES / name).rglob("*.expected.csv"))
]  # fmt: skip


def found_in(row: Row) -> tuple[str, str]:
    """Return the status that the row alone leads to, and its codes."""
    if row.skipped:
        return "skipped", row.skipped.code
    if row.problems:
        return "invalid", ";".join(problem.code for problem in row.problems)
    return "created", ";".join(warning.code for warning in row.warnings)


@pytest.mark.parametrize(("name", "path"), EXPECTED, ids=[path.name for _, path in EXPECTED])
@pytest.mark.parametrize("given", [True, False], ids=["named", "recognised"])
def test_a_sample_gives_the_expected_rows(name: str, path: Path, given: bool) -> None:
    """All entries come in their order, with line, status, user and code, and exactly the right passwords."""
    source = path.with_name(path.name.removesuffix(".expected.csv") + FORMATS[name])
    options = Options(source_format=name if given else "auto")
    with path.open(newline="") as stream:
        wanted = list(csv.DictReader(stream))
    with open_roster(str(source), options) as roster:
        rows = list(roster.rows())
        assert roster.format == name
    seen = [(row.line, *found_in(row), row.user) for row in rows]
    # A duplicate is found by the names of all rows, later.
    expected = [
        (int(one["line"]), "created", "", one["username"])
        if one["code"] == "duplicate_in_file"
        else (int(one["line"]), one["status"], one["code"], one["username"])
        for one in wanted
    ]
    assert seen == expected
    created = {one["line"]: one["password"] for one in wanted if one["status"] == "created"}
    assert {str(row.line): row.password for row in rows if str(row.line) in created} == created
