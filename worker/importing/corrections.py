"""Checks of a corrected failed.csv against the job that wrote it, before a retry begins."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from worker.errors import UsageError
from worker.importing.retry import EarlierRows, lost_zeros
from worker.ledger.codec import open_page
from worker.model import Options, Row, Status
from worker.roster import PASSWORD, fields_of

_SHOWN = 5
"""Most rows that a message lists one by one."""

_OWN = {"username": "bw__username", "domain": "bw__domain", "realm": "bw__realm"}
"""A row's fields and our columns for them, which people correct by mistake."""


@dataclass(slots=True)
class Effect:
    """The changes that corrections make."""

    used: int = 0
    """Rows that are retried with another cell or a password."""
    unused: list[int] = field(default_factory=list)
    """Lines of rows that were changed in the file and are not retried."""


@dataclass(slots=True)
class _Found:
    """Mistakes found in the corrections so far."""

    damaged: list[str] = field(default_factory=list)
    misplaced: dict[str, list[str]] = field(default_factory=dict)
    """Rows by the field whose ``bw__`` column was changed."""
    effect: Effect = field(default_factory=Effect)
    known: set[int] = field(default_factory=set)
    renamed: dict[tuple[str, ...], int] = field(default_factory=dict)
    """Rows that got another user and keep their sealed password, by that user."""
    exchanged: list[int] = field(default_factory=list)
    """Those of them whose user was that of another row that is retried."""


def check(earlier: EarlierRows, path: str) -> Effect:
    """Return the rows that the file changes, and those of them that are not retried.

    Raises:
        UsageError: a user name lost its leading zeros, a ``bw__`` column was changed instead of the
            roster's own, rows have each other's users, or the job has no such row. ``path`` names the file
            in the message.
    """
    own = fields_of(earlier.columns, earlier.options)
    found = _Found()
    for row, host, left_out in _rows(earlier):
        corrected = earlier.corrections.get(row.line)
        if corrected is None:
            continue
        found.known.add(row.line)
        cells = dict(zip(earlier.columns, row.cells, strict=True))
        before, after = (_user(one, own, earlier.options) for one in (cells, {**cells, **corrected}))
        if after != before and not corrected.get(PASSWORD):
            found.renamed[after] = row.line
        changed = any(corrected.get(column, cell) != cell for column, cell in cells.items())
        if left_out and changed:
            found.effect.unused.append(row.line)
        elif not left_out:
            found.effect.used += changed or PASSWORD in corrected
        if not earlier.zeros_may_go:
            found.damaged += _damaged(row.line, cells, corrected, own["username"])
        for name, written in zip(_OWN, (row.user, row.domain, host), strict=True):
            if _is_misplaced(_OWN[name], written, corrected, cells, own[name]):
                found.misplaced.setdefault(name, []).append(str(row.line))
    found.exchanged += _exchanged(earlier, found.renamed, own)
    _refuse(path, earlier, found, own)
    return found.effect


def _rows(earlier: EarlierRows) -> Iterator[tuple[Row, str, bool]]:
    """Yield every row of the job, with the realm as its results show it, and whether retry leaves it out."""
    ledger, job = earlier.ledger, earlier.parent.id
    hosts = ledger.jobs.hosts(job)
    for page in ledger.rows.pages(job):
        for row in open_page(earlier.seal, job, page.seq, page.sealed):
            outcome = page.recorded_outcome(row.line)
            host = hosts.get(row.realm_key, row.realm)
            yield row, host, not (outcome.status if outcome else Status.UNPROCESSED).in_trouble


def _exchanged(
    earlier: EarlierRows, renamed: Mapping[tuple[str, ...], int], own: Mapping[str, Sequence[str]]
) -> Iterator[int]:
    """Yield the renamed rows whose user was another row's: that one's password lies sealed with that one."""
    for row, _, left_out in _rows(earlier) if renamed else ():
        line = renamed.get(_user(dict(zip(earlier.columns, row.cells, strict=True)), own, earlier.options))
        if line not in (None, row.line) and not left_out:
            yield line


def _user(cells: Mapping[str, str], own: Mapping[str, Sequence[str]], options: Options) -> tuple[str, ...]:
    """Return what names a row's user: the cells that its name is made of, its domain and its realm."""
    names, domains, realms = (
        [cells.get(column, "").strip().casefold() for column in own[name]] for name in _OWN
    )
    if not options.username:  # of several columns, the first that is filled
        names = [next(filter(None, names), "")]
    domain, realm = next(filter(None, domains), options.domain), next(filter(None, realms), options.realm)
    return *names, domain.casefold(), realm.casefold()


def _damaged(
    line: int, cells: Mapping[str, str], corrected: Mapping[str, str], columns: Sequence[str]
) -> list[str]:
    return [
        f"bw__row {line}, column {column!r}"
        for column in columns
        if column in corrected and lost_zeros(cells[column], corrected[column])
    ]


def _is_misplaced(
    ours: str, written: str, corrected: Mapping[str, str], cells: Mapping[str, str], columns: Sequence[str]
) -> bool:
    """Return whether one of our columns was changed, and the roster's own column wasn't.

    A number that a spreadsheet reformatted is not a correction.
    """
    after = next((value for name, value in corrected.items() if name.casefold() == ours), written)
    if after.strip().lstrip("0") == written.strip().lstrip("0"):
        return False
    return all(corrected.get(column, cells[column]) == cells[column] for column in columns)


def _refuse(path: str, earlier: EarlierRows, found: _Found, own: Mapping[str, Sequence[str]]) -> None:
    """Raise UsageError with lines and columns only; a cell may be a password if the columns were shifted."""
    if found.damaged:
        raise UsageError(
            f"{path}: a spreadsheet took leading zeros off user names; {_few(found.damaged)}",
            "format the column as text and correct it again; if the names are meant: --allow-lost-zeros",
        )
    for name, rows in found.misplaced.items():
        raise UsageError(
            f"{path}: {_OWN[name]} was changed, which has no effect; bw__row {_few(rows)}",
            _where_instead(name, own[name], own),
        )
    if exchanged := list(map(str, sorted(set(found.exchanged)))):
        raise UsageError(
            f"{path}: rows have the users of other rows, whose passwords they would not get; "
            f"bw__row {_few(exchanged)}",
            "were the roster's columns sorted or shifted without the bw__ ones? Start from failed.csv as it "
            "was written; if the users are right, give these rows their passwords, too",
        )
    if strange := sorted(earlier.corrections.keys() - found.known):
        raise UsageError(
            f"{path}: job {earlier.parent.id} has no row {_few(list(map(str, strange)))}",
            "bw__row is the row's line in the roster; leave it as it was written",
        )


def _where_instead(name: str, columns: Sequence[str], own: Mapping[str, Sequence[str]]) -> str:
    """Return the column that should be corrected instead."""
    if columns:
        return f"correct {' or '.join(map(repr, columns))} instead, and leave the bw__ columns as they were"
    if name == "domain":
        users = " or ".join(map(repr, own["username"]))
        return f"the roster has no domain column: write user@domain in {users}, or import it with --domain"
    return f"the roster has no {name} column: import the rows as a new roster, with --{name}"


def _few(what: Sequence[str]) -> str:
    more = len(what) - _SHOWN
    return "; ".join(what[:_SHOWN]) + (f"; and {more} more" if more > 0 else "")
