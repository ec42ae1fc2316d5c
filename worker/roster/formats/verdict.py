"""The verdict of a parser on an entry, which travels with its record to the row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from worker.model import Problem, Row
from worker.roster.format import refuse, skip, warn

SKIP: Final = "skip"
REFUSE: Final = "refuse"
WARN: Final = "warn"
UNREAD: Final = "not read"
_SEPARATOR = "\t"


def _not_read(row: Row, code: str, text: str) -> None:
    """Refuse a row that stands for something that wasn't read: it has no other problems."""
    row.problems = (Problem(code, text),)


_DOES: Final = {SKIP: skip, REFUSE: refuse, WARN: warn, UNREAD: _not_read}


def verdict(kind: str, code: str, text: str) -> str:
    """Return the cell with a verdict: SKIP, REFUSE, WARN or UNREAD, a code of a row, and the reason."""
    return _SEPARATOR.join((kind, code, text))


def judge_by(position: int) -> Callable[[Row, Sequence[str]], None]:
    """Return the function that carries out the verdict in the cell at ``position``; empty: there is none."""

    def judge(row: Row, fields: Sequence[str]) -> None:
        if fields[position]:
            kind, code, text = fields[position].split(_SEPARATOR, 2)
            _DOES[kind](row, code, text)

    return judge
