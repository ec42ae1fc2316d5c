"""Names of all settings, their defaults, and the types of options in the file."""

from __future__ import annotations

import datetime as dt
import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress

DEFAULTS = {
    "SIPROSTER_BROKER": "",
    "SIPROSTER_LEDGER": "",
    "SIPROSTER_KEY": "",
    "SIPROSTER_API_PATH": "/api/v2",
    "SIPROSTER_ALLOW_HTTP": "",
    "BW_ACCOUNT_ID": "",
    "BW_CLIENT_ID": "",
    "BW_CLIENT_SECRET": "",
    "BW_USERNAME": "",
    "BW_PASSWORD": "",
    "BW_ENVIRONMENT": "prod",
    "BW_API_URL": "",
    "BW_VOICE_URL": "",
}
"""Every setting; empty: not set, or made from others."""

FLAGS = {"BW_ACCOUNT_ID": "account"}
"""Settings that a flag can set, too. None is a secret, which would show in ``ps``."""

_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?) ?([dhDH]?)").fullmatch

SECRETS = frozenset({"SIPROSTER_KEY", "BW_CLIENT_SECRET", "BW_PASSWORD"})
"""Never shown."""


def _text(value: object) -> str:
    if isinstance(value, str) and "\0" not in value:  # no variable and no argument can hold one
        return value
    raise TypeError("text in quotes, without NUL")


def _flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise TypeError("true or false")


def _absent(value: object) -> str | None:
    """Return ``list`` or ``delete``; ``absent = true`` is ``--absent`` alone."""
    return ("list" if value else None) if isinstance(value, bool) else _text(value)


def _whole(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise TypeError("a whole number")


def _number(value: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        with suppress(OverflowError):
            return float(value)
    raise TypeError("a number that is not too large")


def text_or_whole(value: object) -> str:
    """Return a text; a whole number is accepted as one: ``max-failed = 5``, ``BW_ACCOUNT_ID = 5001234``."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else _text(value)


def days_of(text: str) -> float:
    """Return the days of a duration: ``90d``, ``12h``, or ``90``, which is days. Raises TypeError."""
    if found := _DURATION(text.strip()):
        return float(found[1]) / (24 if found[2] in ("h", "H") else 1)
    raise TypeError("a duration in days or hours, such as 90d or 12h")


def _duration(value: object) -> float:
    """Return days; a number is accepted as one of days."""
    return days_of(value) if isinstance(value, str) else days_of(str(_number(value)))


def _count(value: object) -> int:
    """Return a whole number that is not negative."""
    if (number := _whole(value)) < 0:
        raise TypeError("0 or more")
    return number


def _time(value: object) -> str:
    """Return a time, from ISO 8601 or TOML's own notation."""
    return value.isoformat() if isinstance(value, dt.datetime) else _text(value)


def _texts(value: object) -> tuple[str, ...]:
    return tuple(map(_text, value)) if isinstance(value, list) else (_text(value),)


def _pairs(value: object) -> tuple[str, ...]:
    """Return ``FIELD=COLUMN`` texts, from a table or from a list of the option's values."""
    if isinstance(value, dict):
        return tuple(f"{name}={_text(column)}" for name, column in value.items())
    return _texts(value)


def _choice(*words: str) -> Callable[[object], object]:
    def one_of(value: object) -> str:
        if isinstance(value, str) and value in words:
            return value
        raise TypeError(f"one of {', '.join(words)}")

    return one_of


OPTIONS: Mapping[str, Callable[[object], object]] = {
    "absent": _absent,
    "answer-url": _text,
    "api": _text,
    "application": _text,
    "batch-size": _whole,
    "blanks": _text,
    "call-from": _text,
    "call-wait": _number,
    "carry": _texts,
    "chunk-size": _whole,
    "concurrency": _whole,
    "create-realm": _flag,
    "delimiter": _text,
    "domain": _text,
    "encoding": _text,
    "excel": _flag,
    "header-line": _whole,
    "exit-on-change": _flag,
    "four-eyes": _flag,
    "from": _text,
    "generate-passwords": _text,
    "keep-days": _number,
    "keep-last": _count,
    "limit": _whole,
    "make-default": _flag,
    "map": _pairs,
    "max-changes": text_or_whole,
    "max-failed": text_or_whole,
    "max-upload": text_or_whole,
    "normalize": _text,
    "not-before": _time,
    "not-after": _time,
    "on-existing": _text,
    "origin": _text,
    "password-alphabet": _text,
    "password-length": _whole,
    "patience": _number,
    "progress": _choice("auto", "lines", "json", "none"),
    "query": _text,
    "rate": _number,
    "realm": _text,
    "require-rows": _whole,
    "results": _text,
    "retention": _duration,
    "resume-days": _number,
    "rotate": _flag,
    "serve-host": _text,
    "serve-port": _whole,
    "sheet": text_or_whole,
    "sign-in": _flag,
    "skip": _whole,
    "tls-cert": _text,
    "tls-key": _text,
    "username": _text,
    "weak": _text,
    "where": _pairs,
}
"""Options of ``import``, ``plan``, ``call``, ``serve`` and ``scheduler``: what each must be in the file.

``retention`` (in days) and ``keep-last`` are the scheduler's, and apply to the whole ledger.
``call-from`` and ``call-wait`` are ``--from`` and ``--wait`` of ``call``: ``from`` is a roster's format.
``serve-host`` and ``serve-port`` are ``--host`` and ``--port`` of ``serve``.
"""

OF_LEDGER = frozenset({"keep-last", "retention"})
"""Options that apply to the whole ledger, and so can't differ from profile to profile."""


def guess(word: str, known: Iterable[str]) -> str:
    """Return a hint for an unknown name: the nearest known one, or all of them."""
    folded = {name.casefold(): name for name in sorted(known)}
    if not folded:
        return "it has no [profile.NAME] table"
    near = difflib.get_close_matches(word.casefold(), folded, n=1)
    return f"did you mean {folded[near[0]]}?" if near else f"known: {', '.join(folded.values())}"
