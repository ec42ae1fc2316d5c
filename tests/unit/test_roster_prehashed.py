"""Digests in place of passwords, as far as the roster alone shows."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.rosters import GOOD, codes, opened, refused, rows_of, warned
from worker.commands.credentials import COLUMNS
from worker.digest import digests
from worker.model import Options, Row
from worker.roster import HASH1, HASH1B, PASSWORD, read_earlier_rows

HOST = "office-0a1b2c.auth.bandwidth.com"
ONE, TWO = digests("bob", HOST, GOOD)


def row_of(header: str, cells: str, **options: Any) -> Row:
    """The one row of such a roster."""
    (row,) = rows_of(f"{header}\n{cells}\n", **options)
    return row


def test_a_roster_without_passwords() -> None:
    """Both digests of a row are taken, in lower case; nothing is weak or a PIN, and none is carried."""
    text = f"username,realm,hash1,hash1b,note\nbob,{HOST},{ONE.upper()},{TWO},x\n"
    with opened(text) as roster:
        (row,) = roster.rows()
        assert roster.columns == ("username", "realm", "note")
        assert roster.dropped == ("hash1", "hash1b")
        assert (roster.mapping["hash1"], roster.warnings, roster.records) == ("hash1", (), 1)
    assert (row.hash1, row.hash1b, row.password) == (ONE, TWO, "")
    assert (codes(row), warned(row), row.cells) == ([], [], ("bob", HOST, "x"))
    assert not any(digest in repr(row) for digest in (ONE, TWO))


def test_each_row_decides_for_itself() -> None:
    """A row has a password, or digests without one; a row with neither is invalid."""
    text = (
        f"username,password,Hash_1,Hash 1b\na,{GOOD},{ONE},{TWO}\nb,,{ONE},{TWO}\nc,,,\nd,{GOOD},,\n"
        f"e,{GOOD},cut,\n"
    )
    with_both, of_digests, with_nothing, of_password, beside = rows_of(text, weak="refuse")
    assert (with_both.password, with_both.hash1, with_both.hash1b) == (GOOD, ONE, TWO)
    assert (of_digests.password, of_digests.hash1, codes(of_digests)) == ("", ONE, [])
    assert codes(with_nothing) == ["password_missing"]
    assert (of_password.password, of_password.hash1, codes(of_password)) == (GOOD, "", [])
    assert (beside.password, beside.hash1, codes(beside), warned(beside)) == (GOOD, "", [], [])


@pytest.mark.parametrize(
    ("one", "two", "code", "said"),
    [
        (ONE, "", "hash_incomplete", "hash1b: empty"),
        ("", TWO, "hash_incomplete", "hash1: empty"),
        (ONE[:-1], TWO, "bad_hash", "hash1: not 32 hexadecimal digits, but 31 characters"),
        (ONE, f"{TWO}0", "bad_hash", "hash1b: not 32 hexadecimal digits, but 33 characters"),
        (ONE, f"{TWO[:-1]}g", "bad_hash", "hash1b: not 32"),
        ("1.2E+31", TWO, "bad_hash", "hash1: a spreadsheet rewrote it"),
        (ONE, "#N/A", "bad_hash", "hash1b: a spreadsheet rewrote it"),
        (f" {ONE}", TWO, "bad_hash", "hash1: not 32"),
        (f"MD5:{ONE}", TWO, "bad_hash", "hash1: not 32"),
    ],
)
def test_digests_that_are_not_whole_are_refused(one: str, two: str, code: str, said: str) -> None:
    """The problem says which digest is incomplete and why, and shows none."""
    row = row_of("username,hash1,hash1b", f"bob,{one},{two}")
    assert codes(row) == [code]
    assert said in row.problems[0].text
    assert not any(digest in row.problems[0].text for digest in (ONE, TWO))


@pytest.mark.parametrize(
    ("header", "cells", "options", "option"),
    [
        ("site,ext,hash1,hash1b", f"a,1,{ONE},{TWO}", {"username": "{site}-{ext}"}, "--username"),
        ("ext,hash1,hash1b", f"bob,{ONE},{TWO}", {"username": "{ext}"}, "--username"),
        ("username,hash1,hash1b", f"bob,{ONE},{TWO}", {"domain": "d.example"}, "--domain"),
        ("username,domain,hash1,hash1b", f"bob,,{ONE},{TWO}", {"domain": "d.example"}, "--domain"),
    ],
)
def test_a_name_that_is_not_the_files_own_is_refused(
    header: str, cells: str, options: dict[str, Any], option: str
) -> None:
    """A name that an option changes is refused, as digests are made of it; with a password it is fine."""
    row = row_of(header, cells, **options)
    assert codes(row) == ["hash_name"]
    assert option in row.problems[0].text
    other = row_of(f"{header},password", f"{cells},{GOOD}", **options)
    assert (codes(other), other.hash1, other.password) == ([], "", GOOD)


@pytest.mark.parametrize(
    ("header", "cells"),
    [
        ("username,domain,hash1,hash1b", f"bob,d.example,{ONE},{TWO}"),
        ("username,domain,hash1,hash1b", f"bob@d.example,,{ONE},{TWO}"),
    ],
)
def test_the_files_own_domain_is_fine(header: str, cells: str) -> None:
    """A domain of the row's own is part of the name that its digests are made of."""
    row = row_of(header, cells, domain="other.example")
    assert (codes(row), row.composite, row.hash1) == ([], "bob@d.example", ONE)


