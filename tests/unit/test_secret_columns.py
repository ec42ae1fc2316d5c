"""Columns that hold secrets by their cells: left out of the results, with a warning that names --carry."""

from __future__ import annotations

import json
import random
import string
from typing import Any

import pytest

from tests.unit.rosters import GOOD, opened, refused
from worker.roster.secret_columns import looks_generated


def generated(length: int, number: int = 60) -> list[str]:
    """Return different passwords of letters and digits, always the same ones."""
    pick = random.Random(length).choices
    return ["".join(pick(string.ascii_letters + string.digits, k=length)) for _ in range(number)]


def columns_of(
    cells: list[str], *, name: str = "Kode", password: str = GOOD, **options: Any
) -> tuple[str, ...]:
    """Return the carried columns of a roster with these cells beside the password."""
    lines = [f'1{at:06},{password}{at},"{cell}"' for at, cell in enumerate(cells)]
    with opened(f"Extension,SIP Secret,{name}\n" + "\n".join(lines), **options) as roster:
        warned = [one.text for one in roster.warnings if one.code == "column_secret"]
        assert (name in roster.columns) is not bool(warned)
        assert all(f"--carry {name} carries" in text and repr(name) in text for text in warned)
        assert (name in roster.dropped) is bool(warned)
        widths = {len(row.cells) for row in roster.rows()}
        assert widths == {len(roster.columns)}
        assert not any(
            cell in json.dumps([one.text for one in roster.warnings]) for cell in filter(None, cells)
        )
        return roster.columns


@pytest.mark.parametrize("length", [8, 10, 12, 16, 22, 40])
def test_generated_passwords_are_not_carried(length: int) -> None:
    """A column of them is left out, whatever it is called, unless --carry names it."""
    cells = generated(length)
    assert columns_of(cells) == ("Extension",)
    assert columns_of(cells, carry=("kode",)) == ("Extension", "Kode")
    assert columns_of([f"{cell[:6]}!{cell[6:]}1aA" for cell in cells]) == ("Extension",)


def test_columns_that_are_filled_later_are_found() -> None:
    """Beyond the first thousand records, some of each thousand are looked at."""
    assert columns_of([""] * 1500 + generated(12, 2600)) == ("Extension",)


def test_the_same_secret_in_every_row() -> None:
    """A phone's administrator has one password for all; a short cell that comes again may be a model."""
    assert columns_of(["k7Tq2xPz9mVb"] * 9) == ("Extension",)
    assert columns_of(["N510IPPro", "N870IPPro"] * 9) == ("Extension", "Kode")


def test_copies_of_the_password_are_not_carried() -> None:
    """A column that repeats the passwords is left out; a few such cells are hidden one by one instead."""
    same = [f"sommer{at}" for at in range(9)]
    assert columns_of(same, password="sommer") == ("Extension",)
    assert columns_of(same[:3] + ["x"] * 9, password="sommer") == ("Extension", "Kode")
    assert columns_of([f"{at:032x}" for at in range(9)]) == ("Extension",)
    names = [f"1{at:06}" for at in range(9)]
    lines = "".join(f"{name},{name},{name}\n" for name in names)
    with opened(f"Extension,SIP Secret,Mailbox\n{lines}", weak_given=True) as roster:
        assert roster.columns == ("Extension", "Mailbox")  # a password that equals the name, which is shown


LABELS = [
    "Room-A101",
    "HQ-Floor2-Desk12",
    "Bldg2-Rm104B-D3",
    "Phone-1001",
    "Yealink-T46S",
    "Snom-D785",
    "PolycomVVX450",
    "iPhone13Pro",
    "VN7C7CB1234",
    "FCH2043E1RQ",
    "00:15:65:a1:B2:c3",
    "001565a1b2c3",
    "3f2b8c1e-7a64-4d0f-9b35-C1e8a2d47f60",
    "12Jan2026",
    "2026-Jan-05T10:00Z",
    "Mon-12-Jan-2026",
    "PJSIP/1001",
    "Local/1001@x",
    "ann.Mueller1@example.com",
    "Ann.Mueller1",
    "https://pbx.example/Ab12x9Yq",
    "Cfg0015A1b2.xml",
    "ab1X.Example.com",
    "codec=G722;vLan=12",
    "+19195550143",
    "T46S-66.86.0.15",
    "Ann Müller 2",
    "Polycom VVX450",
    "Größe12x",
    "",
]


@pytest.mark.parametrize("label", LABELS)
def test_labels_stay(label: str) -> None:
    """Models, serials, addresses, dates, places and names look like no passwords."""
    assert not looks_generated(label)


def test_columns_whose_names_say_what_they_hold_stay() -> None:
    """A model or a room may look generated; a copy of the password is left out even there."""
    cells = generated(10)
    assert columns_of(cells, name="Model") == ("Extension", "Model")
    assert columns_of([f"{GOOD}{at}" for at in range(9)], name="Model") == ("Extension",)


@pytest.mark.parametrize("series", ["WS-Ber{:03}", "P{:02}-Sw3a", "Trk{:02}Bln"])
def test_a_series_stays(series: str) -> None:
    """Host names, patch panels and trunks that differ in their numbers alone are no passwords."""
    cells = [series.format(at) for at in range(1, 10)]
    assert looks_generated(cells[0])
    assert columns_of(cells) == ("Extension", "Kode")


def test_passwords_are_not_generated_beside_an_overlooked_column() -> None:
    """A roster without a password column may have them in one whose name gives nothing away."""
    lines = "".join(f"1{at},{cell}\n" for at, cell in enumerate(generated(12)))
    said = refused(f"Extension,Kode\n{lines}", generate_passwords="new.csv")
    assert "has no password column, but 'Kode' may have the passwords" in said
    with opened(f"Extension,Kode\n{lines}", generate_passwords="new.csv", map={"password": ""}) as roster:
        assert roster.columns == ("Extension",)
