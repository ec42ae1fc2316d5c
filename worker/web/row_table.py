"""The table of a plan's or a job's rows: filtered, searched, in pages, with inputs for corrections."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from urllib.parse import urlencode

from starlette.requests import Request

from worker.codes import of_row
from worker.errors import UsageError
from worker.ledger import Upload
from worker.model import Job
from worker.roster import fields_of
from worker.web.corrections_file import password_column
from worker.web.plan_view import ACTIONS, WARNINGS
from worker.web.rows import Query, RowsShown, TableRow
from worker.web.site import offset_of, site_of
from worker.web.words import COUNTED, STATUSES, sentence

_LIMIT = 50
_INPUT, _WAS = "c", "w"
"""Beginnings of the names of inputs, and of the hidden texts that they had: ``c.LINE.COLUMN``."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of the table. ``input``: the name of its input; empty: it is shown as text."""

    column: str
    text: str
    input: str = ""
    secret: bool = False
    changed: bool = False


@dataclass(frozen=True, slots=True)
class RowView:
    """A row of the table."""

    line: int
    word: str
    kind: str
    troubled: bool
    name: str
    reasons: Sequence[str]
    cells: Sequence[Cell]


@dataclass(frozen=True, slots=True)
class Editing:
    """The form in which rows in trouble can be corrected."""

    url: str
    fields: frozenset[str]
    """The columns that a row is sent by."""
    password: str
    """The column with the password, which is never shown; empty: it is not known."""
    buttons: Sequence[tuple[str, str]]
    """Each button's value of ``next``, and its text."""
    note: str = ""
    plan: str = ""
    """The plan that is corrected."""
    typed: Mapping[int, Mapping[str, str]] = field(default_factory=dict)
    """Texts that were typed before and are not in the rows yet: line → column → text."""


@dataclass(frozen=True, slots=True)
class Table:
    """The table as its template shows it."""

    here: str
    heading: str
    query: Query
    total: int
    columns: Sequence[str]
    rows: Sequence[RowView]
    edit: Editing | None = None
    """None if no row on this page can be corrected."""

    @property
    def before(self) -> str:
        """Return the address of the page before this one; empty: it is the first."""
        return self._at(max(0, self.query.offset - _LIMIT)) if self.query.offset else ""

    @property
    def after(self) -> str:
        """Return the address of the next page; empty: it is the last."""
        after = self.query.offset + _LIMIT
        return self._at(after) if after < self.total else ""

    def _at(self, offset: int) -> str:
        troubled = {"troubled": "1"} if self.query.troubled else {}
        values = {"filtered": "1", **troubled, "search": self.query.search, "offset": offset}
        return f"{self.here}?{urlencode(values)}#rows"


@dataclass(frozen=True, slots=True)
class _Form:
    """The form of a table: its address, its words, and whether it begins with the rows in trouble."""

    here: str
    heading: str
    words: Mapping[str, tuple[str, str]]
    troubled_first: bool
    editing: Editing | None = None


_ACTIONS = {action.value: shown for action, shown in ACTIONS.items()}
_RESULTS = {status.value: shown for status, shown in STATUSES.items()}


def plan_table(request: Request, job: Job, *, troubled: bool, upload: Upload | None = None) -> Table:
    """Return the rows of a plan; those of an upload can be corrected. ``troubled``: begin with such rows."""
    if upload is None:
        return _table(request, job, _Form(f"/jobs/{job.id}", "Action", _ACTIONS, troubled))
    here = f"/uploads/{upload.id}"
    # Not of the inspection: the settings may have been changed since it, and with them the column.
    facts = request.app.state.work.planned(upload) or {}
    editing = Editing(
        f"{here}/corrections", _fields(job), facts.get("fields", {}).get("password", ""),
        [("plan", "Keep the corrections and check again")],
        "An empty password field leaves the password as it is.", job.id,
    )  # fmt: skip
    return _table(request, job, _Form(f"{here}/plan", "Action", _ACTIONS, troubled, editing))


def job_table(request: Request, job: Job, *, troubled: bool) -> Table:
    """Return the rows of a job. ``troubled``: begin with those that are not in place."""
    return _table(request, job, _Form(f"/jobs/{job.id}", "Result", _RESULTS, troubled))


