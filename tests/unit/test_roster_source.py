"""Sources of a roster, and the check that it is the same file to the end."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import fsspec
import pytest

from tests.unit.rosters import GOOD, nameless_files
from worker.errors import UsageError
from worker.model import Options
from worker.roster import open_roster
from worker.roster.source import without_secrets
from worker.roster.spool import Spool

TEXT = f"user,password\nbob,{GOOD}\nal,{GOOD}x\n".encode()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A sound roster on disk."""
    path = tmp_path / "staff.csv"
    path.write_bytes(TEXT)
    return path


def test_a_file_tells_what_it_is(path: Path) -> None:
    """Name, place, hash and number of rows are known before the first row."""
    with open_roster(str(path), Options()) as roster:
        assert (roster.name, roster.source) == ("staff.csv", str(path))
        assert roster.sha256 == hashlib.sha256(TEXT).hexdigest()
        assert (roster.records, roster.delimiter, roster.encoding) == (2, ",", "utf-8")
        assert [row.user for row in roster.rows()] == ["bob", "al"]
        assert [row.user for row in roster.rows()] == ["bob", "al"]


def test_standard_input_is_read() -> None:
    """`-` reads what is piped in, as often as needed."""
    program = (
        "from worker.model import Options; from worker.roster import open_roster;"
        "r = open_roster('-', Options());"
        "print(r.name, r.source, r.records, [row.user for row in r.rows()], r.sha256)"
    )
    run = subprocess.run([sys.executable, "-c", program], input=TEXT, capture_output=True, check=True)
    assert run.stdout.decode().split(" ", 3)[:3] == ["stdin", "-", "2"]
    assert run.stdout.decode().split()[-1] == hashlib.sha256(TEXT).hexdigest()


def test_a_pipe_is_read(tmp_path: Path) -> None:
    """A path that can be read only once, such as <(...), works like a file."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(TEXT,))
    writer.start()
    with open_roster(str(pipe), Options()) as roster:
        assert [row.user for row in roster.rows()] == ["bob", "al"]
    writer.join()


@pytest.mark.parametrize("size", [0, 1, 5, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3_000_000])
def test_a_spool_gives_back_what_it_took(size: int) -> None:
    """A spool returns what it took, to the byte, from the start each time, in blocks of any size."""
    data = (b"0123456789abcdef" * (size // 16 + 1))[:size]

    class Trickle(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            return super().read(min(size or 0, 70_001))

    spool = Spool(Trickle(data))
    for _ in range(2):
        with io.BufferedReader(spool.open()) as stream:
            assert stream.read() == data
    spool.close()


def test_standard_input_that_fails_says_why() -> None:
    """If standard input fails in the middle, the error is the stream's, not the temporary file's."""

    class Torn(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if not (block := super().read(size)):
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return block

    with pytest.raises(UsageError, match="standard input can't be read: input/output error"):
        open_roster("-", Options(), Torn(TEXT * 50_000))


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="looks at open files through /proc")
def test_a_spool_lies_on_disk_sealed_and_nameless() -> None:
    """The temporary file has no name, is the user's own, and holds no password in clear."""
    before = nameless_files()
    with open_roster("-", Options(), io.BytesIO(TEXT)) as roster:
        (number,) = nameless_files() - before
        facts = os.fstat(number)
        assert (facts.st_nlink, stat.S_IMODE(facts.st_mode) & 0o077) == (0, 0)
        assert facts.st_size > len(TEXT)
        assert GOOD.encode() not in os.pread(number, facts.st_size, 0)
        assert roster.records == 2


CHANGES: dict[str, Any] = {
    "another password": lambda path: path.write_bytes(TEXT.replace(b"T", b"U")),
    "another row": lambda path: path.write_bytes(TEXT + b"eve,Zk3vW8pQ5xN2\n"),
    "a row less": lambda path: path.write_bytes(TEXT[:-10]),
    "another encoding": lambda path: path.write_bytes(TEXT + b"\xff\xfe\n"),
    "an open quote": lambda path: path.write_bytes(TEXT + b'eve,"x\n'),
    "nothing left": lambda path: path.unlink(),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("limit", [None, 1])
def test_a_file_that_changes_is_noticed(path: Path, change: str, limit: int | None) -> None:
    """A file that changes between the passes, even behind the last wanted row, is refused."""
    with open_roster(str(path), Options(limit=limit)) as roster:
        CHANGES[change](path)
        with pytest.raises(UsageError, match="has changed, or vanished"):
            list(roster.rows())


def test_a_url_is_read() -> None:
    """Any protocol of fsspec; the file's own name is kept."""
    with fsspec.open("memory://folder/staff.csv", "wb") as stream:
        stream.write(TEXT)
    with open_roster("memory://folder/staff.csv", Options()) as roster:
        assert (roster.name, roster.source) == ("staff.csv", "memory://folder/staff.csv")
        assert [row.user for row in roster.rows()] == ["bob", "al"]


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("memory://nothing/here.csv", "can't be read: there is no such file"),
        ("nonsense://x/y.csv", "nonsense is not a protocol"),
        ("http://[bad", r"http://\[bad"),
        ("zip://a.csv::http://[bad", r"zip://a.csv::http://\[bad"),
        ("ftp://127.0.0.1:1/staff.csv", "can't be read: connection refused"),
        ("local:///", "can't be read: is a directory"),
        ("blockcache::x", "blockcache::x can't be read"),
        (f"ftp://{'x' * 70_000}", "can't be read"),
        (f"{'x' * 70_000}://y", "is not a protocol"),
        ("x" * 70_000, "can't be read: file name too long"),
        (f"x/{'y' * 300}/staff.csv", "there is no file x/yyy"),
        (f"~{'x' * 70_000}", "can't be read: file name too long"),
    ],
)
def test_a_place_that_fails_says_why(place: str, said: str) -> None:
    """A URL that fails gives the kind of failure, in words of limited length."""
    with pytest.raises(UsageError, match=said) as caught:
        open_roster(place, Options())
    assert len(caught.value.message) < 400
    assert "Error" not in caught.value.message


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://u5er:pa55@h.example/a/staff.csv?sig=s1gn#s1gn", "https://h.example/a/staff.csv"),
        ("http://u5er:pa55@[::1]:80/staff.csv?sig=s1gn", "http://[::1]:80/staff.csv"),
        ("http://[::1]:80/a@b.csv", "http://[::1]:80/a@b.csv"),
        ("zip://a.csv::http://u5er:pa55@h/x.zip?sig=s1gn", "zip://a.csv::http://h/x.zip"),
        ("http://h/x?sig=s1gn::ftp://u5er:pa55@h/x", "http://h/x::ftp://h/x"),
        ("http://u5er:pa55/s1gn@h/x", "http://h/x"),
        ("http://u5er:pa55?s1gn@h/x", "http://h/x"),
        ("http://u5er:pa55@/s1gn@h/x", "http://h/x"),
        ("http://u5er:pa55@[bad", "http://[bad"),
        ("s3://bucket/a@b.csv", "s3://bucket/a@b.csv"),
        ("simplecache::file:///a/b.csv", "simplecache::file:///a/b.csv"),
        ("C:\\staff.csv", "C:\\staff.csv"),
    ],
)
def test_what_of_a_url_is_shown(url: str, shown: str) -> None:
    """A URL is shown without user, password and query, even a broken or chained one."""
    assert without_secrets(url) == shown


