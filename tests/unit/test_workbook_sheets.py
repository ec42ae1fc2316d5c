"""Which sheet of a workbook is the roster, and which of its cells are refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import openpyxl
import pytest

from tests.workbooks import TEXT, put
from worker.errors import UsageError
from worker.model import Options
from worker.roster import open_roster
from worker.roster.table import open_table

USERS = [["username", "password"], ["0351", "Tb7xQ2mK9rL4vN8s"]]
MORE = [["username", "password"], ["0352", "Hq8wE3nJ5tP6yB2d"]]
NOTES = [["Phones of 2026"], ["ask Ann"]]


def workbook(
    path: Path, sheets: Mapping[str, Sequence[Sequence[object]]], hidden: tuple[str, ...] = ()
) -> Path:
    """Write a workbook; its texts stay text."""
    book = openpyxl.Workbook()
    book.remove(book.worksheets[0])
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        sheet.sheet_state = "hidden" if name in hidden else "visible"
        for row, cells in enumerate(rows, 1):
            for column, value in enumerate(cells, 1):
                put(sheet.cell(row, column), value, TEXT if isinstance(value, str) else "")
    book.save(path)
    return path


def read(path: Path, **options: str) -> tuple[list[str], str, list[str]]:
    """Return the user names, the sheet as it is told, and the warnings about other sheets."""
    with open_roster(str(path), Options(**options)) as roster:  # type: ignore[arg-type]
        users = [row.user for row in roster.rows()]
        return users, roster.sheet, [one.text for one in roster.warnings if one.code == "sheets_left_out"]


def test_the_first_sheet_with_column_names(tmp_path: Path) -> None:
    """Others that could be meant are named, hidden ones, too, with the option that reads them."""
    sheets = {"Notes": NOTES, "Users": USERS, "It's old": MORE, "Empty": [], "Kept": MORE}
    users, said, (warning,) = read(workbook(tmp_path / "a.xlsx", sheets, hidden=("Kept",)))
    assert (users, said) == (["0351"], "sheet 'Users', column names in row 1")
    assert """NOT read: "It's old", 'Kept';""" in warning
    assert warning.endswith("""--sheet 'It'"'"'s old'""")


def test_a_hidden_sheet_is_no_first_choice(tmp_path: Path) -> None:
    """It is taken only where there is no visible one with column names, and no other visible one."""
    both = workbook(tmp_path / "a.xlsx", {"Old": MORE, "Users": USERS}, hidden=("Old",))
    assert read(both)[:2] == (["0351"], "sheet 'Users', column names in row 1")
    notes = workbook(tmp_path / "b.xlsx", {"Old": MORE, "Notes": NOTES}, hidden=("Old",))
    with pytest.raises(UsageError):
        read(notes)
    assert read(notes, sheet="Old")[0] == ["0352"]


@pytest.mark.parametrize(
    ("wanted", "user"), [("Users", "0351"), ("users", "0351"), ("2", "0351"), ("1", "0352"), ("3", "0352")]
)
def test_a_sheet_by_name_or_number(tmp_path: Path, wanted: str, user: str) -> None:
    """A name counts before a number, and nothing is said about the others."""
    path = workbook(tmp_path / "a.xlsx", {"3": MORE, "Users": USERS, "Notes": NOTES})
    users, _, warnings = read(path, sheet=wanted)
    assert (users, warnings) == ([user], [])


@pytest.mark.parametrize("wanted", ["0", "3", "Staff", "-1", "99999999999999999999"])
def test_a_sheet_that_is_missing(tmp_path: Path, wanted: str) -> None:
    """The message lists those that there are."""
    path = workbook(tmp_path / "a.xlsx", {"Notes": NOTES, "Users": USERS})
    with pytest.raises(UsageError, match="has no sheet") as caught:
        read(path, sheet=wanted)
    assert "'Notes', 'Users'" in caught.value.hint


def test_corrections_on_two_sheets_are_refused(tmp_path: Path) -> None:
    """Results of more rows than a sheet holds go on in the next one: half of them is not all of them."""
    path = workbook(tmp_path / "a.xlsx", {"results": USERS, "results 2": MORE})
    with pytest.raises(UsageError, match=r"'results', column names in row 1, but other sheets .*'results 2'"):
        open_table(str(path), "username".__eq__)


def test_doubted_cells(tmp_path: Path) -> None:
    """A number as user or password is refused with its cell, and its value shown in no other cell."""
    rows: list[list[object]] = [
        ["username", "password", "name"],
        [351, "Tb7xQ2mK9rL4vN8s", "Ann"],
        ["0352", 48151623, "has 48151623"],
        ["0353", "Hq8wE3nJ5tP6yB2d", 5],
        [True, "Wd5rC8zX2kM7qT4h", ""],
    ]
    with open_roster(str(workbook(tmp_path / "a.xlsx", {"Users": rows})), Options()) as roster:
        found = list(roster.rows())
    problems = [[(one.code, one.text.partition(" is ")[0]) for one in row.problems] for row in found]
    assert problems == [
        [("number_cell", "username: cell A2")],
        [("number_cell", "password: cell B3")],
        [],
        [("spreadsheet_damage", "username: cell A5")],
    ]
    assert [row.cells[-1] for row in found] == ["Ann", "<hidden>", "5", ""]
    assert [row.password for row in found][1:3] == ["", "Hq8wE3nJ5tP6yB2d"]
    assert "48151623" not in repr(found)


def test_a_workbook_of_something_else(tmp_path: Path) -> None:
    """FreePBX's trunks are refused by name in a workbook, too."""
    rows = [["trunkname", "username", "password"], ["provider", "acme", "Tb7xQ2mK9rL4vN8s"]]
    with pytest.raises(UsageError, match="export of trunks"):
        read(workbook(tmp_path / "a.xlsx", {"Trunks": rows}))


def test_a_row_of_formulas_alone_is_not_lost(tmp_path: Path) -> None:
    """Formulas that no spreadsheet has calculated leave empty cells: the row is refused, not passed over."""
    book = openpyxl.Workbook()
    for row in (["username", "password"], ["0101", "Kestrel-7731"], ["=A2", "=B2"], ["0103", "Merlin-9265"]):
        book.worksheets[0].append(row)
    book.save(tmp_path / "staff.xlsx")
    with open_roster(str(tmp_path / "staff.xlsx"), Options()) as roster:
        found = [(row.line, row.password, bool(row.problems)) for row in roster.rows()]
    assert found == [(2, "Kestrel-7731", False), (3, "", True), (4, "Merlin-9265", False)]
