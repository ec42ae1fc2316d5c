"""Progress: the rate and the time left are honest, and what is shown fits the terminal."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterator, Sequence

import pytest
from rich.console import Console

from tests.unit.jobs import Clock
from worker.commands import progress_screen as screens
from worker.commands import terminal
from worker.commands.progress_screen import in_words, progress_screen
from worker.commands.terminal import ProgressForm
from worker.commands.waiting import wait_reporter
from worker.model import JobState
from worker.progress import Pace, ProgressFacts
from worker.waits import HERE, Wait, WaitKind, Waits, is_news, worded

REFUSED = Wait(WaitKind.SERVICE, "connection refused", 40, 560, by_patience=True)
LIMITED = Wait(WaitKind.RATE_LIMITED, "429: slowed to 3.1 requests a second", 5, None)


def facts(**more: object) -> ProgressFacts:
    """The progress of a large job, in its midst."""
    given: dict[str, object] = {
        "job": "20261122-224612-staff-7f3a", "state": JobState.RUNNING, "rows": 100_000, "settled": 62_300,
        "counts": {"created": 60_000, "unchanged": 1_900, "invalid": 62, "failed": 338},
        "rate": 1212.4, "rate_seconds": 10.0, "seconds_left": 31.1, "waits": "", "wait_kind": "", **more,
    }  # fmt: skip
    return ProgressFacts(**given)  # type: ignore[arg-type]


# The rate


def measured(pace: Pace, clock: Clock, steps: Sequence[tuple[float, int]]) -> float | None:
    """Look after each of these steps: so many seconds, so many rows more."""
    settled = 0
    pace.look(settled)
    for seconds, rows in steps:
        clock.advance(seconds)
        settled += rows
        pace.look(settled)
    return pace.rate


def test_the_rate_is_that_of_the_last_seconds() -> None:
    """A job that was fast for long, and is slow now, has the rate of now."""
    clock = Clock(0.0)
    pace = Pace(clock)
    assert measured(pace, clock, [(1, 1000)] * 60) == pytest.approx(1000)
    pace = Pace(clock)
    assert measured(pace, clock, [(1, 1000)] * 60 + [(1, 10)] * 20) == pytest.approx(10)


def test_a_rate_is_told_only_once_it_is_known() -> None:
    """Neither the first seconds nor a job without any progress have one."""
    clock = Clock(0.0)
    assert measured(Pace(clock), clock, [(1, 100), (1, 100)]) is None
    assert measured(Pace(clock), clock, [(1, 0)] * 30) is None
    assert measured(Pace(clock), clock, [(1, 100)] * 3) == pytest.approx(100)


def test_batches_that_come_seldom_have_a_rate() -> None:
    """Where each batch takes longer than the window, the last ones count."""
    clock = Clock(0.0)
    steps = [(1, 100 if second % 20 == 0 else 0) for second in range(1, 101)]
    assert measured(Pace(clock), clock, steps) == pytest.approx(5, rel=0.3)


def test_a_job_that_stands_still_slows_down() -> None:
    """Without any further row the rate falls, and doesn't stay as it was."""
    clock = Clock(0.0)
    pace = Pace(clock)
    before = measured(pace, clock, [(1, 100)] * 10)
    clock.advance(20)
    pace.look(1000)
    assert before is not None
    assert pace.rate is not None
    assert pace.rate < before / 2


def test_short_waits_in_a_row_are_one() -> None:
    """Requests that wait a moment each, since 429s slowed them down, are one wait that goes on."""
    clock = Clock(0.0)
    waits = Waits(clock)
    for _ in range(10):
        waits.linger(WaitKind.RATE_LIMITED, "429: slowed to 3 requests a second", 2)
        clock.advance(0.5)
    wait = waits.gravest()
    assert wait is not None
    assert is_news(wait)
    assert wait.waited == 5
    clock.advance(2)
    assert waits.gravest() is None


# What is shown


@pytest.fixture
def waiting(request: pytest.FixtureRequest) -> Iterator[Callable[[Wait | None], None]]:
    """Let the process's wait reporter report a wait."""
    reported: list[Wait | None] = [None]

    def report(wait: Wait | None) -> None:
        reported[0] = wait
        wait_reporter.look()

    with wait_reporter.on_a_bar(), wait_reporter.following(lambda: reported[0]):
        yield report
    assert HERE.gravest() is None


def drawn(shown: ProgressFacts | int, width: int, encoding: str = "utf-8") -> list[str]:
    """Return the lines of the display on a terminal of this width."""
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding, write_through=True)
    console = Console(file=file, width=width, force_terminal=True, color_system=None)
    display = screens._Display(console)
    if isinstance(shown, int):
        display.read_page([None] * shown)  # type: ignore[list-item]
    else:
        display.show(shown)
    console.print(display)
    file.seek(0)
    return [re.sub(r"^[⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏|/\\-] ", "", line).rstrip() for line in file.read().splitlines()]