def test_a_path_of_windows_is_named_as_wsl_has_it() -> None:
    """A path copied from Explorer leads to the one under which WSL has the file."""
    with pytest.raises(UsageError) as caught:
        open_roster(r"C:\Users\dana\staff list.csv", Options())
    assert caught.value.hint == "in WSL, it is '/mnt/c/Users/dana/staff list.csv'"


def test_a_working_folder_that_is_gone_is_told(tmp_path: Path) -> None:
    """If the working folder is gone, the file isn't found, and no similar name is suggested."""
    program = (
        "import os, sys; from worker.errors import UsageError; from worker.model import Options;"
        "from worker.roster import open_roster\n"
        "os.chdir(sys.argv[1]); os.rmdir(sys.argv[1])\n"
        "try: open_roster('staff.csv', Options())\n"
        "except UsageError as error: print(error.message)"
    )
    folder = tmp_path / "gone"
    folder.mkdir()
    run = subprocess.run([sys.executable, "-c", program, folder], capture_output=True, text=True, check=True)
    assert run.stdout == "there is no file staff.csv\n"


def test_a_missing_package_is_named() -> None:
    """A protocol whose package is not installed says which one to install."""
    with pytest.raises(UsageError) as caught:
        open_roster("gdrive://x/y.csv", Options())
    assert "install gdrive" in caught.value.hint


def test_a_url_shows_no_secret() -> None:
    """User, password and query of a URL may let somebody in: no message has them."""
    with pytest.raises(UsageError) as caught:
        open_roster("https://u5er:pa55@127.0.0.1:9/staff.csv?sig=s1gn", Options())
    assert "https://127.0.0.1:9/staff.csv" in caught.value.message
    for secret in ("u5er", "pa55", "s1gn"):
        assert secret not in caught.value.message + caught.value.hint


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    """A folder is a roster of its files, if it has any."""
    with pytest.raises(UsageError, match="holds no file"):
        open_roster(str(tmp_path), Options())


def test_a_missing_file_names_the_nearest(path: Path) -> None:
    """A misspelt file name is answered with the nearest one in the folder."""
    with pytest.raises(UsageError, match="there is no file") as caught:
        open_roster(str(path.with_name("stafff.csv")), Options())
    assert str(path) in caught.value.hint


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_refused(path: Path) -> None:
    """A file that the user may not read is refused with that reason."""
    path.chmod(0)
    with pytest.raises(UsageError, match="can't be read by this user"):
        open_roster(str(path), Options())


def test_no_url_no_fsspec() -> None:
    """A local roster doesn't load fsspec."""
    program = (
        "import sys; from worker.model import Options; from worker.roster import open_roster;"
        "open_roster('samples/roster.csv', Options()); print('fsspec' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout == "False\n"


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs a file that opens and can't be read")
def test_a_reading_that_fails_says_why() -> None:
    """A disk that fails while reading gives an error message, not a traceback."""
    with pytest.raises(UsageError, match="can't be read: input/output error"):
        open_roster("/proc/self/mem", Options())


def test_settings_of_fsspec_that_can_not_be_read(tmp_path: Path) -> None:
    """If fsspec can't read its settings, the variable that names them is reported."""
    (tmp_path / "conf.json").write_text("{")
    program = (
        "from worker.errors import UsageError; from worker.model import Options\n"
        "from worker.roster import open_roster\n"
        "try: open_roster('memory://a.csv', Options())\n"
        "except UsageError as error: print(error.hint)"
    )
    environment = os.environ | {"FSSPEC_CONFIG_DIR": str(tmp_path)}
    told = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert "FSSPEC_CONFIG_DIR" in told.stdout
