"""Columns of a roster that the page shows, and the one by which its sign-off is divided."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from worker.phones.columns import find_columns, plain
from worker.report_page.text import cut_all

_FIRST: Final = ("name", "extension", "did", "site")
"""Columns by which a caller is found, in the order in which they are shown."""
_MOST: Final = 8
"""Columns in the page; results.csv has all."""
_USER_NAMES: Final = ("username", "user", "sipusername", "sipuser", "login")
_GROUPS: Final = (
    "group", "department", "team", "tenant", "customer", "region", "city", "abteilung", "gruppe", "equipe",
    "grupo", "departamento", "reparto", "afdeling",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ShownColumn:
    """A column of the page, which may join several of the roster's, such as first and last name."""

    label: str
    at: tuple[int, ...]

    def texts(self, own: Sequence[Sequence[str]]) -> Sequence[str]:
        """Return the column's texts of some rows, whose own cells are given column by column."""
        if len(self.at) == 1:
            return cut_all(own[self.at[0]])
        parts = zip(*[own[at] for at in self.at], strict=True)
        return cut_all([" ".join(filter(None, one)) for one in parts])


def shown_columns(columns: Sequence[str], *, names_built: bool = False) -> list[ShownColumn]:
    """Return the columns to show: those by which a caller is found, then others.

    The column of user names is only worth one if others were built (``--username``).
    """
    found = [at for field in _FIRST if (at := find_columns(columns, field))]
    used = {position for at in found for position in at}
    if not names_built:
        used |= {position for position, name in enumerate(columns) if plain(name) in _USER_NAMES}
    found += [(position,) for position in range(len(columns)) if position not in used]
    return [ShownColumn(" ".join(columns[at] for at in one), one) for one in found[:_MOST]]


def site_column(columns: Sequence[str]) -> int | None:
    """Return the position of the column that says where a user is, or belongs to; None: there is none."""
    if at := find_columns(columns, "site"):
        return at[0]
    names = list(map(plain, columns))
    return next((names.index(name) for name in _GROUPS if name in names), None)
