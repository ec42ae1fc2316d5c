"""The outcome of a call: its states, read until one is final, in words."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from worker.api import CallState
from worker.errors import SiprosterError

PLACED, ANSWERED, COMPLETED, FAILED, PENDING, UNKNOWN = (
    "placed", "answered", "completed", "failed", "pending", "unknown",
)  # fmt: skip

_FIRST_LOOK, _SLOWEST_LOOK, _SLOWER = 0.5, 5.0, 1.5
"""Seconds before the second look, before any later one, and how much longer each wait gets."""

_CAUSES = {
    "busy": "the phone was busy",
    "timeout": "nobody answered in time",
    "cancel": "it was cancelled while it rang",
    "rejected": "the phone, or the registrar on its behalf, rejected the call: is the phone registered?",
    "callback-error": "Bandwidth could not get an answer from the answer URL",
    "invalid-bxml": "the answer URL did not return valid BXML",
    "application-error": "the application asked for something that can't be done",
    "account-limit": "a limit of the account was reached",
    "node-capacity-exceeded": "Bandwidth had no capacity for the call",
    "error": "an error ended it: is the phone registered?",
    "unknown": "Bandwidth doesn't know why",
}
"""``disconnectCause`` in words (Bandwidth's documentation of the disconnect event)."""


@dataclass(frozen=True, slots=True)
class CallOutcome:
    """The outcome of a call so far, and the matching exit code."""

    outcome: str
    text: str
    exit_code: int
    seen: CallState | None = None

    def facts(self) -> dict[str, Any]:
        """Return the facts for ``--json``; null for what is not known."""
        seen = self.seen or CallState("", "", "", "", "")
        told = {
            "state": seen.state,
            "disconnect_cause": seen.cause,
            "error_message": seen.error,
            "answered": seen.answered_at,
            "ended": seen.ended_at,
        }
        return {"outcome": self.outcome, "text": self.text} | {
            name: value or None for name, value in told.items()
        }


class Readable(Protocol):
    """A protocol for reading calls: ``worker.api.Calls``."""

    def read(self, call_id: str) -> CallState | None:
        """Return the call's current state; None if it can't be read. Raises SiprosterError."""


def placed() -> CallOutcome:
    """Return the outcome of a call that is not waited for."""
    return CallOutcome(PLACED, "the service accepted it; its outcome was not waited for", 0)


def follow(
    calls: Readable,
    call_id: str,
    wait: float,
    *,
    notify: Callable[[str], None],
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> CallOutcome:
    """Read the call until it is answered, over, or ``wait`` seconds have passed. ``notify``: each new state.

    If the service goes away meanwhile, the outcome is UNKNOWN with that error's exit code.
    """
    end, pause, last = clock() + wait, _FIRST_LOOK, ""
    while True:
        try:
            seen = calls.read(call_id)
        except SiprosterError as error:
            return CallOutcome(UNKNOWN, f"its outcome can't be queried: {error.message}", error.exit_code)
        shown = seen.state if seen else "can't be queried yet, which is normal for a new call"
        if shown != last:
            notify(shown)
            last = shown
        outcome = judged(seen, wait)
        if outcome.outcome != PENDING or clock() >= end:
            return outcome
        sleep(min(pause, max(end - clock(), 0)))
        pause = min(pause * _SLOWER, _SLOWEST_LOOK)


def judged(seen: CallState | None, wait: float) -> CallOutcome:
    """Return the outcome that a state means; PENDING if more waiting may settle it."""
    if seen is None:
        return CallOutcome(
            PENDING, f"it can't be queried after {wait:g} s, so it is not known whether it rang", 5
        )
    if not seen.over:
        if seen.was_answered:
            return CallOutcome(ANSWERED, "it was answered", 0, seen)
        return CallOutcome(
            PENDING, f"it is {seen.state} after {wait:g} s, neither answered nor over", 5, seen
        )
    why = _why(seen)
    if not seen.was_answered:
        return CallOutcome(FAILED, f"it did not get through: {why}", 10, seen)
    ended = "" if seen.cause in ("", "hangup") else f"; then it ended: {why}"
    return CallOutcome(
        COMPLETED, f"it was answered{ended}" if ended else "it was answered and is over", 0, seen
    )


def _why(seen: CallState) -> str:
    words = _CAUSES.get(seen.cause, "")
    cause = f"{words} ({seen.cause})" if words else seen.cause or "no cause was given"
    return f"{cause}: {seen.error}" if seen.error else cause
