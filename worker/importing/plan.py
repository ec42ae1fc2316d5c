"""Step 1 and 2 of a row's way: read, checked against the whole roster and the account, sealed into chunks.

Nothing is sent here. Chunks become visible to workers only when the whole roster is in the ledger.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from worker.failpoints import hit
from worker.importing.packing import NO_REALM, ChunkRow, chunk_row, page_row, seal_chunk, seal_page
from worker.importing.prehashed import held_against, named
from worker.importing.realms import JobRealms, RealmSource
from worker.ledger import Ledger
from worker.model import Family, Job, JobState, Options, Outcome, Problem, Row, Status
from worker.roster import Seen
from worker.seal import Seal

PAGE = 1000
"""Rows in one page of the ledger, and in one look at what was seen already."""

_BUFFERED = 50_000
"""Rows that may wait in unfinished chunks of many realms before the fullest is cut short."""

_SIGN_OF_LIFE = 100
"""Pages after which the job's hold on its account is renewed."""

_SHOWN = 5
"""Lines told for each warning."""


@dataclass(frozen=True, slots=True)
class Checked:
    """A row with all its problems, and the key of its realm (``NO_REALM`` when it has none)."""

    row: Row
    realm: int


@dataclass(slots=True)
class Tally:
    """What reading a roster came to."""

    rows: int = 0
    to_send: int = 0
    problems: Counter[str] = field(default_factory=Counter)
    warnings: Counter[str] = field(default_factory=Counter)
    warned_lines: dict[str, list[int]] = field(default_factory=dict)
    """The first few lines of each warning."""
    realms: Counter[int] = field(default_factory=Counter)
    """Rows to send, by the key of their realm."""

    def add(self, checked: Checked) -> None:
        """Count one row."""
        self.rows += 1
        if not checked.row.problems:
            self.to_send += 1
            self.realms[checked.realm] += 1
        self.problems.update(problem.code for problem in checked.row.problems)
        for warning in checked.row.warnings:
            self.warnings[warning.code] += 1
            lines = self.warned_lines.setdefault(warning.code, [])
            if len(lines) < _SHOWN:
                lines.append(checked.row.line)

    @property
    def invalid(self) -> int:
        """Rows that will not be sent."""
        return self.rows - self.to_send


def check(rows: Iterable[Row], realms: JobRealms | None, family: Family) -> Iterator[list[Checked]]:
    """Rows a page at a time, with what only the account and the whole roster can tell.

    Without ``realms`` (no account is set) realms are not looked up. Raises what reading raises, and
    NotFound when a row names no realm and the account has no default one.
    """
    with Seen() as seen:
        source = iter(rows)
        while page := list(itertools.islice(source, PAGE)):
            yield _without_doubles([_placed(row, realms) for row in page], seen, family)


def _placed(row: Row, realms: JobRealms | None) -> Checked:
    row = named(row)
    if realms is None or (row.problems and not row.realm):
        return Checked(row, NO_REALM)
    key = realms.key(row.realm)
    if isinstance(key, Problem):
        return Checked(replace(row, problems=(*row.problems, key)), NO_REALM)
    return Checked(held_against(row, realms.host(key)), key)


def _without_doubles(page: list[Checked], seen: Seen, family: Family) -> list[Checked]:
    """The first row of a name that can be sent goes; every other one of that name is told about it."""
    good = [c for c in page if not c.row.problems]
    firsts = dict(
        zip(
            (c.row.line for c in good),
            seen.first_lines([(_name(c, family), c.row.line) for c in good]),
            strict=True,
        )
    )
    bad = [c for c in page if c.row.problems and c.row.user]
    firsts.update(
        (c.row.line, first)
        for c, first in zip(bad, seen.look([_name(c, family) for c in bad]), strict=True)
        if first is not None and first < c.row.line
    )
    return [_told(c, firsts.get(c.row.line, c.row.line)) for c in page]


def _name(checked: Checked, family: Family) -> str:
    name = checked.row.composite.casefold()
    if family is Family.ACCOUNT:
        return name
    return f"{name}\0{checked.realm if checked.realm != NO_REALM else checked.row.realm}"


