"""The benchmark itself, in small: that what it measures happens. And counts of an import that must not grow.

No test asserts a time: a busy machine would fail it. Counts are the same on every machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.benchmarks import calls, ceiling, plot, report
from tests.benchmarks.cases import SECTIONS, Record, Sizes
from tests.benchmarks.rig import EMBEDDED, SCRIPT, Rig
from tests.benchmarks.server import Case
from tests.benchmarks.shape import ROWS, calls_a_row, inserts

SMALL = Sizes(rows=(200,), rounds=1, latency_seconds=0.2, plan=200, stored=1_200, again=600, pace_seconds=1)

CALLS_A_ROW = 17
"""Calls of the program's own functions that an imported row may cost; lower it when a change saves some."""


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """The servers and contestants of a run."""
    rig = Rig(tmp_path)
    yield rig
    rig.close()


def test_script_and_program_do_the_same_work(rig: Rig) -> None:
    """Both create every row, with as many posts; the service's stand-in answers each of them."""
    for contestant, options in (
        (SCRIPT, ["--batch", "50", "--in-flight", "4"]),
        (EMBEDDED, ["--batch-size", "50", "--concurrency", "4"]),
    ):
        measured = rig.measure(contestant, rig.roster(200), Case(), *options)
        assert measured.summary["counts"] == {"created": 200}
        assert (measured.service["requests"]["post"], measured.service["rows"]) == (4, 200)
        assert measured.service["most_in_flight"] <= 4
        assert measured.cpu > 0
        assert measured.finished.megabytes > 10


def test_an_account_that_is_full_is_listed_page_by_page(rig: Rig) -> None:
    """The plan's counts are asserted by the section itself; 1,200 entries are three pages of 500."""
    without, plan, imported = SECTIONS["plan"](rig, SMALL)
    assert without.requests == 0
    assert (plan.requests, plan.posts) == (1 + 1 + 3, 0)  # the token, the realms, the pages
    assert imported.posts == 1


def test_a_rate_limit_is_counted(rig: Rig) -> None:
    """Requests over the limit get a 429 and are counted as refused."""
    rig.service.begin(Case(limit=5.0))
    with pytest.raises(AssertionError):  # bare sockets take a 429 for the end
        ceiling.post(rig.service.port, 1, 1.0)
    assert rig.service.counts()["requests"]["refused"] > 0


def test_tables_page_and_plot_are_written(tmp_path: Path) -> None:
    """Ratios are to the script of the same round; a second size gives the growth."""
    records = [
        Record(
            "import", what, rows, batch=100, round=number, seconds=seconds * rows, rows_per_second=1 / seconds
        )
        for what, seconds in (("script", 1.0), ("embedded", 4.0))
        for rows in (10, 100)
        for number in (0, 1)
    ]
    assert report.ratio(records[-1], records) == 0.25
    report.write(tmp_path, records, report.machine(), plot.drawing(records))
    page = (tmp_path / "README.md").read_text()
    assert "| embedded | 100 | 100 | 400.00 | 0 | 0.25 |" in page
    assert "| embedded | 100 | 100 | 10 | 10.0 |" in page
    assert (tmp_path / "results.svg").read_text().count("<polyline") == 6
    assert '"seconds": 400.0' in (tmp_path / "results.json").read_text()


def test_counts_of_an_import_do_not_grow(rig: Rig) -> None:
    """Requests, the ledger's insertions, and calls for a row, of a roster of 1,000 rows."""
    small = calls.of_import(rig, ROWS)
    large = calls.of_import(rig, 2 * ROWS)
    assert small["requests"] == {"token": 1, "realms": 1, "post": 10}
    found = inserts(small)
    assert [found[f"INSERT INTO {table}"] for table in ("pages", "chunks")] == [1, 2]
    assert found["INSERT INTO chunk_rows"] == 2 + 1  # the last one is of the new ledger's migrations
    # One for each transaction: batches that are answered together share one, and each chunk has its own.
    assert 2 <= found["INSERT INTO deeds"] <= 10
    assert found["INSERT INTO outcomes"] == ROWS / 100  # a hundred in each statement
    assert calls_a_row(small, large) <= CALLS_A_ROW
