"""Cells of an uploaded roster that were corrected on the page, whatever its format."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.rosters import GOOD, codes
from worker.errors import UsageError
from worker.model import Blanks, Options, Row, Weak
from worker.roster.reader import Roster, open_found
from worker.roster.spool import BLOCK
from worker.roster.uploaded import CellsByLine, UploadedFile, unpacked

SAMPLES = Path(__file__).parents[2] / "samples"
CSV = "username,password,site\n100,short,A\n101,Ub7xQ2mK9rL4vN8s,B\n,Wb7xQ2mK9rL4vN8s,C\n"


def blocks_of(content: bytes) -> Callable[[int], bytes]:
    """The blocks of a file as the ledger gives them."""
    return lambda nr: content[nr * BLOCK : (nr + 1) * BLOCK]


def uploaded(
    content: str | bytes, cells: CellsByLine | None = None, name: str = "staff.csv", **options: Any
) -> Roster:
    """An uploaded roster, opened."""
    data = content.encode() if isinstance(content, str) else content
    place, version = "upload:0123456789abcdef", "1" if cells else ""
    file = UploadedFile(name, place, len(data), blocks_of(data), cells or {}, version)
    return open_found(unpacked(file), Options(**options))


def rows_of(roster: Roster) -> list[Row]:
    """Read it whole and close it."""
    with roster:
        return list(roster.rows())


def test_the_corrected_cells_are_the_rosters() -> None:
    """Both passes see corrected cells, passwords included; other lines and the columns stay as they are."""
    cells: CellsByLine = {2: {"password": GOOD}, 4: {"username": "102", "site": "D"}}
    before, after = rows_of(uploaded(CSV)), rows_of(uploaded(CSV, cells))
    assert [row.password for row in after] == [GOOD, "Ub7xQ2mK9rL4vN8s", "Wb7xQ2mK9rL4vN8s"]
    assert [row.cells for row in after] == [("100", "A"), ("101", "B"), ("102", "D")]
    assert [row.user for row in after] == ["100", "101", "102"]
    assert [bool(row.problems) for row in before] == [False, False, True]
    assert [bool(row.problems) for row in after] == [False, False, False]
    assert {one.code for one in before[0].warnings} == {"weak_password"}
    assert after[0].warnings == ()


def test_a_correction_is_judged_as_any_cell() -> None:
    """The options hold for corrected cells, too: weak passwords, PIN columns, blanks."""
    weak = rows_of(uploaded(CSV, {3: {"password": "weak"}}, weak=Weak.REFUSE))
    assert [one.code for one in weak[1].problems] == ["weak_password"]
    pins = {line: {"password": "1234"} for line in (2, 3, 4)}
    with pytest.raises(UsageError, match="looks like a PIN column"):
        uploaded(CSV, pins)
    stripped = rows_of(uploaded(CSV, {2: {"password": f" {GOOD}"}}, blanks=Blanks.STRIP))
    assert stripped[0].password == GOOD


def test_another_state_of_the_corrections_is_another_roster() -> None:
    """The hash differs from the file's own, so that no job that began to read another is resumed."""
    with uploaded(CSV) as plain, uploaded(CSV, {2: {"site": "E"}}) as corrected:
        assert plain.sha256 != corrected.sha256


@pytest.mark.parametrize(
    ("content", "cells", "message"),
    [
        (
            CSV,
            {2: {"pasword": "x"}},
            "line 2: a cell of column 'pasword' was corrected",
        ),
        (CSV, {2: {"": "x"}}, "column ''"),
        (CSV, {1: {"site": "x"}}, r"lines that have no row \(line 1\)"),
        (CSV, {77: {"site": "x"}}, r"lines that have no row \(line 77\)"),
        (f"{CSV}104,a,b,c,d\n", {5: {"site": "x"}}, "line 5: its cells can't be told apart"),
        (f'{CSV}104,"a"b,c\n', {5: {"site": "x"}}, "line 5: its cells can't be told apart"),
    ],
)
def test_a_correction_without_a_cell_is_refused(content: str, cells: CellsByLine, message: str) -> None:
    """A column or a row that isn't there, and a record without clear cells, can't be corrected."""
    with pytest.raises(UsageError, match=message):
        uploaded(content, cells)


def test_a_workbooks_doubted_cell_is_corrected() -> None:
    """A cell that a spreadsheet has damaged counts no longer as such once it was typed anew."""
    content = (SAMPLES / "workbook.xlsx").read_bytes()
    before = rows_of(uploaded(content, name="workbook.xlsx"))
    assert [codes(row) for row in before if row.line in (6, 7)] == [["number_cell"], ["number_cell"]]
    with uploaded(content, name="workbook.xlsx") as roster:
        user, password = roster.mapping["username"], roster.mapping["password"]
    after = rows_of(uploaded(content, {6: {user: "0353"}, 7: {password: GOOD}}, "workbook.xlsx"))
    assert [(row.user, codes(row)) for row in after if row.line in (6, 7)] == [("0353", []), ("0354", [])]
    assert [row for row in before if row.line not in (6, 7)] == [
        row for row in after if row.line not in (6, 7)
    ]


def test_sections_of_a_configuration_are_corrected() -> None:
    """The lines and columns are those of the results, also where the file has neither."""
    user = "[{}]\ntype=friend\nsecret={}\nhost=dynamic\n\n"
    content = user.format(100, "short") + user.format(101, "Ub7xQ2mK9rL4vN8s")
    with uploaded(content, name="sip.conf") as roster:
        first, password = next(iter(roster.rows())), roster.mapping["password"]
    after = rows_of(uploaded(content, {first.line: {password: GOOD}}, "sip.conf"))
    assert [row.password for row in after] == [GOOD, "Ub7xQ2mK9rL4vN8s"]


def test_a_compressed_upload_is_unpacked() -> None:
    """A .gz is read as its content, with corrections; damaged ones and bombs are refused."""
    packed = gzip.compress(CSV.encode())
    roster = uploaded(packed, {2: {"password": GOOD}}, "staff.csv.gz")
    assert roster.name == "staff.csv"
    assert rows_of(roster)[0].password == GOOD
    with pytest.raises(UsageError, match="can't be unpacked"):
        uploaded(packed[:-9], name="staff.csv.gz")
    bomb = gzip.compress(bytes(2 << 20))
    with pytest.raises(UsageError, match="unpacks to more than 0"):
        unpacked(UploadedFile("staff.gz", "upload:0123456789abcdef", len(bomb), blocks_of(bomb)), 1 << 20)
