"""Where a table begins and how it is cut: sep= lines, titles, blanks, DOS's end; files of other kinds."""

from __future__ import annotations

import pytest

from tests.unit.rosters import GOOD, codes, opened, refused, rows_of, warned
from worker.model import Blanks

TABLE = f"extension,name,password\n1001,Ann,{GOOD}\n1002,Bo,{GOOD}2\n"


def sent(content: str | bytes, **options: object) -> list[tuple[int, str, str]]:
    """Return line, user and password of every row; none has a problem."""
    rows = rows_of(content, **options)
    assert [codes(row) for row in rows] == [[]] * len(rows)
    return [(row.line, row.user, row.password) for row in rows]


def wanted(first: int) -> list[tuple[int, str, str]]:
    """Return the rows of TABLE whose first one is on that line."""
    return [(first, "1001", GOOD), (first + 1, "1002", f"{GOOD}2")]


@pytest.mark.parametrize("delimiter", [";", "\t", "|", ",", "~"])
@pytest.mark.parametrize("line", ["sep={}", "SEP={}", '"sep={}"', "sep={}{}{}"])
def test_a_sep_line_is_an_instruction(delimiter: str, line: str) -> None:
    """Excel's own first line gives the delimiter, in any spelling; lines count from it."""
    if delimiter == "~" and line.count("{}") > 1:
        line = "sep={}"
    text = line.replace("{}", delimiter) + "\r\n" + TABLE.replace(",", delimiter).replace("\n", "\r\n")
    assert sent(text) == wanted(3)
    assert sent(text.encode("utf-16")) == wanted(3)
    assert sent(text.encode("utf-8-sig")) == wanted(3)


@pytest.mark.parametrize(
    ("before", "first"),
    [
        ("SIP users of Corp\n", 3),
        ("SIP users of Corp,,\n\nExported 2026-11-20,,\n,,\n", 6),
        ("\n\n\n", 5),
        ("version:v1.0\n", 3),
        ("# exported by admin\n# 2 users\n", 4),
        ('"Report ""SIP""\nof Monday"\n', 4),
    ],
)
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_header_below_other_lines_is_found(before: str, first: int, delimiter: str) -> None:
    """Lines are the physical ones, and the lines that are not read are told."""
    text = (before + TABLE).replace(",", delimiter)
    assert sent(text) == wanted(first)
    with opened(text) as roster:
        told = [one.text for one in roster.warnings if one.code == "header_found"]
    assert told == [] if not before.strip() else f"the header is on line {first - 1}" in told[0]
    assert sent(text, header_line=first - 1) == wanted(first)


def test_an_unclosed_quote_below_a_title_names_its_line() -> None:
    """The line of an error is the physical one, too."""
    assert "line 5: a quote opens here" in refused(
        f'Title\n\n{TABLE}1003,"Cy,x\n'.replace("1002,Bo", '1002,"Bo')
    )


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        (f"{TABLE}\n{TABLE}", {"header_line": 4}, "line is empty"),
        (TABLE, {"header_line": 40}, "does not exist"),
        (f"Title\n{TABLE}{TABLE}", {}, "lines 2 and 5 could each be the header"),
        (f"1,2,3\n{TABLE}", {}, "line 2 looks like the header, but line 1 before it like a row"),
    ],
)
def test_a_doubtful_header_is_refused(text: str, options: dict[str, object], said: str) -> None:
    """--header-line decides, and must name a line that is there."""
    found = refused(text, **options)
    assert said in found
    assert "--header-line" in found


@pytest.mark.parametrize(
    "text",
    [
        TABLE.replace(",", ", "),
        TABLE.replace(",", " , "),
        TABLE.replace(",", " ,").replace("\n", " \n"),
        TABLE.replace(",", "; ").replace(";", ";"),
        TABLE.replace("Ann", '"Hill, Ann"').replace(",", ", ").replace(",  ", ", "),
    ],
)
def test_blanks_around_most_passwords_are_no_guess(text: str) -> None:
    """Exit 6 names both ways; strip removes them around all cells and before quotes."""
    said = refused(text)
    if '"' in text:
        assert "malformed" in said or "passwords begin or end with a blank" in said
    assert "--blanks strip" in said
    assert "--blanks keep" in said
    assert sent(text, blanks=Blanks.STRIP) == wanted(2)


@pytest.mark.parametrize("blank", ["\xa0", "\u2007", "\u202f", "\u3000"])
def test_other_blanks_at_most_passwords_are_no_guess_either(blank: str) -> None:
    """A web page's no-break space looks like any other."""
    text = TABLE.replace(",", f",{blank}")
    assert "passwords begin or end with a blank" in refused(text)
    assert sent(text, blanks=Blanks.STRIP) == wanted(2)


def test_kept_blanks_belong_to_the_password() -> None:
    """With --blanks keep the passwords are as in the file, and user names are trimmed as always."""
    rows = rows_of(TABLE.replace(",", ", ").replace("100", " 100"), blanks=Blanks.KEEP)
    assert [(row.user, row.password) for row in rows] == [("1001", f" {GOOD}"), ("1002", f" {GOOD}2")]
    assert [warned(row) for row in rows] == [["username_trimmed", "password_space"]] * 2


