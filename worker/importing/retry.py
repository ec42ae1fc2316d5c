"""The rows of an earlier job that are not in place, with any corrections, as a roster again."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain

from worker.errors import UsageError
from worker.importing.rows_in_place import pages_in_place
from worker.importing.validation import RosterPage, RosterPages
from worker.ledger import Ledger
from worker.ledger.codec import open_chunk, open_page
from worker.model import Job, Options, Problem, Row
from worker.roster import HASH1, HASH1B, PASSWORD, never_sent, read_earlier_rows
from worker.roster.doubted import CAUSED_BY_MARKS
from worker.seal import Seal
from worker.states import Reason

Corrections = Mapping[int, Mapping[str, str]]
"""Corrections: line in the roster → {column: value}."""


_OTHER_NAME = "hash_name"
_DAMAGE = "spreadsheet_damage"

_doubted_cell = re.compile(r"\b(?:username|domain|password|hash1b?): cell [A-Z]+[0-9]+ ").search
"""Match the reason why a cell of a workbook was not trusted: the row has a mark in its place."""
_UNREADABLE = frozenset({"field_count", "malformed"})
"""Codes of records whose cells can't be attributed to columns, so that none is stored."""


@dataclass(frozen=True, slots=True)
class EarlierRows:
    """The roster of a job that retries another (importing.job.RosterFacts)."""

    ledger: Ledger
    seal: Seal
    parent: Job
    options: Options
    """The new job's options."""
    corrections: Corrections
    roster: RosterPages | None = None
    """The parent's roster again, for passwords that are no longer sealed."""
    zeros_may_go: bool = False
    """Whether a correction may remove leading zeros; otherwise a spreadsheet is assumed to have done it."""
    _unreadable: dict[int, Problem] = field(default_factory=dict, init=False)
    _damaged: dict[int, Problem] = field(default_factory=dict, init=False)
    _doubted: dict[int, Problem] = field(default_factory=dict, init=False)
    """Line of a row with a cell of a workbook that was not trusted → the reason, as its results had it."""
    _rewritten: dict[int, str] = field(default_factory=dict, init=False)
    """Line of a row whose user name a spreadsheet rewrote → that name: only the whole roster showed it."""
    _made_of: dict[int, str] = field(default_factory=dict, init=False)
    """Line of a row that has digests instead of a password → the user name that they are valid for."""
    _generated: set[int] = field(default_factory=set, init=False)
    """Lines of rows whose password was generated for the earlier job, or not even set: the user existed."""
    _other_passwords: set[int] = field(default_factory=set, init=False)
    """Lines of rows whose password comes from a correction and not from the roster."""

    @property
    def name(self) -> str:
        """Return the roster's own name."""
        return self.parent.roster

    @property
    def source(self) -> str:
        """Return no source to read again: the passwords come from the ledger."""
        return f"job {self.parent.id}"

    @property
    def sha256(self) -> str:
        """Return the roster's own SHA-256."""
        return self.parent.sha256

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the carried columns of the earlier job."""
        return self.parent.columns

    @property
    def records(self) -> int:
        """Return how many rows there are."""
        counts = self.ledger.rows.counts(self.parent.id, self.parent.rows)
        return sum(rows for status, rows in counts.items() if status.in_trouble)

    @property
    def whole(self) -> bool:
        """Return False: rows in place belong to the roster, but are not read here."""
        return False

    def name_line(self, line: int) -> str:
        """Return a row's line in words."""
        return f"line {line}"

    def taken(self) -> Iterator[RosterPage]:
        """Return the rows of this roster that are in place, since the parent or a job before it."""
        return pages_in_place(self.ledger, self.seal, self.parent)

    def pages(self) -> Iterator[RosterPage]:
        """Yield the rows in the roster's order, validated as a file's rows are; can be called again.

        Raises UsageError when passwords were shredded since, and neither corrections nor roster have them.
        """
        for page in read_earlier_rows(self._records(), self.columns, self.options):
            for row in page:
                self._add_reasons(row)
            yield page

    def _add_reasons(self, row: Row) -> None:
        """Add the problems that only the earlier job can tell about the row."""
        self._check_name(row)
        if row.line in self._other_passwords:
            self._other_passwords.discard(row.line)
            row.corrected = True
        if row.line in self._generated:
            self._generated.discard(row.line)
            row.generated = True
        # A record that couldn't be split into cells stays invalid, unless it was corrected.
        if reason := self._unreadable.get(row.line):
            row.problems = (reason,)
        elif reason := self._doubted.get(row.line):
            told = (*CAUSED_BY_MARKS, *reason.code.split(";"))
            row.problems = (reason, *(one for one in row.problems if one.code not in told))
        elif self._rewritten.pop(row.line, "") == row.user and _DAMAGE not in {
            one.code for one in row.problems
        }:
            row.problems += (Problem(_DAMAGE, "username: a spreadsheet rewrote it, and it is not corrected"),)
        elif damage := self._damaged.get(row.line):
            row.problems += (damage,)

    def _check_name(self, row: Row) -> None:
        """Refuse a corrected name for digests, which are only valid for the name they were made from."""
        made_of = self._made_of.pop(row.line, row.composite)
        if row.password or made_of == row.composite or any(p.code == _OTHER_NAME for p in row.problems):
            return
        text = "the digests are made of the user name before its correction; give a password with it"
        row.problems += (Problem(_OTHER_NAME, text),)

    def _records(self) -> Iterator[tuple[int, Mapping[str, str]]]:
        passwords = _Passwords(self.ledger, self.seal, self.parent.id, self.roster)
        for page in self.ledger.rows.pages(self.parent.id):
            for row in open_page(self.seal, self.parent.id, page.seq, page.sealed):
                outcome = page.outcome(row.line)
                if outcome.code in _UNREADABLE and row.line not in self.corrections:
                    self._unreadable[row.line] = Problem(outcome.code, outcome.error)
                if not outcome.status.in_trouble:
                    continue
                if row.line not in self.corrections and _doubted_cell(outcome.error):
                    self._doubted[row.line] = Problem(outcome.code, outcome.error)
                if row.user and _DAMAGE in outcome.code.split(";"):
                    self._rewritten[row.line] = row.user
                if _OTHER_NAME in outcome.code.split(";"):  # an earlier job alone has that name
                    self._made_of[row.line] = ""
                yield row.line, self._record(row, passwords)

    def _kept_for(self) -> str:
        """Return for how long passwords were kept, in words."""
        options, why = self.parent.options, self.parent.why
        if why and why.reason is Reason.EXPIRED:
            return f"for {options.resume_days:g} days, in which the job was not resumed"
        return f"for {options.keep_days:g} days"

    def _record(self, row: Row, passwords: _Passwords) -> Mapping[str, str]:
        corrected = self.corrections.get(row.line, {})
        former = passwords.of(row)
        if former is None and not corrected.get(PASSWORD):
            raise UsageError(
                f"the password of line {row.line} is shredded; it was kept {self._kept_for()}",
                "give the roster again with --roster, or --corrections with a password column",
            )
        other = corrected.get(PASSWORD)
        if row.corrected or (other and (former is None or other != former.password)):
            self._other_passwords.add(row.line)
        cells = dict(zip(self.columns, row.cells, strict=True))
        before = {**cells, "the password": former.password} if former else cells
        after = {**corrected, "the password": other or ""}
        for column, cell in before.items():
            if not self.zeros_may_go and lost_zeros(cell, after.get(column, cell)):
                text = f"{column} lost its leading zeros; format the column as text"
                self._damaged[row.line] = Problem(_DAMAGE, text)
        if former is None or corrected.get(PASSWORD):  # an added password takes precedence over digests
            return {**cells, **corrected}
        if former.generated:
            self._generated.add(row.line)
        if former.hash1 or former.hash1b:
            self._made_of.setdefault(row.line, former.composite)
        secrets = {PASSWORD: former.password, HASH1: former.hash1, HASH1B: former.hash1b}
        return {**cells, **corrected, **secrets}


