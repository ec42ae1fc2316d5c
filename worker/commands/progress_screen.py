"""The progress of a command on stderr: a display on a terminal, a line now and then elsewhere, or JSON."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console, ConsoleOptions
from rich.live import Live
from rich.text import Text

from worker.commands import terminal
from worker.commands.screen import COLOURS, HarmlessConsole, echo
from worker.commands.terminal import ProgressForm, visible
from worker.commands.waiting import wait_reporter
from worker.importing.validation import RosterPage
from worker.model import Status
from worker.progress import ProgressFacts
from worker.reasons import plural

_LINE_EVERY = 10.0
"""Seconds between two lines of progress."""

_EVENT_EVERY = 1.0
"""Seconds between two lines of JSON in which only numbers have changed."""

_FRAMES_A_SECOND = 8

_NARROWEST_BAR, _WIDEST_BAR = 8, 30

_INDENT = "  "


class ProgressScreen:
    """Shows the progress of a command; this one shows nothing (``--progress none``)."""

    def __init__(self) -> None:
        self._read = 0

    def show(self, facts: ProgressFacts) -> None:
        """Show the progress."""

    def show_reading(self, rows: int) -> None:
        """Show how many rows of the roster have been read and compared so far."""

    def read_page(self, page: RosterPage) -> None:
        """Count a page that has been read, as a sink of the pipeline, and show the number of rows so far."""
        self._read += len(page)
        self.show_reading(self._read)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Show the progress while the block runs."""
        yield


def progress_screen() -> ProgressScreen:
    """Return a screen of the form that ``--progress`` asks for."""
    form, console = terminal.progress_form(), HarmlessConsole(stderr=True)
    if form is ProgressForm.NONE:
        return ProgressScreen()
    if form is ProgressForm.JSON:
        return _JsonLines()
    can_draw = console.is_terminal and not console.is_dumb_terminal and not terminal.echoes_elsewhere()
    return _Display(console) if form is ProgressForm.AUTO and can_draw else _Lines()


class _Lines(ProgressScreen):
    """A line now and then. The wait reporter prints lines of its own during a wait."""

    def __init__(self) -> None:
        super().__init__()
        self._printed = time.monotonic()

    def show(self, facts: ProgressFacts) -> None:
        if not wait_reporter.stops and self._is_time():
            echo(in_words(facts))

    def show_reading(self, rows: int) -> None:
        if not wait_reporter.stops and self._is_time():
            echo(f"reading the roster: {plural(rows, 'row')} so far")

    def _is_time(self) -> bool:
        if time.monotonic() - self._printed < _LINE_EVERY:
            return False
        self._printed = time.monotonic()
        return True


class _JsonLines(ProgressScreen):
    """JSON objects, one a line: at once if the state or the wait changes, else once a second."""

    def __init__(self) -> None:
        super().__init__()
        self._printed = -math.inf
        self._last: object = None

    def show(self, facts: ProgressFacts) -> None:
        self._print_if_due((facts.state, facts.wait_kind), {"event": "progress", **facts.as_json()})

    def show_reading(self, rows: int) -> None:
        self._print_if_due("reading", {"event": "reading", "rows": rows})

    @contextmanager
    def running(self) -> Iterator[None]:
        yield
        if self._read:
            terminal.print_event({"event": "reading", "rows": self._read})

    def _print_if_due(self, subject: object, event: dict[str, object]) -> None:
        if subject == self._last and time.monotonic() - self._printed < _EVENT_EVERY:
            return
        self._last, self._printed = subject, time.monotonic()
        terminal.print_event(event)


