"""Counters of one process: rows, requests, waits. Nothing is counted unless a metrics server reads it."""

from __future__ import annotations

from collections.abc import Callable


class Meter:
    """The counts of one process. ``on`` is asked first, per batch or request: a call would cost more."""

    def __init__(self) -> None:
        self.on = False
        self._add: Callable[[str, float, tuple[str, ...]], None] | None = None

    def begin(self, add: Callable[[str, float, tuple[str, ...]], None]) -> None:
        """Pass counts to ``add``: a name (``metrics.names.COUNTED``), an amount, and values of labels."""
        self._add, self.on = add, True

    def count(self, name: str, amount: float, *labels: str) -> None:
        """Count an amount, if metrics are on. Called per batch or request, never per row."""
        if self._add:
            self._add(name, amount, labels)


METER = Meter()
"""The counts of this process."""
