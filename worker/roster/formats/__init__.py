"""The roster formats that ``--from`` names, beside a plain table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from worker.roster.format import RosterFormat
from worker.roster.layout import Assignment

AUTO: Final = "auto"
"""Find the format by what the source starts with."""
GENERIC: Final = "generic"
"""A plain table with column names of ours."""

_ALL: Final[tuple[RosterFormat, ...]] = ()

FORMATS: Final[Mapping[str, RosterFormat]] = {one.name: one for one in _ALL}


def assignment_of(name: str, header: Sequence[str]) -> Assignment | None:
    """Return which columns of a header are what in the named format; None for a plain table."""
    found = FORMATS.get(name)
    return found.assign(header) if found else None
