"""Shared by the tests of rosters: read a file's bytes into rows, or return the refusal."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from worker.errors import UsageError
from worker.model import Options, Row
from worker.roster import Roster, open_roster

GOOD = "Tb7xQ2mK9rL4vN8s"
"""A password that nothing can be said about."""


def opened(content: str | bytes, **options: Any) -> Roster:
    """The roster with that content, read as standard input; text goes as UTF-8."""
    data = content.encode() if isinstance(content, str) else content
    return open_roster("-", Options(**options), io.BytesIO(data))


def rows_of(content: str | bytes, **options: Any) -> list[Row]:
    """Return a roster's rows."""
    with opened(content, **options) as roster:
        return list(roster.rows())


def refused(content: str | bytes, **options: Any) -> str:
    """Message and hint of the refusal to read it."""
    with pytest.raises(UsageError) as caught:
        rows_of(content, **options)
    return f"{caught.value.message}\n{caught.value.hint}"


def codes(row: Row) -> list[str]:
    """The codes of its problems."""
    return [problem.code for problem in row.problems]


def warned(row: Row) -> list[str]:
    """The codes of its warnings."""
    return [problem.code for problem in row.warnings]


def nameless_files() -> set[int]:
    """The descriptors of this process that stand for files without a name (Linux)."""
    links = [link for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    return {int(link.name) for link in links if str(link.readlink()).endswith(" (deleted)")}
