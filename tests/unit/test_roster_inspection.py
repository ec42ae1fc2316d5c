"""Inspection of rosters: what a person needs to match columns, and never a cell that may be a secret."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.rosters import GOOD
from worker.model import Options
from worker.roster.inspection import MASK, inspect
from worker.roster.recognise import find_roster

SAMPLES = Path(__file__).parents[2] / "samples"
PASSWORDS = [GOOD, "Ub7xQ2mK9rL4vN8s"]


def inspected(content: str, **options: Any) -> dict[str, Any]:
    """Inspect a text, and check that none of the passwords is shown."""
    found = inspect(find_roster("-", io.BytesIO(content.encode())), Options(**options)).as_json()
    assert not any(password in json.dumps(found) for password in PASSWORDS)
    return found


def column(found: dict[str, Any], name: str) -> dict[str, Any]:
    """The column of that name."""
    return next(one for one in found["columns"] if one["name"] == name)


def test_columns_of_a_plain_table() -> None:
    """Each column says what it is used for and why, decoys and secrets say so, others show samples."""
    found = inspected(
        "Extension,Display Name,Voicemail PIN,SIP Secret,Web Password,Note\n"
        f"100,Ann,1234,{GOOD},hunter22,\n101,Bob,2345,{PASSWORDS[1]},hunter23,is {PASSWORDS[1]}\n"
    )
    assert (found["error"], found["roster"]["rows"], found["header_line"]) == (None, 2, 1)
    assert (found["format"]["name"], found["encoding"], found["delimiter"]) == ("generic", "utf-8", ",")
    user, secret = column(found, "Extension"), column(found, "SIP Secret")
    assert (user["field"], user["samples"], user["secret"]) == ("username", ["100", "101"], False)
    assert (secret["field"], secret["samples"], secret["secret"]) == ("password", [MASK], True)
    assert secret["why"] == "its name says that it is the phone's password"
    for name in ("Voicemail PIN", "Web Password"):
        decoy = column(found, name)
        assert (decoy["decoy"], decoy["secret"], decoy["samples"], decoy["field"]) == (True, True, [MASK], "")
        assert decoy["hidden"]
    assert column(found, "Note")["samples"] == [MASK]  # it contains the row's password


def test_a_column_that_is_left_out() -> None:
    """A column that --map leaves out says so, and is one like any other."""
    found = inspected(f"Extension,Domain,Secret\n100,windows,{GOOD}\n", map={"domain": ""})
    left_out = column(found, "Domain")
    assert (left_out["field"], left_out["why"]) == ("", "--map domain= leaves it out")
    assert left_out["samples"] == ["windows"]


def test_columns_of_a_format() -> None:
    """The format, its reason and its decoys are those of the import."""
    found = inspect(find_roster(str(SAMPLES / "pbx" / "freepbx-12.csv")), Options()).as_json()
    assert found["format"]["name"] == "freepbx"
    assert found["format"]["why"].startswith("Bulk Extensions")
    assert "Kestrel-7731" not in json.dumps(found)
    assert "DECOY" not in json.dumps(found)
    assert column(found, "devinfo_secret")["field"] == "password"
    assert "FreePBX" in column(found, "devinfo_secret")["why"]
    assert column(found, "password")["decoy"]
    assert column(found, "name")["samples"][:2] == ["Ann Hill", "Lund, Bo"]


def test_the_password_column_is_not_known() -> None:
    """Then it says what decides, and shows no cell of a column that may have the passwords."""
    found = inspected(
        f"Extension,Display Name,Kode,Comment\n100,Ann,{GOOD},pw {GOOD}\n101,Bob,{PASSWORDS[1]},y\n"
    )
    assert found["error"]["message"].endswith("has no password column")
    assert "--map password=COLUMN" in found["error"]["hint"]
    assert [one["name"] for one in found["columns"]] == ["Extension", "Display Name", "Kode", "Comment"]
    assert column(found, "Extension")["suggested"] == "username"
    assert column(found, "Extension")["samples"] == ["100", "101"]
    assert column(found, "Kode")["samples"] == [MASK]
    assert column(found, "Comment")["hidden"] == "it may hold the passwords"
    again = inspected(f"Extension,Kode\n100,{GOOD}\n101,{PASSWORDS[1]}\n", map={"password": "Kode"})
    assert again["error"] is None
    assert column(again, "Kode")["why"] == "--map names it"


def test_two_columns_may_be_the_password() -> None:
    """Both are named by the suggestion, and the error says how to choose."""
    found = inspected(
        f"user,SIP Secret,SIP Password\n100,{GOOD},{PASSWORDS[1]}\n101,{GOOD}1,{PASSWORDS[1]}2\n"
    )
    assert [one["suggested"] for one in found["columns"]] == ["username", "password", "password"]
    assert [one["samples"] for one in found["columns"][1:]] == [[MASK], [MASK]]
    assert "--map password='SIP Secret'" in found["error"]["hint"]


@pytest.mark.parametrize("line", ["ann,Sunshine,device,model", "Sunshine42,phone,mobile", "Sunshine,user"])
def test_a_first_line_that_may_be_data(line: str) -> None:
    """A word of it that no header has may be a password, so it is not shown as a column's name."""
    assert "unshine" not in json.dumps(inspected(f"{line}\n{line}x\n"))


