"""Names, paths and texts of others can't control the terminal on which they are shown."""

from __future__ import annotations

import io
import logging
import re
import sys
from collections.abc import Callable, Iterator

import pytest
from rich.table import Table
from rich.text import Text

from worker.commands.doctor import CheckResult, State
from worker.commands.doctor import print_checks as print_results
from worker.commands.log_output import set_up_log
from worker.commands.screen import HarmlessConsole, echo, on_stdout, print_summary

EVIL = "\x1b]0;pwned\x07\x1b[2J\x9b31m\x08\r\u202eevil\x7f"
SUMMARY = {
    "counts": {"created": 1}, "seconds": None, "job": EVIL, "state": "done", "requests": 1, "retries": 0,
    "why": EVIL, "reason": EVIL, "files": {"results": EVIL}, "codes": {}, "undo_state": None, "saved": None,
    "lineage": {"schedule": EVIL, "jobs": [EVIL, EVIL], "sentence": EVIL},
    "resumable_until": None, "kept_until": None,
}  # fmt: skip


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    """Restore the process's logging handlers and levels, which other tests need."""
    logs = (logging.getLogger(), logging.getLogger("worker"))
    before = [(log, log.level, log.handlers[:]) for log in logs]
    yield
    for log, level, handlers in before:
        log.setLevel(level)
        log.handlers[:] = handlers


def harmless(text: str) -> bool:
    """Return whether the text is printable, apart from line ends."""
    return all(c.isprintable() or c == "\n" for c in text) and "pwned" in text


def print_log() -> None:
    """One line of the program's own log."""
    set_up_log(logging.ERROR, {})
    logging.getLogger("worker.x").error("refused: %s", EVIL)


@pytest.mark.parametrize(
    "tell",
    [
        lambda: echo(f"  warning: {EVIL}"),
        lambda: print_summary(SUMMARY, as_json=False),
        print_log,
    ],
    ids=["say", "summary", "log"],
)
def test_no_control_character_is_shown(
    tell: Callable[[], object], capsys: pytest.CaptureFixture[str]
) -> None:
    """Escape sequences, C1 controls and marks that turn the writing direction become U+FFFD."""
    tell()
    captured = capsys.readouterr()
    assert harmless(captured.out + captured.err)


def test_a_table_is_harmless_too_and_keeps_its_colours() -> None:
    """rich's own escape sequences stay, those in a cell don't."""
    shown = io.StringIO()
    console = HarmlessConsole(file=shown, force_terminal=True, color_system="standard", width=200)
    table = Table(box=None, show_header=False)
    table.add_row(Text(EVIL, style="red"), "second")
    console.print(table)
    assert "\x1b[31m\ufffd]0;pwned" in shown.getvalue()
    assert "second" in shown.getvalue()
    assert harmless(shown.getvalue().replace("\x1b[31m", "").replace("\x1b[0m", ""))


def lines(print_some: Callable[[io.StringIO], object]) -> list[str]:
    """Return the lines that are in a file after printing to it."""
    file = io.StringIO()
    print_some(file)
    return file.getvalue().splitlines()


@pytest.mark.parametrize("colour", ["", "1"])
def test_a_file_gets_nothing_folded_cut_or_padded(colour: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """At any width, a long cell is whole on one line, and no line ends with blanks, colours or not."""
    monkeypatch.setenv("FORCE_COLOR", colour)
    monkeypatch.setenv("COLUMNS", "20")
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("name", "value", "note"):
        table.add_column(heading, overflow="fold", style="dim")
    for cells in (("a", "x" * 3000, ""), ("b", "", "")):
        table.add_row(*cells)
    shown = lines(lambda file: on_stdout(file).print(table, Text("word " * 900)))
    assert len(shown) == 4
    assert "x" * 3000 in shown[1]
    plain = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in shown]
    assert plain == [line.rstrip() for line in plain]
    assert plain[2] == "b"
    assert plain[3].count("word") == 900
    assert ("\x1b[" in shown[0]) is bool(colour)


def test_the_findings_of_doctor_in_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    """In a file, doctor's settings and checks keep texts that are longer than any screen."""
    print_results(
        [("NAME", "v" * 1200, "environment"), ("OTHER", "", "not set")],
        [CheckResult("ledger", State.WARNING, "t" * 1200, "h" * 1200), CheckResult("key", State.OK, "short")],
    )
    shown = capsys.readouterr().out.splitlines()
    assert shown == [line.rstrip() for line in shown]
    assert [sum(letter * 1200 in line for line in shown) for letter in "vth"] == [1, 1, 1]


def test_a_line_stays_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """A name with a line break can't make a message of its own."""
    echo("there is no file a\njob done: 0 failed")
    assert capsys.readouterr().err.count("\n") == 1
    assert sys.stderr is not None
