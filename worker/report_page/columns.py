"""Columns of a roster that the page shows, and the one by which its sign-off is divided."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Final

from worker.phones.columns import find_columns, plain
from worker.report_page.text import cut

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

    def of(self, cells: Sequence[str]) -> str:
        """Return the column's text of a row's own cells."""
        if len(self.at) == 1:
            return cut(cells[self.at[0]])
        return cut(" ".join(filter(None, (cells[at] for at in self.at))))


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


def cells_reader(columns: Sequence[ShownColumn]) -> Callable[[Sequence[str]], Sequence[str]]:
    """Return a function that returns the texts of the shown columns from a row's own cells, however long.

    It calls no function of Python's own for a row, unless a column joins several: there are many rows.
    """
    if any(len(column.at) > 1 for column in columns):
        return lambda cells: [column.of(cells) for column in columns]
    positions = [column.at[0] for column in columns]
    if len(positions) > 1:
        return itemgetter(*positions)
    return itemgetter(slice(positions[0], positions[0] + 1) if positions else slice(0))


def site_column(columns: Sequence[str]) -> int | None:
    """Return the position of the column that says where a user is, or belongs to; None: there is none."""
    if at := find_columns(columns, "site"):
        return at[0]
    names = list(map(plain, columns))
    return next((names.index(name) for name in _GROUPS if name in names), None)
