"""The log: every request of the API, what was decided, what was done. Never a body, never a digest."""

from __future__ import annotations

import itertools
import time
from collections import deque
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(slots=True)
class Line:
    """One request."""

    number: int
    time: float
    """Arrival, seconds since 1970."""
    method: str
    path: str
    query: str
    status: int | None = None
    """What was decided, whatever the client got to see of it; None: nothing was."""
    answered: int | None = None
    """The status that went out; None: none did."""
    entries: int = 0
    committed: int = 0
    """How many credentials or realms it created, updated or deleted."""
    refused: int = 0
    faults: tuple[str, ...] = ()
    sent: str = "nothing"
    """What went out: ``whole``, ``half`` or ``nothing``."""
    seconds: float = 0.0
    """From arrival to the end of the answer."""


class Journal:
    """The log's lines, numbered from 1; complete unless it was given a limit."""

    def __init__(self, limit: int | None = None) -> None:
        self._lines: deque[Line] = deque(maxlen=limit)
        self._numbers = itertools.count(1)
        self.requests = 0

    def open(self, method: str, path: str, query: str) -> Line:
        """A new line, in the log from now on."""
        self.requests = next(self._numbers)
        line = Line(self.requests, time.time(), method, path, query)
        self._lines.append(line)
        return line

    def after(self, number: int) -> list[dict[str, Any]]:
        """The lines that follow the numbered one."""
        newest = itertools.takewhile(lambda line: line.number > number, reversed(self._lines))
        return [asdict(line) for line in newest][::-1]
