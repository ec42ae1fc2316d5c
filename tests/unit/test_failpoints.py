"""Failpoints: nothing unless a test switches them on."""

from __future__ import annotations

import subprocess
import sys

import pytest

from worker.failpoints import POINTS, VARIABLE, Failed, Failpoints, hit


def test_nothing_happens_unless_switched_on() -> None:
    """In a process without the variable every point is passed."""
    for point in POINTS:
        hit(point, "alice")


def test_a_point_acts_at_its_time_and_only_then() -> None:
    """`@N` means the Nth time that the point is reached."""
    points = Failpoints("answered=raise@2")
    points.hit("answered")
    with pytest.raises(Failed):
        points.hit("answered")
    points.hit("answered")


def test_a_subject_is_only_its_own() -> None:
    """A point with a subject leaves the others alone, every time."""
    points = Failpoints("row/mallory=raise@*")
    points.hit("row", "alice")
    for _ in range(3):
        with pytest.raises(Failed):
            points.hit("row", "mallory")


@pytest.mark.parametrize(("action", "code"), [("exit", 70), ("kill", -9)])
def test_a_process_ends_at_a_point(action: str, code: int) -> None:
    """`exit` and `kill` end the process at the point."""
    program = "from worker.failpoints import hit; hit('claimed'); print('still here')"
    ended = subprocess.run(
        [sys.executable, "-c", program],
        env={VARIABLE: f"claimed={action}"},
        capture_output=True,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (code, b"")


@pytest.mark.parametrize("text", ["nowhere=exit", "claimed=dance", "claimed"])
def test_a_text_that_means_nothing_is_refused(text: str) -> None:
    """A misspelt failpoint is refused, so that no test passes without testing anything."""
    with pytest.raises(ValueError, match="no failpoint"):
        Failpoints(text)
