"""A private database for one run, for data too large to keep in memory."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

from worker.errors import UsageError

_NO_ROOM = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN)


def temp_db(cache_kib: int) -> sqlite3.Connection:
    """Open SQLite's own temporary database (an empty file name), which is deleted when closed.

    Its file has mode 0600 and never a name, and at most ``cache_kib`` KiB of it are in memory. Sorting uses
    the disk, too. Threads may share it, one at a time. Raises UsageError, also later, if the disk is full.
    """
    database = sqlite3.connect("", isolation_level=None, check_same_thread=False, factory=_Connection)
    for setting in (
        "temp_store = FILE",
        f"cache_size = -{cache_kib}",
        "journal_mode = OFF",
        "synchronous = OFF",
    ):
        database.execute(f"PRAGMA {setting}")
    return database


def text_key(name: str) -> str:
    """Return any name as text that SQLite keeps exactly; it can't keep NUL and lone surrogates."""
    return name if name.isprintable() else f"\n{name!a}"


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF not in _NO_ROOM:  # the lowest byte is the kind of error
            raise
        raise UsageError(
            f"the temporary folder can't be written to: {error}",
            "make room there, or name another folder in TMPDIR",
        ) from None


class _Cursor(sqlite3.Cursor):
    """A cursor that reports a full disk: pages go to disk when memory is full, so any step may find it."""

    def execute(self, sql: str, parameters: Any = (), /) -> Self:
        with _explained():
            return super().execute(sql, parameters)

    def executemany(self, sql: str, parameters: Any, /) -> Self:
        with _explained():
            return super().executemany(sql, parameters)

    def __next__(self) -> Any:
        with _explained():
            return super().__next__()

    def fetchall(self) -> list[Any]:
        with _explained():
            return super().fetchall()

    def fetchone(self) -> Any:
        with _explained():
            return super().fetchone()


class _Connection(sqlite3.Connection):
    """A connection that uses these cursors; the library's own shortcuts don't ask for one."""

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        return self.cursor(_Cursor).execute(sql, parameters)

    def executemany(self, sql: str, parameters: Any, /) -> sqlite3.Cursor:
        return self.cursor(_Cursor).executemany(sql, parameters)
