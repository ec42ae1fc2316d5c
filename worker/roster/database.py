"""Databases as rosters: a query's rows as records, read once, in one snapshot."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from worker.errors import UsageError
from worker.model import DatabaseLogin, Options, Problem
from worker.reasons import reason_of
from worker.roster.database_address import MYSQL, Address, address_of, log_in
from worker.roster.database_drivers import CONNECT_SECONDS, STEP_SECONDS, Result, TwoReadings, run_query
from worker.roster.database_errors import refused
from worker.roster.database_queries import QUERIES
from worker.roster.text import Malformed, Record
from worker.waits import HERE, WaitKind

_LONGEST: Final = 1 << 20
"""Bytes of a query's file; a device that never ends is read no further."""


@dataclass(frozen=True, slots=True)
class Database:
    """A database, in the place of a file (worker.roster.source.Source)."""

    address: Address
    password: str = field(default="", repr=False)
    """The settings file's; empty: the driver looks for one."""

    @property
    def name(self) -> str:
        """Return the database's name."""
        return self.address.name

    @property
    def place(self) -> str:
        """Return its URL without user and parameters."""
        return self.address.shown

    shown = place

    def open(self) -> io.RawIOBase:
        """Raise UsageError: a database has no bytes to be read as a file."""
        raise UsageError(f"{self.place} is a database, and a file is needed here", "give a file")

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """Return the warning about a connection on which others may read passwords."""
        if self.address.is_verified:
            return ()
        verified = "ssl-mode=VERIFY_IDENTITY" if self.address.kind == MYSQL else "sslmode=verify-full"
        text = f"the identity of {self.address.host} is not verified; add ?{verified}"
        return (Problem("tls_not_verified", text),)

    def close(self) -> None:
        """Close nothing: the connection ends with the query."""

    def records(self, options: Options) -> Iterator[Record]:
        """Yield the names of the columns as line 1, and every row of the query, numbered from 2.

        Raises:
            UsageError: it can't be connected to or read, or a text of it can be read in two ways.
        """
        sql = _query(self.address, options)
        connected = False
        wait = HERE.entered(WaitKind.DATABASE, f"{self.place}: connecting", CONNECT_SECONDS)
        try:
            with wait as entry, run_query(self.address, sql, options.encoding, self.password) as result:
                connected = True
                HERE.turn(entry, WaitKind.DATABASE, f"{self.place}: no rows yet", STEP_SECONDS)
                yield from _numbered(self.place, result)
        except UsageError:
            raise
        except UnicodeError:
            raise UsageError(
                f"{self.place}: a column's name is not UTF-8", "name it in a --query: … AS password"
            ) from None
        except Exception as error:  # each driver has its own; the texts of some hold parts of the query
            own = not options.query
            raise refused(self.address, error, own_query=own, connected=connected) from None


def database_at(url: str, logins: Iterable[DatabaseLogin] = ()) -> Database:
    """Return the database of a URL. Raises UsageError if it holds a password, or can't be understood."""
    return Database(*log_in(address_of(url), logins))


def _query(address: Address, options: Options) -> str:
    """Return the SELECT of ``--query``, else the one of the format that ``--from`` names."""
    if options.query:
        return _read(Path(options.query))
    queries = QUERIES.get(options.source_format)
    if queries is None:
        raise UsageError(
            f"{address.shown} is a database: say what is to be read from it",
            f"--from {', '.join(QUERIES)}: a PBX's own tables; or --query FILE, with a SELECT in it",
        )
    return queries


def _read(path: Path) -> str:
    try:
        with path.expanduser().open("rb") as file:
            text = file.read(_LONGEST).decode("utf-8-sig")
    except (OSError, UnicodeError) as error:
        reason = reason_of(error) if isinstance(error, OSError) else "it is not UTF-8"
        raise UsageError(
            f"--query: {path} can't be read: {reason}", "give a file with one SELECT, in UTF-8"
        ) from None
    sql = text.strip().rstrip(";").rstrip()
    if not sql:
        raise UsageError(f"--query: {path} is empty", "write one SELECT into it")
    return sql


def _numbered(place: str, result: Result) -> Iterator[Record]:
    columns, decoders = result.columns, result.decoders
    if not columns:
        raise UsageError(f"{place}: the query returns no columns", "a SELECT is needed")
    yield 1, list(columns)
    for line, row in enumerate(result.rows, 2):
        try:
            yield (
                line,
                ["" if cell is None else decode(cell) for cell, decode in zip(row, decoders, strict=True)],
            )
        except ValueError:
            yield line, _undecodable(place, line, row, result)


def _undecodable(place: str, line: int, row: object, result: Result) -> Malformed:
    """Return the reason why a row has a text that can't be read.

    Raises:
        UsageError: it can be read in two ways; then the whole roster is refused.
    """
    cells = list(row) if isinstance(row, tuple | list) else []
    for name, cell, decode in zip(result.columns, cells, result.decoders, strict=True):
        try:
            "" if cell is None else decode(cell)
        except TwoReadings as doubt:
            raise UsageError(
                f"{place}, row {line}: column {name!r} has the character set {doubt.charset}, but "
                "holds UTF-8, as programs write it that connect with the wrong one; it would be a guess",
                f"say which it is: --encoding utf-8 (likely), or --encoding {doubt.codec}",
            ) from None
        except ValueError:
            return Malformed(f"column {name!r} holds bytes that can't be decoded")
    return Malformed("a column holds bytes that can't be decoded")
