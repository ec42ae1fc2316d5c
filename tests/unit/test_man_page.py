"""The man page: as the program is now, and as roff wants it."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.unit.man_page import PAGE, written
from tests.unit.test_docs import PROGRAM, options

RENDER = ["groff", "-man", "-K", "utf8", "-T", "utf8", "-ww", "-rLL=78n"]


def rendered(page: Path) -> tuple[str, str]:
    """Return the page as a terminal shows it, without formatting, and the warnings."""
    done = subprocess.run(
        [*RENDER, "-P-cbou", str(page)], capture_output=True, text=True, check=True, encoding="utf-8"
    )
    return done.stdout, done.stderr


def test_the_page_is_that_of_the_program() -> None:
    """After a change of commands, options, settings or exit codes, `make docs` writes it anew."""
    assert PAGE.read_text("utf-8") == written()


def test_roff_has_nothing_to_warn_of() -> None:
    """The page renders without a warning, and names every command with its options."""
    shown, warnings = rendered(PAGE)
    assert warnings == ""
    words = set(shown.replace(",", " ").split())
    assert {f"{name}" for called_by in PROGRAM for name in called_by} <= words
    assert set().union(*(options(command) for command in PROGRAM.values())) - {"--help"} <= words


def test_a_request_that_roff_does_not_know_would_be_seen(tmp_path: Path) -> None:
    """The check above sees a fault of the page."""
    page = tmp_path / "page.1"
    page.write_text(".TH X 1\n.SH NAME\n.XX\n", "utf-8")
    assert "XX" in rendered(page)[1]
