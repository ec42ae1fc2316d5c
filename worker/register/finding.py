"""What is asked about a row, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Verdict(StrEnum):
    """Whether a user can register; the values of ``bw__verify``."""

    REGISTERS = "registers"
    """The registrar took the password."""
    WRONG_PASSWORD = "wrong_password"  # noqa: S105 (a word, no password)
    """It refused the credentials: 401, 407 or 403 to a REGISTER that carried them."""
    REFUSED = "refused"
    """It refused the user for another reason, or before it asked for a password."""
    NO_ANSWER = "no_answer"
    """Nobody answered, or nobody is there."""
    CANNOT_TELL = "cannot_tell"
    """What came back proves nothing about the password."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A row to be tried. ``user`` is the composite name, ``host`` the realm's full host name."""

    line: int
    user: str
    host: str
    password: str = field(repr=False)
    digests: tuple[str, str] | None = field(default=None, repr=False)
    """Hash1 and Hash1b, where there is no password: they let their user in just as well."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of one row."""

    verdict: Verdict
    error: str = ""
    """Why, in a sentence without any secret; empty where the user registers."""
    bindings: int | None = None
    """How many phones are registered as this user now; None: not known."""


class Undecided(Exception):
    """Something other than an answer; carries what is to be said of the row."""

    verdict = Verdict.CANNOT_TELL

    @property
    def finding(self) -> Finding:
        """The row's."""
        return Finding(self.verdict, str(self))


class NoAnswer(Undecided):
    """A time-out, no connection, or one that broke: another server of the realm may answer."""

    verdict = Verdict.NO_ANSWER


class Broke(NoAnswer):
    """A connection ended under a request: perhaps only an idle one, which the server had closed already."""
