"""Each PBX's sample exports end as their expected outcomes say, with the right passwords' digests."""

from __future__ import annotations

import codecs
import csv
from pathlib import Path

import pytest

from tests.program import Program
from tests.sandbox import Sandbox
from tests.system.rosters import SAMPLES, User, expected, result_rows, truth
from tests.system.runs import run

FOLDER = SAMPLES / "pbx"
EXPORTS = sorted(
    path
    for path in FOLDER.rglob("*")
    if path.is_file()
    and path.with_name(f"{path.stem}.expected.csv").exists()
    and ".expected" not in path.name
)
DECOYS = ("DECOY", "48217", "48218", "48219", "482190")
"""Beginnings of all values that the samples have in decoy columns."""


def wanted(export: Path) -> list[dict[str, str]]:
    """Return the expected outcomes of an export: line, status, username, code, password."""
    with export.with_name(f"{export.stem}.expected.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.mark.parametrize("export", EXPORTS, ids=lambda path: path.name)
def test_an_export_ends_as_expected(export: Path, office: Program, sandbox: Sandbox) -> None:
    """Each line has its status and code, the registrar the right digests, and no decoy is shown."""
    rows = wanted(export)
    trouble = any(row["status"] == "invalid" for row in rows)
    summary = run(office, "import", export, code=10 if trouble else 0)
    results = result_rows(summary["files"]["results"])
    assert [
        (row["bw__row"], row["bw__status"], composite(row), row["bw__error_code"]) for row in results
    ] == [(row["line"], row["status"], row["username"], row["code"]) for row in rows]
    created = [User(row["username"], row["password"]) for row in rows if row["status"] == "created"]
    assert truth(sandbox) == expected(sandbox, created)
    raw = Path(summary["files"]["results"]).read_bytes()
    written = raw.decode("utf-16" if raw.startswith(codecs.BOM_UTF16_LE) else "utf-8")
    assert not [decoy for decoy in DECOYS if decoy in written]
    assert not [user.password for user in created if user.password in written]


def composite(row: dict[str, str]) -> str:
    """Return the user name of a result's row, with its domain."""
    return "@".join(filter(None, (row["bw__username"], row["bw__domain"])))
