"""Any bytes as a roster: a clear refusal, or every record as a row. Never a traceback, never a row lost."""

from __future__ import annotations

import csv
import io
import itertools
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from worker import roster
from worker.errors import UsageError
from worker.model import Condition, Options, Row

HEADERS = ("username", "password", "Secret", "Ext.", "domain", "realm", "note", "", "bw__row", "hash1", "ü\0")
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-be", "cp1252", "utf-32")

cells = st.text(max_size=12) | st.sampled_from(["", '"', "a@b", "=1+1", "1234", "a\nb", "\ufeff", "x" * 300])
delimiters = st.sampled_from([",", ";", "\t", "|"])


@st.composite
def tables(draw: st.DrawFn) -> bytes:
    """Draw a table as spreadsheets and scripts write it, in any encoding and with lines of any length."""
    file = io.StringIO()
    ends = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    writer = csv.writer(file, delimiter=draw(delimiters), lineterminator=ends)
    header = draw(st.lists(st.sampled_from(HEADERS), min_size=1, max_size=5))
    lines = draw(st.lists(st.lists(cells, max_size=len(header) + 1), max_size=6))
    for line in (header, *lines):
        writer.writerow([cell.replace("\r", "") for cell in line])
    return file.getvalue().encode(draw(st.sampled_from(ENCODINGS)), "replace")


@st.composite
def torn(draw: st.DrawFn) -> bytes:
    """Such a table, cut, doubled or written over somewhere."""
    whole = draw(tables())
    at = draw(st.integers(0, len(whole)))
    return (
        whole[:at] + draw(st.binary(max_size=5) | st.just(whole)) + whole[draw(st.integers(at, len(whole))) :]
    )


def read(path: Path, content: bytes, options: Options) -> list[Row] | None:
    """All rows; None where the roster is refused."""
    path.write_bytes(content)
    try:
        with roster.open_roster(str(path), options) as opened:
            rows = list(opened.rows())
            assert len(rows) == opened.records
    except UsageError:
        return None
    return rows


@pytest.mark.parametrize("weak_given", [False, True])
@given(content=st.binary(max_size=300) | tables() | torn())
@settings(max_examples=250, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes(tmp_path: Path, weak_given: bool, content: bytes) -> None:
    """A roster is refused, or each of its records has a row, in the file's order, valid or with problems."""
    rows = read(tmp_path / "roster.csv", content, Options(weak_given=weak_given))
    for row in rows or ():
        assert row.problems or (row.user and row.password)
    lines = [row.line for row in rows or ()]
    assert all(before < after for before, after in itertools.pairwise(lines))


@given(
    content=tables(),
    cut=st.fixed_dictionaries({"delimiter": st.text(max_size=2), "encoding": st.text(max_size=8)}),
    template=st.text(max_size=12),
    field=st.sampled_from(["username", "password", "realm"]),
    column=cells,
)
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_way_to_read_it(
    tmp_path: Path, content: bytes, cut: dict[str, Any], template: str, field: str, column: str
) -> None:
    """With any delimiter, encoding, columns and template, the roster is read or refused."""
    options = Options(**cut, username=template, map={field: column}, where=(Condition(column, template),))
    read(tmp_path / "roster.csv", content, options)
