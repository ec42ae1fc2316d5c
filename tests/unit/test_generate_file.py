"""The file of generated passwords, in cases that no other process can bring about."""

from __future__ import annotations

import resource
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from worker.errors import UsageError
from worker.importing.generate_file import Entry, PasswordFile


@contextmanager
def full_disk(room: int) -> Iterator[None]:
    """No file can be written beyond so many bytes, as if the disk were full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def add(path: Path, entries: Sequence[Entry]) -> None:
    """Put entries into the file."""
    with PasswordFile(path, writable=True) as file:
        file.add(entries)
        file.commit()


@pytest.mark.parametrize("number", [3, 3000])
def test_a_full_disk_is_said_and_leaves_the_file_as_it_was(tmp_path: Path, number: int) -> None:
    """Closing writes once more what could not be written, which must not hide the reason."""
    path = tmp_path / "new.csv"
    add(path, [Entry("a1", "", "office", "Abcdefgh23456", "staff.csv", "2")])
    before = path.read_bytes()
    entries = [
        Entry(f"b{line}", "", "office", "Abcdefgh23456", "staff.csv", f"{line}") for line in range(number)
    ]
    with full_disk(len(before) + 10), pytest.raises(UsageError, match="can't be used for generated"):
        add(path, entries)
    assert (path.read_bytes(), [one.name for one in tmp_path.iterdir()]) == (before, ["new.csv"])


@pytest.mark.parametrize("password", ["1.23457E+16", "#NAME?", "********"])
def test_a_password_that_a_spreadsheet_rewrote_is_refused(tmp_path: Path, password: str) -> None:
    """Nobody has that password, or everybody: it was not generated, and the message doesn't show it."""
    path = tmp_path / "new.csv"
    add(path, [Entry("a1", "", "office", "Abcdefgh23456", "staff.csv", "2")])
    path.write_text(path.read_text().replace("Abcdefgh23456", password))
    with PasswordFile(path, writable=False) as file, pytest.raises(UsageError, match="line 2") as refused:
        file.index(str)
    assert password not in refused.value.message
