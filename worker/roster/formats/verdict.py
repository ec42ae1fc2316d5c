"""The verdict of a parser on an entry, which travels with its record to the row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from worker.model import Problem, Row
from worker.roster.format import refuse, skip, warn
from worker.roster.formats.digests import give_up_password

SKIP: Final = "skip"
REFUSE: Final = "refuse"
WARN: Final = "warn"
UNREAD: Final = "not read"
OUTDATED: Final = "outdated"
_SEPARATOR = "\t"
_END = "\n"


def _not_read(row: Row, code: str, text: str) -> None:
    """Refuse a row that stands for something that wasn't read: it has no other problems."""
    row.problems = (Problem(code, text),)


_DOES: Final = {SKIP: skip, REFUSE: refuse, WARN: warn, UNREAD: _not_read, OUTDATED: give_up_password}


def verdict(kind: str, code: str, text: str) -> str:
    """Return the cell with a verdict: SKIP, REFUSE, WARN, UNREAD or OUTDATED, a code of a row, the reason.

    Several can be joined: each ends with a line end.
    """
    return _SEPARATOR.join((kind, code, text.replace(_END, " "))) + _END


def judge_by(position: int) -> Callable[[Row, Sequence[str]], None]:
    """Return the function that carries out the verdicts in the cell at ``position``, if there are any."""

    def judge(row: Row, fields: Sequence[str]) -> None:
        if fields[position]:
            for one in fields[position].removesuffix(_END).split(_END):
                kind, code, text = one.split(_SEPARATOR, 2)
                _DOES[kind](row, code, text)

    return judge
