"""The pages that teach: typed into a shell as they are printed, they show what the pages show."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.documents import SESSIONS, followed, pages


def lines(page: str) -> list[str]:
    """Return a page's lines; columns may be wider than printed, since the home folder has another name."""
    return [re.sub(r" {2,}", "  ", line).rstrip() for line in page.splitlines()]


@pytest.mark.parametrize("name", SESSIONS)
def test_each_output_is_as_printed(name: str, tmp_path: Path) -> None:
    """Each command of the page's `console` blocks prints what stands below it.

    After a change of the program's output, `make docs` writes it anew.
    """
    page = pages()[name]
    assert lines(followed(page, tmp_path / "home")) == lines(page)


def test_another_output_would_be_seen(tmp_path: Path) -> None:
    """A page whose printed output is not that of its commands is not what following it gives."""
    page = "```console\n$ cat <<'END'\none\nEND\none\n$ echo two\nthree\n```\n"
    assert followed(page, tmp_path / "home") == page.replace("three", "two")
