"""The result files: every row, in order, safe to open, and read back exactly."""

from __future__ import annotations

import csv
import json
import stat
from collections.abc import Iterator
from contextlib import chdir, closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from tests.unit.jobs import HOST, KEY, OVER, Facts, make_chunk_row, start_job
from worker import report, report_page
from worker.errors import LedgerError, SiprosterError, UsageError
from worker.ledger import Ledger
from worker.ledger.codec import seal_page
from worker.model import Job, JobState, Options, Outcome, Row, Status, TableForm
from worker.report import FAILED, RESULTS, SUMMARY, WORKBOOK, neutral
from worker.roster import read_corrections
from worker.roster.header import restored
from worker.seal import Seal

SEAL = Seal([KEY])
PAGE = text("UPDATE pages SET sealed = :sealed WHERE job = :job AND seq = :seq")
ROWS = [make_chunk_row(line) for line in (2, 3, 5, 8)]
CREATED = Outcome(2, Status.CREATED, "4711", attempts=1)
FAILURE = Outcome(5, Status.FAILED, code="23019", error="application not found", attempts=2)
CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\0"))  # a file with a NUL is no roster
FORMULAS = st.from_regex(r"'{0,3}[=+\-@\t\r][ -~]*", fullmatch=True)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """A ledger of its own."""
    with closing(Ledger(f"sqlite:///{tmp_path}/ledger.db")) as ledger:
        yield ledger


@pytest.fixture
def job(ledger: Ledger, tmp_path: Path) -> Job:
    """A job of two pages; one row is in place, one failed, two have no outcome."""
    job = start_job(ledger, ROWS[:3], ROWS[3:], results=str(tmp_path / "results"))
    claim = ledger.chunks.claim(job.id, 0, "desk:1", 60)
    assert claim is not None
    ledger.chunks.record(claim, [FAILURE, CREATED], 60)
    return job


@pytest.fixture(scope="module")
def one_page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Ledger, Job, Path]]:
    """Return a ledger, a job of one page, and a folder for its results."""
    folder = tmp_path_factory.mktemp("one_page")
    with closing(Ledger(f"sqlite:///{folder}/ledger.db")) as ledger:
        yield ledger, start_job(ledger, [make_chunk_row(2)]), folder / "results"


def put_page(ledger: Ledger, job: Job, seq: int, sealed: bytes) -> None:
    """Other bytes in the place of a page's."""
    with ledger.store.begin() as connection:
        connection.execute(PAGE, {"sealed": sealed, "job": job.id, "seq": seq})


def written(ledger: Ledger, job: Job) -> Path:
    """Write the job's files, and return their folder."""
    folder = report.folder_of(job)
    report.write(ledger, SEAL, job, folder)
    return folder


def records(path: Path) -> list[dict[str, str]]:
    """The records of a result file as any CSV reader sees them."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_every_row_has_one_line_in_its_order(ledger: Ledger, job: Job) -> None:
    """results.csv has each row of the roster once, in its order, with or without an outcome."""
    lines = records(written(ledger, job) / RESULTS)
    assert [(line["bw__row"], line["bw__status"]) for line in lines] == [
        ("2", "created"), ("3", "unprocessed"), ("5", "failed"), ("8", "unprocessed"),
    ]  # fmt: skip
    assert list(lines[0]) == [*report.OWN_COLUMNS, "name", "site"]
    assert {line["bw__job"] for line in lines} == {job.id}


def test_a_line_tells_the_outcome(ledger: Ledger, job: Job) -> None:
    """A row's line has its name, realm, id, code, text and attempts."""
    first, _, third, _ = records(written(ledger, job) / RESULTS)
    assert (first["bw__username"], first["bw__realm"], first["bw__id"]) == ("user2", HOST, "4711")
    assert (third["bw__error_code"], third["bw__error"]) == ("23019", "application not found")
    assert (first["bw__attempts"], third["bw__attempts"]) == ("1", "2")


def test_failed_has_what_is_not_in_place(ledger: Ledger, job: Job) -> None:
    """failed.csv has the same lines, only those that are not in place."""
    folder = written(ledger, job)
    every = records(folder / RESULTS)
    assert records(folder / FAILED) == [line for line in every if line["bw__status"] != "created"]


def test_the_summary(ledger: Ledger, job: Job) -> None:
    """summary.json is what the command prints: counts that add up, why it stopped, where the files are."""
    ledger.jobs.stop(job.id, OVER[JobState.STOPPED])
    stopped = ledger.jobs.get(job.id)
    folder = report.folder_of(job)
    found = report_page.write_results(ledger, SEAL, stopped, folder)
    assert json.loads((folder / SUMMARY).read_text("utf-8")) == found
    # One chunk was still claimed, so its open row may have been sent; the other was never begun.
    assert found["counts"] == {"created": 1, "failed": 1, "unknown": 1, "unprocessed": 1}
    told = [(line["bw__status"], line["bw__error_code"]) for line in records(folder / RESULTS)]
    assert sorted(told)[2:] == [("unknown", "unconfirmed"), ("unprocessed", "")]
    assert (found["state"], found["reason"]) == ("stopped", "max_failed")
    assert found["why"] == "max_failed: 3 rows are failed"
    assert found["roster"] == {"name": Facts().name, "sha256": Facts().sha256, "rows": 4}
    assert found["realms"][0] == HOST
    assert all(Path(path).is_file() for path in found["files"].values())
    assert found["started"].endswith("Z")
    assert found["seconds"] >= 0


