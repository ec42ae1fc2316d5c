"""Tests of the reader of PHP's CSV, against what a real PHP writes."""

from __future__ import annotations

import io
import json
import random
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from worker.errors import UsageError
from worker.roster.php_csv import PhpText
from worker.roster.source import find
from worker.roster.text import Fields, Malformed

_WRITE = """
$rows = json_decode(stream_get_contents(STDIN));
$out = fopen("php://output", "w");
foreach ($rows as $row) fputcsv($out, $row);
"""
_PIECES = ("\\", '"', ",", "\n", "\r\n", "a", "b c", "é", '\\"', '""', "'", "\t", "")
_HEADER = ["extension", "secret", "name"]


def _written(rows: Sequence[Sequence[str]]) -> bytes:
    """Return the rows as PHP's fputcsv writes them."""
    done = subprocess.run(
        ["/usr/bin/php", "-r", _WRITE], input=json.dumps(rows).encode(), capture_output=True, check=True
    )
    return done.stdout


def _read(content: bytes) -> list[Fields]:
    """Return the records of a file with that content."""
    text = PhpText(find(__file__, None), "utf-8", ",")
    return [fields for _, fields in text.records(io.StringIO(content.decode(), newline=""))]


def test_values_that_php_quotes_in_its_own_way_are_read_back() -> None:
    r"""Secrets with backslashes, quotes and delimiters come back: ``\"`` is part of the value."""
    rows = [
        _HEADER,
        ["1001", 'pa\\"ss,1', "Ann Hill"],
        ["1002", "p\\ss", 'Bo "Bee" Lund'],
        ["1003", 'a\\\\"b', "Cy\nReed"],
        ["1004", '\\"', '"'],
        ["1005", 'x\\"', ""],
        ["1006", 'q\\"1\\",2', 'line\r\ntwo \\" quoted'],
        ["1007", "plain", "é"],
    ]
    assert _read(_written(rows)) == rows


def test_a_value_that_ends_in_a_backslash_costs_only_its_row() -> None:
    """PHP itself can't tell where such a value ends; the rows around it are read."""
    rows = [_HEADER, ["1001", "good one", "Ann Hill"], ["1002", "bad\\", "Bo"], ["1003", "a b", "Cy"]]
    records = _read(_written(rows))
    assert records[:2] == rows[:2]
    assert records[3] == rows[3]
    assert isinstance(records[2], Malformed)
    assert "backslash" in records[2].reason


def test_hostile_values_are_read_exactly_or_refused() -> None:
    """No file is read as other values than PHP was given: 3,000 random rows, each in its own file."""
    chance = random.Random(20)
    rows = [
        [f"k{at}", *("".join(chance.choices(_PIECES, k=chance.randint(0, 6))) for _ in range(2))]
        for at in range(3000)
    ]
    lines = _written([_HEADER, ["stop", "here", "now"]]).splitlines(keepends=True)
    marked = _written([one for row in rows for one in (["<mark>", "", ""], row)]).split(b"<mark>,,\n")[1:]
    exact = refused = 0
    for row, content in zip(rows, marked, strict=True):
        try:
            records = _read(lines[0] + content + lines[1])
        except UsageError:
            refused += 1
            continue
        assert records[0] == _HEADER
        if records[1:] == [row, ["stop", "here", "now"]]:
            exact += 1
            continue
        assert isinstance(records[1], Malformed)
        assert not any(len(one) == len(_HEADER) for one in records[2:-1])
        refused += 1
    assert any(value.endswith("\\") for row in rows for value in row)
    assert exact + refused == len(rows)
    assert exact >= 0.8 * len(rows)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ('a,b\n1,"x\ny', "not closed"),
        ('a,b,c\n1,"x\\",",\n2"\n', "two places"),
        ('a,b\n1,"x"y"\n', "not closed"),
    ],
)
def test_a_quote_in_doubt_refuses_the_file(content: str, told: str) -> None:
    """A quote that may have swallowed rows, or that may end in two places, is the file's trouble."""
    with pytest.raises(UsageError, match=told):
        _read(content.encode())


def test_thousands_of_quotes_in_a_value_are_read() -> None:
    """The search for readings stays short where the text has only one."""
    value = '\\",",' * 4000
    assert _read(_written([["a", "b"], ["1", value]])) == [["a", "b"], ["1", value]]


def test_line_numbers_stay_those_of_the_file(tmp_path: Path) -> None:
    """Records of several lines count all their lines, in blocks with and without a backslash-quote."""
    rows = [_HEADER]
    for at in range(3000):
        rows.append([str(at), 'x\\"y' if at % 700 == 3 else "plain", "two\nlines" if at % 5 == 0 else "one"])
    path = tmp_path / "in.csv"
    path.write_bytes(_written(rows))
    text = PhpText(find(str(path), None), "utf-8", ",")
    with text.lines() as lines:
        found = list(text.records(lines))
    assert [fields for _, fields in found] == rows
    expected, line = [], 1
    for row in rows:
        expected.append(line)
        line += 1 + row[2].count("\n")
    assert [line for line, _ in found] == expected
