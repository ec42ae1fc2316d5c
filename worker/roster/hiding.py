"""Cells that give a row's secret away by their value, whatever their column is called."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from worker.model import Problem, Row

HIDDEN: Final = "<hidden>"
DIGITS: Final = 32
"""Hexadecimal digits of an MD5 digest: a cell with fewer characters holds none."""
_PASSWORD: Final = 4
"""Fewer characters keep no secret, and ``1`` or ``yes`` would hide what many columns say."""
# Exactly so many. Looked behind at the end, since a pattern that begins with digits is found faster.
digest_in: Final = re.compile(
    f"[0-9A-Fa-f]{{{DIGITS}}}(?![0-9A-Fa-f])(?<![0-9A-Fa-f]{{{DIGITS + 1}}})"
).search
_TOLD: Final = (
    Problem("cell_hidden", f"a cell that equals the password, or holds a digest, is {HIDDEN} in the results"),
)


def without_secrets(row: Row, loose: Sequence[int]) -> Row:
    """The row; carried cells that equal its password, or hold a digest, are ``<hidden>`` and warned about.

    ``loose``: positions of the carried cells that may be hidden. What the row's fields are taken from stays:
    it is sent and shown anyway, and ``retry`` needs it. So does a cell that equals the user name, which a
    password may be, too.
    """
    password = row.password
    if len(password) < _PASSWORD or password in (row.user, row.domain, row.composite):
        password = ""
    gone = {at for at in loose if (cell := row.cells[at]) and (cell == password or digest_in(cell))}
    if not gone:
        return row
    cells = tuple(HIDDEN if at in gone else cell for at, cell in enumerate(row.cells))
    return replace(row, cells=cells, warnings=row.warnings + _TOLD)