def test_no_file_tells_a_password(ledger: Ledger, tmp_path: Path) -> None:
    """A password that only the chunk has is in none of the files."""
    job = start_job(ledger, [make_chunk_row(2, password="Zq8-canary-31f")], results=str(tmp_path / "r"))
    folder = written(ledger, job)
    assert len(list(folder.iterdir())) == 3
    assert not any(b"canary" in path.read_bytes() for path in folder.iterdir())


# Spreadsheets


@given(CELLS | FORMULAS)
def test_one_quote_on_one_quote_off(cell: str) -> None:
    """No cell starts a formula in the file, and the reader returns each cell exactly."""
    shown = neutral(cell)
    assert not shown.startswith(("=", "+", "-", "@", "\t", "\r"))
    assert restored(shown) == cell


@given(st.lists(st.tuples(CELLS | FORMULAS, CELLS | FORMULAS, CELLS, CELLS), min_size=1, max_size=5))
def test_any_cell_survives(
    one_page: tuple[Ledger, Job, Path], cells: list[tuple[str, str, str, str]]
) -> None:
    """Written and read by the reader of corrections, every cell of every row is what it was."""
    rows = [Row(at, user, domain, "", "", "", tuple(own)) for at, (user, domain, *own) in enumerate(cells, 2)]
    ledger, job, folder = one_page
    put_page(ledger, job, 0, seal_page(SEAL, job.id, 0, rows))
    report.write(ledger, SEAL, job, folder)
    read = dict(read_corrections(str(folder / FAILED), job.id))
    expected = {
        at: {"bw__username": user, "bw__domain": domain, "bw__realm": "", "name": name, "site": site}
        for at, (user, domain, name, site) in enumerate(cells, 2)
    }
    assert read == expected


FORMS = [
    (TableForm(), "utf-8", ","),
    (TableForm("\t", "utf-8"), "utf-8", "\t"),
    (TableForm(",", "utf-8-sig"), "utf-8-sig", ","),
    (TableForm("|", "cp1252"), "cp1252", "|"),
    (TableForm("|", "cp850"), "cp850", "|"),
    (TableForm("^", "utf-8"), "utf-8", "^"),
    (TableForm(";", "utf-8"), "utf-8-sig", ";"),
    (TableForm(";", "cp1252"), "utf-8-sig", ";"),
    (TableForm("\t", "utf-16-le"), "utf-16", "\t"),
    (TableForm(",", "utf-8", workbook=True), "utf-8-sig", ","),
    (TableForm(",", "cp1252", excel=True), "utf-8-sig", ","),
    (TableForm(";", "cp1252", excel=False), "cp1252", ";"),
]


@pytest.mark.parametrize(("form", "codec", "delimiter"), FORMS)
def test_results_go_back_as_the_roster_came(
    ledger: Ledger, job: Job, form: TableForm, codec: str, delimiter: str
) -> None:
    """Delimiter and encoding are the roster's; a spreadsheet gets a BOM and a workbook; all is read back."""
    job = replace(job, options=replace(job.options, tables=form))
    row = Row(2, "+1919", "", "", "", "", ("Größe", "00;|\t,^"))
    put_page(ledger, job, 0, seal_page(SEAL, job.id, 0, [row]))
    folder = report.folder_of(job)
    found = report.write(ledger, SEAL, job, folder)
    for name in (RESULTS, FAILED):
        assert read_as(folder / name, codec).startswith(f"bw__job{delimiter}bw__row{delimiter}")
    with report.new_table(folder / "undo.csv", ["größe"], form) as write:
        write(["ä"])
    assert read_as(folder / "undo.csv", codec) == "größe\r\nä\r\n"
    assert (folder / WORKBOOK).exists() == form.spreadsheet == ("workbook" in found["files"])
    (back, *_) = dict(read_corrections(str(folder / RESULTS), job.id, job.options)).values()
    assert (back["bw__username"], back["name"], back["site"]) == ("+1919", *row.cells)


def test_a_text_that_the_rosters_encoding_lacks(ledger: Ledger, job: Job) -> None:
    """A correction, or the service's answer, may have such a text: the file is UTF-8 then, with a BOM."""
    job = replace(job, options=replace(job.options, tables=TableForm("|", "cp1252")))
    put_page(ledger, job, 0, seal_page(SEAL, job.id, 0, [Row(2, "bob", "", "", "", "", ("Ł", "Größe"))]))
    folder = written(ledger, job)
    assert "|Ł|Größe" in read_as(folder / RESULTS, "utf-8-sig")
    assert not list(folder.glob(".*"))


