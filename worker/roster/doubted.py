"""Rows of a workbook whose user or password is a cell that can't be trusted: refused, with its name.

The marked user name is no valid one, and the password is left out: a later ``retry``, which reads the row's
cells from the ledger, refuses it again unless it was corrected.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import Final

from worker.errors import UsageError
from worker.model import Problem, Row
from worker.roster.hiding import never_sent
from worker.roster.layout import Layout
from worker.roster.text import Fields
from worker.roster.workbook_cells import BOOLEAN, DATE, ERROR, FORMULA, NUMBER, Doubted, reference

_AS_TEXT: Final = "format the column as text and enter it again"
_REASONS: Final = {
    NUMBER: Problem("number_cell", f"is a number, so zeros in front of it are lost; {_AS_TEXT}"),
    DATE: Problem("spreadsheet_damage", f"is a date or a time; {_AS_TEXT}"),
    BOOLEAN: Problem("spreadsheet_damage", f"is TRUE or FALSE; {_AS_TEXT}"),
    ERROR: Problem("spreadsheet_damage", "is an error, such as #REF!; correct it"),
    FORMULA: Problem(
        "formula_not_calculated", "has a formula without a result; save the workbook in a spreadsheet"
    ),
}
CAUSED_BY_MARKS: Final = ("password_missing", "username_missing", "bad_characters", "too_long")
"""Problems that the mark, or the missing password, only causes."""


class DoubtedCells:
    """The cells of a layout that must be trusted: those of the user, the domain and the secrets."""

    def __init__(self, layout: Layout) -> None:
        self._user = layout.user
        users = (layout.user,) if isinstance(layout.user, int) else layout.user.positions
        self._names = dict.fromkeys(users, "username")
        self._secrets = {
            at: name
            for at, name in (
                (layout.password, "password"),
                (layout.hash1, "hash1"),
                (layout.hash1b, "hash1b"),
            )
            if at is not None
        }
        if layout.domain is not None:
            self._names[layout.domain] = "domain"

    def found(self, fields: Doubted) -> list[int]:
        """Return the positions of cells that are used and must be trusted, but can't be."""
        user = fields[self._user] if isinstance(self._user, int) else self._user(fields)
        return [
            at
            for at in fields.doubts
            if at in self._secrets
            or self._names.get(at) == "domain"
            or (at in self._names and fields[at] in user)
        ]

    def marked(self, line: int, fields: Doubted) -> Fields:
        """Return the record with these cells marked, and without the secrets among them."""
        marked = list(fields)
        for at in self.found(fields):
            mark = f"<{fields.doubts[at]} {fields[at]} in {reference(at, line)}>"
            marked[at] = "" if at in self._secrets else mark
        return marked

    def refuse(self, row: Row, fields: Doubted) -> Row:
        """Return the row of the marked record, with the reasons; its secrets are shown in no other cell."""
        problems = tuple(self._problems(row.line, fields))
        others = tuple(one for one in row.problems if one.code not in CAUSED_BY_MARKS)
        row.problems = (*problems, *others)
        secrets = [fields[at] for at in self.found(fields) if at in self._secrets]
        for secret in secrets:
            row.password = secret
            row = never_sent(row)
        if secrets:
            row.password = ""
        return row

    def _problems(self, line: int, fields: Doubted) -> Iterator[Problem]:
        for at in self.found(fields):
            reason = _REASONS[fields.doubts[at]]
            field = self._names.get(at) or self._secrets[at]
            yield replace(reason, text=f"{field}: cell {reference(at, line)} {reason.text}")


def refuse_doubts(fields: Fields, line: int, needed: Collection[int], place: str) -> None:
    """Raise UsageError if a cell of these positions can't be trusted; it names the cell."""
    for at, doubt in fields.doubts.items() if isinstance(fields, Doubted) else ():
        if at in needed:
            raise UsageError(
                f"{place}: cell {reference(at, line)} {_REASONS[doubt].text}",
                "nothing was sent; see docs/workbooks.md",
            )
