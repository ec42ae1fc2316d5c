"""Waits: collected in one place, worded in one place, reported now and then, and bounded."""

from __future__ import annotations

import logging
import os
import platform
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from tests.unit.jobs import Clock
from worker.commands.waiting import WaitReporter
from worker.importing.process_id import interrupt, is_alive, may_interrupt, process_id, process_id_of
from worker.ledger import shown
from worker.progress.job_waits import Cause, Patience
from worker.states import Reason, Why
from worker.waits import Outage, Wait, WaitKind, Waits, over, span, worded

DAY = 86_400.0


class Said:
    """The lines that were said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, line: str) -> None:
        self.lines.append(line)

    def take(self) -> list[str]:
        """Return the lines since the last call."""
        taken, self.lines = self.lines, []
        return taken


# The registry


def test_a_wait_lasts_as_long_as_its_block() -> None:
    """A wait lasts exactly as long as its block, even if that ends with an exception."""
    clock = Clock(100.0)
    waits = Waits(clock)
    with suppress(ValueError), waits.entered(WaitKind.ANSWER, seconds=30):
        clock.advance(5)
        assert waits.gravest() == Wait(WaitKind.ANSWER, "", 5, 25)
        raise ValueError
    assert waits.gravest() is None


def test_what_turns_out_to_be_a_wait_began_with_its_block() -> None:
    """A request that fails at its third attempt has been waited for since its first."""
    clock = Clock(100.0)
    waits = Waits(clock)
    with waits.entered() as entry:
        clock.advance(4)
        assert waits.gravest() is None
        waits.turn(entry, WaitKind.SERVICE, "connection refused", 56)
        assert waits.gravest() == Wait(WaitKind.SERVICE, "connection refused", 4, 56)


def test_of_several_waits_the_gravest_is_told_and_of_one_kind_the_longest() -> None:
    """The gravest kind of wait is reported, and of one kind the longest."""
    clock = Clock(100.0)
    waits = Waits(clock)
    with waits.entered(WaitKind.ANSWER), waits.entered(WaitKind.SERVICE, "first"):
        clock.advance(1)
        with waits.entered(WaitKind.SERVICE, "second"):
            gravest = waits.gravest()
    assert gravest is not None
    assert gravest.reason == "first"


# Words


@pytest.mark.parametrize(
    ("wait", "words"),
    [
        (
            Wait(WaitKind.SERVICE, "connection refused", 40, 560, by_patience=True),
            "waiting for the service: connection refused; gives up in 9:20 (--patience)",
        ),
        (
            Wait(WaitKind.SERVICE, "connection refused", 2, 58),
            "waiting for the service: connection refused; gives up in 58 s",
        ),
        (Wait(WaitKind.SLOWED, "429", 3, 12), "429: the service asked for a pause; continues in 12 s"),
        (Wait(WaitKind.RATE_LIMITED, "429: slowed to 3.1 requests a second", 3, None),
         "429: slowed to 3.1 requests a second"),
        (Wait(WaitKind.ANSWER, "", 5, 25),
         "no answer from the service for 5 s; the request's deadline is 30 s"),
        (Wait(WaitKind.PACED, "--rate 0.05", 2, 18), "waiting for the next request at --rate 0.05, in 18 s"),
        (Wait(WaitKind.REGISTRAR, "192.0.2.1:5060 (tcp): no answer yet", 4, 28),
         "waiting for the registrar 192.0.2.1:5060 (tcp): no answer yet; gives up in 28 s"),
        (Wait(WaitKind.ASKING, "50 rows whose answer was lost", 4, None),
         "asking about 50 rows whose answer was lost, for 4 s"),
        (Wait(WaitKind.LEASE, "a worker on desk", 3, 100),
         "waiting for the lease of a worker on desk to expire, in 1:40"),
        (Wait(WaitKind.BROKER, "connection refused", 3, None),
         "waiting for the broker: connection refused, for 3 s"),
        (Wait(WaitKind.LEDGER, "no answer yet", 3, 7000, by_patience=True),
         "waiting for the ledger: no answer yet; gives up in 1:56:40 (--patience)"),
        (Wait(WaitKind.REALM, "x.example to become ACTIVE", 3, 117),
         "waiting for realm x.example to become ACTIVE; gives up in 1:57"),
        (Wait(WaitKind.WORKER, "no worker answers", 3, 9, by_patience=True),
         "no worker answers; gives up in 9 s (--patience)"),
        (Wait(WaitKind.ACCOUNT, "job x writes to 99 (desk:1)", 3, None),
         "waiting for the account: job x writes to 99 (desk:1), for 3 s"),
    ],
)  # fmt: skip
def test_a_wait_says_what_for_and_until_when(wait: Wait, words: str) -> None:
    """Plain words, and times as people say them."""
    assert worded(wait) == words


def test_every_kind_has_words() -> None:
    """Every kind has words, also if nobody knows how long it takes, and for its end."""
    for kind in WaitKind:
        wait = Wait(kind, "something", 2, None)
        assert "gives up" not in worded(wait)
        assert over(wait, 42).endswith("after 42 s")


def test_times_are_never_below_zero() -> None:
    """A moment that has passed is not shown as a time to come."""
    assert span(-5) == "0 s"
    assert worded(Wait(WaitKind.SLOWED, "429", 9, -3)) == "429: the service asked for a pause, for 9 s"


# Telling it


class Scene:
    """A wait reporter with a clock, and the waits that it reports."""

    def __init__(self) -> None:
        self.clock = Clock(100.0)
        self.said = Said()
        self.kind: WaitKind | None = None
        self.since = 0.0
        self.wait_reporter = WaitReporter(self.wait, self.said, self.clock)

    def wait(self) -> Wait | None:
        if self.kind is None:
            return None
        waited = self.clock() - self.since
        return Wait(self.kind, "why", waited, 60 - waited)

    def begin(self, kind: WaitKind) -> None:
        self.kind, self.since = kind, self.clock()

    def run(self, seconds: float) -> list[str]:
        """Look four times a second, and return what was said."""
        for _ in range(round(seconds * 4)):
            self.clock.advance(0.25)
            self.wait_reporter.look()
        return self.said.take()


def test_a_wait_is_told_within_three_seconds_and_again_now_and_then() -> None:
    """One line soon, one every 12 seconds, and one when it is over."""
    scene = Scene()
    scene.begin(WaitKind.SERVICE)
    assert scene.run(1) == []
    assert len(scene.run(2)) == 1
    assert len(scene.run(37)) == 3
    scene.kind = None
    assert scene.run(0.5) == []
    assert scene.run(2) == ["the service answers again after 40 s"]
    assert scene.run(30) == []


def test_a_gap_between_two_attempts_is_no_end() -> None:
    """A moment between two attempts, in which nothing is waited for, is not reported as an end."""
    scene = Scene()
    scene.begin(WaitKind.SERVICE)
    scene.run(3)
    since, scene.kind = scene.since, None
    assert scene.run(0.75) == []
    scene.kind, scene.since = WaitKind.SERVICE, since
    assert scene.run(5) == []


def test_short_waits_are_no_news() -> None:
    """Any number of cool-downs and answers of a second is not reported."""
    scene = Scene()
    for _ in range(20):
        scene.begin(WaitKind.SLOWED)
        assert scene.run(1) == []
        scene.kind = None
        scene.run(0.25)


def test_a_slow_service_is_told_now_and_then() -> None:
    """Answers that take four seconds each are reported once in twelve seconds, and not at each end."""
    scene = Scene()
    lines = []
    for _ in range(12):
        scene.begin(WaitKind.ANSWER)
        lines += scene.run(4)
        scene.kind = None
        lines += scene.run(1.5)
    assert 4 <= len(lines) <= 6
    assert all(line.startswith("no answer from the service for ") for line in lines)


@pytest.mark.parametrize("kind", [WaitKind.PACED, WaitKind.REGISTRAR])
def test_the_end_of_a_wait_that_comes_with_each_request_is_no_news(kind: WaitKind) -> None:
    """A wait that comes with each request is reported, but not its end."""
    scene = Scene()
    scene.begin(kind)
    assert len(scene.run(11)) == 1
    scene.kind = None
    assert scene.run(5) == []


def test_another_wait_is_told_soon() -> None:
    """Another wait is reported soon, and not only after twelve seconds."""
    scene = Scene()
    scene.begin(WaitKind.SERVICE)
    scene.run(3)
    scene.begin(WaitKind.LEDGER)
    assert [line.partition(":")[0] for line in scene.run(5)] == ["waiting for the ledger"]


def test_a_bar_shows_it_in_place_of_lines() -> None:
    """Beside a progress bar nothing is printed: its text shows the wait while it lasts."""
    scene = Scene()
    scene.begin(WaitKind.SERVICE)
    with scene.wait_reporter.on_a_bar():
        assert scene.run(20) == []
        assert scene.wait_reporter.text.startswith("waiting for the service: why; gives up in 40 s")
        scene.kind = None
        scene.run(2)
        assert scene.wait_reporter.text == ""


def test_what_is_given_up_is_not_called_back() -> None:
    """A command that stops following a wait doesn't report its end."""
    scene = Scene()
    scene.begin(WaitKind.SERVICE)
    with scene.wait_reporter.following(scene.wait):
        scene.run(5)
    scene.kind = None
    assert scene.run(5) == []


