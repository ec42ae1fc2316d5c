"""Cells that hold a secret, in columns whose names don't say so."""

from __future__ import annotations

import base64
import html
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.jobs import RowsOf
from tests.unit.realms import OFFICE, Realms
from tests.unit.rosters import GOOD, codes, rows_of, warned
from worker.importing.realms import JobRealms
from worker.importing.validation import validated_pages
from worker.model import Family, Options, Realm, Row
from worker.roster import PASSWORD, open_roster, read_earlier_rows
from worker.roster.hiding import may_show, without_secrets

DIGEST = "0123456789abcdefABCDEF9876543210"
UUID = "3f2b8c1e-7a64-4d0f-9b35-c1e8a2d47f60"


ODD = "Größe<&>100%+x"
"""A password that looks different in every encoding."""


def in_base64(text: str) -> str:
    """Return the text in Base64, as Basic authentication and provisioning files have it."""
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    "cell",
    [
        *(GOOD, DIGEST, f"MD5:{DIGEST}", f"old {DIGEST}, new x", DIGEST.lower(), f"-{DIGEST}_"),
        *(f"{GOOD} ", f"sip:bob:{GOOD}@pbx", f"old: x\nnew: {GOOD}", GOOD.lower(), f"<{GOOD.upper()}>"),
        *(in_base64(f"{before}{GOOD}{after}") for before in ("", "x", "bob:") for after in ("", "y", "@z")),
        f"Basic {in_base64(f'bob:{GOOD}')}",
    ],
)
def test_a_cell_that_gives_the_secret_away_is_hidden(cell: str) -> None:
    """A cell that contains the row's password or a digest is hidden, with a warning; other cells stay."""
    (row,) = rows_of(f'username,note,password,site\nbob,"{cell}",{GOOD},A\n', carry=("note",))
    assert (row.cells, warned(row), codes(row)) == (("bob", "<hidden>", "A"), ["cell_hidden"], [])
    assert row.password == GOOD


def test_a_cell_may_be_shorter_than_the_secret_that_it_gives_away() -> None:
    """A cell may be shorter than the secret in it: ß is ss in another case (guard: ``isascii``)."""
    (row,) = rows_of("username,note,password\nbob,ßßßßßx,SSSSSSSSSSx\n")
    assert row.cells == ("bob", "<hidden>")


@pytest.mark.parametrize(
    "cell",
    [
        *(
            ODD,
            f"to: {ODD}!",
            ODD.upper(),
            html.escape(f"x{ODD}"),
            quote(ODD),
            quote_plus(f"{ODD} ", safe="&"),
        ),
        *(in_base64(f"{before}{ODD}") for before in ("", "x", "bob:")),
        base64.urlsafe_b64encode(f"?>?{ODD}".encode()).decode(),
    ],
)
def test_it_is_hidden_in_other_encodings(cell: str) -> None:
    """A password is hidden percent-encoded, with entities, or in either Base64, at any offset."""
    (row,) = rows_of(f'username,note,password\nbob,"{cell}",{ODD}\n', carry=("note",))
    assert (row.cells, warned(row), row.password) == (("bob", "<hidden>"), ["cell_hidden"], ODD)


@pytest.mark.parametrize("codec", ["utf-8", "cp1252", "utf-16-le"])
@pytest.mark.parametrize(
    "written",
    [
        lambda raw: raw.hex(),
        lambda raw: f"0x{raw.hex().upper()}",
        lambda raw: raw.hex(":"),
        lambda raw: raw.hex(" ", 2),
        lambda raw: f"old {(b'x:' + raw + b'@').hex()}",
        lambda raw: base64.b64encode(b"bob:" + raw).decode(),
        lambda raw: base64.urlsafe_b64encode(raw).decode().rstrip("="),
        quote,
    ],
)
def test_it_is_hidden_as_bytes(written: Callable[[bytes], str], codec: str) -> None:
    """The bytes of a password are hidden in hex digits, Base64 and percent-encoded, in three encodings."""
    for password in (ODD, GOOD):
        if codec != "utf-16-le" or written is not quote:
            text = f'username,note,password\nbob,"{written(password.encode(codec))}",{password}\n'
            (row,) = rows_of(text, carry=("note",))
            assert row.cells == ("bob", "<hidden>")


