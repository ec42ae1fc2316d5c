"""Any text in configuration files: a refusal, or every entry as a row; never another user's password."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from worker import roster
from worker.errors import UsageError
from worker.model import Options, Row
from worker.roster.dbtext import open_dbtext
from worker.roster.kamcli import open_kamcli
from worker.roster.source import LocalFile
from worker.roster.text import Record, Text

SAMPLES = Path(__file__).parents[2] / "samples" / "pbx"
FILES = sorted([*SAMPLES.glob("asterisk/**/*.conf"), *SAMPLES.glob("freeswitch/*.xml")])
CONTENTS = [(path.suffix, path.read_bytes()) for path in FILES]
USERS = ("1001", "1002", "1003", "1004")
BROKEN = "1002"
"""The user whose password has hostile text in it."""
SIP = "[{0}](phone)\nsecret=secret-of-{0}{1}\ncallerid=x\n"
PJSIP = "[{0}]\ntype=auth\npassword=secret-of-{0}{1}\nusername={0}\n[{0}]\ntype=endpoint\nauth={0}\n"
XML = '<user id="{0}">\n<params>\n<param name="password" value="secret-of-{0}{1}"/>\n</params>\n</user>\n'
DOCUMENTS = {
    "sip.conf": ("[phone](!)\ntype=friend\nhost=dynamic\n", SIP, ""),
    "pjsip.conf": ("", PJSIP, ""),
    "directory.xml": ("<users>\n", XML, "</users>\n"),
}
WORDS = (
    '"',
    "'",
    "<",
    "&",
    ";",
    ";--",
    "--;",
    "\\",
    "\\;",
    "[",
    "]",
    "(+)",
    "=>",
    "#",
    "-->",
    "<!--",
    "/>",
    "$${x}",
)

hostile = st.lists(
    st.sampled_from(WORDS) | st.text(st.characters(exclude_characters="\n\r"), max_size=3), max_size=4
)
quick = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def read(path: Path) -> list[Row] | None:
    """All rows; None where the file is refused."""
    name = "freeswitch" if path.suffix == ".xml" else "asterisk"
    try:
        with roster.open_roster(str(path), Options(source_format=name)) as opened:
            rows = list(opened.rows())
            assert len(rows) == opened.records
            return rows
    except UsageError as error:
        told = f"{error} {error.hint}"
    assert "secret-of" not in told
    return None


@pytest.mark.parametrize("name", DOCUMENTS)
@given(words=hostile)
@example(words=[";", "--"])
@quick
def test_hostile_text_in_a_password_changes_no_other(tmp_path: Path, name: str, words: list[str]) -> None:
    """The others keep their own passwords, unless the whole file is refused."""
    before, entry, behind = DOCUMENTS[name]
    text = "".join(entry.format(user, "".join(words) if user == BROKEN else "") for user in USERS)
    path = tmp_path / name
    path.write_text(before + text + behind, "utf-8", "replace", newline="")
    rows = read(path)
    if rows is not None:
        found = {row.user: row.password for row in rows if row.user != BROKEN and not row.problems}
        assert found == {user: f"secret-of-{user}" for user in USERS if user != BROKEN}


@given(
    file=st.sampled_from(CONTENTS),
    at=st.floats(0, 1),
    until=st.floats(0, 1),
    between=st.binary(max_size=6) | st.sampled_from([word.encode() for word in WORDS]),
)
@quick
def test_any_tear_in_a_sample(
    tmp_path: Path, file: tuple[str, bytes], at: float, until: float, between: bytes
) -> None:
    """A file is refused, or each of its entries has a row with a line of its own, valid or with problems."""
    suffix, whole = file
    begin, end = sorted((int(at * len(whole)), int(until * len(whole))))
    path = tmp_path / f"sip{suffix}"
    path.write_bytes(whole[:begin] + between + whole[end:])
    rows = read(path) or []
    for row in rows:
        assert row.problems or row.skipped or (row.user and row.password)
    lines = [row.line for row in rows]
    assert all(before < after for before, after in itertools.pairwise(lines))


def records(path: Path, content: bytes) -> list[Record]:
    """The records of a table of Kamailio's; none where it is refused."""
    path.write_bytes(content)
    opened = open_kamcli if path.suffix else open_dbtext
    start = content.decode("utf-8", "replace")
    try:
        with opened(Text(LocalFile(path), "latin-1", ","), start, Options()).read() as found:
            return list(found)
    except UsageError:
        return []


@pytest.mark.parametrize("name", ["subscriber", "subscriber.json"])
@given(at=st.floats(0, 1), until=st.floats(0, 1), between=st.binary(max_size=6))
@quick
def test_any_tear_in_a_table(tmp_path: Path, name: str, at: float, until: float, between: bytes) -> None:
    """It is refused, or its records come with lines of their own."""
    whole = (SAMPLES / "kamailio" / name).read_bytes()
    begin, end = sorted((int(at * len(whole)), int(until * len(whole))))
    lines = [line for line, _ in records(tmp_path / name, whole[:begin] + between + whole[end:])][1:]
    assert all(before < after for before, after in itertools.pairwise(lines))
