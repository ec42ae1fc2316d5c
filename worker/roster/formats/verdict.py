"""The verdict of a parser on an entry, which travels with its record to the row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from worker.model import Row
from worker.roster.format import refuse, skip, warn
from worker.roster.text import Fields

SKIP: Final = "skip"
REFUSE: Final = "refuse"
WARN: Final = "warn"
_DOES: Final = {SKIP: skip, REFUSE: refuse, WARN: warn}
_SEPARATOR = "\t"


def verdict(kind: str, code: str, text: str) -> str:
    """Return the cell with a verdict: one of SKIP, REFUSE and WARN, a code of a row, and the reason."""
    return _SEPARATOR.join((kind, code, text))


def judge_by(position: int) -> Callable[[Row, Fields], None]:
    """Return the function that carries out the verdict in the cell at ``position``; empty: there is none."""

    def judge(row: Row, fields: Fields) -> None:
        if fields[position]:
            kind, code, text = fields[position].split(_SEPARATOR, 2)
            _DOES[kind](row, code, text)

    return judge
