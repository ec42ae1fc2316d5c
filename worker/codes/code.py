"""One code, and the command that may bring a row with it into place."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Cure(StrEnum):
    """The command that may bring a row with this code into place."""

    NONE = ""
    CORRECT = "correct"
    """`retry` with a corrected failed.csv."""
    RETRY = "retry"
    """`retry` as it is: nothing is wrong with the row."""
    UPDATE = "update"
    """`retry --on-existing update`."""


@dataclass(frozen=True, slots=True)
class Code:
    """One code. ``meaning`` and ``advice`` are sentences without a full stop."""

    name: str
    meaning: str
    advice: str
    cure: Cure = Cure.NONE
    again: str = ""
    """The advice when the job was a retry already; empty: the same."""
    effect: str = ""
    """The effect on the row or the job; empty: that of the table, or of the reason."""
    command: str = ""
    """The command to type; empty: that of the cure, or of the reason."""

    def after(self, *, retried: bool) -> tuple[str, Cure]:
        """Return the advice and the command; ``retried``: a retry has just ended with this code."""
        return (self.again, Cure.NONE) if retried and self.again else (self.advice, self.cure)
