"""The log: every request of the API, the decision and the effect. Never a body, never a digest."""

from __future__ import annotations

import itertools
import time
from collections import deque
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(slots=True)
class Line:
    """One request of the log."""

    number: int
    time: float
    """Arrival, seconds since 1970."""
    method: str
    path: str
    query: str
    status: int | None = None
    """The status that was decided, whatever the client saw of it; None if there was none."""
    answered: int | None = None
    """The status that went out; None: none did."""
    entries: int = 0
    committed: int = 0
    """The number of credentials or realms that it created, updated or deleted."""
    refused: int = 0
    faults: tuple[str, ...] = ()
    sent: str = "nothing"
    """The part of the answer that was sent: ``whole``, ``half`` or ``nothing``."""
    seconds: float = 0.0
    """From arrival to the end of the answer."""


class Journal:
    """The log's lines, numbered from 1; complete unless it was given a limit."""

    def __init__(self, limit: int | None = None) -> None:
        self._lines: deque[Line] = deque(maxlen=limit)
        self._numbers = itertools.count(1)
        self.requests = 0

    def open(self, method: str, path: str, query: str) -> Line:
        """Add a new line to the log and return it."""
        self.requests = next(self._numbers)
        line = Line(self.requests, time.time(), method, path, query)
        self._lines.append(line)
        return line

    def after(self, number: int) -> list[dict[str, Any]]:
        """Return the lines that follow the numbered one."""
        newest = itertools.takewhile(lambda line: line.number > number, reversed(self._lines))
        return [asdict(line) for line in newest][::-1]
