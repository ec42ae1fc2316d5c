"""Rosters in S3 and on an SSH server, single files and whole folders, from servers that really run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.places import S3, Sshd
from tests.program import Finished, Program
from tests.system.rosters import result_rows


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    """A service that speaks S3, with a bucket of two exports and one file in a subfolder."""
    server = S3(tmp_path_factory.mktemp("s3"))
    server.put("pbx-exports")
    server.put("pbx-exports/sites/a.csv", "user,password\n1001,Secret-aa-1001\n")
    server.put("pbx-exports/sites/b.csv", "password,user\nSecret-bb-2001,2001\n")
    server.put("pbx-exports/sites/old/c.csv", "no roster")
    yield server
    server.stop()


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """An SSH server."""
    server = Sshd(tmp_path_factory.mktemp("sshd"))
    yield server
    server.stop()


def planned(program: Program, place: str) -> list[tuple[str, ...]]:
    """Return line, user, file and line in it of each row of a plan."""
    finished = program.run("plan", place, "--results", "out")
    assert finished.code == 0, finished.stderr
    rows = result_rows(program.work / "out/plan.csv")
    return [(one["bw__row"], one["user"], one.get("file", ""), one.get("file_line", "")) for one in rows]


BOTH = [("2", "1001", "a.csv", "2"), ("4", "2001", "b.csv", "2")]


def test_files_and_folders_of_s3(siproster: Program, s3: S3) -> None:
    """A file, a pattern and a folder; the credentials are those of AWS' own variables."""
    siproster.environment |= s3.environment()
    assert planned(siproster, "s3://pbx-exports/sites/a.csv") == [("2", "1001", "", "")]
    assert planned(siproster, "s3://pbx-exports/sites/*.csv") == BOTH
    assert planned(siproster, "s3://pbx-exports/sites/") == BOTH


def refused(program: Program, place: str) -> Finished:
    """Return the end of a plan that could not be made: exit 6, and nothing was sent."""
    finished = program.run("plan", place)
    assert finished.code == 6, finished.stderr
    return finished


def test_what_s3_does_not_have_is_told(siproster: Program, s3: S3) -> None:
    """No such object, nothing in a folder: each with a sentence, and without the secret."""
    siproster.environment |= s3.environment()
    for place in ("s3://pbx-exports/nope.csv", "s3://pbx-exports/nope/", "s3://no-such-bucket/*.csv"):
        told = refused(siproster, place).stderr
        assert place in told
        assert "Traceback" not in told
        assert "s3-canary" not in told


def test_files_and_folders_of_an_ssh_server(siproster: Program, sshd: Sshd, tmp_path: Path) -> None:
    """A key of ~/.ssh logs in; the server's own must be a known host's: nobody else hands a roster over."""
    folder = tmp_path / "exports"
    folder.mkdir()
    (folder / "a.csv").write_text("user,password\n1001,Secret-aa-1001\n")
    (folder / "b.csv").write_text("password,user\nSecret-bb-2001,2001\n")
    place = sshd.url(folder / "a.csv")
    sshd.let_in(siproster.home)
    assert "is not in ~/.ssh/known_hosts" in refused(siproster, place).stderr
    sshd.become_known(siproster.home)
    assert planned(siproster, place) == [("2", "1001", "", "")]
    assert planned(siproster, sshd.url(folder / "*.csv")) == BOTH
    assert planned(siproster, sshd.url(f"{folder}/")) == BOTH


def test_a_login_that_is_refused_is_told(siproster: Program, sshd: Sshd) -> None:
    """Without a key that is let in, the message says which one is used."""
    sshd.become_known(siproster.home)
    told = refused(siproster, sshd.url("/etc/hostname")).stderr
    assert "a key of ~/.ssh or of ssh-agent is used" in told


@pytest.mark.parametrize(
    "place", ["sftp://me:hunter2@h/x.csv", "s3://key:hunter2@b/x", "sftp://me:hunter2@h/x/"]
)
def test_a_password_in_a_url_is_refused(siproster: Program, place: str) -> None:
    """Others on this machine see a command line."""
    told = refused(siproster, place).stderr
    assert "the URL holds a password" in told
    assert "hunter2" not in told
