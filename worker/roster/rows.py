"""Turn records into pages of rows: the one path from a record's fields to a validated row."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import islice
from operator import itemgetter
from typing import Final, Protocol

from worker.model import Options, Problem, Row
from worker.reasons import plural
from worker.roster.check import RosterFacts, Rules, plain_name, plain_password
from worker.roster.doubted import DoubtedCells
from worker.roster.header import restored
from worker.roster.hiding import may_show, never_sent, without_secrets
from worker.roster.layout import Layout
from worker.roster.prehashed import digests_from
from worker.roster.template import Template
from worker.roster.text import Fields, Malformed, Record
from worker.roster.workbook_cells import Doubted

PAGE: Final = 1000
"""Rows in a page, which are read, looked up, decided and sealed together."""


def pages_of(records: Iterable[Record], layout: Layout, rules: Rules) -> Iterator[list[Row]]:
    """Yield a row for every record, a page at a time, with everything wrong or suspicious about its fields.

    A record whose cells can't be attributed to columns is a row with that problem.
    """
    read_page = page_reader(layout, rules)
    source = iter(records)
    while page := read_page(islice(source, PAGE)):
        yield page


def page_reader(layout: Layout, rules: Rules) -> Callable[[Iterable[Record]], list[Row]]:
    """Return the function that makes a page of rows from records."""
    exact = layout.exact
    at_user, build = (layout.user, None) if isinstance(layout.user, int) else (0, layout.user)
    at_password, at_domain, at_realm, at_application = (
        layout.password, layout.domain, layout.realm, layout.application
    )  # fmt: skip
    cells = _picked(layout.carried)
    loose = [at for at, position in enumerate(layout.carried) if position not in layout.fields]
    open_to_hide = _picked(tuple(layout.carried[at] for at in loose))
    shared, usual_realm = rules.shared, rules.realm
    is_domain = layout.is_domain
    lay_digests_over, judge = digests_from(layout), layout.judge
    doubted = DoubtedCells(layout)

    def read_page(records: Iterable[Record]) -> list[Row]:
        page: list[Row] = []
        for line, fields in records:
            if len(fields) != exact and not fits(fields, layout):
                page.append(_unattributed(line, fields, layout))
                continue
            if fields.__class__ is Doubted and doubted.found(fields):
                (row,) = read_page([(line, doubted.marked(line, fields))])
                page.append(doubted.refuse(row, fields))
                continue
            user = fields[at_user] if build is None else build(fields)
            domain = fields[at_domain] if at_domain is not None else ""
            if not domain or (is_domain is not None and not is_domain(domain)):
                domain = "" if "@" in user else rules.domain
            realm = (fields[at_realm] if at_realm is not None else "") or usual_realm
            application = (fields[at_application] if at_application is not None else "") or rules.application
            password = fields[at_password] if at_password is not None else ""
            row = Row(line, user, domain, realm, application, password, cells(fields))
            # Nearly every row passes this quick check; only the others get the full one.
            if (
                not plain_name(user)
                or not plain_password(password)
                or domain
                or application
                or realm != usual_realm
                or password[0].lower() == user[0].lower()  # else it can't be the user's name
                or (shared and hash(password) in shared)
            ):
                rules.judge(row)
            if lay_digests_over is not None:
                lay_digests_over(row, fields)
            if loose and not may_show(row, open_to_hide(fields)):
                row = without_secrets(row, loose)
            if judge is not None:  # last, since it may give up a password, which no cell may show either
                judge(row, fields)
            if row.skipped:
                row = _skipped(row, row.skipped)
            elif row.problems:
                row = never_sent(row)
            page.append(row)
        return page

    return read_page


def chosen(records: Iterable[Record], layout: Layout, options: Options) -> Iterator[Record]:
    """Yield the records that ``--where``, ``--skip`` and ``--limit`` select.

    They come without our ``'`` before formulas. A record whose cells can't be attributed stays in: it may
    have been meant.
    """
    if layout.neutralised:
        records = ((line, _restored(fields, layout)) for line, fields in records)
    if layout.where:
        records = (record for record in records if _meant(record[1], layout))
    return islice(records, options.skip, options.limit and options.skip + options.limit)


class Table(Protocol):
    """The measures of a header."""

    @property
    def named(self) -> int: ...

    @property
    def width(self) -> int: ...


def fits(fields: Fields, table: Table) -> bool:
    """Return whether each field belongs to a column: fields beyond the named ones must be empty."""
    return table.named <= len(fields) <= table.width and not any(fields[table.named :])


def rules_for(layout: Layout, options: Options, facts: RosterFacts | None = None) -> Rules:
    """Return the rules that the layout's rows are validated by."""
    if isinstance(layout.user, Template):
        return Rules(options, facts, f"username: a column of {layout.user.text!r} is empty")
    return Rules(options, facts)


def _skipped(row: Row, reason: Problem) -> Row:
    """Return the row of an entry that is no user, without secrets: only its reason is of interest."""
    shown = never_sent(replace(row, problems=(reason,), warnings=()))
    return replace(shown, password="", hash1="", hash1b="")


def _restored(fields: Fields, layout: Layout) -> Fields:
    if not fits(fields, layout):
        return fields
    cells = [restored(cell) if at in layout.neutralised else cell for at, cell in enumerate(fields)]
    return Doubted(cells, fields.doubts) if isinstance(fields, Doubted) else cells


def _meant(fields: Fields, layout: Layout) -> bool:
    return not fits(fields, layout) or all(test(fields[at]) for at, test in layout.where)


def _picked(positions: tuple[int, ...]) -> Callable[[Fields], tuple[str, ...]]:
    if len(positions) > 1:
        return itemgetter(*positions)
    return lambda fields: tuple([fields[at] for at in positions])


def _unattributed(line: int, fields: Fields, layout: Layout) -> Row:
    if isinstance(fields, Malformed):
        problem = Problem("malformed", f"the record is not well-formed: {fields.reason}")
    else:
        text = f"{plural(len(fields), 'field')}, but the header has {plural(layout.named, 'column')}"
        problem = Problem("field_count", f"{text}; does an unquoted value contain the delimiter?")
    return Row(line, "", "", "", "", "", ("",) * len(layout.columns), (problem,))
