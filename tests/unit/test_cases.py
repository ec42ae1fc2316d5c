"""Rosters as people bring them: the inputs of tests/cases, each made up after a kind of reported file."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from worker.errors import UsageError
from worker.model import Blanks, Options, Row
from worker.roster import open_roster

CASES = Path(__file__).parents[1] / "cases"
PASSWORDS = ["Kestrel-7731", "Osprey-4410", "Merlin-9265"]


def read(case: str, **options: object) -> tuple[list[Row], list[str]]:
    """Return a case's rows, and the codes of the warnings about the whole file."""
    with open_roster(str(CASES / case), Options(**options)) as roster:  # type: ignore[arg-type]
        return list(roster.rows()), [warning.code for warning in roster.warnings]


def users(rows: list[Row]) -> dict[str, str]:
    """Return the users that would be sent, with their passwords."""
    return {row.user: row.password for row in rows if not row.problems and not row.skipped}


@dataclass(frozen=True)
class Read:
    """A case that is read."""

    case: str
    sent: dict[str, str]
    options: dict[str, object] = field(default_factory=dict)
    warned: tuple[str, ...] = ()
    """Warnings about the file."""
    first_line: int = 2


TWO = dict(zip(["1001", "1002"], PASSWORDS[:2], strict=True))
THREE = dict(zip(["1001", "1002", "1003"], PASSWORDS, strict=True))
CYRILLIC = {"1001": "Пароль-7731", "1002": "Сокол-4410"}
ANN = {"1001": "Kestrel-7731"}
ENTRA = {
    "username": "User name [userPrincipalName] Required",
    "password": "Initial password [passwordProfile] Required",
}
CORP = {"ann@corp.example": "Kestrel-7731", "bo@corp.example": "Osprey-4410"}


@pytest.mark.parametrize(
    "wanted",
    [
        Read("c01-space-after-comma/in.csv", THREE, {"blanks": Blanks.STRIP}),
        Read("c02-sep-line/in.csv", TWO, first_line=3),
        Read("c06-cyrillic-ansi/in.csv", CYRILLIC, {"encoding": "cp1251"}),
        Read("c09-twin-columns/in.csv", TWO),
        Read("c10-azure-version-line/in.csv", CORP, {"map": ENTRA}, ("header_found",), 3),
        Read("c10-azure-version-line/tail.csv", CORP, {"map": ENTRA}),
        Read("c17-ctrl-z/in.csv", TWO),
        Read("c19-preamble/in.csv", TWO, {}, ("header_found",), 5),
        Read("c19-preamble/in.csv", TWO, {"header_line": 4}, (), 5),
        Read("c45-decoy-after-map/a.csv", ANN),
        Read("c45-decoy-after-map/b.csv", ANN),
        Read("c45-decoy-after-map/c.csv", ANN),
        Read("c45-decoy-after-map/d.csv", ANN),
        Read("c50-bare-decoys/phone.csv", ANN, {"map": {"password": "phone_password"}}),
        Read("c50-bare-decoys/phone.csv", {"1001": "Webpw-7731"}, {"map": {"password": "password"}},
             ("column_ambiguous",)),
    ],
    ids=lambda wanted: wanted.case,
)  # fmt: skip
def test_it_is_read(wanted: Read) -> None:
    """Every user with the right password, on the physical line."""
    rows, warned = read(wanted.case, **wanted.options)
    assert users(rows) == wanted.sent
    assert tuple(warned) == wanted.warned
    assert rows[0].line == wanted.first_line