def test_the_line_has_counts_rate_and_time_left(waiting: Callable[[Wait | None], None]) -> None:
    """On a wide terminal it is one line, on a usual one two, and nothing is cut off."""
    counts = "60,000 created, 1,900 unchanged, 62 invalid, 338 failed"
    position, pace = "62,300 of 100,000", "1,212 rows/s, about 35 s left"
    (line,) = drawn(facts(), 140)
    assert line.endswith(f" {position}  {counts}  {pace}")
    first, second = drawn(facts(), 80)
    assert re.fullmatch(rf"━{{17,18}}─{{11,12}} {position}  {re.escape(pace)}", first)
    assert second == f"  {counts}"


def test_during_a_wait_there_is_no_time_left(waiting: Callable[[Wait | None], None]) -> None:
    """What it waits for, and until when, fits on a line of 80 columns; a rate of before is not shown."""
    waiting(REFUSED)
    first, _, wait = drawn(facts(), 80)
    assert "left" not in first
    assert "rows/s" not in first
    assert wait == "  waiting for the service: connection refused; gives up in 9:20 (--patience)"
    waiting(LIMITED)
    first, _, wait = drawn(facts(), 80)
    assert first.endswith("1,212 rows/s, about 35 s left")
    assert wait == "  429: slowed to 3.1 requests a second"


@pytest.mark.parametrize("width", [12, 20, 30, 41, 60])
def test_a_narrow_terminal_loses_the_bar_and_folds_the_rest(
    waiting: Callable[[Wait | None], None], width: int
) -> None:
    """Whatever the width: every fact is there, and no line is longer."""
    waiting(REFUSED)
    lines = drawn(facts(), width)
    assert max(map(len, lines)) <= width
    text = "".join(re.sub(r"[━─ ]", "", line) for line in lines)
    for fact in ("62,300of100,000", "60,000created", "338failed", worded(REFUSED).replace(" ", "")):
        assert fact in text


def test_a_terminal_without_unicode_is_drawn_in_ascii(waiting: Callable[[Wait | None], None]) -> None:
    """A bar of # and -, and no character that the terminal can't show."""
    lines = drawn(facts(), 80, "ascii")
    assert lines[0].startswith("####")
    assert "".join(lines).isascii()


def test_reading_is_shown(waiting: Callable[[Wait | None], None]) -> None:
    """Before the job starts, the number of rows that were read is shown, and waits too."""
    waiting(REFUSED)
    assert drawn(12_000, 80) == ["reading the roster: 12,000 rows so far", f"  {worded(REFUSED)}"]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.4, "about 5 s left"), (61, "about 65 s left"), (91, "about 2 min left"),
        (754, "about 13 min left"), (5_990, "about 1 h 40 min left"), (7_190, "about 2 h left"),
        (9_300, "about 2 h 40 min left"), (200_000, "about 3 days left"),
    ],
)  # fmt: skip
def test_a_time_left_is_no_more_exact_than_it_can_be(seconds: float, words: str) -> None:
    """It is rounded up, and says that it is about so much."""
    assert in_words(facts(seconds_left=seconds)).endswith(f"; 1,212 rows/s, {words}")


def test_without_a_rate_only_counts_are_told() -> None:
    """No rate and no time left are made up."""
    told = in_words(facts(rate=None, seconds_left=None, counts={"created": 62_300}))
    assert told == "62,300 of 100,000 rows: 62,300 created"


# Other forms


@pytest.fixture
def form() -> Iterator[Callable[[str], None]]:
    """Choose a form as ``--progress`` does; afterwards it is as before."""
    yield lambda name: terminal.show_progress(ProgressForm(name))
    terminal.show_progress(ProgressForm.AUTO)
    terminal.echo_with(None)


def test_json_is_an_object_a_line(form: Callable[[str], None], capsys: pytest.CaptureFixture[str]) -> None:
    """Progress, reading and lines for people are objects; mere numbers come once a second."""
    form("json")
    screen = progress_screen()
    with screen.running():
        for _ in range(3):
            screen.read_page([None] * 10)  # type: ignore[list-item]
    for state in (JobState.RUNNING, JobState.RUNNING, JobState.DONE):
        screen.show(facts(state=state))
    terminal.echo("  careful\x1b[2J", "yellow")
    events = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    told = [(event["event"], event.get("rows"), event.get("state")) for event in events]
    assert told == [
        ("reading", 10, None), ("reading", 30, None), ("progress", 100_000, "running"),
        ("progress", 100_000, "done"), ("message", None, None),
    ]  # fmt: skip
    assert events[2] == {"event": "progress", **facts().as_json()}
    assert events[2]["rate"] == 1212.4
    assert events[2]["seconds_left"] == 32
    assert events[4] == {"event": "message", "level": "warning", "text": "careful\x1b[2J"}


def test_none_shows_nothing(form: Callable[[str], None], capsys: pytest.CaptureFixture[str]) -> None:
    """Neither progress nor reading is shown."""
    form("none")
    screen = progress_screen()
    with screen.running():
        screen.show_reading(5)
        screen.show(facts())
    assert capsys.readouterr().err == ""