# Patience


def cause(key: object, **more: object) -> Cause:
    """Return a cause that is of no further interest."""
    return Cause(key, WaitKind.SERVICE, "why", Why(Reason.UNAVAILABLE, str(key)), **more)  # type: ignore[arg-type]


def test_patience_is_of_each_cause_whatever_others_do() -> None:
    """Each cause has its own patience, whatever happens to the others."""
    clock = Clock(0.0)
    patience = Patience(5, clock)
    for second in range(6):
        patience.look([cause(1), *([cause(2)] if second % 2 else [])])
        assert patience.spent_on is None
        clock.advance(1)
    patience.look([cause(1), cause(2)])
    assert patience.spent_on == cause(1)


def test_what_made_progress_begins_anew() -> None:
    """A cause that was absent once has its whole patience again."""
    clock = Clock(0.0)
    patience = Patience(5, clock)
    for causes in ([cause(1)], [], [cause(1)]):
        patience.look(causes)
        clock.advance(4)
    patience.look([cause(1)])
    assert patience.spent_on is None
    assert patience.longest == 4


def test_the_time_on_the_queue_is_not_the_services() -> None:
    """Time on the queue doesn't count as waiting for the service; earlier waiting is kept."""
    clock = Clock(0.0)
    patience = Patience(5, clock)
    patience.look([cause(1, already=3.0)])
    for _ in range(10):
        clock.advance(1)
        patience.look([cause(1, already=3.0, counts=False)])
    assert patience.longest == 3
    assert patience.waits() == []
    clock.advance(3)
    patience.look([cause(1, already=3.0)])
    assert patience.spent_on is not None


