"""The source of a schedule's roster, as the ledger stores it: URLs that contain a secret are sealed."""

from __future__ import annotations

import base64

from worker.roster.source import without_secrets
from worker.seal import Seal

_SEALED = " sealed:"
"""Separates the part that anybody may see from the whole, sealed: no source contains it, blank included."""


def seal_source(seal: Seal, schedule: str, source: str) -> str:
    """Return the source in the form in which the ledger stores it."""
    plain = without_secrets(source) if "://" in source else source
    if plain == source:
        return source
    return plain + _SEALED + base64.b64encode(seal.close_over(source, _context(schedule))).decode()


def open_source(seal: Seal, schedule: str, stored: str) -> str:
    """Return the source. Raises SealBroken if its key is missing, or it belongs to another schedule."""
    _, mark, sealed = stored.partition(_SEALED)
    return str(seal.open(base64.b64decode(sealed), _context(schedule))) if mark else stored


def public_source(stored: str) -> str:
    """Return the source without secrets."""
    return stored.partition(_SEALED)[0]


def _context(schedule: str) -> str:
    return f"schedule {schedule}"