@pytest.mark.parametrize(
    ("case", "said"),
    [
        ("c01-space-after-comma/in.csv", ["3 of 3 passwords", "--blanks strip", "--blanks keep"]),
        ("c06-cyrillic-ansi/in.csv", ["Windows-1252 is a guess", "2 rows", "line 2, 3", "--encoding"]),
        ("c10-azure-version-line/in.csv", ["Microsoft Entra", "cloud login", "--map password=COLUMN"]),
        ("c10-azure-version-line/tail.csv", ["Microsoft Entra"]),
        ("c18-html-xls/in.xls", ["HTML page", ".xls", "save it as CSV UTF-8"]),
        ("c46-freepbx-trunks/in.csv", ["trunks", "Bulk Handler"]),
    ],
)
def test_it_is_refused(case: str, said: list[str]) -> None:
    """The message says what it is, and the hint what decides or reads it."""
    with pytest.raises(UsageError) as caught:
        read(case)
    text = f"{caught.value.message}\n{caught.value.hint}"
    assert [words for words in said if words not in text] == []


@pytest.mark.parametrize(
    ("case", "likely"),
    [
        ("c50-bare-decoys/bulkext.csv", "--map password=devinfo_secret (the likely one"),
        ("c50-bare-decoys/phone.csv", "--map password=phone_password (the likely one"),
        ("c50-bare-decoys/reg.csv", "--map password='registration password' (the likely one"),
        ("c27-yeastar/in.csv", "--map username='Registration Name' (the likely one"),
        ("c15-3cx/in.csv", "--map username=AuthID (the likely one"),
    ],
)
def test_a_plain_name_beside_a_likelier_one_is_refused(case: str, likely: str) -> None:
    """As a plain table, both columns are named, the likely one first, with the options that choose."""
    with pytest.raises(UsageError) as caught:
        read(case, source_format="generic")
    assert likely in (caught.value.hint or "")


def test_an_old_export_without_quotes_has_shifted_rows() -> None:
    """Values with commas have shifted the columns of three rows; as a plain table nothing of it is read."""
    with pytest.raises(UsageError) as caught:
        read("c12-old-freepbx-unquoted/in.csv", source_format="generic")
    assert "3 of 4 rows have more fields" in caught.value.message


@pytest.mark.parametrize(
    ("case", "codes"),
    [
        ("c03-float-names/in.csv", {"spreadsheet_damage"}),
        ("c05-null-words/in.csv", {"", "password_placeholder"}),
        ("c37-masks/in.csv", {"password_masked", "password_placeholder"}),
    ],
)
def test_its_rows_are_invalid(case: str, codes: set[str]) -> None:
    """Words and masks in place of passwords, and numbers in place of names, are never sent."""
    rows, _ = read(case)
    assert {";".join(problem.code for problem in row.problems) for row in rows} == codes
    assert users(rows) in ({}, {"1001": "Kestrel-7731"})


def test_a_column_of_hidden_cells_is_no_password() -> None:
    """A results.csv whose column was hidden, mapped as the password."""
    rows, _ = read("c48-hidden-mark/in.csv", map={"password": "Telefoncode"})
    assert [[problem.code for problem in row.problems] for row in rows] == [["password_masked"]] * 3


@pytest.mark.parametrize(
    ("case", "code"),
    [("c08-mojibake/in.csv", "password_mojibake"), ("c23-nfd/in.csv", "password_decomposed")],
)
def test_its_passwords_are_warned_about(case: str, code: str) -> None:
    """Letters that went through a wrong encoding, or that no phone types, in both rows."""
    rows, _ = read(case)
    assert [[warning.code for warning in row.warnings] for row in rows] == [[code]] * 2


@pytest.mark.parametrize("case", ["c13-freepbx-bulkhandler/in.csv", "c13-freepbx-bulkhandler/in2.csv"])
def test_a_bulk_handler_export_as_a_plain_table(case: str) -> None:
    """An empty password column is no candidate, and no user is called none."""
    rows, _ = read(case, source_format="generic", map={"username": "extension"})
    assert users(rows) == TWO
    rows, _ = read(case, source_format="generic")
    assert "none" not in users(rows)


def test_all_cases_are_here() -> None:
    """Every folder of inputs is named by a test of this file."""
    text = Path(__file__).read_text()
    assert [case.name for case in sorted(CASES.iterdir()) if case.name not in text] == []
