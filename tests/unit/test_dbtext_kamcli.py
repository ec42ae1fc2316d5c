"""The carriers of Kamailio's and OpenSIPS' tables: db_text files and kamcli's JSON."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from worker.errors import UsageError
from worker.model import Options
from worker.roster.dbtext import columns_of, open_dbtext
from worker.roster.kamcli import columns_of as json_columns
from worker.roster.kamcli import open_kamcli
from worker.roster.source import LocalFile
from worker.roster.text import Malformed, Record, Text

SAMPLES = Path(__file__).parents[2] / "samples" / "pbx" / "kamailio"
Opened = Callable[[Text, str, Options], Text]


def records(path: Path, opened: Opened, options: Options | None = None) -> list[Record]:
    """Return the records of a file, read twice with the same result."""
    with path.open(newline="") as stream:
        start = stream.read(1 << 16)
    table = opened(Text(LocalFile(path), "utf-8", ","), start, options or Options())
    with table.read() as first:
        found = list(first)
    with table.read() as second:
        assert list(second) == found
    return found


def written(path: Path, text: str) -> Path:
    """Write a file, and return it."""
    file = path / "subscriber"
    file.write_text(text, newline="")
    return file


def test_db_text_of_kamailio() -> None:
    """Escapes are undone, an empty value stays one, and a broken row is one by itself."""
    header, *rows = records(SAMPLES / "subscriber", open_dbtext)
    assert header[1][:4] == ["id", "username", "domain", "password"]
    assert [(line, fields[3] if len(fields) == 7 else len(fields)) for line, fields in rows] == [
        (2, "Kestrel-7731"), (3, "Colon:Back\\slash"), (4, "Tab\tin-it-3"), (6, ""), (7, 8), (8, 0), (9, 0),
        (10, "Kestrel-8888"),
    ]  # fmt: skip
    assert [isinstance(fields, Malformed) for _, fields in rows] == [False] * 5 + [True] * 2 + [False]


@pytest.mark.parametrize(
    ("text", "options", "fields"),
    [
        ("username(string) password(str)\nann:secret\r\n", {}, ["ann", "secret"]),
        ("username(string) password(str)\nann:secret:\n", {}, ["ann", "secret", ""]),
        ("username(string)|password(str,null)\nann|se:cret\n", {}, ["ann", "se:cret"]),
        ("username(string) password(str)\nann|se\\|cret\n", {"delimiter": "|"}, ["ann", "se|cret"]),
    ],
)
def test_the_delimiter_of_db_text(
    tmp_path: Path, text: str, options: dict[str, str], fields: list[str]
) -> None:
    """It is a colon, what the first line has between its columns, or what ``--delimiter`` names."""
    assert records(written(tmp_path, text), open_dbtext, Options(**options))[1] == (2, fields)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["username,password\n", "", "a(int):b(int)|c(int)"])
def test_other_text_is_no_db_text(text: str) -> None:
    """Only a line of names with types begins such a file."""
    assert columns_of(text) == ()


def test_json_of_kamcli() -> None:
    """An object is a row; one that can't be read for sure is refused by itself."""
    header, *rows = records(SAMPLES / "subscriber.json", open_kamcli)
    assert header[1] == ["id", "username", "domain", "password", "ha1", "ha1b"]
    assert [(line, fields[3] if fields else None) for line, fields in rows] == [
        (2, "Kestrel-7731"), (10, 'Quote"Back\\slash\u00e9-351'), (18, None), (26, ""), (34, None),
        (43, None), (48, "Braces-}{-in-it-7"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        '[{"a": 1}',
        '[{"a": 1}, {"a": [1]}]',
        '[{"a": 1}] more',
        '[{"a": 1}, {"a": "',
        '[{"a": 1} {',
        '{"a": 1}',
    ],
)
def test_json_that_ends_early_or_is_nested_is_refused(tmp_path: Path, text: str) -> None:
    """Rows would be missing."""
    with pytest.raises(UsageError) as caught:
        records(written(tmp_path, text), open_kamcli)
    assert "kamcli" in caught.value.hint


def test_minified_json_has_a_line_for_each_row(tmp_path: Path) -> None:
    """Results are matched by line."""
    objects = ",".join(f'{{"username": "{at}", "password": "secret-{at}"}}' for at in range(20_000))
    assert json_columns(f"[{objects[:1000]}") == ("username", "password")
    found = records(written(tmp_path, f"[{objects}]"), open_kamcli)
    assert len({line for line, _ in found[1:]}) == 20_000
    assert found[-1][1] == ["19999", "secret-19999"]
