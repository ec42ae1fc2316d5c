"""Named points where a test may make this process end or fail. Without the variable nothing happens.

``SIPROSTER_FAILPOINTS`` is a comma-separated list of ``POINT[/SUBJECT]=ACTION[@N]``: at the Nth time
(the first, when left out) that the point is reached (with that subject), the process exits (``exit``),
kills itself (``kill``) or raises (``raise``); ``ACTION@*`` does so every time. The points:

================= ==============================================================
planned_page      a page of the roster is in the ledger, more may follow
passwords_written the generated passwords are on the disk, and their file does not have them yet
planned           the whole roster is in the ledger, nothing is on the queue yet
claimed           a chunk was claimed, nothing of it was sent by this claim
row               a row's digests are about to be made; subject: its user name
intended          how a credential was is in the ledger, it hasn't been changed yet
answered          the service has answered a batch, the ledger doesn't know it yet
recorded          a batch's outcomes are in the ledger
taken_back        a credential is as it was before, the ledger doesn't know it yet
undone            what was taken back is in the ledger, more may follow
ending            every row of a chunk has its outcome, the chunk hasn't ended yet
================= ==============================================================
"""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from collections.abc import Mapping
from typing import Final

VARIABLE: Final = "SIPROSTER_FAILPOINTS"
POINTS: Final = frozenset(
    {
        "planned_page",
        "passwords_written",
        "planned",
        "claimed",
        "row",
        "intended",
        "answered",
        "recorded",
        "ending",
        "taken_back",
        "undone",
    }
)


class Failed(RuntimeError):
    """Raised by the action ``raise``: an internal fault, as far as the program can tell."""


class Failpoints:
    """The points that are switched on. Raises ValueError for a text that names no point or action."""

    def __init__(self, text: str) -> None:
        self._armed: Mapping[str, tuple[str, str]] = dict(map(_parsed, filter(None, text.split(","))))
        self._reached: Counter[str] = Counter()
        self._lock = threading.Lock()

    def hit(self, point: str, subject: str = "") -> None:
        """Act if a test has armed this point (for this subject)."""
        if self._armed:
            self._act(point)
            if subject:
                self._act(f"{point}/{subject}")

    def _act(self, point: str) -> None:
        action, number = self._armed.get(point, ("", ""))
        if not action:
            return
        with self._lock:
            self._reached[point] += 1
            due = number == "*" or self._reached[point] == int(number)
        if due:
            _ACTIONS[action]()


def _exit() -> None:
    os._exit(70)


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _raise() -> None:
    raise Failed("a failpoint")


_ACTIONS = {"exit": _exit, "kill": _kill, "raise": _raise}


def _parsed(text: str) -> tuple[str, tuple[str, str]]:
    point, _, action = text.strip().partition("=")
    action, _, number = action.partition("@")
    if point.partition("/")[0] not in POINTS or action not in _ACTIONS:
        raise ValueError(f"{VARIABLE}: {text!r} is no failpoint")
    return point, (action, number or "1")


hit = Failpoints(os.environ.get(VARIABLE, "")).hit
"""The function that the program calls at each point."""
