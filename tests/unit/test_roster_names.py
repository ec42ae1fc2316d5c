"""Reading the users that a file names."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from worker.errors import UsageError
from worker.roster import Name, Names


def names(path: Path, text: str, encoding: str = "utf-8") -> list[Name]:
    path.write_bytes(text.encode(encoding))
    with closing(Names(str(path))) as found:
        listed = list(found)
        assert found.count == len(listed)
        return listed


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return the path of the file."""
    return tmp_path / "users.csv"


def test_a_list_of_names(file: Path) -> None:
    """One column is enough; blank lines don't count; spaces around a name do not belong to it."""
    assert names(file, "username\nalice\n\n bob \n") == [Name(2, "alice", "", ""), Name(4, "bob", "", "")]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
def test_a_roster(file: Path, encoding: str) -> None:
    """A roster's usual columns are found in any encoding and with any delimiter; no password is needed."""
    text = "Name;SIP_User;Domain;Realm\nJosé;alice;example.com;office\nJürgen;bob;;\n"
    assert names(file, text, encoding) == [
        Name(2, "alice", "example.com", "office"),
        Name(3, "bob", "", ""),
    ]
    assert [name.composite for name in names(file, text)] == ["alice@example.com", "bob"]


def test_a_result_file(file: Path) -> None:
    """A result file's own columns win over the roster's, and the quote before a formula is removed."""
    text = "bw__job,bw__username,bw__domain,bw__realm,username,realm\nj,'+1919,,office-x,x,y\n"
    assert names(file, text) == [Name(2, "+1919", "", "office-x")]


def test_columns_that_are_used_are_told(file: Path) -> None:
    """The columns used are reported: users are deleted by the names in them."""
    file.write_text("login,realm\nalice,office\n")
    with closing(Names(str(file))) as found:
        assert found.columns == {"username": "login", "realm": "realm"}


def test_a_line_that_names_nobody(file: Path) -> None:
    """A line that names no user is kept, so that it can be reported; a domain alone is no name."""
    (name,) = names(file, "username,domain\n,example.com\n")
    assert name.composite == ""


def test_a_file_that_changes_after_it_was_counted(file: Path) -> None:
    """A file overwritten or removed after it was counted still names the users who were counted."""
    file.write_text("username\nalice\nbob\n")
    with closing(Names(str(file))) as found:
        file.write_text("username\nadmin\nroot\nceo\n")
        assert [name.user for name in found] == ["alice", "bob"]
        file.unlink()
        assert [name.user for name in found] == ["alice", "bob"]
        assert found.count == 2


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("password\nx\n", "no column with user names"),
        ("username,realm\nalice,office\nbob\n", "line 3: 1 field,"),
        ("username\nalice,x\n", "line 2"),
        ('username\nalice\n"bob\n', "line 3"),
        ('username\n"al"ice\n', "line 2"),
        (f"username\nal\n{'x' * 70_000}\n", "line 3: the username has 70,000 characters"),
        (f"username,realm\nal,{'x' * 256}\n", "line 2: the realm has 256 characters"),
        ("1001,Sunshine42\n", r"no column with user names\Z"),
    ],
)
def test_a_file_that_can_not_be_used(file: Path, text: str, told: str) -> None:
    """A file is read to its end before anything is done, and the error names the line."""
    with pytest.raises(UsageError, match=told):
        names(file, text)
