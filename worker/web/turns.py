"""Turns to read a file: so many at once, a few for each person, and each person in turn."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from worker.errors import Conflict


class Turns:
    """Turns, ``at_once`` in all and ``each`` at most for one person.

    A free one goes to the person whose last turn began the longest ago, and of theirs to the first request.
    """

    def __init__(self, at_once: int, each: int, most_waiting: int) -> None:
        self._free = at_once
        self._each = each
        self._most_waiting = most_waiting
        self._changed = threading.Condition()
        self._count = itertools.count()
        self._waiting: dict[int, str] = {}
        """Request to person, in the order of the requests."""
        self._taken: Counter[str] = Counter()
        self._last: dict[str, int] = {}
        """Person to when their last turn began, as a number that grows."""

    def waiting(self, person: str) -> int:
        """Return how many requests of a person wait."""
        with self._changed:
            return Counter(self._waiting.values())[person]

    @contextmanager
    def turn(self, person: str) -> Iterator[None]:
        """Wait for a turn, which lasts as long as the block. Raises Conflict if too many wait already."""
        with self._changed:
            if self.waiting(person) >= self._most_waiting:
                raise Conflict(
                    f"{self._most_waiting} files of {person} are already waiting to be read",
                    "wait until some of them have been read, then start it again",
                )
            request = next(self._count)
            self._waiting[request] = person
            self._changed.wait_for(lambda: self._next() == request)
            del self._waiting[request]
            self._last[person] = next(self._count)
            self._take(person, 1)
        try:
            yield
        finally:
            with self._changed:
                self._take(person, -1)

    def _take(self, person: str, number: int) -> None:
        self._free -= number
        self._taken[person] += number
        self._changed.notify_all()

    def _next(self) -> int | None:
        """Return the request that may begin now; None if none may."""
        if not self._free:
            return None
        may = [(self._last.get(person, -1), request) for request, person in self._waiting.items()
               if self._taken[person] < self._each]  # fmt: skip
        return min(may)[1] if may else None
