"""The line with the column names, among titles, versions and blank lines."""

from __future__ import annotations

import pytest

from worker.errors import UsageError
from worker.model import Options
from worker.roster.header_line import before_header, header_index

HEADER = (4, ["extension", "name", "password"])
ROW = (5, ["1001", "Ann", "Kestrel-7731"])
TITLES = [(1, ["SIP users of Corp", "", ""]), (2, ["Exported 2026-11-20", "", ""])]


@pytest.mark.parametrize(
    ("records", "options", "index"),
    [
        ([HEADER, ROW], {}, 0),
        ([*TITLES, HEADER, ROW], {}, 2),
        ([(1, ["version:v1.0"]), HEADER, ROW], {}, 1),
        ([(1, ["Firma:", "Corp"]), (4, ["Nebenstelle", "Name", "Kennwort"]), ROW], {}, 1),
        ([*TITLES, (4, ["Ext", "Code"]), ROW], {"map": {"password": "code"}}, 2),
        ([*TITLES, (4, ["a", "b", "secret"]), ROW], {"username": "{a}-{b}"}, 2),
        ([*TITLES, (4, ["a", "hash1", "hash1b"])], {"map": {"username": "A"}}, 2),
        ([*TITLES, (4, ["a", "b", "c"]), ROW], {}, 0),
        ([], {}, 0),
        ([*TITLES, HEADER, ROW], {"header_line": 1}, 0),
        ([*TITLES, (4, ["a", "b", "c"]), ROW], {"header_line": 4}, 2),
    ],
)
def test_the_header_is_found(
    records: list[tuple[int, list[str]]], options: dict[str, object], index: int
) -> None:
    """Only a line with the columns that are needed is one; else the first is, and its names are refused."""
    assert header_index(records, Options(**options), "staff.csv") == index  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("records", "options", "said"),
    [
        ([*TITLES, HEADER, ROW, (9, HEADER[1])], {}, "lines 4 and 9 could each be the header"),
        ([(1, ["Account", "Code", "Site"]), HEADER], {}, "line 4 looks like the header, but line 1"),
        ([*TITLES, HEADER], {"header_line": 3}, "--header-line 3: this line is empty"),
        ([*TITLES, HEADER], {"header_line": 99}, "--header-line 99"),
    ],
)
def test_a_doubtful_one_is_refused(
    records: list[tuple[int, list[str]]], options: dict[str, object], said: str
) -> None:
    """Two headers, or a line before it that may be a row: --header-line decides."""
    with pytest.raises(UsageError) as caught:
        header_index(records, Options(**options), "staff.csv")  # type: ignore[arg-type]
    assert said in caught.value.message
    assert "header-line" in f"{caught.value.message} {caught.value.hint}"


def test_the_lines_before_it_are_told() -> None:
    """The warning says which lines are not read."""
    assert "line 1 before it is not read" in before_header(2).text
    assert "lines 1 to 3 before it are not read" in before_header(4).text
