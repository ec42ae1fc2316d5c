"""``template``: an empty roster that can be imported as soon as it is filled in."""

from __future__ import annotations

import csv
import stat
from pathlib import Path

import openpyxl
import pytest

from tests.program import Program
from tests.sandbox import Sandbox
from tests.system.runs import run

OWN = "Tb7xQ2mK9rL4vN8s"
COLUMNS = ["username", "password", "domain", "realm", "application_id", "name"]


def test_the_csv_goes_to_stdout(siproster: Program) -> None:
    """Only the header, and a rule for each column on stderr; no settings are needed."""
    finished = siproster.run("template")
    assert (finished.code, finished.stdout) == (0, ",".join(COLUMNS) + "\n")
    assert [line.split()[0] for line in finished.stderr.splitlines()] == COLUMNS


def test_as_json(siproster: Program) -> None:
    """The columns and rules are the facts."""
    facts = siproster.run("template", "--json").json
    assert [one["column"] for one in facts["columns"]] == COLUMNS


def test_filled_in_and_imported(office: Program, sandbox: Sandbox) -> None:
    """A template with rows is a roster: its columns are found by name, and the name is carried."""
    path = office.work / "staff.csv"
    assert office.run("template", "--out", path).code == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with path.open("a", encoding="utf-8") as file:
        file.write("0103,Tb7xQ2mK9rL4vN8s,,,,Ann Lee\n0104,Hq8wE3nJ5tP6yB2d,,,,Bo\n")
    summary = run(office, "import", path)
    assert summary["counts"] == {"created": 2}
    assert [held["composite"] for held in sandbox.credentials()] == ["0103", "0104"]
    assert "Ann Lee" in Path(summary["files"]["results"]).read_text("utf-8")


FILLED = {
    "freepbx": {"extension": "0103", "tech": "pjsip", "secret": OWN},
    "fusionpbx": {"extension": "0103", "password": OWN, "enabled": "true"},
    "kamailio": {"username": "0103", "password": OWN},
    "opensips": {"username": "0103", "password": OWN},
    "3cx": {"AuthID": "0103", "AuthPassword": OWN},
    "yeastar": {"Registration Name": "0103", "Registration Password": OWN},
    "wazo": {"sip_username": "0103", "sip_secret": OWN, "line_protocol": "sip"},
    "grandstream": {"Extension": "0103", "SIP/IAX Password": OWN, "Technology": "SIP"},
    "switchvox": {"ext": "0103", "phone_password": OWN},
    "vodia": {"#alias": "0103", "password": OWN},
}
"""A row of each format that has a template: what its rules say is needed."""
NO_TABLES = {"asterisk": "generic", "freeswitch": "generic", "mysql-batch": "kamailio"}
"""Formats that have none, and the one to use."""


def test_each_format_has_a_template_or_says_why(siproster: Program) -> None:
    """The formats are those that `formats` lists."""
    names = {one["name"] for one in siproster.run("formats", "--json").json}
    assert FILLED.keys() | NO_TABLES.keys() == names
    for name, other in NO_TABLES.items():
        finished = siproster.run("template", name)
        assert (finished.code, finished.stdout) == (6, "")
        assert finished.stderr.endswith(f"siproster template {other}\n")
    assert "did you mean freepbx?" in siproster.run("template", "freepb").stderr


@pytest.mark.parametrize("name", FILLED)
def test_the_columns_of_a_format(office: Program, sandbox: Sandbox, name: str) -> None:
    """The filled-in file, and the workbook's header, are recognised as that format; its user is imported."""
    path = office.work / "staff.csv"
    rules = office.run("template", name, "--out", path, "--json").json["columns"]
    columns = [rule["column"] for rule in rules]
    header = path.read_text("utf-8")
    delimiter = header.strip().removeprefix(columns[0])[0]
    assert header == delimiter.join(columns) + "\n"
    with path.open("a", encoding="utf-8", newline="") as file:
        csv.DictWriter(file, columns, delimiter=delimiter).writerow(FILLED[name])
    book_path = office.work / "staff.xlsx"
    assert office.run("template", name, "--xlsx", book_path).code == 0
    book = openpyxl.load_workbook(book_path)
    book.worksheets[0].append([FILLED[name].get(column, "") for column in columns])
    book.save(book_path)
    for roster, status in ((path, "created"), (book_path, "unchanged")):
        finished = office.run("import", roster, "--json")
        assert (finished.code, finished.json["counts"]) == (0, {status: 1}), finished.stderr
        assert f"  recognised as {name}: " in finished.stderr
    assert sandbox.digests().keys() == {"0103"}


