"""The limits of configuration files: filters for templates, which refuse a value rather than change it.

Sources and what no source tells: docs/phones.md.
"""

from __future__ import annotations

import re
import unicodedata


class Unfit(Exception):
    """Raised when a value can't be written so that the phone reads the same; the text never shows it."""

    def __init__(self, reason: str, value: str = "") -> None:
        """``value``: the one that can't be written, to find out which it is."""
        super().__init__(reason)
        self.value = value


_yealink = re.compile(r"[A-Za-z0-9 !$%&'()*+,\-./:=?@\[\]^_{|}~]*").fullmatch
_yealink_word = re.compile(r"%(?:NULL|EMPTY)%|\$(?:MAC|IP|MODEL|PN|CONF)", re.IGNORECASE).search
_no_label = re.compile(r'["<>#;%$&\\=`]')
_LONGEST_LABEL = 60


def written(value: object) -> str:
    """Return a value as text. Raises Unfit if it would begin a line of its own, or can't be written."""
    text = str(value)
    if not printable(text):
        raise Unfit("it has a line break or another control character", text)
    return text


def exact(value: object) -> str:
    """Return a value unchanged. Raises Unfit if it isn't ASCII or has blanks at its ends.

    Phones differ in the encoding they hash and in the blanks they keep, and their manuals don't say.
    """
    text = str(value)
    if not text.isascii():
        raise Unfit("it has characters beyond ASCII, and how phones read them is not documented", text)
    if text != text.strip():
        raise Unfit("it has blanks at its ends, which the phone may remove", text)
    return text


def yealink(value: object) -> str:
    """Return a value for a Yealink ``.cfg`` file, which has no quoting. Raises Unfit."""
    text = exact(value)
    if not _yealink(text):
        raise Unfit("Yealink files have no quoting, so it can't contain any of \" # ; < > \\ `", text)
    if _yealink_word(text):
        raise Unfit("it contains a word that Yealink replaces, such as %NULL% or $MAC", text)
    return text


def baresip(value: object) -> str:
    """Return a value between double quotes for baresip's ``accounts`` file. Raises Unfit.

    There is no escape for a quote, and a backslash before the last quote takes the quote's meaning away.
    """
    text = written(value)
    if '"' in text or text.endswith("\\"):
        raise Unfit("baresip's accounts file can't hold a \" or a \\ at the end", text)
    return f'"{text}"'


def label(value: object) -> str:
    """Return a text for the display, without characters that have a meaning in some configuration file."""
    shown = "".join(c if printable(c) else " " for c in str(value))
    return " ".join(_no_label.sub(" ", shown).split())[:_LONGEST_LABEL]


def printable(text: str) -> bool:
    """Return whether no character ends a line, controls anything, or can't be written at all."""
    return text.isprintable() or not any(unicodedata.category(c) in _UNWRITABLE for c in text)


_UNWRITABLE = frozenset({"Cc", "Cs", "Zl", "Zp", "Cn"})

FILTERS = {"exact": exact, "yealink": yealink, "baresip": baresip, "label": label}
"""Filters by the names that templates call them."""
