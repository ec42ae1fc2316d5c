"""The choices that options of an import offer."""

from __future__ import annotations

from enum import StrEnum


class Family(StrEnum):
    """The two families of endpoint of the Registrar API (docs/bandwidth-api.md#credentials)."""

    ACCOUNT = "account"
    """``/accounts/{a}/sipcredentials``: a name is unique on the account."""
    REALM = "realm"
    """``/accounts/{a}/realms/{id}/sipcredentials``: a name is unique on its realm."""


class OnExisting(StrEnum):
    """The treatment of a name that exists with other digests or another application."""

    SKIP = "skip"
    UPDATE = "update"
    FAIL = "fail"


class Absent(StrEnum):
    """The treatment of users who are stored on the roster's realms and not in the roster."""

    LEAVE = ""
    """They are listed if that costs no request of its own."""
    LIST = "list"
    DELETE = "delete"


class Weak(StrEnum):
    """The treatment of a weak password."""

    WARN = "warn"
    REFUSE = "refuse"
    GENERATE = "generate"


class Alphabet(StrEnum):
    """The characters of generated passwords."""

    SAFE = "safe"
    """Letters and digits without those that look alike: 0 O 1 l I."""
    LETTERS_DIGITS = "letters-digits"
    DIGITS_SYMBOLS_LETTERS = "digits-symbols-letters"
