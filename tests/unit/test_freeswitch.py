"""FreeSWITCH's directory: what counts as a user's password, and XML that is refused."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

import pytest

from worker.errors import UsageError
from worker.model import Options, Row
from worker.roster import open_roster

PARAMS = '<params><param name="password" value="{}"/></params>'


def rows(path: Path, text: str, options: Options | None = None) -> list[Row]:
    """Return the rows of a directory with this content."""
    file = path / "directory.xml"
    file.write_text(text)
    with open_roster(str(file), options or Options(source_format="freeswitch")) as roster:
        return list(roster.rows())


def user(name: str, password: str) -> str:
    """Return a user with a password, as the file has it."""
    return f'<user id="{name}">{PARAMS.format(password)}</user>\n'


@pytest.mark.parametrize(
    ("written", "password"),
    [
        ("plain-secret", "plain-secret"),
        ("a&amp;b&lt;c&gt;d&quot;e&apos;f", "a&b<c>d\"e'f"),
        ("&#65;&#x42;-secret", "AB-secret"),
        ("twice &amp;amp; decoded", "twice &amp; decoded"),
        ("  blanks stay  ", "  blanks stay  "),
    ],
)
def test_a_password_is_decoded_once(tmp_path: Path, written: str, password: str) -> None:
    """Entities and characters by number mean what XML says, and nothing else changes."""
    assert [row.password for row in rows(tmp_path, user("1", written))] == [password]


@pytest.mark.parametrize(
    "written", ["a&b", "a<b", "&nbsp;secret", "&#0;secret", "&#xd800;secret", "&#9999999;x"]
)
def test_an_unescaped_password_is_refused_alone(tmp_path: Path, written: str) -> None:
    """It may be read in two ways; the users around it are imported."""
    text = user("1", "before-it-1") + user("2", written) + user("3", "after-it-3")
    found = rows(tmp_path, text)
    assert [(row.user, [one.code for one in row.problems]) for row in found] == [
        ("1", []), ("2", ["malformed"]), ("3", []),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('<!DOCTYPE x [<!ENTITY a "b">]>\n<include/>', "1: a DTD"),
        ("<include>\n<domain name='a'>\n", "2: <domain> is never closed"),
        ("<include>\n" + user("1", "secret-1")[:-9], "2: <user> is never closed"),
        ("<include>\n</domain>\n</include>", "2: </domain> ends <include>"),
        ("<include>\n<!-- for ever\n</include>", "2: <!-- without -->"),
        ('<include>\n<domain name="a"b">\n</domain></include>', "2: not well-formed"),
        ("<a>" * 60, "elements in each other"),
        ('<include>\n<X-PRE-PROCESS cmd="include" data="*.xml"/></include>', "includes itself"),
    ],
)
def test_a_directory_in_doubt_is_refused_with_its_line(tmp_path: Path, text: str, says: str) -> None:
    """A mistake outside of users concerns all that follow."""
    with pytest.raises(UsageError, match=says) as caught:
        rows(tmp_path, text)
    assert caught.value.hint


def test_a_domain_that_is_a_variable_needs_a_decision(tmp_path: Path) -> None:
    """The file doesn't say the domain: an option does."""
    text = '<domain name="$${domain}">' + user("1", "secret-1") + "</domain>"
    with pytest.raises(UsageError) as caught:
        rows(tmp_path, text)
    assert "--domain NAME" in caught.value.hint
    named = Options(source_format="freeswitch", domain="pbx.example.com")
    assert [row.composite for row in rows(tmp_path, text, named)] == ["1@pbx.example.com"]


def test_variables_are_those_that_the_files_set(tmp_path: Path) -> None:
    """A variable that is set twice, or in a comment only, is none: the password would be a guess."""
    setting = '<X-PRE-PROCESS cmd="set" data="{}"/>\n'
    text = setting.format("known=known-secret") + setting.format("twice=one") + setting.format("twice=two")
    text += "<!-- " + setting.format("hidden=hidden-secret") + " -->"
    text += "".join(user(name, f"$${{{name}}}") for name in ("known", "twice", "hidden", "unset"))
    found = rows(tmp_path, f"<include>{text}</include>")
    assert [row.password for row in found if not row.problems] == ["known-secret"]
    assert {one.code for row in found for one in row.problems} == {"password_placeholder"}


def test_included_users_carry_their_file(tmp_path: Path) -> None:
    """As FreeSWITCH's own directory: a domain that includes a file for each user."""
    (tmp_path / "default").mkdir()
    for name in ("1001", "1002"):
        (tmp_path / "default" / f"{name}.xml").write_text(
            f"<include>\n{user(name, 'secret-of-' + name)}</include>\n"
        )
    text = '<domain name="a.example"><users>\n<X-PRE-PROCESS cmd="include" data="default/*.xml"/>\n'
    found = rows(tmp_path, text + user("1003", "secret-of-1003") + "</users></domain>")
    assert [(row.composite, row.password) for row in found] == [
        (f"{name}@a.example", f"secret-of-{name}") for name in ("1001", "1002", "1003")
    ]
    places = [cell for row in found for cell in row.cells if ".xml:" in cell]
    assert places == ["1001.xml:2", "1002.xml:2", "directory.xml:3"]


def test_users_on_one_line_have_a_line_each(tmp_path: Path) -> None:
    """Results are matched by line: a minified file must not lose a row."""
    text = "".join(user(str(name), f"secret-of-{name}") for name in range(100, 150)).replace("\n", "")
    found = rows(tmp_path, f"<users>{text}</users>")
    assert len({row.line for row in found}) == len(found) == 50


@pytest.mark.parametrize("text", ["<" * 200_000, "<user " * 50_000, '<user id="' * 50_000, "<user>" * 50_000])
def test_hostile_xml_takes_bounded_time(tmp_path: Path, text: str) -> None:
    """It is read or refused, without a traceback."""
    started = time.monotonic()
    with suppress(UsageError):
        rows(tmp_path, "\n".join(text[at : at + 5000] for at in range(0, len(text), 5000)))
    assert time.monotonic() - started < 20
