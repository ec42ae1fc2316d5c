"""The roster formats that ``--from`` names, beside a plain table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from worker.roster.format import RosterFormat
from worker.roster.formats.asterisk import Asterisk
from worker.roster.formats.freepbx import FREEPBX
from worker.roster.formats.freeswitch import FreeSwitch
from worker.roster.formats.fusionpbx import FUSIONPBX
from worker.roster.formats.grandstream import GRANDSTREAM
from worker.roster.formats.kamailio import KAMAILIO
from worker.roster.formats.mysql_batch import MYSQL_BATCH
from worker.roster.formats.opensips import OPENSIPS
from worker.roster.formats.switchvox import SWITCHVOX
from worker.roster.formats.threecx import THREECX
from worker.roster.formats.vodia import VODIA
from worker.roster.formats.wazo import WAZO
from worker.roster.formats.yeastar import YEASTAR
from worker.roster.layout import Assignment

AUTO: Final = "auto"
"""Find the format by what the source starts with."""
GENERIC: Final = "generic"
"""A plain table with column names of ours."""

_ALL: Final[tuple[RosterFormat, ...]] = (
    FREEPBX, Asterisk(), FUSIONPBX, FreeSwitch(), KAMAILIO, OPENSIPS, MYSQL_BATCH,
    THREECX, YEASTAR, WAZO, GRANDSTREAM, SWITCHVOX, VODIA,
)  # fmt: skip

FORMATS: Final[Mapping[str, RosterFormat]] = {one.name: one for one in _ALL}


def assignment_of(name: str, header: Sequence[str]) -> Assignment | None:
    """Return which columns of a header are what in the named format; None for a plain table."""
    found = FORMATS.get(name)
    return found.assign(header) if found else None
