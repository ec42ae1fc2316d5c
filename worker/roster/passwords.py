"""What is weak or odd about a password. No text here shows one, or a character of one."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Final

from worker.model import Problem
from worker.roster.damage import damaged

SHORT: Final = 8
"""Fewer characters are short."""
MANY: Final = 5
"""So many rows with one password share it."""
_BUCKET = 50_000
_pin = re.compile("[0-9]{4,6}").fullmatch
_control = re.compile("[\x00-\x1f\x7f-\x9f]").search
_typographic = re.compile("[\u2018-\u201f\u00a0\u2007\u202f\u200b-\u200d\u2060\ufeff\ufffd]").search
_masked = re.compile("[*\u2022\u25cf]+").fullmatch


def weaknesses(password: str, user: str, domain: str, shared: bool) -> list[str]:
    """Why the password is weak; empty: it isn't."""
    names = (user, user.partition("@")[0], f"{user}@{domain}")
    reasons = (
        (len(password) < SHORT, f"shorter than {SHORT} characters"),
        (password.isdecimal(), "digits only"),
        (password.casefold() in [name.casefold() for name in names], "equal to the user name"),
        (shared, "shared by many rows"),
    )
    return [reason for true, reason in reasons if true]


def oddities(password: str) -> list[Problem]:
    """What may be a slip of the file's author: told, but the password is used as it is."""
    found = (
        (password != password.strip(), "password_space", "password: white space at its start or end"),
        (_control(password), "password_control", f"password: a {_control_kind(password)}"),
        (
            _typographic(password),
            "password_typographic",
            "password: a typographic quote, no-break or invisible character",
        ),
        (damaged(password), "spreadsheet_damage", "password: looks as if a spreadsheet had rewritten it"),
        (_masked(password), "password_masked", "password: looks masked; the export hid the real one"),
    )
    return [Problem(code, text) for true, code, text in found if true]


def _control_kind(password: str) -> str:
    if "\n" in password or "\r" in password:
        return "line break in it; is a quote open, so that it swallowed other rows?"
    return "control character in it"


class Survey:
    """What the first pass learns of a roster's records and their passwords, in bounded memory.

    Passwords are counted by their keyed hashes (Python's own, keyed anew in each process), by lossy
    counting: after each bucket of 50,000 the count of every one falls by one, and what reaches
    nought is forgotten. So at most about 100,000 counts are kept, and a password's count is too low by
    at most one for every 50,000 rows: sharing by 5 rows is found up to that size, by 25 in a million.
    """

    def __init__(self) -> None:
        self.records = 0
        self.filled = 0
        self.pins = 0
        self._counts: Counter[int] = Counter()
        self._forget_at = _BUCKET

    def add(self, records: int, passwords: Iterable[str]) -> None:
        """Takes those of a group of records; empty ones don't count."""
        self.records += records
        filled = [password for password in passwords if password]
        self.filled += len(filled)
        self.pins += sum(map(bool, map(_pin, filled)))
        self._counts.update(map(hash, filled))
        if self.filled >= self._forget_at:
            self._forget_at += _BUCKET
            self._counts = Counter({key: count - 1 for key, count in self._counts.items() if count > 1})

    @property
    def looks_like_pins(self) -> bool:
        """Whether most of them are 4 to 6 digits."""
        return self.pins * 2 > self.filled

    def shared(self) -> frozenset[int]:
        """Hashes of the passwords that at least MANY rows have."""
        return frozenset(key for key, count in self._counts.items() if count >= MANY)
