"""A row to be tried, and its result."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Verdict(StrEnum):
    """The outcome of a registration attempt; the values of ``bw__verify``."""

    REGISTERS = "registers"
    """The registrar took the password."""
    WRONG_PASSWORD = "wrong_password"  # noqa: S105 (a word, no password)
    """It refused the credentials: 401, 407 or 403 to a REGISTER that carried them."""
    REFUSED = "refused"
    """It refused the user for another reason, or before it asked for a password."""
    NO_ANSWER = "no_answer"
    """No server answered, or none is there."""
    CANNOT_TELL = "cannot_tell"
    """The answer proves nothing about the password."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A row to be tried. ``user`` is the composite name, ``host`` the realm's full host name."""

    line: int
    user: str
    host: str
    password: str = field(repr=False)
    digests: tuple[str, str] | None = field(default=None, repr=False)
    """Hash1 and Hash1b, if there is no password: they authenticate the user just as well."""


@dataclass(frozen=True, slots=True)
class RegisterResult:
    """The result of one row."""

    verdict: Verdict
    error: str = ""
    """The reason, in a sentence without secrets; empty if the user registers."""
    bindings: int | None = None
    """The number of phones registered as this user now; None if it is not known."""


class Undecided(Exception):
    """Raised in place of an answer; holds the result to be reported for the row."""

    verdict = Verdict.CANNOT_TELL

    @property
    def result(self) -> RegisterResult:
        """Return the row's result."""
        return RegisterResult(self.verdict, str(self))


class NoAnswer(Undecided):
    """A time-out, or no connection, or one that broke; another server of the realm may answer."""

    verdict = Verdict.NO_ANSWER


class Broke(NoAnswer):
    """The connection ended during a request; perhaps the server had already closed it as idle."""
