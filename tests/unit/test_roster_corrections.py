"""An earlier job's rows, and what somebody corrected in its failed.csv."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from tests.unit.rosters import GOOD, codes, opened
from worker.errors import UsageError
from worker.model import Blanks, Condition, Options, Row, TableForm
from worker.roster import PASSWORD, fields_of, read_corrections, read_earlier_rows

JOB = "20261122-224612-staff-7f3a"
OWN = (
    "bw__job,bw__row,bw__status,bw__username,bw__domain,bw__realm,"
    "bw__id,bw__error_code,bw__error,bw__attempts"
)


@pytest.fixture
def failed(tmp_path: Path) -> Path:
    """Return the path of the test's failed.csv."""
    return tmp_path / "failed.csv"


def line(row: int, cells: str, job: str = JOB) -> str:
    """A line of failed.csv."""
    return f"{job},{row},invalid,u{row},,,,too_long,some text,0,{cells}"


def corrected(path: Path, header: str, *lines: str, **options: Any) -> dict[int, dict[str, str]]:
    """Return the corrections in a failed.csv with these columns and lines."""
    path.write_text("\n".join([f"{OWN},{header}", *lines]), "utf-8")
    return dict(read_corrections(str(path), JOB, Options(**options)))


def again(records: dict[int, dict[str, str]], *columns: str, **options: Any) -> list[Row]:
    """The rows that these records make."""
    return list(chain.from_iterable(read_earlier_rows(records.items(), columns, Options(**options))))


def test_corrections_are_the_rosters_own_cells(failed: Path) -> None:
    """Corrections are found by line; a formula's quote is removed, passwords and our names are read."""
    said = corrected(failed, "user,note,password", line(7, "'+1919,x,"), line(12, f"bob,'=1,'={GOOD}"))
    assert said == {
        7: {"bw__username": "u7", "bw__domain": "", "bw__realm": "", "user": "+1919", "note": "x"},
        12: {
            "bw__username": "u12",
            "bw__domain": "",
            "bw__realm": "",
            "user": "bob",
            "note": "=1",
            PASSWORD: f"'={GOOD}",
        },
    }


def test_a_spreadsheet_may_have_saved_it(failed: Path) -> None:
    """Semicolons, a BOM, blank lines, empty columns behind the last one."""
    lines = [f"{OWN},user,secret,,", line(7, f"bob,{GOOD},,"), "", ",,,,,,,,,,,,,"]
    failed.write_text("\n".join(lines).replace(",", ";"), "utf-8-sig")
    assert dict(read_corrections(str(failed), JOB)) == {
        7: {"bw__username": "u7", "bw__domain": "", "bw__realm": "", "user": "bob", PASSWORD: GOOD}
    }


def test_the_jobs_own_password_column_counts_alone(failed: Path) -> None:
    """If --map named the password column, a carried column called password is an ordinary cell."""
    said = corrected(
        failed, "user,password,AuthPassword", line(7, f"bob,web,{GOOD}"), map={"password": "authpassword"}
    )
    assert (said[7]["password"], said[7][PASSWORD]) == ("web", GOOD)
    options = Options(map={"password": "AuthPassword"})
    failed.write_text("\n".join([f"{OWN},user,password", line(7, "bob,web")]), "utf-8")
    decoy = dict(read_corrections(str(failed), JOB, options, ["user", "password"]))
    assert PASSWORD not in decoy[7]


def test_a_password_column_added_by_hand_counts(failed: Path) -> None:
    """If no column has the job's own name for it, a usual name that isn't carried is the password."""
    options = Options(map={"password": "SIP Secret"})
    failed.write_text("\n".join([f"{OWN},user,password", line(7, f"bob,{GOOD}")]), "utf-8")
    assert dict(read_corrections(str(failed), JOB, options, ["user"]))[7][PASSWORD] == GOOD


def test_a_column_that_the_job_has_not_is_refused(failed: Path) -> None:
    """A renamed or misspelt column is refused, since its old values would be sent."""
    failed.write_text("\n".join([f"{OWN},extension", line(7, "0801")]), "utf-8")
    with pytest.raises(UsageError, match="no column 'extension'") as refused:
        dict(read_corrections(str(failed), JOB, Options(), ["user"]))
    assert refused.value.hint == "put corrections into user, and a column called password"
    failed.write_text("\n".join([f"{OWN},user,password,Phone Key", line(7, "a,b,c")]), "utf-8")
    with pytest.raises(UsageError, match="no column 'password'") as refused:
        dict(read_corrections(str(failed), JOB, Options(map={"password": "phone key"}), ["user"]))
    assert refused.value.hint == "put corrections into user, and a column called Phone Key"


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (
            [line(7, "a"), line(8, "b", "20260101-000000-other-0001")],
            "from job 20260101-000000-other-0001, not from",
        ),
        ([line(7, "a", "")], "from job another one, or none, not from"),
        ([line(7, "a", "Sunshine42")], "from job another one, or none, not from"),
        ([line(7, "a"), line(7, "b")], "line 3: it has the same bw__row as line 2"),
        ([line(7, "a").replace(",7,", ",seven,")], "line 2: bw__row"),
        ([line(7, "a,b")], "line 2: 12 fields"),
        ([line(7, '"a"x')], "line 2: not well-formed"),
        ([line(7, '"a')], "line 2: a quote"),
    ],
)
def test_a_file_that_cannot_be_trusted_is_refused(failed: Path, lines: list[str], said: str) -> None:
    """A file of another job, a repeated row or an unreadable line is refused, with the line."""
    with pytest.raises(UsageError, match=said):
        corrected(failed, "user", *lines)


