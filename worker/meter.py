"""Counts of what a process does: rows, requests, waits. Nothing is counted unless somebody reads it."""

from __future__ import annotations

from collections.abc import Callable

Add = Callable[[str, float, tuple[str, ...]], None]
"""Add an amount to a count, by the values of its labels (``metrics.COUNTS`` has their names)."""

_add: Add | None = None


def count_with(add: Add | None) -> None:
    """Pass this process's counts to ``add``; None: count nothing."""
    global _add
    _add = add


def count(name: str, amount: float, *labels: str) -> None:
    """Count an amount of what ``name`` stands for. Called per batch or request, never per row."""
    if _add is not None:
        _add(name, amount, labels)


def counting() -> bool:
    """Return whether anybody reads the counts, so that those that cost something are made."""
    return _add is not None
