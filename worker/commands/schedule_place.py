"""A schedule's roster in the ledger: a URL that may let somebody in is sealed, all others are plain."""

from __future__ import annotations

import base64

from worker.roster.source import without_secrets
from worker.seal import Seal

_SEALED = " sealed:"
"""Between the part that anybody may see and the whole, sealed: no place has a blank before such a word."""


def closed(seal: Seal, schedule: str, place: str) -> str:
    """Return the place of a schedule's roster as the ledger keeps it."""
    plain = without_secrets(place) if "://" in place else place
    if plain == place:
        return place
    return plain + _SEALED + base64.b64encode(seal.close_over(place, _context(schedule))).decode()


def opened(seal: Seal, schedule: str, kept: str) -> str:
    """Return the place again. Raises SealBroken if its key is missing, or it is another schedule's."""
    _, mark, sealed = kept.partition(_SEALED)
    return str(seal.open(base64.b64decode(sealed), _context(schedule))) if mark else kept


def shown(kept: str) -> str:
    """Return the place without secrets."""
    return kept.partition(_SEALED)[0]


def _context(schedule: str) -> str:
    return f"schedule {schedule}"