def _told(checked: Checked, first: int) -> Checked:
    row = checked.row
    if first == row.line:
        return checked
    problem = Problem("duplicate_in_file", f"line {first} already has user {row.composite}")
    return Checked(replace(row, problems=(*row.problems, problem)), checked.realm)


def plan(ledger: Ledger, seal: Seal, source: RealmSource, job: Job, rows: Iterable[Row]) -> Tally:
    """Read a whole roster into the ledger; when this returns, workers may take the job's chunks.

    Whatever it raises, nothing was sent, and the job can be planned again or forgotten.
    """
    options = job.options
    realms = JobRealms(source, ledger.jobs, job.id, options)
    entry = Entry(ledger, seal, job)
    tally = entry.write(check(rows, realms, options.api))
    ledger.jobs.has_read(job.id, tally.rows, tally.warnings)
    if ledger.jobs.state(job.id) is JobState.PLANNING:  # nobody has cancelled it meanwhile
        realms.create_missing()
        hit("planned")
        ledger.jobs.start(job.id)
    ledger.jobs.finish(job.id)  # nothing but refused rows: there is nothing to wait for
    return tally


class Entry:
    """Writes a checked roster into the ledger: pages for the results, chunks for the work."""

    def __init__(self, ledger: Ledger, seal: Seal, job: Job) -> None:
        self._ledger = ledger
        self._seal = seal
        self._job = job.id
        self._by_realm = job.options.api is Family.REALM
        self._size = job.options.chunk_size
        self._kept_for = kept_for(job.options)
        self._pages = itertools.count()
        self._chunks = itertools.count()
        self._unfinished: dict[int, list[ChunkRow]] = {}
        self._waiting = 0

    def write(self, pages: Iterable[Sequence[Checked]]) -> Tally:
        """Every page of a checked roster; what it came to."""
        tally = Tally()
        for page in pages:
            self._write_page(page)
            for checked in page:
                tally.add(checked)
                if not checked.row.problems:
                    self._put(checked)
            self._write_refused([c for c in page if c.row.problems])
            hit("planned_page")
        for realm in list(self._unfinished):
            self._write_chunk(realm)
        return tally

    def _write_page(self, page: Sequence[Checked]) -> None:
        seq = next(self._pages)
        if seq % _SIGN_OF_LIFE == 0:
            self._ledger.jobs.keep(self._job)
        sealed = seal_page(self._seal, self._job, seq, [page_row(c.row, c.realm) for c in page])
        self._ledger.rows.add_page(self._job, seq, page[0].row.line, page[-1].row.line, sealed)

    def _put(self, checked: Checked) -> None:
        # One request of the realm family goes to one realm, so its chunks do too.
        shelf = checked.realm if self._by_realm else NO_REALM
        rows = self._unfinished.setdefault(shelf, [])
        rows.append(chunk_row(checked.row, checked.realm))
        self._waiting += 1
        if len(rows) >= self._size:
            self._write_chunk(shelf)
        elif self._waiting >= _BUFFERED:
            self._write_chunk(max(self._unfinished, key=lambda key: len(self._unfinished[key])))

    def _write_chunk(self, shelf: int) -> None:
        rows = self._unfinished.pop(shelf)
        self._waiting -= len(rows)
        seq = next(self._chunks)
        sealed = seal_chunk(self._seal, self._job, seq, rows)
        self._ledger.chunks.add(self._job, seq, rows[0].line, len(rows), sealed)

    def _write_refused(self, refused: Sequence[Checked]) -> None:
        if not refused:
            return
        seq = next(self._chunks)
        sealed = seal_chunk(self._seal, self._job, seq, [chunk_row(c.row, c.realm) for c in refused])
        outcomes = [_refusal(c.row) for c in refused]
        self._ledger.chunks.add_refused(self._job, seq, outcomes, sealed, self._kept_for)


def kept_for(options: Options) -> float:
    """Seconds that the passwords of rows that are not in place stay sealed."""
    return options.keep_days * 86_400


def _refusal(row: Row) -> Outcome:
    codes = ";".join(dict.fromkeys(problem.code for problem in row.problems))
    texts = "; ".join(problem.text for problem in row.problems)
    return Outcome(row.line, Status.INVALID, code=codes, error=texts)
