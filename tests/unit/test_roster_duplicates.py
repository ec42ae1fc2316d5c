"""Names seen already, on disk."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.rosters import nameless_files
from worker.roster import DuplicateIndex


@given(st.lists(st.text(max_size=3)), st.integers(1, 7))
def test_the_first_line_is_remembered(names: list[str], size: int) -> None:
    """The first line of each name is remembered, as a dict would, in and across groups of any size."""
    expected: dict[str, int] = {}
    lines = [expected.setdefault(name, line) for line, name in enumerate(names)]
    with DuplicateIndex() as seen:
        found: list[int] = []
        for start in range(0, len(names), size):
            here = range(start, min(start + size, len(names)))
            found += seen.first_lines(names[start : start + size], list(here))
        assert found == lines
        assert seen.look([*names, "never seen"]) == [*map(expected.get, names), None]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="looks at open files through /proc")
def test_many_names_go_to_a_nameless_file_of_the_user() -> None:
    """Names that exceed the cache go to a file without a name, which nobody else may read."""
    before = nameless_files()
    with DuplicateIndex() as seen:
        for start in range(0, 200_000, 1000):
            lines = range(start, start + 1000)
            seen.first_lines([f"{'long name ' * 10}{line}" for line in lines], lines)
        facts = [os.fstat(number) for number in nameless_files() - before]
        assert [one.st_mode & 0o077 for one in facts] == [0] * len(facts)
        assert sum(one.st_size for one in facts) > 8_000_000