def test_the_workbook(siproster: Program) -> None:
    """Its columns are text, so that a spreadsheet keeps leading zeros; the rules are on another sheet."""
    path = siproster.work / "staff.xlsx"
    assert siproster.run("template", "--xlsx", path).code == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    book = openpyxl.load_workbook(path)
    roster, rules = book.worksheets
    assert [cell.value for cell in roster[1]] == COLUMNS
    assert roster.max_row == 1
    assert {roster.column_dimensions[letter].number_format for letter in "A"} == {"@"}
    assert [row[0].value for row in rules.iter_rows(min_row=2)] == COLUMNS


@pytest.mark.parametrize(("option", "name"), [("--out", "staff.csv"), ("--xlsx", "staff.xlsx")])
def test_an_existing_file_stays(siproster: Program, option: str, name: str) -> None:
    """A template replaces nothing: the file may be the roster that was filled in."""
    path = siproster.work / name
    path.write_text("mine", encoding="utf-8")
    finished = siproster.run("template", option, path)
    assert (finished.code, path.read_text("utf-8")) == (6, "mine")
    assert "exists already" in finished.stderr


def test_a_folder_that_is_missing(siproster: Program) -> None:
    """A sentence, not a traceback."""
    finished = siproster.run("template", "--out", siproster.work / "no" / "staff.csv")
    assert (finished.code, "can't be written" in finished.stderr) == (6, True)


@pytest.mark.parametrize(
    ("option", "name", "told"),
    [
        ("--out", "staff.xlsx", "use --xlsx FILE"),
        ("--xlsx", "staff.csv", "must end in .xlsx"),
        ("--xlsx", "staff.xls", "must end in .xlsx"),
        ("--xlsx", "-", "must end in .xlsx"),
    ],
)
def test_a_file_that_programs_would_take_for_another_kind(
    siproster: Program, option: str, name: str, told: str
) -> None:
    """A spreadsheet doesn't open a CSV file named as a workbook."""
    finished = siproster.run("template", option, name)
    assert (finished.code, told in finished.stderr) == (6, True), finished
    assert not (siproster.work / name).exists()


def test_a_dash_is_standard_output(siproster: Program) -> None:
    """As it is for `phones`, instead of a file with that name."""
    finished = siproster.run("template", "--out", "-")
    assert (finished.code, finished.stdout) == (0, ",".join(COLUMNS) + "\n")
    assert not (siproster.work / "-").exists()


def test_the_next_command_can_be_pasted(siproster: Program) -> None:
    """The file's name is quoted for the shell."""
    assert "siproster plan 'my staff.csv'\n" in siproster.run("template", "--out", "my staff.csv").stderr
    assert "siproster plan ./-staff.csv\n" in siproster.run("template", "--out=-staff.csv").stderr


def test_a_digest_is_not_called_useless(siproster: Program) -> None:
    """Kamailio's digests are read in one case, and the rule says which."""
    rules = {
        one["column"]: one["rule"] for one in siproster.run("template", "kamailio", "--json").json["columns"]
    }
    assert rules["ha1"].startswith("Digests: used only if there is no password")


def test_generic_is_no_unknown_format(siproster: Program) -> None:
    """`--from generic` exists, so its description says where the columns are."""
    finished = siproster.run("formats", "show", "generic")
    assert (finished.code, "siproster template" in finished.stderr) == (6, True)
