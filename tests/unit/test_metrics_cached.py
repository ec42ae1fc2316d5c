"""What is read for a scrape: kept for a moment, and never waited for longer than a moment."""

from __future__ import annotations

import threading
import time

from worker.errors import LedgerAway
from worker.metrics.cached import Cached


def test_a_result_is_kept() -> None:
    """Scrapes that follow each other read once; later ones read again."""
    calls: list[int] = []

    def read() -> int:
        calls.append(1)
        return len(calls)

    cached = Cached(read, kept=60)
    assert [cached.get() for _ in range(3)] == [1, 1, 1]
    anew = Cached(read, kept=0)
    assert [anew.get(), anew.get()] == [2, 3]


def test_a_server_that_hangs_holds_nothing_up() -> None:
    """Nobody waits longer than a moment, only one reading hangs, and its result is used once it is there."""
    answers, calls = threading.Event(), []

    def read() -> str:
        calls.append(1)
        answers.wait(60)
        return "there"

    cached = Cached(read, kept=60, patience=0.05)
    began = time.monotonic()
    assert [cached.get() for _ in range(5)] == [None] * 5
    assert time.monotonic() - began < 5
    assert calls == [1]
    assert cached.failed_at >= began
    answers.set()
    until = time.monotonic() + 60
    while cached.get() is None:
        assert time.monotonic() < until
    assert calls == [1]


def test_a_failure_is_no_result() -> None:
    """A server that is away gives None, and is asked again; so does an error that nobody expected."""
    results: list[Exception | int] = [LedgerAway("away"), ValueError("x"), 7]

    def read() -> int:
        result = results.pop(0)
        if isinstance(result, Exception):
            raise result
        return result

    cached = Cached(read, kept=0)
    assert [cached.get() for _ in range(3)] == [None, None, 7]
