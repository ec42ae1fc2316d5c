"""The table of ``jobs``: as many columns as the terminal is wide; the ids are never cut."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console, JustifyMethod
from rich.table import Table
from rich.text import Text

from worker.advice import state_word, undo_word
from worker.model import Job


@dataclass(frozen=True, slots=True)
class JobLine:
    """A job in the table."""

    job: Job
    summary: Mapping[str, Any]
    lineage: str
    """The jobs and the schedule that it comes from, and the one that it led to."""


Cell = Callable[[JobLine], str]

_COLUMNS: dict[str, Cell] = {
    "job": lambda line: line.job.id,
    "state": lambda line: ", ".join(filter(None, (state_word(line.summary), undo_word(line.summary)))),
    "account": lambda line: line.job.account,
    "rows": lambda line: f"{line.job.rows:,}",
    # A plan puts nobody in place.
    "not in place": lambda line: "-" if line.summary["saved"] else f"{line.summary['not_in_place']:,}",
    "lineage": lambda line: line.lineage,
    "began": lambda line: (line.job.started or line.job.created).strftime("%m-%d %H:%MZ"),
    "by": lambda line: f"{line.job.operator}@{line.job.machine}",
}

_NUMBERS = ("rows", "not in place")

_LEFT_OUT = ((), ("by",), ("by", "account"), ("by", "account", "began"))
"""Columns left out on narrower terminals, in turn; a job's id begins with its time."""

_UNBOUNDED = 10_000
"""Columns of a terminal on which any table fits."""

_LINEAGE_BELOW = ("by", "account", "began", "lineage")
"""Columns left out on the narrowest terminals, where the lineage is below the id."""


def job_table(lines: Sequence[JobLine], console: Console) -> Table:
    """Return the widest table that fits; for a file, that with all columns."""
    unbounded = console.options.update(max_width=_UNBOUNDED)
    for left_out in _LEFT_OUT:
        table = _table(lines, left_out)
        if not console.is_terminal or console.measure(table, options=unbounded).maximum <= console.width:
            return table
    return _table(lines, _LINEAGE_BELOW)


def _table(lines: Sequence[JobLine], narrower: Sequence[str]) -> Table:
    left_out = narrower if any(line.lineage for line in lines) else (*narrower, "lineage")
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    columns = {heading: cell for heading, cell in _COLUMNS.items() if heading not in left_out}
    for heading in columns:
        shown = heading.replace("in place", "in\nplace") if narrower else heading
        justify: JustifyMethod = "right" if heading in _NUMBERS else "left"
        table.add_column(shown, justify=justify, no_wrap=heading == "job", overflow="fold")
    for line in lines:
        cells = {heading: cell(line) for heading, cell in columns.items()}
        if line.lineage and "lineage" in narrower:
            cells["job"] += f"\n  {line.lineage}"
        table.add_row(*map(Text, cells.values()))
    return table


class Lineages:
    """Describes where jobs come from. ``ids``: all jobs of the ledger; ``short``: shorten ids."""

    def __init__(self, ids: Iterable[str], *, short: bool) -> None:
        self._tails = Counter(_tail(one) for one in ids) if short else Counter[str]()

    def of(self, job: Job) -> str:
        """Return the words; empty if it stands alone."""
        relations = []
        if job.parent:
            relation = "plan" if job.source == f"plan {job.parent}" else "retry of"
            relations.append(f"{relation} {self._named(job.parent)}")
        if job.schedule:
            relations.append(f"schedule {job.schedule}")
        if job.carried_out_by:
            relations.append(f"carried out by {self._named(job.carried_out_by)}")
        return ", ".join(relations)

    def _named(self, job: str) -> str:
        """Return the end of an id, which commands accept in place of it, if no other job has the same."""
        return _tail(job) if self._tails[_tail(job)] == 1 else job


def _tail(job: str) -> str:
    return job.rpartition("-")[2]
