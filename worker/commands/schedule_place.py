"""A schedule's roster in the ledger: a URL that may let somebody in is sealed, all others are plain."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from pathlib import Path

from worker.commands.screen import echo
from worker.errors import UsageError
from worker.ledger.schedule_columns import Schedule
from worker.model import Absent
from worker.roster import is_database
from worker.roster.database_address import address_of
from worker.roster.source import is_url, without_secrets
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


def absolute(source: str) -> str:
    """Return the roster's place, which doesn't depend on the current folder. Raises UsageError."""
    if is_database(source):
        address_of(source)  # refuses a password in it
        return source
    if is_url(source):
        return source
    path = Path(source).expanduser().absolute()
    if not path.exists() and not re.search(r"[*?\[]", source):
        echo(f"warning: {path} does not exist yet", "yellow")
    return str(path)


def refuse_shared(made: Schedule, others: Iterable[Schedule]) -> None:
    """Raise UsageError if users of another schedule's roster would be leavers of this one, or the reverse.

    Each of two rosters may have a realm of its own, which ``--realm`` must say.
    """
    for other in others:
        realms = {one.options.realm.casefold() for one in (made, other)}
        apart = len(realms) == 2 and "" not in realms
        same = (other.host, other.account) == (made.host, made.account) and other.source != made.source
        deletes = Absent.DELETE in (made.options.absent, other.options.absent)
        if deletes and same and other.next_slot and not apart:
            raise UsageError(
                f"schedule {other.name} imports another roster to account {made.account}: --absent delete "
                "would delete users who are only in one of the two",
                "if each has its own realm, give both schedules --realm NAME; else make one roster of both",
            )


def _context(schedule: str) -> str:
    return f"schedule {schedule}"
