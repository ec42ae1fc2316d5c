"""Tables of rows for the page: of a saved plan and of a job, a screen at a time, from the ledger alone."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

from worker.ledger import Ledger, SealedPage
from worker.ledger.codec import PageValues, planned_values
from worker.ledger.rows import OutcomeValues, PageSpan
from worker.model import NO_REALM, Action, Job, JobState, Outcome, Status
from worker.seal import Seal

UNREADABLE: Final = frozenset({"field_count", "malformed"})
"""Codes of records whose cells can't be told apart: none of them can be corrected."""
_ACTIONS: Final = {
    Status.UNCHANGED: Action.UNCHANGED, Status.EXISTS: Action.EXISTS, Status.INVALID: Action.INVALID,
    Status.SKIPPED: Action.SKIP,
}  # fmt: skip
_TROUBLE: Final = [status for status in Status if status.in_trouble]
_REMEMBERED: Final = 32
"""Jobs and searches whose lines are remembered."""


_Values = tuple[PageValues, str, str]
"""A row, the codes of what differs from what is stored, and those of its warnings."""


@dataclass(frozen=True, slots=True)
class TableRow:
    """A row of a plan or of a job. Contains no secret."""

    line: int
    """The physical line on which its record starts; the header is line 1."""
    status: str
    """The action (``worker.model.Action``) in a plan, ``bw__status`` in a job."""
    troubled: bool
    """Whether it is not, or would not be, in place afterwards."""
    user: str
    domain: str
    realm: str
    codes: tuple[str, ...]
    """Error codes; ``siproster explain`` has each."""
    error: str
    """The error in words."""
    warnings: tuple[str, ...]
    """Codes of warnings about the row, such as ``weak_password``."""
    differs: tuple[str, ...]
    """Codes of what differs from what is stored."""
    cells: Mapping[str, str]
    """The carried columns."""
    correctable: bool
    """Whether single cells of it can be corrected."""

    @property
    def name(self) -> str:
        """Return ``user`` or ``user@domain``."""
        return f"{self.user}@{self.domain}" if self.domain else self.user


@dataclass(frozen=True, slots=True)
class Query:
    """A choice of rows."""

    troubled: bool = False
    """Only rows that are not, or would not be, in place."""
    search: str = ""
    """Only rows that contain this text, whatever its case, in a cell, name, code or error."""
    offset: int = 0
    limit: int = 50


@dataclass(frozen=True, slots=True)
class RowsShown:
    """Some rows, in the roster's order."""

    rows: Sequence[TableRow]
    total: int
    """How many rows the query has in all."""
    columns: tuple[str, ...]
    """The carried columns: the keys of ``TableRow.cells``."""


