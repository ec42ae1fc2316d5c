"""Records to rows: the one path from a record's fields to a decided row."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from operator import itemgetter
from typing import Protocol

from worker.model import Options, Problem, Row
from worker.roster.check import Rules
from worker.roster.formulas import restored
from worker.roster.hiding import may_show, never_sent, without_secrets
from worker.roster.layout import Layout
from worker.roster.prehashed import digests_from
from worker.roster.template import Template
from worker.roster.text import Fields, Malformed, Record


def made(records: Iterable[Record], layout: Layout, rules: Rules) -> Iterator[Row]:
    """A row for every record. One whose cells can't be attributed to columns is a row with a problem."""
    exact = layout.exact
    user = layout.user if isinstance(layout.user, Template) else itemgetter(layout.user)
    cells = _picked(layout.carried)
    loose = [at for at, position in enumerate(layout.carried) if position not in layout.fields]
    open_to_hide = _picked(tuple(layout.carried[at] for at in loose))
    password, domain, realm, application = layout.password, layout.domain, layout.realm, layout.application
    decided = rules.row
    lay_digests_over = digests_from(layout)
    for line, fields in records:
        if len(fields) == exact or fits(fields, layout):
            secret = fields[password] if password is not None else ""
            row = decided(
                line,
                user(fields),
                fields[domain] if domain is not None else "",
                fields[realm] if realm is not None else "",
                fields[application] if application is not None else "",
                secret,
                cells(fields),
            )
            if lay_digests_over is not None:
                row = lay_digests_over(row, fields)
            if loose and not may_show(row, open_to_hide(fields)):
                row = without_secrets(row, loose)
            yield never_sent(row) if row.problems else row
        else:
            yield _unattributed(line, fields, layout)


def chosen(records: Iterable[Record], layout: Layout, options: Options) -> Iterator[Record]:
    """The records that ``--where`` and ``--limit`` ask for, without our ``'`` before formulas.

    A record whose cells can't be attributed stays in: nobody can say that it was not meant.
    """
    if layout.neutralised:
        records = ((line, _restored(fields, layout)) for line, fields in records)
    if layout.where:
        records = (record for record in records if _meant(record[1], layout))
    return islice(records, options.limit)


class Table(Protocol):
    """A header's measure."""

    @property
    def named(self) -> int: ...

    @property
    def width(self) -> int: ...


def fits(fields: Fields, table: Table) -> bool:
    """Whether each field belongs to a column: what a record has beyond the named ones must be empty."""
    return table.named <= len(fields) <= table.width and not any(fields[table.named :])


def rules_for(layout: Layout, options: Options, shared: frozenset[int] = frozenset()) -> Rules:
    """The rules that the layout's rows are decided by."""
    if isinstance(layout.user, Template):
        return Rules(options, shared, f"username: a column of {layout.user.text!r} is empty")
    return Rules(options, shared)


def _restored(fields: Fields, layout: Layout) -> Fields:
    if fits(fields, layout):
        return [restored(cell) if at in layout.neutralised else cell for at, cell in enumerate(fields)]
    return fields


def _meant(fields: Fields, layout: Layout) -> bool:
    return not fits(fields, layout) or all(fields[at] == value for at, value in layout.where)


def _picked(positions: tuple[int, ...]) -> Callable[[Fields], tuple[str, ...]]:
    if len(positions) > 1:
        return itemgetter(*positions)
    return lambda fields: tuple([fields[at] for at in positions])


def _unattributed(line: int, fields: Fields, layout: Layout) -> Row:
    if isinstance(fields, Malformed):
        problem = Problem("malformed", f"the record is not well-formed CSV: {fields.reason}")
    else:
        text = f"{len(fields)} fields, but the header has {layout.named} columns"
        problem = Problem("field_count", f"{text}; does an unquoted value contain the delimiter?")
    return Row(line, "", "", "", "", "", ("",) * len(layout.columns), (problem,))