@pytest.mark.parametrize(
    ("header", "said"),
    [("user,password", "bw__job"), ("bw__job,user", "bw__row"), (f"{OWN},user,secret,pass", "could both be")],
)
def test_a_header_that_cannot_be_trusted_is_refused(failed: Path, header: str, said: str) -> None:
    """Another file, or one with two possible password columns, is refused before any row is read."""
    failed.write_text(f"{header}\n{',' * header.count(',')}x\n", "utf-8")
    with pytest.raises(UsageError, match=said):
        read_corrections(str(failed), JOB)


def test_rows_come_again_with_corrections_laid_over() -> None:
    """Cells, corrections and the password make the row, under the job's own options."""
    cells = {"site": "A", "extension": "101", "did": "", "password": "a decoy"}
    records = {7: {**cells, "extension": "102", PASSWORD: GOOD, "bw__username": "ignored", "new": "ignored"}}
    (row,) = again(
        records, *cells, username="{site}-{extension}", map={"password": "secret"}, carry=("password",)
    )
    assert (row.line, row.user, row.password, row.cells) == (7, "A-102", GOOD, ("A", "102", "", "a decoy"))
    assert codes(row) == []


def test_what_is_missing_is_empty() -> None:
    """A record that never had cells stays invalid, and harms no other."""
    first, second = again({3: {}, 4: {"user": "bob", PASSWORD: GOOD}}, "user", "domain")
    assert (codes(first), first.cells) == (["username_missing", "password_missing"], ("", ""))
    assert (codes(second), second.line) == ([], 4)


def test_the_choice_of_rows_is_not_made_again() -> None:
    """``where`` and ``limit`` are not applied again, even if a correction changes what they chose by."""
    records = {line: {"user": f"u{line}", "site": "B", PASSWORD: GOOD} for line in (2, 3)}
    assert len(again(records, "user", "site", where=(Condition("site", "A"),), limit=1)) == 2


def test_a_whole_roster_comes_again_as_it_was() -> None:
    """Doubtful names, templates and defaults are decided the same way the second time."""
    text = (
        f"bw__row,login,extension,Domain,vm pin,app_id,password\n1,'+1919,x,,1234,,{GOOD}\n2,b b,y,d,9,z,pw\n"
    )
    options = Options(domain="d.example", realm="main")
    with opened(text, domain="d.example", realm="main") as roster:
        rows = list(roster.rows())
        cells = [dict(zip(roster.columns, row.cells, strict=True)) for row in rows]
        records = [(row.line, {**own, PASSWORD: row.password}) for row, own in zip(rows, cells, strict=True)]
        assert list(chain.from_iterable(read_earlier_rows(records, roster.columns, options))) == rows


def test_the_columns_that_a_field_is_taken_from() -> None:
    """A field's columns are a template's, a mapped one, or one by name; none if an option gives it."""
    columns = ("site", "extension", "did", "realm")
    assert fields_of(columns, Options()) == {"username": ("extension",), "domain": (), "realm": ("realm",)}
    options = Options(username="{site}-{did}", map={"domain": "extension", "password": "secret"})
    assert fields_of(columns, options)["username"] == ("site", "did")
    assert fields_of(columns, options)["domain"] == ("extension",)


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs a file that opens and can't be read")
def test_corrections_that_fail_to_be_read_are_told() -> None:
    """A disk that fails while reading gives an error message, not a traceback."""
    with pytest.raises(UsageError, match="can't be read: input/output error"):
        list(read_corrections("/proc/self/mem", JOB))


@pytest.mark.parametrize(
    ("encoding", "password", "said_before", "refused"),
    [
        ("mac-roman", "p\xe4ssword-12", "", True),
        ("cp1252", "p\xe4ssword-12", "", True),
        ("cp1252", "password-12", "", False),
        ("mac-roman", "p\xe4ssword-12", "mac-roman", False),
        ("utf-8", "p\xe4ssword-12", "", False),
    ],
)
def test_no_password_depends_on_a_guessed_encoding(
    failed: Path, encoding: str, password: str, said_before: str, refused: bool
) -> None:
    """As in a roster: a spreadsheet may have saved the file in the encoding of its computer."""
    text = "\n".join([f"{OWN},user,site,password", line(7, f"bob,Z\xfcrich,{password}"), ""])
    failed.write_bytes(text.encode(encoding))
    options = Options(encoding=said_before, tables=TableForm(encoding=said_before or "utf-8"))
    if refused:
        with pytest.raises(UsageError, match="line 2: the file is not UTF-8"):
            dict(read_corrections(str(failed), JOB, options))
    else:
        assert dict(read_corrections(str(failed), JOB, options))[7][PASSWORD] == password


def test_blanks_are_stripped_as_from_the_roster(failed: Path) -> None:
    """With `--blanks strip` they belong to nobody, wherever a cell comes from."""
    said = corrected(failed, "user,password", line(7, f" bob ,  {GOOD} "), blanks=Blanks.STRIP)
    assert (said[7]["user"], said[7][PASSWORD]) == ("bob", GOOD)
    assert corrected(failed, "user,password", line(7, f"bob, {GOOD}"))[7][PASSWORD] == f" {GOOD}"