def test_it_is_hidden_however_its_letters_are_composed() -> None:
    """A cell with the same letters, composed or not, is hidden."""
    for cell, password in (("Caf\xe9-7731-x", "Cafe\u0301-7731-x"), ("Cafe\u0301-7731-x", "Caf\xe9-7731-x")):
        (row,) = rows_of(f"username,note,password\nbob,my {cell},{password}\n")
        assert row.cells == ("bob", "<hidden>")


@given(before=st.binary(max_size=5), password=st.text(min_size=6, max_size=20), after=st.binary(max_size=5))
def test_base64_hides_no_password(before: bytes, password: str, after: bytes) -> None:
    """A base64 cell is hidden if it holds the password, at any offset and among any bytes."""
    cell = base64.b64encode(before + password.encode("utf-8", "replace") + after).decode()
    row = Row(2, "bob.jones", "", "", "", password, (cell,))
    assert not may_show(row, row.cells)
    assert without_secrets(row, [0]).cells == ("<hidden>",)


@pytest.mark.parametrize(
    "cell", [GOOD[:-1], GOOD[1:], DIGEST[1:], f"{DIGEST}0", f"{DIGEST}{DIGEST}", UUID, ""]
)
def test_other_cells_stay(cell: str) -> None:
    """A part of a password, or hexadecimal digits of another length than a digest's, are not hidden."""
    (row,) = rows_of(f'username,note,password\nbob,"{cell}",{GOOD}\n', carry=("note",))
    assert (row.cells, warned(row)) == (("bob", cell), [])


@pytest.mark.parametrize(
    ("password", "cells"), [("boston", ("<hidden>", "<hidden>")), ("12345", ("<hidden>", "x12345"))]
)
def test_a_short_password_hides_equal_cells_only(password: str, cells: tuple[str, str]) -> None:
    """A password of fewer than six characters hides only equal cells: it may be in words by chance."""
    (row,) = rows_of(f"username,a,b,password\nbob,{password},x{password},{password}\n", weak_given=True)
    assert row.cells == ("bob", *cells)


def test_a_digest_of_the_row_is_hidden_inside_of_more_digits() -> None:
    """A row's digest is hidden inside of more digits, too, and in Base64."""
    one, two, both = DIGEST.lower(), DIGEST[::-1].lower(), in_base64(f"{DIGEST.lower()}:x")
    text = f"username,a,b,c,d,hash1,hash1b\nbob,{one}{two},{two}00,{both},{UUID},{one},{two}\n"
    (row,) = rows_of(text, carry=("a", "b", "c"))
    assert row.cells == ("bob", "<hidden>", "<hidden>", "<hidden>", UUID)


def test_a_row_that_can_not_be_sent_hides_it_in_its_fields() -> None:
    """A row that can't be sent hides its password in user name and realm, too; a sent row shows them."""
    text = f"username,realm,note,password\nsip:bob:{GOOD}@pbx,x.{GOOD},ok,{GOOD}\nbob-{GOOD},,,{GOOD}\n"
    wrong, right = rows_of(text)
    assert (wrong.user, wrong.realm, wrong.cells) == ("<hidden>", "<hidden>", ("<hidden>", "<hidden>", "ok"))
    assert (codes(wrong), warned(wrong)) == (["bad_characters"], ["cell_hidden"])
    assert (right.user, right.cells) == (f"bob-{GOOD}", (f"bob-{GOOD}", "", ""))


def test_a_roster_is_not_called_by_a_password(tmp_path: Path) -> None:
    """A roster named after a password is called `roster` in the job's id and in summary.json."""
    path = tmp_path / f"bob-{GOOD}.csv"
    path.write_text(f"username,password\nann,Zk3vW8pQ5xN2\nbob,{GOOD}\n")
    with open_roster(str(path), Options()) as roster:
        assert roster.name == "roster"


@pytest.mark.parametrize("password", ["1", "yes"])
def test_a_password_that_keeps_no_secret_hides_nothing(password: str) -> None:
    """A password of fewer than four characters hides no cell: many columns say `1`."""
    row, _ = rows_of(f"username,enabled,password\nbob,{password},{password}\nann,yes,{GOOD}\n")
    assert row.cells == ("bob", password)


