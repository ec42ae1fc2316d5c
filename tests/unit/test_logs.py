"""JSON log lines: what they say, what they are about, and what they leave out."""

from __future__ import annotations

import json
import logging
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

from worker.logs import JsonLine, about


def line(message: str = "x", *args: object, **more: Any) -> dict[str, Any]:
    """The facts of one line, as ``jq`` would read it."""
    record = logging.getLogger("worker.x").makeRecord("worker.x", logging.INFO, "", 0, message, args, **more)
    text = JsonLine().format(record)
    assert "\n" not in text
    assert text.isascii()
    found: dict[str, Any] = json.loads(text)
    return found


def test_a_line_is_one_object() -> None:
    """Line ends, escapes and foreign letters stay in the message, and control no terminal."""
    found = line("a\nb \x1b[31m %s", "ü", exc_info=None)
    assert found["message"] == "a\nb \x1b[31m ü"
    assert (found["level"], found["logger"]) == ("info", "worker.x")
    assert found["time"].endswith("Z")


def test_subjects_are_those_of_the_block() -> None:
    """Blocks within blocks add to what a line is about; a line's own subjects come first."""
    with about(job="j", chunk=1):
        with about(chunk=2, account="a"):
            inner = line(exc_info=None, extra={"line": 7, "chunk": 3})
        outer = line(exc_info=None)
    assert {name: inner[name] for name in ("job", "chunk", "account", "line")} == {
        "job": "j", "chunk": 3, "account": "a", "line": 7,
    }  # fmt: skip
    assert (outer["chunk"], "account" in outer, "job" in line(exc_info=None)) == (1, False, False)


def test_threads_with_the_context_are_about_the_same() -> None:
    """Many threads at once can log about what the one that started them works on."""
    started = threading.Barrier(3)

    def say() -> dict[str, Any]:
        started.wait(10)
        return line(exc_info=None)

    with ThreadPoolExecutor(3) as executor, about(job="j"):
        futures = [executor.submit(copy_context().run, say) for _ in range(3)]
    assert [future.result()["job"] for future in futures] == ["j"] * 3


def test_an_exception_is_named_alone() -> None:
    """Neither its text nor its traceback is logged: they may hold a secret."""
    try:
        raise ValueError("hunter2-canary")
    except ValueError:
        found = line("failed", exc_info=sys.exc_info())
    assert found["exception"] == "ValueError"
    assert "canary" not in json.dumps(found)