class _Display(ProgressScreen):
    """A bar with counts, rate and time left, redrawn in place; below it, what is waited for."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._facts: ProgressFacts | None = None
        self._live = Live(
            self, console=console, transient=True, refresh_per_second=_FRAMES_A_SECOND,
            redirect_stdout=False,
            vertical_overflow="visible",
        )  # fmt: skip

    def show(self, facts: ProgressFacts) -> None:
        self._facts = facts

    @contextmanager
    def running(self) -> Iterator[None]:
        with self._live, wait_reporter.on_a_bar():
            yield

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        width, signs = options.max_width - 1, _signs(console.encoding)
        frame = Text(f"{signs.frames[int(time.monotonic() * _FRAMES_A_SECOND) % len(signs.frames)]} ")
        if self._facts:
            yield from _lines(self._facts, frame, signs, width)
        elif self._read:
            yield frame + Text(f"reading the roster: {plural(self._read, 'row')} so far")
        if wait_reporter.text:
            indent = _INDENT if self._facts or self._read else frame.plain
            yield Text(indent) + Text(visible(wait_reporter.text), "yellow")


class _Signs:
    """The characters that a display is drawn with."""

    def __init__(self, frames: str, done: str, left: str) -> None:
        self.frames, self.done, self.left = frames, done, left


def _signs(encoding: str) -> _Signs:
    unicode = encoding.lower().startswith("utf")
    return _Signs("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏", "━", "─") if unicode else _Signs("-\\|/", "#", "-")


def _lines(facts: ProgressFacts, frame: Text, signs: _Signs, width: int) -> Iterator[Text]:
    """Yield one line, or two where it would be too narrow for the counts."""
    position, counts = Text(f"{facts.settled:,} of {facts.rows:,}"), _counts(facts)
    pace = Text("" if wait_reporter.stops else pace_in_words(facts))
    whole = _joined(position, counts, pace)
    rest = width - len(frame) - len(whole) - 1
    if rest >= _NARROWEST_BAR:
        yield frame + _bar(facts, signs, rest) + Text(" ") + whole
        return
    first = _joined(position, pace)
    rest = width - len(frame) - len(first) - 1
    yield frame + (_bar(facts, signs, rest) + Text(" ") if rest >= _NARROWEST_BAR else Text()) + first
    if counts:
        yield Text(_INDENT) + counts


def _joined(*parts: Text) -> Text:
    return Text("  ").join(part for part in parts if part)


def _bar(facts: ProgressFacts, signs: _Signs, width: int) -> Text:
    width = min(width, _WIDEST_BAR)
    done = width * facts.settled // facts.rows if facts.rows else 0
    return Text(signs.done * done, "green") + Text(signs.left * (width - done), "dim")


def _counts(facts: ProgressFacts) -> Text:
    """Return the rows by status; those without an outcome are what is left."""
    parts = [
        Text(f"{rows:,} {status}", COLOURS.get(status, ""))
        for status, rows in facts.counts.items()
        if status != Status.UNPROCESSED
    ]
    return Text(", ").join(parts)


def in_words(facts: ProgressFacts, since: str = "") -> str:
    """Return the progress in a line: ``1,200 of 5,000 rows: 1,190 created, 10 failed; 98 rows/s, …``.

    ``since``: when the measuring of the rate began, if not in the last seconds.
    """
    counts, pace = _counts(facts).plain, pace_in_words(facts, since)
    return (
        f"{facts.settled:,} of {plural(facts.rows, 'row')}"
        + (f": {counts}" if counts else "")
        + (f"; {pace}" if pace else "")
    )


def pace_in_words(facts: ProgressFacts, since: str = "") -> str:
    """Return the rate and the time left at this rate, as far as they are known."""
    if facts.rate is None:
        return ""
    rate = f"{facts.rate:,.1f} rows/s" if facts.rate < 10 else f"{facts.rate:,.0f} rows/s"
    rate = f"{rate} {since}" if since else rate
    return f"{rate}, {_about(facts.seconds_left)}" if facts.seconds_left else rate


def _about(seconds: float) -> str:
    """Return a time left, rounded up: ``about 12 min left``."""
    if seconds < 90:
        return f"about {5 * math.ceil(seconds / 5)} s left"
    minutes = math.ceil(seconds / 60)
    if minutes < 100:
        return f"about {minutes} min left"
    hours, minutes = divmod(10 * math.ceil(minutes / 10), 60)
    if hours < 48:
        return f"about {hours} h {minutes} min left" if minutes else f"about {hours} h left"
    return f"about {math.ceil(hours / 24)} days left"
