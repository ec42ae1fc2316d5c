"""MAC addresses as people write them."""

from __future__ import annotations

import re

DIGITS = 12

_written = re.compile(
    r"[0-9a-f]{12}|"
    r"[0-9a-f]{2}([:. -])(?:[0-9a-f]{2}\1){4}[0-9a-f]{2}|"
    r"[0-9a-f]{4}([:. -])[0-9a-f]{4}\2[0-9a-f]{4}|"
    r"[0-9a-f]{6}[:. -][0-9a-f]{6}"
).fullmatch
_separators = re.compile("[:. -]")


def normalised(text: str) -> str:
    """Return a MAC address as twelve lower-case hex digits; empty for an empty cell.

    Raises ValueError with the reason if the text is not the address of one device.
    """
    bare = text.strip().casefold()
    if not bare:
        return ""
    if not _written(bare):
        raise ValueError(_reason(bare))
    digits = _separators.sub("", bare)
    if not int(digits, 16):
        raise ValueError("is all zeros")
    if int(digits[:2], 16) & 1:  # IEEE 802: the lowest bit of the first octet marks a group
        raise ValueError("is the address of a group, not of a device")
    return digits


def _reason(bare: str) -> str:
    digits = _separators.sub("", bare)
    if re.fullmatch("[0-9a-f]+", digits) and len(digits) != DIGITS:
        lost = "; did a spreadsheet remove leading zeros?" if len(digits) < DIGITS else ""
        return f"has {len(digits)} hex digits, not {DIGITS}{lost}"
    return "is not a MAC address, such as 00:15:65:1a:2b:3c"
