"""Folders and patterns: every file is a part of one roster, or the roster is refused."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from tests.unit.rosters import GOOD
from worker.errors import UsageError
from worker.importing.validation import validated_pages
from worker.model import Family, Options
from worker.roster import open_roster
from worker.roster.reader import Roster


@pytest.fixture
def exports(tmp_path: Path) -> Path:
    """A folder with two parts, whose columns are in another order."""
    folder = tmp_path / "exports"
    folder.mkdir()
    (folder / "b.csv").write_text(f"site,user,password\nB,2001,{GOOD}b1\n\nB,1001,{GOOD}b2\n")
    (folder / "a.csv").write_text(f'user,password,site\n1001,{GOOD}a1,"A\nwest"\n1002,{GOOD}a2,A\n')
    return folder


def read(place: Path | str, **options: str) -> list[tuple[int, str, str, tuple[str, ...]]]:
    """Return line, user, password and cells of each row."""
    with open_roster(str(place), Options(**options)) as roster:  # type: ignore[arg-type]
        return [(row.line, row.user, row.password, row.cells) for row in roster.rows()]


@pytest.mark.parametrize("place", ["", "*.csv", "[ab].csv", "?.csv"])
def test_the_files_of_a_folder_are_one_roster(exports: Path, place: str) -> None:
    """Sorted by name, columns by theirs, with file and line; line numbers run on over all files."""
    assert read(exports / place) == [
        (2, "1001", f"{GOOD}a1", ("1001", "A\nwest", "a.csv", "2")),
        (4, "1002", f"{GOOD}a2", ("1002", "A", "a.csv", "4")),
        (6, "2001", f"{GOOD}b1", ("2001", "B", "b.csv", "2")),
        (8, "1001", f"{GOOD}b2", ("1001", "B", "b.csv", "4")),
    ]


def opened(place: Path) -> Roster:
    """Return the roster of a place; the caller closes it."""
    return open_roster(str(place), Options())


def test_a_duplicate_is_told_with_its_file(exports: Path) -> None:
    """The earlier row is named by file and line."""
    with opened(exports) as roster:
        pages = list(validated_pages(roster, None, Family.ACCOUNT))
    assert [one.text for row in pages[0] for one in row.problems] == ["a.csv, line 2, already has user 1001"]


def test_the_hash_is_over_all_files(exports: Path) -> None:
    """A change in any part, or of a part's name, makes another roster."""
    hashes = set()
    for change in (lambda: None, lambda: (exports / "b.csv").rename(exports / "c.csv")):
        change()
        with opened(exports) as roster:
            hashes.add(roster.sha256)
    (exports / "a.csv").write_text((exports / "a.csv").read_text().replace("a2", "a3"))
    with opened(exports) as roster:
        hashes.add(roster.sha256)
    assert len(hashes) == 3


def test_hidden_files_and_subfolders_are_told(exports: Path) -> None:
    """They are not read, and a warning names them."""
    for name in (".secret.csv", "Thumbs.db", "~$b.xlsx"):
        (exports / name).write_text("no roster")
    (exports / "old").mkdir()
    with opened(exports) as roster:
        assert [(one.code, one.text.partition(": ")[2]) for one in roster.warnings] == [
            ("files_left_out", ".secret.csv, Thumbs.db, old, ~$b.xlsx")
        ]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("c.csv", b"", "c.csv"),
        ("c.csv", b"name,extension\nAnn,1\n", "a.csv and c.csv have other columns: 'user' only in a.csv"),
        ("c.csv", b"user,password\n1,x\n", "'site' only in a.csv"),
        ("c.bin", b"\x00\x01\x02\xff" * 40, "c.bin"),
        (
            "c.csv",
            f'user,password,site\n"1,{GOOD},A\n2,{GOOD},A\n'.encode(),
            "c.csv, line 2: a quote opens here",
        ),
    ],
)
def test_a_file_that_does_not_fit_is_named(exports: Path, name: str, content: bytes, told: str) -> None:
    """Nothing is skipped in silence: an empty, foreign or broken file ends the reading."""
    (exports / name).write_bytes(content)
    with pytest.raises(UsageError) as refused:
        opened(exports)
    assert told in refused.value.message


def test_a_record_that_does_not_fit_is_a_row(exports: Path) -> None:
    """It keeps its number, and the reason names its file."""
    (exports / "c.csv").write_text(f"user,password,site\n3001,{GOOD}\n3002,{GOOD}c,C\n")
    with opened(exports) as roster:
        rows = list(roster.rows())
    assert [(row.user, [one.code for one in row.problems]) for row in rows[-2:]] == [
        ("", ["malformed"]),
        ("3002", []),
    ]
    assert "c.csv, line 2" in rows[-2].problems[0].text


def test_a_column_of_that_name_stays(exports: Path) -> None:
    """If the files have a column `file`, ours is called roster_file."""
    for name in ("a", "b"):
        (exports / f"{name}.csv").write_text(f"user,password,file\n{name}1,{GOOD}{name},x\n")
    with opened(exports) as roster:
        assert roster.columns == ("user", "file", "roster_file", "file_line")


def test_nothing_to_read_is_told(tmp_path: Path) -> None:
    """An empty folder, and a pattern that matches nothing."""
    for place, told in ((tmp_path, "holds no file"), (tmp_path / "*.csv", "no file matches")):
        with pytest.raises(UsageError, match=told):
            opened(place)


def test_a_compressed_file_is_read(tmp_path: Path) -> None:
    """A .gz file is unpacked, a broken one is refused by name."""
    path = tmp_path / "staff.csv.gz"
    path.write_bytes(gzip.compress(f"user,password\n1001,{GOOD}\n".encode()))
    with opened(path) as roster:
        assert (roster.name, [row.user for row in roster.rows()]) == ("staff.csv", ["1001"])
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(UsageError, match=r"staff\.csv\.gz can't be unpacked"):
        opened(path)
    path.write_bytes(b"user,password\n")
    with pytest.raises(UsageError, match=r"staff\.csv\.gz can't be unpacked"):
        opened(path)


def test_a_member_of_a_zip_is_read(tmp_path: Path) -> None:
    """fsspec's chained URL names the member."""
    import zipfile

    path = tmp_path / "staff.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.csv", f"user,password\n1001,{GOOD}\n")
    assert read(f"zip://a.csv::{path}")[0][1] == "1001"
