"""Files that a command would write must be neither its inputs nor somebody else's."""

from __future__ import annotations

import io
import os
from pathlib import Path

import openpyxl
import pytest

from worker.commands.outputs import refuse_foreign, refuse_inputs
from worker.errors import UsageError
from worker.roster import local_files
from worker.text_workbook import TextWorkbook

HEADER = b"bw__job,bw__row,bw__status\nx,2,created\n"
ABSENT = b"username,realm,id,application_id\n"
SUMMARY = b'{\n  "job": "20261122-224612-staff-7f3a",\n'
WRITTEN = [
    *((name, HEADER) for name in ("results.csv", "failed.csv", "plan.csv", "undo.csv")),
    ("results.csv", b'\xef\xbb\xbf"bw__job";"bw__row"\r\n'),
    *(("results.csv", "\ufeffbw__job\tx".encode(code)) for code in ("utf-16-le", "utf-16-be")),
    ("verify.csv", b"bw__row,bw__username\n"), ("absent.csv", ABSENT),
    ("absent.csv", b'"username";"realm";"id";"application_id"\r\nbob'), ("summary.json", SUMMARY),
    *((name, b"") for name in ("results.csv", "summary.json", "absent.csv")),
]  # fmt: skip
FOREIGN = [
    ("results.csv", b'"name","job"\n"bob","welder"\n'), ("results.csv", SUMMARY), ("results.csv", ABSENT),
    ("results.csv", b"name,bw__job\n"), ("results.csv", b"bw__jobs,x\n"),
    ("results.csv", b"note\nbw__job,x\n"), ("summary.json", b'{"job": "welder"}'),
    ("failed.csv", b"bw__row,bw__username\n"), ("absent.csv", b"username,realm,id,application_id,note\n"),
    ("absent.csv", HEADER), ("verify.csv", b"x,bw__row\n"), ("summary.json", HEADER),
    ("summary.json", b'{"people": [{"job": "welder"}]}'), ("summary.json", b'[{"job": "x"}]'),
    ("summary.json", b'{"job": 7}'),
]  # fmt: skip


@pytest.fixture
def roster(tmp_path: Path) -> Path:
    """Write the roster that is read, and return its path."""
    path = tmp_path / "results.csv"
    path.write_text("username,password\n")
    return path


@pytest.mark.parametrize(
    "way", ["the name", "another spelling", "a link", "a hard link", "a link to it is read"]
)
def test_what_is_read_is_not_written(roster: Path, way: str) -> None:
    """Inputs are recognised by device and inode, however they are named; the message has both names."""
    read, written = roster, roster
    if way == "another spelling":
        read = roster.parent / "x" / ".." / roster.name
        read.parent.parent.mkdir()
    elif way == "a link":
        written = roster.with_name("failed.csv")
        written.symlink_to(roster)
    elif way == "a hard link":
        written = roster.with_name("failed.csv")
        os.link(roster, written)
    elif way == "a link to it is read":
        read = roster.with_name("staff.csv")
        read.symlink_to(roster)
    with pytest.raises(UsageError) as caught:
        refuse_inputs([roster.parent / "none.csv", written], [(read, "my staff")])
    assert caught.value.message == f"{written} would be overwritten, but is my staff, which is read"
    refuse_inputs([roster.with_name("summary.json")], [(read, "my staff"), (roster / "none", "nothing")])


def test_a_folder_of_the_files_name_is_no_input(tmp_path: Path) -> None:
    """A pipe, a device or a terminal can be read and written at once."""
    refuse_inputs([tmp_path, Path(os.devnull)], [(tmp_path, "a folder"), (Path(os.devnull), "nothing")])


@pytest.mark.parametrize(("name", "content"), WRITTEN)
def test_a_result_file_may_be_written_again(tmp_path: Path, name: str, content: bytes) -> None:
    """Result files of any job are overwritten, even if empty or saved by a spreadsheet."""
    path = tmp_path / name
    path.write_bytes(content)
    refuse_foreign([path, tmp_path / "none.csv"])


@pytest.mark.parametrize(("name", "content"), FOREIGN)
def test_a_mark_counts_in_its_own_file_and_place_alone(tmp_path: Path, name: str, content: bytes) -> None:
    """siproster's own words elsewhere in a table, or in a file of another name, don't mark it as ours."""
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UsageError, match="was not written by siproster"):
        refuse_foreign([path])


@pytest.mark.parametrize("what", ["a table", "a folder", "a pipe", "a link to nothing", "a link to a table"])
def test_what_siproster_has_not_written_stays(roster: Path, what: str) -> None:
    """Somebody's own results.csv, and anything else of that name, is kept."""
    path = roster.with_name("failed.csv")
    if what == "a table":
        path = roster
    elif what == "a folder":
        path.mkdir()
    elif what == "a pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(roster if what.endswith("table") else "nothing")
    with pytest.raises(UsageError, match=r"would be overwritten, but was not written by siproster") as caught:
        refuse_foreign([path])
    assert str(path) in caught.value.message


@pytest.mark.parametrize("scheme", ["file://", "local://", "simplecache::file://"])
def test_a_url_names_its_file_in_both_readings(tmp_path: Path, scheme: str) -> None:
    """A file URL may stand for its path as it is, or for its path percent-decoded."""
    as_it_is, decoded = tmp_path / "a%41" / "results.csv", tmp_path / "aA" / "results.csv"
    assert local_files(f"{scheme}{as_it_is}") == (as_it_is, decoded)
    assert local_files(f"{scheme}{decoded}") == (decoded,)


def book(rows: list[list[str]], *, saved_again: bool) -> bytes:
    """A workbook with these rows, as siproster or a spreadsheet writes it."""
    file = io.BytesIO()
    if saved_again:
        other = openpyxl.Workbook()
        for row in rows:
            other.worksheets[0].append(row)
        other.save(file)
    else:
        with TextWorkbook(file, "results", rows[0]) as written:
            written.add(rows[1:])
    return file.getvalue()


@pytest.mark.parametrize("saved_again", [False, True])
def test_a_workbook_of_results_may_be_written_again(tmp_path: Path, *, saved_again: bool) -> None:
    """It is known by its first cell, and other workbooks, text or damaged files of its name stay."""
    path = tmp_path / "results.xlsx"
    ours = book([["bw__job", "bw__row"], ["x", "2"]], saved_again=saved_again)
    for content in (ours, b""):
        path.write_bytes(content)
        refuse_foreign([path])
    for content in (book([["name", "job"], ["a bw__job", "2"]], saved_again=saved_again), ours[:-9], HEADER):
        path.write_bytes(content)
        with pytest.raises(UsageError, match="was not written by siproster"):
            refuse_foreign([path])


def test_what_lies_elsewhere_has_no_path() -> None:
    """Standard input and remote services have no local path; ``~`` is expanded in a URL, too."""
    assert (local_files("-"), local_files("https://example.com/a.csv")) == ((), ())
    assert local_files("file://~/a%41") == (Path.home() / "a%41", Path.home() / "aA")
    assert local_files("~/a%41") == (Path.home() / "a%41",)
