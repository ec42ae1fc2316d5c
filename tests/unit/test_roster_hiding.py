"""Cells that are a secret by their value, in columns whose names say nothing."""

from __future__ import annotations

import pytest

from tests.unit.rosters import GOOD, codes, rows_of, warned
from worker.model import Options
from worker.roster import PASSWORD, read_again

DIGEST = "0123456789abcdefABCDEF9876543210"
UUID = "3f2b8c1e-7a64-4d0f-9b35-c1e8a2d47f60"


@pytest.mark.parametrize(
    "cell", [GOOD, DIGEST, f"MD5:{DIGEST}", f"old {DIGEST}, new x", DIGEST.lower(), f"-{DIGEST}_"]
)
def test_a_cell_that_gives_the_secret_away_is_hidden(cell: str) -> None:
    """It equals the row's password, or holds a digest; the cells beside it stay, and it is told."""
    (row,) = rows_of(f'username,note,password,site\nbob,"{cell}",{GOOD},A\n')
    assert (row.cells, warned(row), codes(row)) == (("bob", "<hidden>", "A"), ["cell_hidden"], [])
    assert row.password == GOOD


@pytest.mark.parametrize(
    "cell", [GOOD.lower(), f"{GOOD} ", GOOD[:-1], DIGEST[1:], f"{DIGEST}0", f"{DIGEST}{DIGEST}", UUID, ""]
)
def test_other_cells_stay(cell: str) -> None:
    """Another case, a part of the password, more or fewer hexadecimal digits than a digest has."""
    (row,) = rows_of(f'username,note,password\nbob,"{cell}",{GOOD}\n')
    assert (row.cells, warned(row)) == (("bob", cell), [])


@pytest.mark.parametrize("password", ["1", "yes"])
def test_a_password_that_keeps_no_secret_hides_nothing(password: str) -> None:
    """Of fewer than four characters: many columns say `1`."""
    (row,) = rows_of(f"username,enabled,password\nbob,{password},{password}\n")
    assert row.cells == ("bob", password)


def test_the_name_stays_where_it_is_the_password() -> None:
    """User name and domain are sent and shown anyway, whichever column repeats them; that is warned about."""
    (row,) = rows_of("username,number,password,domain\nbob.jones,bob.jones,bob.jones,d.example\n")
    assert (row.cells, warned(row)) == (("bob.jones", "bob.jones", "d.example"), ["weak_password"])
    (row,) = rows_of(
        "extension,site,town,password\n1,boston,boston,boston\n", username="{site}-{extension}", limit=1
    )
    assert (row.user, row.cells) == ("boston-1", ("1", "boston", "<hidden>"))


def test_a_column_that_is_carried_expressly_is_looked_at_too() -> None:
    """--carry says that a column is no secret; a cell of it may be one all the same."""
    (row,) = rows_of(f"username,token,password\nbob,{DIGEST},{GOOD}\n", carry=("token",))
    assert row.cells == ("bob", "<hidden>")


def test_a_row_that_is_wrong_shows_nothing_either() -> None:
    """A row that is never sent stands in the results, too."""
    (row,) = rows_of(f"username,note,password\n,{GOOD},{GOOD}\n")
    assert (row.cells, codes(row)) == (("", "<hidden>"), ["username_missing"])


def test_the_same_holds_when_rows_come_again() -> None:
    """A correction may bring the password into a cell; what was hidden stays so."""
    records = [
        (2, {"username": "bob", "note": GOOD, PASSWORD: GOOD}),
        (3, {"username": "ann", "note": "<hidden>", PASSWORD: GOOD}),
    ]
    first, second = read_again(records, ("username", "note"), Options())
    assert (first.cells, warned(first)) == (("bob", "<hidden>"), ["cell_hidden"])
    assert (second.cells, warned(second)) == (("ann", "<hidden>"), [])