@pytest.mark.parametrize("end", ["\x1a", "\x1a\x1a\x1a", "\x1a\r\n", "\n\x1a", "\r\n\x1a\r\n"])
def test_the_last_1a_is_the_end(end: str) -> None:
    """DOS's end of a file is no row and no part of the last password."""
    text = TABLE if not end.startswith("\x1a") or end.endswith("\n") else TABLE.rstrip("\n")
    assert sent(text + end) == wanted(2)
    quoted = text.replace("Ann", '"An\nn"')
    assert sent(quoted + end)[-1] == (4, "1002", f"{GOOD}2")


def test_lines_of_delimiters_are_blank() -> None:
    """With blanks between them or without."""
    assert [line for line, _, _ in sent(TABLE + ",,\n , ,\n\t,,\n1003,Cy,x" + GOOD)] == [2, 3, 7]


def test_twin_columns_are_carried_with_a_suffix() -> None:
    """Only a needed column must have a name of its own."""
    text = f"extension,note,secret,Note,note,note_2\n1,a,{GOOD},b,c,d\n"
    with opened(text) as roster:
        assert roster.columns == ("extension", "note", "Note_3", "note_4", "note_2")
        assert [row.cells for row in roster.rows()] == [("1", "a", "b", "c", "d")]
    assert "columns 1 and 3 have the same name" in refused(f"ext,secret,ext\n1,{GOOD},2\n")
    assert "columns 2 and 3 have the same name" in refused(f"ext,Secret,secret\n1,{GOOD},{GOOD}\n")
    assert sent(f"ext,Secret,secret\n1,{GOOD},\n") == [(2, "1", GOOD)]
    assert "same name" in refused(f"a,b,b,c\n1,{GOOD},2,3\n", map={"username": "a", "password": "b"})


@pytest.mark.parametrize("encoding", ["utf-32", "utf-32-le", "utf-32-be"])
def test_utf32_is_told(encoding: str) -> None:
    """Not as UTF-16 with NULs."""
    assert "is UTF-32" in refused(TABLE.encode(encoding))
    assert sent(TABLE.encode(encoding), encoding=encoding) == wanted(2)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<!DOCTYPE html>\n<table><tr><td>username</td></tr></table>", "HTML page"),
        ("\ufeff \n<table border=1><tr><th>username", "HTML page"),
        ('<?xml?>\n<a xmlns="urn:schemas-microsoft-com:office:spreadsheet">', "XML spreadsheet"),
        ('<include>\n<user id="1001">', "--from freeswitch"),
        ('[{"username": "1001", "password": "x"}]', "is JSON"),
        ('{"username": "1001",\n "password": "x"}\n', "is JSON"),
        ("; comment\n[general]\ncontext=default\n\n[1001]\nsecret=x\n", "--from asterisk"),
        ("[1001](phone)\ntype=auth\nusername=1001\npassword=x\n", "--from asterisk"),
        ("id(int,auto) username(string) password(string)\n1:1001:x\n", "dbtext"),
        ("-- dump\nCREATE TABLE subscriber (username TEXT);\nINSERT INTO subscriber", "SQL dump"),
        ("+------+------+\n| username | password |\n", "mysql --batch"),
        (" username | password \n----------+----------\n 1001     | x\n(1 row)\n", "\\copy"),
        ("| username | password |\n|---|---|\n| 1001 | x |\n", "Markdown"),
        ("trunk_name,username,secret,trunkid\na,b,c,1\n", "trunks"),
        ("username,password,default_extension,displayname\nann,x,1001,Ann\n", "User Manager"),
        ("Username;Password;Default_Extension\nann;x;1001\n", "User Manager"),
        ("First Name [Required],Email Address [Required],Password [Required]\nA,a@x,y\n", "Google Workspace"),
        ("name,url,username,password\nx,https://x,ann,y\n", "password manager"),
        ("FIRST NAME,LAST NAME,USER ID,PASSWORD,MANAGER USER ID,PIN\nA,B,ann,x,,1\n", "Cisco BAT"),
    ],
)  # fmt: skip
def test_other_kinds_are_refused_by_name(text: str, said: str) -> None:
    """The message says what it is, and what reads it or what to do."""
    assert said in refused(text, source_format="generic")


@pytest.mark.parametrize(
    "text",
    [
        f"url,username,password\nsip:x,1001,{GOOD}\n",
        f"username,password,default_extension,sip_secret\nann,,1001,{GOOD}\n",
        f"[username],password\n1001,{GOOD}\n",
    ],
)
def test_tables_that_only_resemble_them_are_read(text: str) -> None:
    """One sign alone is no other kind."""
    mapped = {"username": text.split(",")[0]} if text.startswith("[") else {}
    assert len(rows_of(text, map=mapped, source_format="generic")) == 1


def test_a_quick_look_at_a_hostile_beginning() -> None:
    """Tests for other kinds take one pass each, over 64 Ki characters of any one sort."""
    for unit in ("\n", " \n", "; \n", "<!--", "--\n", "/**/", "[", "|-", "+-", "\ufeff", "[a", "a|\n--"):
        refused(unit * (70_000 // len(unit)))