def test_a_wait_says_what_is_left_of_patience() -> None:
    """A wait shows what is left of patience, or no end if patience is infinite."""
    clock = Clock(0.0)
    for seconds, left in ((60.0, 50.0), (float("inf"), None)):
        patience = Patience(seconds, clock)
        patience.look([cause(1, already=10.0)])
        assert patience.waits() == [Wait(WaitKind.SERVICE, "why", 10, left, by_patience=True)]


# Outages in a log


def test_an_outage_is_two_lines(caplog: pytest.LogCaptureFixture) -> None:
    """An outage is two lines, one when it begins and one when it ends; without one there is none."""
    clock, log = Clock(0.0), logging.getLogger("worker.test")
    outage = Outage(log, "Redis", "the worker waits", clock)
    outage.back()
    for _ in range(5):
        outage.gone("ConnectionError")
        clock.advance(2)
    outage.back()
    outage.back()
    assert [record.getMessage() for record in caplog.records] == [
        "Redis does not answer (ConnectionError): the worker waits",
        "Redis answers again after 10 s",
    ]


# Processes


def test_a_process_is_told_from_a_later_one_of_its_number() -> None:
    """A process isn't confused with a later one of the same number."""
    assert is_alive(process_id())
    assert is_alive(f"{platform.node()}:{os.getpid()}")
    assert not is_alive(f"{platform.node()}:{os.getpid()}.1")
    assert not is_alive(f"{platform.node()}:{2**22 + 1}.1")
    assert is_alive("elsewhere.example:1.1")
    assert not is_alive("sweep")


@pytest.mark.parametrize("process", ["", "x", "0", "-1", "\u0663", "9" * 20, f"{'9' * 5000}.7"])
def test_an_id_that_is_none_is_no_process(process: str) -> None:
    """A damaged ledger's id of a process on this machine stops no command and no page."""
    recorded = f"{platform.node()}:{process}"
    assert not is_alive(recorded)
    assert not may_interrupt(recorded)


def test_people_are_shown_machine_and_process() -> None:
    """Machine and process are shown without the start time, even if the machine's name has dots."""
    assert shown("desk.example:17.998877") == "process 17 on desk.example"
    assert shown("desk:17") == "process 17 on desk"
    assert shown("sweep") == "sweep"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes have no start times here")
def test_only_a_recorded_process_is_interrupted() -> None:
    """An id that no process of ours has recorded interrupts nobody, whoever wrote it into the ledger."""
    with subprocess.Popen(["sleep", "60"]) as process:
        recorded = process_id_of(process.pid)
        forged = (
            f"{platform.node()}:{process.pid}",
            f"{platform.node()}:0",
            f"elsewhere:{process.pid}",
            "x:y",
            "",
        )
        assert [one for one in forged if may_interrupt(one) or interrupt(one)] == []
        assert process.poll() is None
        assert may_interrupt(recorded)
        assert interrupt(recorded)
        assert process.wait(30) == -signal.SIGTERM
    assert not interrupt(recorded)
