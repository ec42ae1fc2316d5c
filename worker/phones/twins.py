"""Phones that share what only one can have: a MAC address, or a file."""

from __future__ import annotations

from collections.abc import Sequence

from worker.roster import DuplicateIndex


class Twins:
    """The lines that share a key, found in one pass over all rows; a context manager's content."""

    def __init__(self, index: DuplicateIndex) -> None:
        self._index = index
        self._other: dict[tuple[int, str], int] = {}

    def add(self, keys: Sequence[tuple[int, str]]) -> None:
        """Add a page of keys, each with its row's line. Letter case makes no difference, as on some disks."""
        names = [key.casefold() for _, key in keys]
        lines = [line for line, _ in keys]
        for (line, _), name, first in zip(keys, names, self._index.first_lines(names, lines), strict=True):
            if first != line:
                self._other[line, name] = first
                self._other.setdefault((first, name), line)

    def other(self, line: int, key: str) -> int | None:
        """Return the line of another row with this key, or None."""
        return self._other.get((line, key.casefold()))