@dataclass(slots=True)
class _Cache:
    """A cache of answers that can't change: how many rows the pages of a job have, and which rows match."""

    found: OrderedDict[Any, Any] = field(default_factory=OrderedDict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def get(self, key: Any) -> Any:
        with self.lock:
            if key in self.found:
                self.found.move_to_end(key)
            return self.found.get(key)

    def put(self, key: Any, value: Any) -> None:
        with self.lock:
            self.found[key] = value
            while len(self.found) > _REMEMBERED:
                self.found.popitem(last=False)


class RowTables:
    """The rows of the jobs and plans of one ledger. Can be used by several threads."""

    def __init__(self, ledger: Ledger, seal: Seal) -> None:
        self._ledger = ledger
        self._seal = seal
        self._cache = _Cache()

    def show(self, job: Job, query: Query) -> RowsShown:
        """Return the rows of a saved plan, or of a job, that the query chooses. Raises SealBroken."""
        lines = self._lines(job, query)
        if lines is None:
            rows, total = self._unfiltered(job, query), job.rows
        else:
            chosen = lines[query.offset : query.offset + query.limit]
            rows, total = self._on_lines(job, chosen), len(lines)
        return RowsShown(rows, total, job.columns)

    def counts(self, job: Job) -> dict[str, int]:
        """Return the number of rows by action of a plan, or by status of a job, without zeros.

        In a plan that an earlier version saved, ``create`` includes updates.
        """
        found = self._ledger.rows.counts(job.id, job.rows)
        if not job.saved:
            return {status.value: rows for status, rows in found.items()}
        counts = {_ACTIONS[status].value: rows for status, rows in found.items() if status in _ACTIONS}
        if to_send := found.get(Status.UNPROCESSED, 0):
            updates = self._updates(job)
            counts |= {Action.UPDATE.value: updates, Action.CREATE.value: to_send - updates}
        return {action.value: counts[action] for action in Action if counts.get(action)}

    def _updates(self, job: Job) -> int:
        """Return how many rows of a plan change users who exist."""
        if (known := self._cache.get(("updates", job.id))) is None:
            known = 0
            for page in self._ledger.rows.pages(job.id):
                known += sum(
                    bool(differs) and values[0] not in page.recorded
                    for values, differs, _ in self._values(job, page)
                )
            self._cache.put(("updates", job.id), known)
        return int(known)

    def _lines(self, job: Job, query: Query) -> Sequence[int] | None:
        """Return the lines that the query chooses; None: all of them."""
        if not query.search:
            return self._troubled(job) if query.troubled else None
        matching = self._matching(job, query.search.casefold())
        if not query.troubled:
            return matching
        troubled = frozenset(self._troubled(job))
        return [line for line in matching if line in troubled]

    def _troubled(self, job: Job) -> Sequence[int]:
        lines = self._ledger.rows.lines(job.id, _TROUBLE)
        if job.saved or job.state in (JobState.PLANNING, JobState.RUNNING):
            return lines  # rows without an outcome are not in trouble yet
        return sorted({*lines, *self._ledger.rows.open_lines(job.id)})

    def _matching(self, job: Job, text: str) -> Sequence[int]:
        fixed = job.saved is not None or job.state in (JobState.DONE, JobState.CANCELLED)
        key = ("search", job.id, job.state, text)
        if fixed and (known := self._cache.get(key)) is not None:
            return known  # type: ignore[no-any-return]
        found = [
            values[0]
            for page in self._ledger.rows.pages(job.id)
            for values, _, warnings in self._values(job, page)
            if _matches(values, warnings, page.recorded.get(values[0]), text)
        ]
        if fixed:
            self._cache.put(key, found)
        return found

    def _unfiltered(self, job: Job, query: Query) -> list[TableRow]:
        """Return the rows from ``offset`` on."""
        spans = self._ledger.rows.spans(job.id)
        hosts = self._ledger.jobs.hosts(job.id)
        starts = self._starts(job, spans)
        first = max(0, bisect_right(starts, query.offset) - 1)
        last = max(first, bisect_right(starts, query.offset + query.limit - 1) - 1)
        pages = self._ledger.rows.pages_at(job.id, [span.seq for span in spans[first : last + 1]])
        found = ((page, row) for page in pages for row in self._values(job, page))
        skipped = query.offset - (starts[first] if starts else 0)
        return [_row(job, page, hosts, row) for page, row in islice(found, skipped, skipped + query.limit)]

    def _starts(self, job: Job, spans: Sequence[PageSpan]) -> list[int]:
        """Return how many rows there are before each page: only the last one is not full, if none is open."""
        key = ("starts", job.id, len(spans))
        if (known := self._cache.get(key)) is not None:
            return known  # type: ignore[no-any-return]
        starts, rows = [], 0
        for page in self._ledger.rows.pages_at(job.id, [span.seq for span in spans]):
            starts.append(rows)
            rows += sum(1 for _ in planned_values(self._seal, job.id, page.seq, page.sealed))
        self._cache.put(key, starts)
        return starts

    def _on_lines(self, job: Job, lines: Sequence[int]) -> list[TableRow]:
        """Return the rows on these lines, in rising order."""
        wanted = frozenset(lines)
        hosts = self._ledger.jobs.hosts(job.id)
        spans = self._ledger.rows.spans(job.id)
        firsts = [span.first_line for span in spans]
        seqs = dict.fromkeys(spans[bisect_right(firsts, line) - 1].seq for line in lines)
        pages = self._ledger.rows.pages_at(job.id, list(seqs))
        return [
            _row(job, page, hosts, row)
            for page in pages
            for row in self._values(job, page)
            if row[0][0] in wanted
        ]

    def _values(self, job: Job, page: SealedPage) -> Iterator[_Values]:
        return planned_values(self._seal, job.id, page.seq, page.sealed)


def _row(job: Job, page: SealedPage, hosts: Mapping[int, str], row: _Values) -> TableRow:
    (line, user, domain, key, realm, _application, cells), differs, warnings = row
    outcome = page.outcome(line)
    codes = _split(outcome.code)
    return TableRow(
        line, _planned(outcome, differs) if job.saved else outcome.status.value,
        outcome.status.in_trouble and not (job.saved and outcome.status is Status.UNPROCESSED),
        user, domain, hosts.get(key, job.options.realm) if key != NO_REALM else realm,
        codes, outcome.error, _split(warnings), _split(differs),
        dict(zip(job.columns, cells, strict=False)), not UNREADABLE.intersection(codes),
    )  # fmt: skip


def _planned(outcome: Outcome, differs: str) -> str:
    """Return a row's planned action: one that has no outcome is to be sent (importing.saved)."""
    unsettled = Action.UPDATE if differs else Action.CREATE
    return _ACTIONS.get(outcome.status, unsettled).value


def _split(codes: str) -> tuple[str, ...]:
    return tuple(codes.split(";")) if codes else ()


def _matches(values: PageValues, warnings: str, outcome: OutcomeValues | None, text: str) -> bool:
    """Return whether a row has the text, which is in lower case, in a cell, name, status, code or error."""
    _, user, domain, _, realm, _, cells = values
    result = (outcome[0], outcome[2], outcome[3]) if outcome else ()
    name = f"{user}@{domain}" if domain else user
    return text in "\n".join((name, realm, warnings, *result, *cells)).casefold()
