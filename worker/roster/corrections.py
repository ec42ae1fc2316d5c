"""Rows that come a second time: those of an earlier job, with any corrections."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from itertools import islice
from typing import Final

from worker.errors import UsageError
from worker.model import Blanks, Options, Row
from worker.reasons import plural
from worker.roster.doubted import refuse_doubts
from worker.roster.duplicates import DuplicateIndex
from worker.roster.format import Table
from worker.roster.formats import assignment_of
from worker.roster.header import OWN, Header, plain, restored
from worker.roster.layout import Layout, lay_out
from worker.roster.rows import fits, pages_of, rules_for
from worker.roster.source import Source
from worker.roster.table import open_table
from worker.roster.text import Fields, Malformed, Text
from worker.text_workbook import CUT

PASSWORD: Final = "bw__password"  # noqa: S105 (the name of a key)
HASH1: Final = "bw__hash1"
HASH1B: Final = "bw__hash1b"
"""Keys of a row's secrets beside its cells; no roster's own column can have these names."""
_TELLING: Final = ("bw__username", "bw__domain", "bw__realm")
"""Columns of ours that people correct by mistake; the caller can report them."""
_SEALED: Final = {
    "password": "the row's password", "hash1": "the row's hash1", "hash1b": "the row's hash1b",
}  # fmt: skip
_GROUP = 1000
_number = re.compile("[0-9]{1,18}").fullmatch
_job_id = re.compile("[0-9]{8}-[0-9]{6}-[a-z0-9-]{1,40}").fullmatch


def read_earlier_rows(
    records: Iterable[tuple[int, Mapping[str, str]]], columns: Sequence[str], options: Options
) -> Iterator[list[Row]]:
    """Yield pages of rows from earlier cells, validated as the rows of a file are.

    Each record is its line and {column: value}, the password under PASSWORD and the digests under
    HASH1 and HASH1B; missing columns are empty.
    ``columns``: the carried columns of the job, whose options are given too. Not checked again: the
    rows of ``--where``, ``--skip`` and ``--limit``, passwords shared by many, and PINs.

    Raises:
        UsageError: the columns don't hold what the options need.
    """
    again = _options_again(columns, options)
    layout = _laid_out(columns, again)
    keys = (*columns, PASSWORD, HASH1, HASH1B)
    fields = ((line, [cells.get(key, "") for key in keys]) for line, cells in records)
    return pages_of(fields, layout, rules_for(layout, again))


def fields_of(columns: Sequence[str], options: Options) -> dict[str, tuple[str, ...]]:
    """Return the columns that the user name, domain and realm of an earlier job's rows are taken from.

    ``columns``: the carried columns of the job. A field without a column is missing from the result.
    """
    names = [*columns, *_SEALED.values()]
    layout = _laid_out(columns, _options_again(columns, options))
    user = (layout.user,) if isinstance(layout.user, int) else layout.user.positions
    at = {"username": user, "domain": (layout.domain,), "realm": (layout.realm,)}
    return {field: tuple(names[one] for one in found if one is not None) for field, found in at.items()}


def _laid_out(columns: Sequence[str], again: Options) -> Layout:
    """Return the layout of an earlier job's cells, whose entries the format has judged then."""
    names = [*columns, *_SEALED.values()]
    assignment = assignment_of(again.source_format, names)
    return lay_out(
        names, "the earlier job", again, assignment and replace(assignment, judge=None, secrets=())
    )


def _options_again(columns: Sequence[str], options: Options) -> Options:
    """Return the job's options, adapted to cells whose secrets come separately from the carried columns."""
    mapped = {**options.map, **_SEALED}
    return replace(options, map=mapped, where=(), skip=0, limit=None, carry=tuple(columns))