def test_a_file_without_a_header() -> None:
    """Its first line is data, so neither names nor cells are shown."""
    found = inspected(f"100,{GOOD},Ann\n101,{PASSWORDS[1]},Bob\n")
    assert "looks like data" in found["error"]["hint"]
    assert [one["name"] for one in found["columns"]] == ["", "", ""]
    assert {cell for one in found["columns"] for cell in one["samples"]} == {MASK}


def test_a_header_of_unknown_words() -> None:
    """A header put in front of one would make that a user, so the hint says what to do if it is one."""
    found = inspected(f"Extension,Kode\n100,{GOOD}\n101,{PASSWORDS[1]}\n")
    assert "--map password=COLUMN" in found["error"]["hint"]
    assert "Kode" not in found["error"]["hint"]


def test_lines_that_could_be_the_header() -> None:
    """Where the file can't be opened, its first lines are shown as far as they are words of headers."""
    found = inspected(
        f"Site A,,\nusername,password,name\n100,{GOOD},Ann\nusername,password,name\n101,{PASSWORDS[1]},Bob\n"
    )
    assert "--header-line 2" in found["error"]["hint"]
    assert [line["line"] for line in found["lines"]] == [1, 2, 3, 4, 5]
    assert found["lines"][1]["cells"] == ["username", "password", "name"]
    assert found["lines"][2]["cells"] == [MASK, MASK, MASK]
    assert found["columns"] == []


def test_sheets_of_a_workbook() -> None:
    """Every sheet is listed with the one that is read; the columns are those of its header."""
    found = inspect(find_roster(str(SAMPLES / "workbook.xlsx")), Options()).as_json()
    assert [one["chosen"] for one in found["sheets"]].count(True) == 1
    assert len(found["sheets"]) > 1
    assert found["header_line"] > 1
    assert {"username", "password"} <= {one["field"] for one in found["columns"]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", ""),
        ("{}", "JSON"),
        ("\0\0\0\0", ""),
        ("a,b\n", "no password column"),
        ('user,password\n"100,x\n', "quote"),
    ],
)
def test_nothing_that_can_be_read(content: str, message: str) -> None:
    """Files that are no rosters have an error that says so."""
    assert message in inspected(content)["error"]["message"]


@pytest.mark.parametrize("sample", sorted((SAMPLES / "pbx").glob("*.csv")), ids=lambda path: path.stem)
def test_no_password_of_a_sample_is_shown(sample: Path) -> None:
    """No password that an import of the sample would send is shown, with and without its format named."""
    if sample.stem.endswith(".expected"):
        return
    expected = sample.with_name(f"{sample.stem}.expected.csv").read_text("utf-8")
    passwords = [line.rpartition(",")[2].strip('"') for line in expected.splitlines()[1:]]
    for options in (Options(), Options(source_format="generic")):
        shown = [
            cell
            for one in inspect(find_roster(str(sample)), options).columns
            for cell in (*one.samples, one.name)
        ]
        assert not set(shown) & {one for one in passwords if len(one) > 5}