def test_the_name_stays_where_it_is_the_password() -> None:
    """A user name or domain that is the password is still shown, with a warning, as it is sent anyway."""
    (row,) = rows_of("username,number,password,domain\nbob.jones,bob.jones,bob.jones,d.example\n")
    assert (row.cells, warned(row)) == (("bob.jones", "bob.jones", "d.example"), ["weak_password"])
    (row,) = rows_of(
        "extension,site,town,password\n1,boston,boston,boston\n", username="{site}-{extension}", limit=1
    )
    assert (row.user, row.cells) == ("boston-1", ("1", "boston", "<hidden>"))


def test_a_column_that_is_carried_expressly_is_looked_at_too() -> None:
    """--carry declares a column no secret, but a cell of it may still be hidden."""
    (row,) = rows_of(f"username,token,password\nbob,{DIGEST},{GOOD}\n", carry=("token",))
    assert row.cells == ("bob", "<hidden>")


def test_a_row_that_is_wrong_shows_nothing_either() -> None:
    """A row that is never sent is in the results, too, and hides its password."""
    (row,) = rows_of(f"username,note,password\n,{GOOD},{GOOD}\n")
    assert (row.cells, codes(row)) == (("", "<hidden>"), ["username_missing"])


def test_the_same_holds_when_rows_come_again() -> None:
    """Rows of an earlier job hide it as well: a correction may put the password into a cell."""
    records = [
        (2, {"username": "bob", "note": GOOD, PASSWORD: GOOD}),
        (3, {"username": "ann", "note": "<hidden>", PASSWORD: GOOD}),
    ]
    ((first, second),) = read_earlier_rows(records, ("username", "note"), Options())
    assert (first.cells, warned(first)) == (("bob", "<hidden>"), ["cell_hidden"])
    assert (second.cells, warned(second)) == (("ann", "<hidden>"), [])


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (f"bob,{GOOD},{GOOD},", "realm_unknown"),
        (f"bob,{GOOD},{GOOD.lower()},{GOOD.upper()}", "realm_unknown"),
        (f"bob,{GOOD},nope,{GOOD}", "realm_unknown"),
        (f"sip-{GOOD},{GOOD},nope,{GOOD}", "realm_unknown"),
        ("bob,Zq7pX,Zq7pX,", "realm_unknown"),
        (f"bob,{GOOD},x-{GOOD}.auth.bandwidth.com,", "realm_not_active"),
        (f"ann,{GOOD},,{GOOD}", "duplicate_in_file"),
        (f"bob’{GOOD},{GOOD},{GOOD},", "bad_characters"),
    ],
)
def test_what_only_the_account_finds_wrong_is_hidden_alike(line: str, code: str) -> None:
    """A row that the account shows to be wrong has fields, cells and texts hidden; its code stays."""
    roster = f"username,password,realm,domain\nann,{GOOD}2,,{GOOD}\n{line}\n"
    realms = Realms(OFFICE, Realm("19", f"x-{GOOD}.auth.bandwidth.com", "PENDING"))
    known = JobRealms(realms, None, "", Options())
    ((_, found),) = validated_pages(RowsOf(rows_of(roster)), known, Family.ACCOUNT)
    row, secret = found, line.split(",")[1]
    assert (codes(row), warned(row).count("cell_hidden")) == ([code], 1)
    shown = (row.user, row.realm, row.domain, *row.cells, *(problem.text for problem in row.problems))
    assert [text for text in shown if secret.casefold() in text.casefold()] == []
    assert row.password == secret


def test_the_other_row_of_a_duplicate_is_named_beside_what_is_hidden() -> None:
    """Only the words that contain the password are removed from a duplicate's message."""
    roster = f"username,password,domain\nann,{GOOD}2,{GOOD}\nann,{GOOD},{GOOD}\n"
    ((_, found),) = validated_pages(RowsOf(rows_of(roster)), None, Family.ACCOUNT)
    assert [problem.text for problem in found.problems] == ["line 2 already has user ann@<hidden>"]
