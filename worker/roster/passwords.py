"""Weak or suspicious passwords. No text here shows one, or a character of one."""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final

from worker.model import Problem
from worker.roster.damage import damaged

SHORT: Final = 8
"""Passwords with fewer characters are short."""
MANY: Final = 5
"""Least rows with one password that count as sharing it."""
_BUCKET = 50_000
_LONGEST_PIN = 6
_pin = re.compile(f"[0-9]{{4,{_LONGEST_PIN}}}").fullmatch


_ODDITIES: Final[tuple[tuple[Callable[[str], object], Problem], ...]] = (
    (
        lambda password: password != password.strip(),
        Problem("password_space", "password: begins or ends with white space"),
    ),
    (
        re.compile("[\r\n]").search,
        Problem("password_control", "password: contains a line break; did an open quote swallow other rows?"),
    ),
    (
        re.compile("[\x00-\x09\x0b\x0c\x0e-\x1f\x7f-\x9f]").search,
        Problem("password_control", "password: contains a control character"),
    ),
    (
        re.compile("[\u2018-\u201f\u00a0\u2007\u202f\u200b-\u200d\u2060\ufeff\ufffd]").search,
        Problem(
            "password_typographic",
            "password: contains a curly quote, a no-break space or an invisible character",
        ),
    ),
    (damaged, Problem("spreadsheet_damage", "password: may have been rewritten by a spreadsheet")),
)
"""Possible slips of the file's author."""


def oddities(password: str) -> list[Problem]:
    """Return warnings about a suspicious password, which is used as it is."""
    return [problem for test, problem in _ODDITIES if test(password)]


is_masked = re.compile("[*\u2022\u25cf]+").fullmatch
"""Match a password that an export has masked: if used, anybody who guesses so could register."""


def weaknesses(password: str, user: str, domain: str, shared: bool) -> tuple[Problem, ...]:
    """Return one problem with all reasons why the password is weak; empty if it isn't."""
    return _weak(len(password) < SHORT, password.isdecimal(), is_name(password, user, domain), shared)


@functools.cache
def _weak(*true: bool) -> tuple[Problem, ...]:
    told = (
        f"shorter than {SHORT} characters",
        "digits only",
        "equal to the user name",
        "shared by many rows",
    )
    reasons = [reason for reason, holds in zip(told, true, strict=True) if holds]
    return (Problem("weak_password", f"password: {', '.join(reasons)}"),) if reasons else ()


def is_name(password: str, user: str, domain: str) -> bool:
    """Return whether it is the user name, with or without the domain, in any case."""
    folded = password.casefold()
    if domain or "@" in user:
        composite = f"{user}@{domain}".casefold()
        return folded in (composite, user.casefold(), composite.partition("@")[0])
    return folded == user.casefold()


class Survey:
    """Statistics from the first pass over a roster's records and passwords, in bounded memory.

    Passwords are counted by their keyed hashes (Python's own, with a new key in each process), by lossy
    counting: after each bucket of 50,000 every count is decreased by one, and counts that reach zero are
    dropped. So some 100,000 counts are kept, however long the file is, and a password's count is too low by
    at most one for every 50,000 rows: sharing by 5 rows is found below that size, by 25 in a million.
    """

    def __init__(self) -> None:
        self.records = 0
        self.filled = 0
        self.pins = 0
        self._counts: Counter[int] = Counter()
        self._forget_at = _BUCKET

    def add(self, records: int, passwords: Iterable[str]) -> None:
        """Count a group of records' passwords; empty ones are skipped."""
        self.records += records
        filled = [password for password in passwords if password]
        self.filled += len(filled)
        self.pins += sum(1 for password in filled if len(password) <= _LONGEST_PIN and _pin(password))
        self._counts.update(map(hash, filled))
        if self.filled >= self._forget_at:
            self._forget_at += _BUCKET
            self._counts = Counter({key: count - 1 for key, count in self._counts.items() if count > 1})

    @property
    def looks_like_pins(self) -> bool:
        """Return whether most passwords are 4 to 6 digits."""
        return self.pins * 2 > self.filled

    def shared(self) -> frozenset[int]:
        """Return the hashes of passwords that at least MANY rows have."""
        return frozenset(key for key, count in self._counts.items() if count >= MANY)