def retry_table(request: Request, job: Job) -> Table:
    """Return the rows of a job with inputs for those that are not in place."""
    site, here = site_of(request), f"/jobs/{job.id}/retry"
    typed = site.ledger.cells.of(site.seal, f"job:{job.id}").by_line
    buttons = [("run", "Run them again"), ("keep", "Only keep the corrections")]
    password = password_column(job)
    editing = Editing(here, _fields(job), password, buttons, typed=typed)
    return _table(request, job, _Form(here, "Result", _RESULTS, troubled_first=True, editing=editing))


def _fields(job: Job) -> frozenset[str]:
    """Return the columns that user name, domain and realm of a job's rows are taken from."""
    with suppress(UsageError):  # what is left of the columns doesn't tell: only passwords can be corrected
        return frozenset(chain.from_iterable(fields_of(job.columns, job.options).values()))
    return frozenset()


def _table(request: Request, job: Job, form: _Form) -> Table:
    query = _query_of(request, form)
    shown: RowsShown = request.app.state.tables.show(job, query)
    columns = _columns(shown.columns, form.editing)
    rows = [_row(row, columns, form) for row in shown.rows]
    editing = form.editing if any(cell.input for row in rows for cell in row.cells) else None
    return Table(form.here, form.heading, query, shown.total, columns, rows, editing)


def _columns(carried: Sequence[str], editing: Editing | None) -> list[str]:
    """Return the columns in their order: those that can be corrected come first, not behind 40 others."""
    if editing is None:
        return list(carried)
    fields = [column for column in carried if column in editing.fields and column != editing.password]
    secrets = [editing.password] if editing.password else []
    first = [*fields, *secrets]
    return [*first, *(column for column in carried if column not in first)]


def _query_of(request: Request, form: _Form) -> Query:
    asked = request.query_params
    troubled = bool(asked.get("troubled")) if "filtered" in asked else form.troubled_first
    return Query(troubled, asked.get("search", "")[:200], offset_of(request), _LIMIT)


def _row(row: TableRow, columns: Sequence[str], form: _Form) -> RowView:
    word, kind = form.words.get(row.status, (row.status, ""))
    editing = form.editing if row.troubled and row.correctable else None
    password = form.editing.password if form.editing else ""
    cells = [
        _password_cell(row, column, editing)
        if password and column == password
        else _cell(row, column, editing)
        for column in columns
    ]
    reasons = list(_reasons(row)) or ([sentence(COUNTED.get(word, ""))] if row.troubled else [])
    return RowView(row.line, word, kind, row.troubled, row.name, reasons, cells)


def _reasons(row: TableRow) -> Iterator[str]:
    """Yield why a row is not in place, or what would be changed, and its warnings."""
    if row.error:
        yield sentence(row.error)
    else:
        yield from (sentence(of_row(code).meaning) for code in row.codes or row.differs)
    yield from (f"Warning: {WARNINGS[code]}" for code in row.warnings if code in WARNINGS)


def _cell(row: TableRow, column: str, editing: Editing | None) -> Cell:
    text = row.cells.get(column, "")
    # An input would drop line breaks.
    if editing is None or column not in editing.fields or "\n" in text or "\r" in text:
        return Cell(column, text)
    typed = editing.typed.get(row.line, {})
    shown = typed.get(column, text)
    return Cell(column, shown, f"{row.line}.{column}", changed=column in typed)


def _password_cell(row: TableRow, column: str, editing: Editing | None) -> Cell:
    if editing is None:
        return Cell(column, "", secret=True)
    changed = column in editing.typed.get(row.line, {})
    return Cell(column, "", f"{row.line}.{column}", secret=True, changed=changed)


def corrections_of(request: Request) -> Iterator[tuple[int, str, str]]:
    """Yield line, column and new text of the cells that were changed in the form."""
    form: Mapping[str, str] = request.state.form
    for name, text in form.items():
        kind, _, cell = name.partition(".")
        line, _, column = cell.partition(".")
        if kind == _INPUT and column and line.isascii() and line.isdecimal() and len(line) < 10:
            was = form.get(f"{_WAS}.{cell}", "")
            if text != was:
                yield int(line), column, text