class _Passwords:
    """Passwords by line, for rows requested in rising order: only the chunks around that line are open."""

    def __init__(self, ledger: Ledger, seal: Seal, job: str, roster: RosterPages | None) -> None:
        self._ledger = ledger
        self._seal = seal
        self._job = job
        self._ahead = ledger.chunks.kept(job)[::-1]
        self._open: dict[int, Row] = {}
        self._roster = chain.from_iterable(roster.pages() if roster else ())

    def of(self, row: Row) -> Row | None:
        """Return the row with its password or digests; None if neither ledger nor roster has them."""
        while self._ahead and self._ahead[-1].first_line <= row.line:
            self._load(self._ahead.pop().seq)
        if row.line in self._open:
            return self._open.pop(row.line)
        return self._from_roster(row)

    def _from_roster(self, row: Row) -> Row | None:
        for again in self._roster:
            if again.line < row.line:
                continue
            name = (row.line, row.user, row.domain)
            if name in ((one.line, one.user, one.domain) for one in (again, never_sent(again))):
                # The row's own digests count only if it has no password.
                return replace(again, hash1="", hash1b="") if again.password else again
            raise UsageError(
                f"line {row.line} of the roster is {again.composite}, and the job had {row.user} there",
                "its name was corrected for that job: give its password with --corrections, too",
            )
        return None

    def _load(self, seq: int) -> None:
        sealed = self._ledger.chunks.sealed(self._job, seq)
        if sealed is not None:
            rows = open_chunk(self._seal, self._job, seq, sealed)
            self._open.update((row.line, row) for row in rows)


def lost_zeros(before: str, after: str) -> bool:
    """Return whether leading zeros were lost, as in a spreadsheet: 0103 is another extension than 103.

    Surrounding blanks are ignored. Added zeros are a correction.
    """
    old, new = before.strip(), after.strip()
    return old.isdecimal() and new.isdecimal() and len(new) < len(old) and old.lstrip("0") == new.lstrip("0")
