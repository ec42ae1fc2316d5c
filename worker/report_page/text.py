"""Texts from elsewhere on their way into the page: nothing of them is run, hidden or turned round."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Sequence
from typing import Any, Final

from markupsafe import Markup, escape

LONGEST: Final = 300
"""Characters of a cell, or of an error, in the page; the result files have all of them."""

_JOINERS = "\u200c\u200d"  # names in Persian or Hindi, and emojis, need them
_code = re.compile(r"`([^`]+)`")
_code_or_command = re.compile(r"`([^`]+)`|(\bsiproster (?!has\b|is\b)[^;,]+)")
_UNSAFE: Final = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
_unsafe = re.compile("[<>&\u2028\u2029]").sub


def visible(text: str) -> str:
    """Return a text with a sign for each character that is invisible, or turns the direction of others.

    >>> visible("a\\u202eb\\n")
    'a⟨U+202E⟩b␊'
    """
    return text if text.isprintable() else "".join(map(_shown, text))


def _shown(character: str) -> str:
    if character.isprintable() or character in _JOINERS or unicodedata.category(character) == "Zs":
        return character
    code = ord(character)
    return chr(0x2400 + code) if code < 0x20 else f"⟨U+{code:04X}⟩"


def cut(text: str) -> str:
    """Return a text that is not longer than a cell of the page may be."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def cut_all(texts: Sequence[str]) -> Sequence[str]:
    """Return texts that are not longer than a cell may be; nearly always the same ones."""
    return texts if max(map(len, texts), default=0) <= LONGEST else [*map(cut, texts)]


def as_json(value: Any) -> Markup:
    """Return a value as JSON that stays data inside of a ``<script>``, whatever its texts are."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return Markup(_unsafe(lambda found: _UNSAFE[found[0]], text))  # noqa: S704  no < is left in it


def rows_as_json(rows: Sequence[Sequence[Any]]) -> Markup:
    """Return rows of texts and numbers as ``as_json`` does, their texts ``visible``."""
    text = as_json(rows)
    if text.isprintable() and "\\" not in text:  # nearly every page, and asking is cheaper
        return text
    return as_json([[visible(cell) if isinstance(cell, str) else cell for cell in row] for row in rows])


def prose(text: str) -> Markup:
    """Return a sentence of ours as HTML: names between backticks are code."""
    return _marked(_code, text)


def with_command(text: str) -> Markup:
    """Return a sentence of ours as HTML: a command in it is code, too."""
    return _marked(_code_or_command, text)


def _marked(pattern: re.Pattern[str], text: str) -> Markup:
    parts, at = [], 0
    for found in pattern.finditer(text):
        before, code = text[at : found.start()], found[found.lastindex or 0]
        parts += [escape(visible(before)), Markup("<code>"), escape(visible(code)), Markup("</code>")]
        at = found.end()
    return Markup().join([*parts, escape(visible(text[at:]))])