def test_other_problems_are_told_as_well() -> None:
    """A name that can't be sent, and digests that can't be used."""
    assert codes(row_of("username,hash1,hash1b", f"b b,{ONE},1E+31")) == ["bad_characters", "bad_hash"]


def test_columns_are_mapped() -> None:
    """--map names them, and a column that is mapped to one is never carried."""
    with opened(f"username,ha,hb\nbob,{ONE},{TWO}\n", map={"hash1": "ha", "hash1b": "hb"}) as roster:
        assert roster.columns == ("username",)
        assert [row.hash1b for row in roster.rows()] == [TWO]
    assert "never goes" in refused(f"username,hash1,hash1b\nbob,{ONE},{TWO}\n", carry=("hash1",))


def test_a_list_of_the_programs_own_is_read_back() -> None:
    """`credential list --csv` puts a quote before a name that a spreadsheet would run."""
    header = ",".join([*COLUMNS, "hash1", "hash1b"])
    assert row_of(header, f"'+1919,{HOST},7,,{ONE},{TWO}").user == "+1919"
    assert codes(row_of(header.replace("id", "number", 1), f"'+1919,{HOST},7,,{ONE},{TWO}")) == [
        "bad_characters"
    ]


def test_one_column_beside_passwords_is_told() -> None:
    """A single digest column beside passwords causes a warning: one digest alone is of no use."""
    with opened(f"username,password,hash1b\nbob,{GOOD},{TWO}\n") as roster:
        assert [warning.code for warning in roster.warnings] == ["hash_not_used"]
        assert [row.hash1b for row in roster.rows()] == [""]


def test_rows_of_digests_come_again() -> None:
    """Rows of digests are read from an earlier job as they were; a password that is added wins."""
    cells = {"username": "bob", "realm": HOST}
    records = [
        (2, {**cells, PASSWORD: "", HASH1: ONE, HASH1B: TWO}),
        (3, {**cells, PASSWORD: "", HASH1: "1.2E+31", HASH1B: TWO}),
        (4, {**cells, PASSWORD: GOOD}),
        (5, {**cells, PASSWORD: "", HASH1: "", HASH1B: ""}),
    ]
    (rows,) = read_earlier_rows(records, tuple(cells), Options(map={"hash1": "MyHash", "hash1b": "MyOther"}))
    assert [codes(row) for row in rows] == [[], ["bad_hash"], [], ["password_missing"]]
    assert [(row.hash1, row.password) for row in rows[:3]] == [(ONE, ""), ("1.2E+31", ""), ("", GOOD)]
    ((touched,),) = read_earlier_rows(records[:1], tuple(cells), Options(username="{username}"))
    assert codes(touched) == ["hash_name"]
