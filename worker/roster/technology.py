"""Rows of a plain table that are extensions of another technology than SIP, as a column of it says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from worker.model import Problem, Row
from worker.roster.column_names import bare

_COLUMNS: Final = frozenset({
    "tech", "technology", "technologie", "tecnologia", "channeltype", "channeltech", "protocol", "protokoll",
    "protocole", "protocolo", "protocollo", "devicetype", "type", "typ", "tipo",
})  # fmt: skip
_OTHERS: Final = frozenset({
    "iax", "iax2", "dahdi", "zap", "zaptel", "sccp", "skinny", "mgcp", "h323", "unistim", "virtual", "fxs",
    "fxo", "analog", "analogue", "isdn", "trunk",
})  # fmt: skip
"""Values of such a column for entries whose password is not that of a SIP phone."""


def no_other_technology(names: Sequence[str]) -> Callable[[Row, Sequence[str]], None] | None:
    """Return a judge that skips rows of another technology; None if no column may tell it."""
    columns = [at for at, name in enumerate(names) if bare(name) in _COLUMNS]
    if not columns:
        return None

    def judge(row: Row, fields: Sequence[str]) -> None:
        for at in columns:
            if (found := fields[at].strip()) and bare(found) in _OTHERS:
                row.skipped = Problem("not_sip", f"its {names[at]} is {found}, which is not SIP")

    return judge
