"""Turns: so many at once, one for each person, and each person in turn."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from worker.errors import Conflict
from worker.web.turns import Turns


class Queue:
    """Requests, each in a thread, by names whose first letter is the person's."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._ends: dict[str, threading.Event] = {}
        self._began: list[str] = []

    def ask(self, name: str) -> None:
        """Ask for a turn, and wait until it has begun or waits."""
        self._ends[name] = threading.Event()
        before = self._known(name)
        threading.Thread(target=self._take, args=(name,), daemon=True).start()
        until(lambda: self._known(name) > before)

    def end(self, name: str) -> None:
        """End a turn."""
        self._ends[name].set()

    def begin(self, *names: str) -> None:
        """Wait until these turns have begun, and see that no others have."""
        until(lambda: len(self._began) >= len(names))
        assert sorted(self._began) == sorted(names)

    def _known(self, name: str) -> int:
        return self._turns.waiting(name[0]) + sum(one[0] == name[0] for one in self._began)

    def _take(self, name: str) -> None:
        with self._turns.turn(name[0]):
            self._began.append(name)
            assert self._ends[name].wait(60)


def until(done: Callable[[], bool]) -> None:
    """Wait until something is so."""
    ends = time.monotonic() + 60
    while not done():
        assert time.monotonic() < ends
        time.sleep(0.001)


def test_nobody_takes_all_turns() -> None:
    """A person with a turn leaves the other one to others, and the next goes to who had none for longest."""
    queue = Queue(turns := Turns(2, each=1, most_waiting=2))
    for name in ("a1", "a2", "a3", "b1", "b2", "c1"):
        queue.ask(name)
    queue.begin("a1", "b1")
    with pytest.raises(Conflict, match="2 files of a are already waiting"), turns.turn("a"):
        pass
    queue.end("a1")
    queue.begin("a1", "b1", "c1")
    queue.end("b1")
    queue.begin("a1", "b1", "c1", "a2")
    queue.end("a2")
    queue.begin("a1", "b1", "c1", "a2", "b2")
    queue.end("b2")
    queue.begin("a1", "b1", "c1", "a2", "b2", "a3")
    queue.end("a3")
    queue.end("c1")


def test_somebody_alone_takes_all_turns() -> None:
    """Without sign-in everybody is one person, whose requests are served in their order."""
    queue = Queue(Turns(2, each=2, most_waiting=1))
    for name in ("a1", "a2", "a3"):
        queue.ask(name)
    queue.begin("a1", "a2")
    queue.end("a2")
    queue.begin("a1", "a2", "a3")
    queue.end("a1")
    queue.end("a3")