def read_corrections(
    path: str | Source, job: str, options: Options | None = None, columns: Sequence[str] | None = None
) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the rows of a corrected ``failed.csv`` as (line in the roster, {column: value}).

    A password is under PASSWORD if a cell of the file has one: in the column that the job's own
    ``--map password`` named, else in one with a usual name. Our columns ``bw__username``,
    ``bw__domain`` and ``bw__realm`` are included: correcting them instead of the roster's has no effect.
    ``columns``: the job's carried ones; with them, any other column is refused.

    Raises:
        UsageError: it is not a job's result file, is another job's, or a row of it can't be read; also
            while it is being read.
    """
    options = options or Options()
    table, header = open_table(path, lambda name: name.startswith(OWN), keep=True, form=options.tables)
    try:
        found = _Corrections(table, header, job, options, columns or ())
        if columns is not None:
            found.refuse_strangers(columns)
    except UsageError:
        table.close()
        raise
    return found.read()


class _Corrections:
    """A result file with corrections."""

    def __init__(
        self, table: Table, header: Header, job: str, options: Options, carried: Sequence[str]
    ) -> None:
        names = [name.casefold() for name in header.names]
        for name in ("bw__job", "bw__row"):
            if name not in names:
                raise UsageError(
                    f"{header.place} has no column {name}",
                    f"give the failed.csv of job {job}, with its first columns",
                )
        self._table = table
        self._header = header
        self._expected = job
        self._job = names.index("bw__job")
        self._row = names.index("bw__row")
        self._password = _password_column(header, options, carried)
        self._guessed = (
            isinstance(table, Text) and not options.encoding and not table.encoding.startswith("utf-")
        )
        users: Sequence[str] = ()
        if carried:
            with suppress(UsageError):  # the caller says so, with the job's own columns
                users = fields_of(carried, options)["username"]
        self._strip = options.blanks is Blanks.STRIP
        self._needed = [at for at, name in enumerate(header.names) if at == self._password or name in users]
        self._kept = [
            (at, name)
            for at, name in enumerate(header.names)
            if name and at != self._password and (not header.is_own(at) or name.casefold() in _TELLING)
        ]

    def refuse_strangers(self, columns: Sequence[str]) -> None:
        """Raise UsageError for a column that the job doesn't have, and that would be ignored silently."""
        known = set(columns)
        strange = [name for _, name in self._kept if name not in known and name.casefold() not in _TELLING]
        if strange:
            password = "password" if self._password is None else self._header.names[self._password]
            raise UsageError(
                f"{self._header.place}: the job has no column {', '.join(map(repr, strange))}",
                f"put corrections into {', '.join(columns)}, and a column called {password}",
            )

    def read(self) -> Iterator[tuple[int, dict[str, str]]]:
        with closing(self._table), DuplicateIndex() as seen, self._table.read() as read:
            records = islice(read, 1, None)
            while group := [self._sound(line, fields) for line, fields in islice(records, _GROUP)]:
                rows = [fields[self._row] for _, fields in group]
                firsts = seen.first_lines(rows, [line for line, _ in group])
                for (line, fields), first in zip(group, firsts, strict=True):
                    if first != line:
                        raise self._wrong(line, f"it has the same bw__row as line {first}")
                    yield int(fields[self._row]), self._correction(fields)

    def _sound(self, line: int, fields: Fields) -> tuple[int, Fields]:
        refuse_doubts(fields, line, self._needed, self._header.place)
        if isinstance(fields, Malformed):
            raise self._wrong(line, f"not well-formed CSV: {fields.reason}")
        if not fits(fields, self._header):
            found = plural(len(fields), "field")
            raise self._wrong(line, f"{found}, but the header has {plural(self._header.named, 'column')}")
        if fields[self._job] != self._expected:
            # In a line with shifted cells, this one may be anything, and is not shown.
            other = fields[self._job] if _job_id(fields[self._job]) else ""
            its = f"; for {other}: siproster retry {other} --corrections FILE" if other else ""
            raise UsageError(
                f"{self._header.place}, line {line}: it is from job {other or 'another one, or none'}, not "
                f"from {self._expected}",
                f"for {self._expected}, give its own failed.csv{its}",
            )
        if not _number(fields[self._row]):
            raise self._wrong(line, "bw__row is not a line number")
        if self._guessed and self._password is not None and not fields[self._password].isascii():
            # Decoded wrongly, it would be another password.
            raise UsageError(
                f"{self._header.place}, line {line}: the file is not UTF-8, and the password has characters "
                "that depend on its encoding",
                "save it as CSV UTF-8, or as a workbook, and try again; nothing was sent",
            )
        return line, fields

    def _correction(self, fields: Fields) -> dict[str, str]:
        if self._strip:
            fields = [cell.strip() for cell in fields]
        cells = {name: restored(fields[at]) for at, name in self._kept if fields[at] != CUT}
        if self._password is not None and fields[self._password]:
            cells[PASSWORD] = fields[self._password]
        return cells

    def _wrong(self, line: int, what: str) -> UsageError:
        return UsageError(
            f"{self._header.place}, line {line}: {what}",
            "start from failed.csv as it was written, and only correct cells",
        )


def _password_column(header: Header, options: Options, carried: Sequence[str]) -> int | None:
    """Return the job's own password column, else one with a usual name that is not a carried column."""
    mapped = options.map.get("password")
    if mapped:
        named = [at for at, name in enumerate(header.names) if plain(name) == plain(mapped)]
        if named:
            return named[0]
    found = [at for at in header.candidates("password") if header.names[at] not in carried]
    if len(found) > 1:
        names = " and ".join(header.names[at] for at in found)
        raise UsageError(f"{header.place}: {names} could both be the password", "remove one of them")
    return found[0] if found else None
