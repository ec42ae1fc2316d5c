"""Every file and folder is private to its owner, whatever the umask, and none replaces another."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from worker import report, seal
from worker.errors import UsageError
from worker.files import make_folder, new_file, open_found, whole_file
from worker.ledger import Ledger
from worker.model import Family, Stored, TableForm
from worker.roster.spool import Spool
from worker.settings import load
from worker.snapshot import Facts, Snapshot, write
from worker.temp_db import temp_db

FACTS = Facts(Family.ACCOUNT, "https://api.example.com", "1", "", "2026-11-22T22:46:12+00:00", "0" * 16)
UMASKS = pytest.mark.parametrize("mask", [0o000, 0o022, 0o777], ids=oct)


@contextmanager
def umask(mask: int) -> Iterator[None]:
    """Set another umask for the length of a block."""
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def modes(folder: Path) -> dict[str, int]:
    """Return the modes of everything in a folder."""
    return {str(path.relative_to(folder)): stat.S_IMODE(path.lstat().st_mode) for path in folder.rglob("*")}


@UMASKS
def test_folders_and_files(tmp_path: Path, mask: int) -> None:
    """Folders are 0700 and files 0600, new parents included; what existed keeps its mode."""
    tmp_path.chmod(0o755)
    with umask(mask):
        make_folder(tmp_path / "a" / "b" / "c")
        make_folder(tmp_path / "a")
        os.close(new_file(tmp_path / "a" / "file"))
        with whole_file(tmp_path / "a" / "whole") as file:
            file.write(b"x")
    assert modes(tmp_path) == {
        "a": 0o700, "a/b": 0o700, "a/b/c": 0o700, "a/file": 0o600, "a/whole": 0o600,
    }  # fmt: skip
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


@UMASKS
@pytest.mark.parametrize("linked", [False, True])
def test_a_ledger_its_wal_and_its_key(tmp_path: Path, mask: int, linked: bool) -> None:
    """A ledger, its WAL and its key are private, even if the ledger is a link to nothing yet."""
    path = tmp_path / "deep" / "ledger.sqlite"
    if linked:
        path.parent.mkdir(mode=0o700)
        path.symlink_to(tmp_path / "deep" / "real.sqlite")
    url = f"sqlite:///{path}"
    with umask(mask):
        with closing(Ledger(url)) as ledger:
            assert ledger.jobs.newest() == []
            found = modes(tmp_path)
        load({}, {"SIPROSTER_LEDGER": url}, None, "").sealing_keys(seal.new_key, list)
    files = {name for name in found if name not in ("deep", "deep/ledger.sqlite" if linked else "")}
    assert {name.partition("-")[2] for name in files} == {"", "wal", "shm"}
    assert {found[name] for name in files} == {0o600}
    assert modes(tmp_path)["deep"] == 0o700
    assert modes(tmp_path)["deep/ledger.sqlite.key"] == 0o600


@UMASKS
def test_results_and_snapshots(tmp_path: Path, mask: int) -> None:
    """Files that a command leaves for people to read have private modes."""
    with umask(mask):
        report.make_folder(tmp_path / "out")
        with report.new_table(tmp_path / "out" / "plan.csv", ["a"], TableForm()) as line:
            line(["1"])
        write(tmp_path / "out" / "snapshot", FACTS, seal.Seal([bytes(32)]), [])
    assert modes(tmp_path) == {"out": 0o700, "out/plan.csv": 0o600, "out/snapshot": 0o600}


@UMASKS
def test_what_is_put_aside_for_one_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mask: int) -> None:
    """Spools and temporary databases have no name, so that nobody else opens them."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with umask(mask), open(os.devnull, "rb") as nothing:  # noqa: PTH123 (a device)
        spool, database = Spool(nothing), temp_db(10)
        database.execute("CREATE TABLE t (x)")
        assert modes(tmp_path) == {}
        database.close()
        spool.close()


@pytest.mark.parametrize(
    "name", ["a%41b.sqlite", "jobs.sqlite?timeout=abc", "a#b", "a b", "%", "ü", "file:x"]
)
def test_a_ledger_is_the_file_that_was_written(tmp_path: Path, name: str) -> None:
    """A ledger's path is no URL: nothing in it is decoded or taken for a parameter."""
    url = load({}, {"SIPROSTER_LEDGER": f"sqlite:///{tmp_path}/{name}"}, None, "").ledger
    Ledger(url).close()
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_file_that_appears_meanwhile_stays(tmp_path: Path) -> None:
    """A file that somebody made during a snapshot is kept, and nothing else is left behind."""
    path = tmp_path / "now.snapshot"

    def entries() -> Iterator[Stored]:
        yield Stored("1", "bob", "office")
        path.write_text("somebody else's")

    with pytest.raises(UsageError, match="already exists"):
        write(path, FACTS, seal.Seal([bytes(32)]), entries())
    assert path.read_text() == "somebody else's"
    assert [one.name for one in tmp_path.iterdir()] == ["now.snapshot"]


def test_a_link_that_leads_nowhere_is_there(tmp_path: Path) -> None:
    """A link that leads nowhere counts as existing: a snapshot is not written to its target."""
    (tmp_path / "now.snapshot").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="already exists"):
        write(tmp_path / "now.snapshot", FACTS, seal.Seal([bytes(32)]), [])
    assert not (tmp_path / "elsewhere").exists()
    with pytest.raises(UsageError, match="can't be written"):
        write(tmp_path / "none" / "now.snapshot", FACTS, seal.Seal([bytes(32)]), [])


def test_a_whole_snapshot_can_be_read(tmp_path: Path) -> None:
    """A snapshot gets its name at the end, with everything written."""
    key = seal.Seal([bytes(32)])
    facts = Facts(FACTS.family, FACTS.host, "1", "", FACTS.taken, key.fingerprint)
    assert write(tmp_path / "s", facts, key, [Stored("1", "bob", "office")]) == 1
    assert [one.composite for one in Snapshot(tmp_path / "s").entries(key)] == ["bob"]


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    """A folder can't be made in a file's place, nor below a file."""
    (tmp_path / "x").touch()
    with pytest.raises(FileExistsError):
        make_folder(tmp_path / "x")
    with pytest.raises(NotADirectoryError):
        make_folder(tmp_path / "x" / "y")


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    """A pipe without a writer is not waited for."""
    os.mkfifo(tmp_path / "pipe", 0o600)
    with open_found(tmp_path / "pipe") as file:
        assert stat.S_ISFIFO(os.fstat(file.fileno()).st_mode)


def test_a_full_disk_is_told_as_such() -> None:
    """SQLite's error for a full disk becomes one about the temporary folder."""
    with closing(temp_db(10)) as database:
        database.execute("CREATE TABLE t (x)")
        database.execute("PRAGMA max_page_count = 4")
        with pytest.raises(UsageError, match="the temporary folder can't be written to") as caught:
            database.executemany("INSERT INTO t VALUES (?)", [(b"x" * 4000,)] * 20)
    assert "TMPDIR" in caught.value.hint
