"""The counts that reading a roster results in."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from worker.model import Action, Row

_SHOWN = 5
"""Most lines listed for each warning."""


@dataclass(slots=True)
class PlanSummary:
    """The rows of a roster, counted as they are planned."""

    rows: int = 0
    actions: Counter[Action] = field(default_factory=Counter)
    differs: Counter[str] = field(default_factory=Counter)
    """Rows by code of a difference between stored and wanted."""
    problems: Counter[str] = field(default_factory=Counter)
    codes: dict[Action, Counter[str]] = field(default_factory=dict)
    """Rows by action and code; several codes of one row are joined by ``;``."""
    warnings: Counter[str] = field(default_factory=Counter)
    warned_lines: dict[str, list[int]] = field(default_factory=dict)
    """The first few lines of each warning."""
    absent: int | None = None
    """Users stored on the roster's realms and not in it; None: not all of them were listed."""

    unidentified_rows: int = 0
    """Rows that don't surely tell which user they mean, so that no user can be called absent."""

    suddenly_absent: int = 0
    """Absent users who weren't absent in the last run; all of them if there was none."""
    stored: int = 0
    """Users stored on the roster's realms, and on those of the last run."""
    absent_hashes: array[int] | None = None
    """Hashes of the absent users' names, for the next run; None if they aren't known."""
    leavers: int = 0
    """Absent users to be deleted."""
    kept_leavers: int = 0
    """Absent users who are kept, since they may not be leavers."""
    sudden_leavers: int = 0
    """Leavers to be deleted who are suddenly absent."""

    realms: Counter[int] = field(default_factory=Counter)
    """Rows to be sent, by the key of their realm."""

    def add(self, page: Sequence[Row]) -> None:
        """Count a page."""
        self.rows += len(page)
        actions = [row.action for row in page]
        for action in Action:
            if rows := actions.count(action):
                self.actions[action] += rows
        self.realms.update([row.realm_key for row in page if row.outcome is None])
        for row in page:
            if row.differs or (row.outcome is not None and row.outcome.code):
                self._add_codes(row)
            if row.problems and not row.skipped:
                self.problems.update([problem.code for problem in row.problems])
            for warning in row.warnings:
                self._add_warning(warning.code, row.line)

    def _add_codes(self, row: Row) -> None:
        self.differs.update(row.differs)
        codes = row.outcome.code if row.outcome else ";".join(row.differs)
        if row.action and codes:
            self.codes.setdefault(row.action, Counter())[codes] += 1

    def _add_warning(self, code: str, line: int) -> None:
        self.warnings[code] += 1
        lines = self.warned_lines.setdefault(code, [])
        if len(lines) < _SHOWN:
            lines.append(line)

    @property
    def invalid(self) -> int:
        """Return how many rows are invalid themselves."""
        return self.actions[Action.INVALID]

    @property
    def skipped(self) -> int:
        """Return how many entries are no users of phones."""
        return self.actions[Action.SKIP]

    @property
    def looked_up(self) -> bool:
        """Return whether the stored credentials were looked up."""
        return self.actions.total() == self.rows

    @property
    def to_send(self) -> int:
        """Return how many rows need a writing request; without a look-up, every row that may be sent."""
        if not self.looked_up:
            return self.rows - self.invalid - self.skipped
        return sum(rows for action, rows in self.actions.items() if action.writes)

    @property
    def changes(self) -> int:
        """Return what ``--max-changes`` counts: users created, updated, deleted or suddenly absent."""
        writes = sum(rows for action, rows in self.actions.items() if action.writes)
        return writes + self.leavers + self.suddenly_absent - self.sudden_leavers

    @property
    def in_trouble(self) -> int:
        """Return how many rows would not be in place afterwards."""
        return sum(rows for action, rows in self.actions.items() if action.leads_to_trouble)