def read_as(path: Path, codec: str) -> str:
    """The file's text; it must be encoded as the codec writes it, BOM included."""
    text = path.read_bytes().decode(codec)
    assert text.encode(codec) == path.read_bytes()
    return text


def test_half_a_character_is_written_as_a_number(ledger: Ledger, job: Job) -> None:
    """Half a surrogate pair, as in cells and names of earlier ledgers, is written as a number."""
    job = replace(job, columns=("na\ud800me", "site"))
    folder = report.folder_of(job)
    row = Row(2, "bob\udfff", "", "", "", "", ("x\ud800", "Größe"))
    put_page(ledger, job, 0, seal_page(SEAL, job.id, 0, [row]))
    report.write(ledger, SEAL, job, folder)
    (line, *_) = records(folder / RESULTS)
    assert (line["bw__username"], line["na\\ud800me"], line["site"]) == ("bob\\udfff", "x\\ud800", "Größe")
    with report.new_table(folder / "undo.csv", ["na\ud800me"], TableForm()) as write:
        write(["x\ud800"])
    assert (folder / "undo.csv").read_text("utf-8").split() == ["na\\ud800me", "x\\ud800"]


def test_a_folder_that_is_a_link_to_nothing_is_told(tmp_path: Path) -> None:
    """A results folder that is a link to nothing is refused; a link to a folder works like that folder."""
    link = tmp_path / "out"
    link.symlink_to(tmp_path / "there")
    with pytest.raises(UsageError, match=r"out: it is a link to nothing"):
        report.make_folder(link)
    (tmp_path / "there").mkdir()
    report.make_folder(link)


def test_no_column_name_runs_as_a_formula(ledger: Ledger, job: Job) -> None:
    """Headers of the roster can't run as formulas; the files' readers know the columns by name."""
    columns = ("=cmd|' /C calc'!A0", "-note")
    folder = written(ledger, replace(job, columns=columns))
    header = (folder / FAILED).read_text("utf-8").splitlines()[0]
    assert header.split(",")[-2:] == ["'=cmd|' /C calc'!A0", "'-note"]
    said = dict(read_corrections(str(folder / FAILED), job.id, Options(), columns))
    assert {name for cells in said.values() for name in cells if not name.startswith("bw__")} == set(columns)


# Files


def test_files_are_the_owners_alone(ledger: Ledger, job: Job) -> None:
    """The folder is made 0700 and each file 0600, also where an earlier one was open to others."""
    folder = report.folder_of(job)
    report.make_folder(folder)
    (folder / RESULTS).touch(mode=0o644)
    written(ledger, job)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {
        RESULTS: 0o600, FAILED: 0o600, SUMMARY: 0o600,
    }  # fmt: skip


def test_a_folder_that_cannot_be_written(ledger: Ledger, tmp_path: Path) -> None:
    """If the files can't be written, the error names the folder and how to write them elsewhere."""
    (tmp_path / "file").touch()
    job = start_job(ledger, ROWS, results=str(tmp_path / "file" / "results"))
    with pytest.raises(UsageError, match="file/results: not a directory") as refused:
        report.make_folder(report.folder_of(job))
    assert "nothing was sent" in refused.value.hint
    with pytest.raises(SiprosterError, match="file/results: not a directory") as failed:
        written(ledger, job)
    assert "another folder with --results" in failed.value.hint


def test_a_file_in_the_way(ledger: Ledger, job: Job) -> None:
    """A folder called results.csv is a clear error, and no partial file is left beside it."""
    folder = report.folder_of(job)
    (folder / RESULTS).mkdir(parents=True)
    with pytest.raises(SiprosterError, match="can't be written"):
        written(ledger, job)
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]


def test_an_old_file_outlives_a_failure(ledger: Ledger, job: Job) -> None:
    """When the new results fail half way, the old ones are there as they were, and nothing else is."""
    folder = written(ledger, job)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    put_page(ledger, job, 1, b"changed")
    with pytest.raises(LedgerError, match="sealed rows"):
        report.write(ledger, SEAL, job, folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_folder_of_its_own_unless_named(job: Job) -> None:
    """Without --results the files go into a folder named for the job."""
    unnamed = replace(job, options=Options())
    assert report.folder_of(job) == Path(job.options.results)
    assert report.folder_of(unnamed) == Path.cwd() / f"siproster-{job.id}"


def test_a_working_folder_that_was_removed_is_no_bug(job: Job, tmp_path: Path) -> None:
    """The job ends as it should; the message says how to get its files, and a discarded job needs none."""
    gone = tmp_path / "gone"
    gone.mkdir()
    job = replace(job, options=Options())
    with chdir(gone):
        gone.rmdir()
        with pytest.raises(SiprosterError, match="working folder was removed") as error:
            report.folder_of(job)
        report.forget_folder(job)
    assert f"siproster report {job.id} --results DIR" in error.value.hint
