"""Find the line with the column names, where a title, a version or blank lines stand before it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from worker.errors import UsageError
from worker.model import Options, Problem
from worker.roster.column_names import bare, password_rank, user_rank

SEARCHED: Final = 50
"""Records among which the header is looked for."""

_Record = tuple[int, Sequence[str]]
"""A line of a text or a row of a sheet, by the number that its reader sees, and its cells."""


@dataclass(frozen=True, slots=True)
class HeaderTest:
    """Tells whether a line can be the header: whether it has the columns that the options need."""

    options: Options

    def __call__(self, cells: Sequence[str]) -> bool:
        """Return whether the cells name a user's column and a password's, or both digests'."""
        names = {bare(cell) for cell in cells if cell}
        return self._has("username", cells, names) and (
            self._has("password", cells, names) or {"hash1", "hash1b"} <= names
        )

    def _has(self, field: str, cells: Sequence[str], names: set[str]) -> bool:
        mapped = self.options.map.get(field)
        if mapped:
            return bare(mapped) in names
        if field == "username":
            return bool(self.options.username) or any(user_rank(cell) is not None for cell in cells)
        return any(password_rank(cell) is not None for cell in cells)


def header_index(records: Sequence[_Record], options: Options, place: str) -> int:
    """Return the index of the record that is the header: the first one, unless only another can be it.

    ``records``: the first ones that are not blank, SEARCHED at most. ``options.header_line`` decides.

    Raises:
        UsageError: several can be, or lines before it look like rows; names them and ``--header-line``.
    """
    if options.header_line is not None:
        return _named(records, options.header_line, place)
    can_be = HeaderTest(options)
    if not records or can_be(records[0][1]):
        return 0
    found = [at for at, (_, cells) in enumerate(records[:SEARCHED]) if can_be(cells)]
    if not found:
        return 0
    if len(found) > 1:
        lines = [records[at][0] for at in found]
        raise UsageError(
            f"{place}: lines {_listed(lines)} could each be the header",
            f"choose one, such as --header-line {lines[0]}",
        )
    _refuse_rows_before(records, found[0], place)
    return found[0]


def before_header(line: int) -> Problem:
    """Return the warning that lines before the header, which is on ``line``, are not read."""
    lines = "line 1 before it is" if line == 2 else f"lines 1 to {line - 1} before it are"
    text = f"the header is on line {line}; {lines} not read; if that is wrong, use --header-line N"
    return Problem("header_found", text)


def _named(records: Sequence[_Record], line: int, place: str) -> int:
    for at, (number, _) in enumerate(records):
        if number == line:
            return at
    raise UsageError(
        f"{place}: --header-line {line}: this line is empty, or does not exist",
        "give the number of the line with the column names, counting all lines from 1",
    )


def _refuse_rows_before(records: Sequence[_Record], at: int, place: str) -> None:
    """Refuse lines before the header that are as full as it is: they may be rows, which would be lost."""
    line, header = records[at]
    filled = sum(map(bool, header))
    for other, cells in records[:at]:
        if sum(1 for cell in cells if cell.strip()) >= filled:
            raise UsageError(
                f"{place}: line {line} looks like the header, but line {other} before it like a row",
                f"--header-line {line} reads the table from there; --header-line {other} takes that one",
            )


def _listed(lines: Sequence[int]) -> str:
    return ", ".join(map(str, lines[:-1])) + f" and {lines[-1]}"
