"""Workbooks as rosters, and results that come back from a spreadsheet: LibreOffice opens and saves them."""

from __future__ import annotations

import csv
from pathlib import Path

import openpyxl
import pytest

from tests.libreoffice import convert
from tests.program import Program
from tests.sandbox import Sandbox
from tests.system.rosters import SAMPLES, User, expected, result_rows, truth, write
from tests.system.runs import run
from tests.workbooks import TEXT, put, sample

SAMPLE = SAMPLES / "workbook.xlsx"
KINDS = ("xlsx", "ods", "xls")
SAVED = ("xlsx", "ods", "csv:Text - txt - csv (StarCalc):59,34,76,1")
ALL_TEXT = "--infilter=CSV:59,34,76,1," + "/".join(f"{column}/2" for column in range(1, 30))
"""Open CSV with semicolons, as UTF-8, each column as text."""
APPLICATION = "3f2b8c1e-7a64-4d0f-9b35-c1e8a2d47f60"
WANTED = [
    User(name, f"{name} Grüße-{at}-kX")
    for at, name in enumerate(("0351", "+19195550143", "=7003", "1.5", "ann"))
]


@pytest.fixture(scope="session")
def samples(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The sample workbook as LibreOffice saves it in each format."""
    folder = tmp_path_factory.mktemp("samples")
    return {"as it is": SAMPLE} | {kind: convert([SAMPLE], kind, folder)[0] for kind in KINDS}


def test_the_sample_is_what_its_script_makes(tmp_path: Path) -> None:
    """The script and the file in samples/ have the same cells."""

    def cells(path: Path) -> list[list[tuple[object, str]]]:
        book = openpyxl.load_workbook(path)
        return [
            [(cell.value, cell.number_format) for row in sheet for cell in row] for sheet in book.worksheets
        ]

    assert cells(sample(tmp_path / "made.xlsx")) == cells(SAMPLE)


@pytest.mark.parametrize("kind", ["as it is", *KINDS])
def test_a_workbook_ends_as_expected(
    samples: dict[str, Path], office: Program, sandbox: Sandbox, kind: str
) -> None:
    """Zeros are kept or the row refused with its cell; a retry without corrections refuses it again."""
    finished = office.run("import", samples[kind], "--json")
    assert finished.code == 10, finished.stderr
    assert "sheet 'Extensions', column names in row 3" in finished.stderr
    assert "NOT read: '2025'" in finished.stderr
    summary = finished.json
    with (SAMPLES / "workbook.expected.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert outcomes(summary["files"]["results"]) == [
        (row["line"], row["status"], row["username"], row["code"]) for row in rows
    ]
    errors = {row["bw__row"]: row["bw__error"] for row in result_rows(summary["files"]["results"])}
    assert ["cell A6" in errors["6"], *(f"cell B{line}" in errors[line] for line in "789")] == [True] * 4
    created = [
        User(row["username"].removeprefix("'"), row["password"]) for row in rows if row["status"] == "created"
    ]
    assert truth(sandbox) == expected(sandbox, created)
    again = run(office, "retry", summary["job"], code=10)
    assert outcomes(again["files"]["results"]) == outcomes(summary["files"]["failed"])
    told = {row["bw__row"]: row["bw__error"] for row in result_rows(again["files"]["results"])}
    assert told == {line: error for line, error in errors.items() if line in told}
    assert truth(sandbox) == expected(sandbox, created)
    written = [path.read_bytes() for path in office.work.rglob("*") if path.is_file()]
    assert not [user for user in created for content in written if user.password.encode() in content]
    assert not [content for content in written if b"48151623" in content]


def outcomes(file: str) -> list[tuple[str, str, str, str]]:
    """Return line, status, user name and code of each row of results."""
    return [
        (row["bw__row"], row["bw__status"], row["bw__username"], row["bw__error_code"])
        for row in result_rows(file)
    ]


def test_results_come_back_from_a_spreadsheet(office: Program, sandbox: Sandbox, tmp_path: Path) -> None:
    """results.xlsx, corrected and saved in any format, corrects the rows; opened as text, so does failed.csv.

    Opened as a spreadsheet likes, failed.csv has lost its zeros: that is refused, and nothing is sent.
    """
    sandbox.knobs(applications=[])
    asked = [
        {"user": one.name, "secret": one.password, "application_id": APPLICATION, "note": f"={at}"}
        for at, one in enumerate(WANTED)
    ]
    asked[-1]["user"] = "Ann Lee"  # no valid name: corrected below
    roster = write(tmp_path / "roster.csv", asked)
    first = run(office, "import", roster, "--delimiter", ",", "--excel", code=10)
    assert first["counts"] == {"failed": 4, "invalid": 1}
    folder = Path(first["files"]["results"]).parent
    book, failed = corrected(folder / "results.xlsx", tmp_path), tmp_path / "failed.csv"
    rows = [
        row | {"user": "ann"} if row["user"] == "Ann Lee" else row
        for row in result_rows(folder / "failed.csv")
    ]
    write(failed, rows)
    failed.write_text(failed.read_text("utf-8").replace(",", ";"), "utf-8")
    sandbox.knobs(applications=[APPLICATION])
    (damaged,) = convert([failed], "ods", tmp_path / "as numbers", "--infilter=CSV:59,34,76,1")
    refused = office.run("retry", first["job"], "--corrections", damaged)
    assert (refused.code, sandbox.credentials()) == (6, []), refused.stderr
    assert "number" in refused.stderr or "zeros" in refused.stderr
    for kind in SAVED:
        for file in convert([book, failed], kind, tmp_path / kind[:4], ALL_TEXT):
            run(office, "retry", first["job"], "--corrections", file)
            assert truth(sandbox) == expected(sandbox, WANTED), file
            sandbox.reset()
            sandbox.knobs(applications=[APPLICATION])


def corrected(results: Path, folder: Path) -> Path:
    """Return results.xlsx as a person gives it back: with the last user's name corrected."""
    book = openpyxl.load_workbook(results)
    sheet = book.worksheets[0]
    names = [cell.value for cell in sheet[1]]
    cell = sheet.cell(sheet.max_row, names.index("user") + 1)
    assert cell.value == "Ann Lee"
    put(cell, "ann", TEXT)
    book.save(folder / results.name)
    return folder / results.name
