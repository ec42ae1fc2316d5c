"""The sample rosters are what their README says."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from worker.model import Options
from worker.roster import open_roster

SAMPLES = Path(__file__).parents[2] / "samples"
PREHASHED = {
    9: ["password_missing"], 10: ["hash_incomplete"], 11: ["bad_hash"], 12: ["bad_hash"],
}  # fmt: skip
NOT_THE_ROSTERS = {"duplicate_in_file", "realm_unknown"}
"""Codes that need the whole file or the account."""


@pytest.mark.parametrize(
    ("name", "options", "records"),
    [
        ("roster.csv", {}, 250),
        ("sites.csv", {}, 60),
        ("two-sites.csv", {"username": "{site}-{extension}"}, 40),
        ("two-sites.csv", {"username": "+1{did}"}, 40),
        ("unicode-tabs.txt", {}, 16),
    ],
)
def test_clean_samples_are_clean(name: str, options: dict[str, Any], records: int) -> None:
    """Every row is sound, each user is there once, and there is nothing to warn about."""
    with open_roster(str(SAMPLES / name), Options(**options)) as roster:
        rows = list(roster.rows())
        assert (len(rows), roster.records, roster.warnings) == (records, records, ())
    assert [row for row in rows if row.problems or row.warnings] == []
    assert len({row.composite.casefold() for row in rows}) == records


def test_two_sites_share_their_extensions() -> None:
    """Without a template, two people have the same extension."""
    with open_roster(str(SAMPLES / "two-sites.csv"), Options()) as roster:
        assert len({row.composite for row in roster.rows()}) == 20


def test_the_dirty_sample_is_dirty_as_told() -> None:
    """Each row has the codes of dirty.expected.csv, as far as they can be seen in the row."""
    with (SAMPLES / "dirty.expected.csv").open(encoding="utf-8", newline="") as stream:
        expected = {int(row["bw__row"]): row["bw__error_code"].split(";") for row in csv.DictReader(stream)}
    with open_roster(str(SAMPLES / "dirty.csv"), Options()) as roster:
        found = {row.line: [problem.code for problem in row.problems] for row in roster.rows()}
        assert set(roster.dropped) == {"Password", "Voicemail PIN", "Web Password"}
    ours = {
        line: [code for code in codes if code and not code.isdigit() and code not in NOT_THE_ROSTERS]
        for line, codes in expected.items()
    }
    assert found == ours


def test_the_workbook_is_as_told() -> None:
    """Each row of the sheet has the code of workbook.expected.csv; its dates and numbers are refused."""
    with (SAMPLES / "workbook.expected.csv").open(encoding="utf-8", newline="") as stream:
        expected = {int(row["line"]): row["code"] for row in csv.DictReader(stream)}
    with open_roster(str(SAMPLES / "workbook.xlsx"), Options()) as roster:
        found = {row.line: ";".join(problem.code for problem in row.problems) for row in roster.rows()}
        assert [warning.code for warning in roster.warnings] == ["sheets_left_out"]
    assert found == expected


def test_the_sample_with_digests_is_as_told() -> None:
    """Each row has the codes that samples/README.md names, as far as they can be seen in the row."""
    with open_roster(str(SAMPLES / "prehashed.csv"), Options()) as roster:
        rows = list(roster.rows())
        assert (roster.warnings, roster.dropped) == ((), ("hash1", "hash1b", "password"))
    assert {row.line: [p.code for p in row.problems] for row in rows if row.problems} == PREHASHED
    assert [row for row in rows if row.warnings] == []
