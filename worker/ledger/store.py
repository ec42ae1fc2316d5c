"""One database, SQLite or PostgreSQL, behind the same few calls."""

from __future__ import annotations

import errno
import os
import re
import shlex
import sqlite3
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError, SQLAlchemyError

from worker.errors import LedgerAway, LedgerError, UsageError
from worker.files import make_folder, new_file
from worker.ledger.schema import migrate
from worker.reasons import reason_of
from worker.waits import HERE, WaitKind

_SQLITE = "sqlite:///"

_LOCK_WAIT = 30.0
"""Seconds to wait for SQLite's lock while another process holds it."""

_BUSY_MS = 250
"""Milliseconds that SQLite itself waits for its lock: short, since Python hears no signal meanwhile."""

_LOCKED = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_PROTOCOL)
"""SQLite's codes for a lock that others hold (sqlite.org/rescode.html)."""

_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)

_NO_SPACE = "make room where it is (`df -h {}`)"

_REMEDIES = {
    **dict.fromkeys(
        _DAMAGED,
        "the file is damaged or is not a ledger: put it back from a backup; without one, move it away with "
        "`mv {0} {0}.damaged`, and the next command creates an empty one, which knows no earlier job",
    ),
    sqlite3.SQLITE_FULL: _NO_SPACE,
    sqlite3.SQLITE_IOERR: _NO_SPACE,
    sqlite3.SQLITE_READONLY: "let this user write it and its folder (`ls -l {}`)",
    sqlite3.SQLITE_CANTOPEN: "let this user write it and its folder (`ls -l {}`)",
}
"""SQLite's codes (sqlite.org/rescode.html) to remedies; ``{}``: the file."""

_CONNECT_SECONDS = 10
"""Seconds that libpq waits for a server to answer."""

_CACHE_KB = 500
"""Kilobytes of pages that a connection keeps: there is one for each thread, and SQLite's default is 2,000."""

_CLEAN_MS = 500
"""Milliseconds that truncating the WAL waits for readers."""

_INCREMENTAL = 2
"""SQLite's ``auto_vacuum`` that lets us say when free pages go back to the file system."""

_PAGES_A_TIME = 1000
"""Free pages that are given back in one transaction: others may write in between."""

_PAYS = 256
"""Free pages, 1 MB, from which on a file is rewritten if they are a quarter of it."""

_LONGEST_PAUSE = "10s"
"""Longest wait of PostgreSQL for the next statement of a transaction before it ends the session.

A process that froze in the middle of one (Ctrl-Z, a suspended machine, a vanished host) would else keep its
locks, and every sweep would wait for them: for ever, or until TCP gives up after hours.
"""

_LIBPQ = re.compile("PG[A-Z]+")
"""Variables that libpq reads (PostgreSQL's documentation, section "Environment Variables")."""

_LIBPQS = "its parameters are libpq's; correct it, or leave it out"

_WRONG_VALUE = re.compile(
    r"(invalid \S+ value|bad value for|weak sslmode|invalid port number|could not parse network address"
    r"|definition of service).*"
)
"""Texts of libpq and psycopg for an invalid parameter value, which has no code of its own."""

_NO_SERVER = re.compile("connection to server|resolve host")

_NO_DATABASE = re.compile('database "([A-Za-z0-9_-]+)" does not exist')

_TOUCH = text("UPDATE meta SET value = value WHERE name = 'version' RETURNING value")


class Store:
    """Transactions on the ledger's database.

    ``clock`` gives epoch seconds. Without one, PostgreSQL's own clock is used, so that leases hold
    between hosts whose clocks differ; a SQLite ledger lives on one host, whose clock serves.
    """

    def __init__(
        self, url: str, clock: Callable[[], float] | None = None, lock_wait: float = _LOCK_WAIT
    ) -> None:
        self._engine = _engine(url, lock_wait)
        self._file = url.removeprefix(_SQLITE) if url.startswith(_SQLITE) else ""
        self._clock = clock
        self._lock_wait = lock_wait
        self._turn = threading.Lock()
        """Lock of the thread that writes to SQLite: SQLite's own lock is polled, which costs time."""
        kind = WaitKind.LEDGER if self.postgresql else None  # waits for SQLite's lock report themselves
        try:
            with (
                HERE.entered(kind, "no answer from PostgreSQL yet", _CONNECT_SECONDS),
                self.begin() as connection,
            ):
                self.identity = migrate(connection, str(uuid.uuid4()))
        except LedgerError as error:
            raise (_blamed(error, os.environ) if self.postgresql else error) from None

    @property
    def postgresql(self) -> bool:
        """Return whether several hosts can share this ledger."""
        return self._engine.dialect.name == "postgresql"

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """Begin one writing transaction, the only one of its thread. Raises LedgerError if that fails."""
        with self._my_turn(), _explained(self._file), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Begin one read-only transaction, which blocks nobody."""
        reading = {"siproster_reads": True}
        with (
            _explained(self._file),
            self._engine.connect().execution_options(**reading) as connection,
        ):
            yield connection

    @contextmanager
    def _my_turn(self) -> Iterator[None]:
        """Let one thread of this process after the other write to SQLite."""
        if self.postgresql:
            yield
            return
        if not self._turn.acquire(timeout=self._lock_wait):
            raise _locked(self._file)
        try:
            yield
        finally:
            self._turn.release()

    def now(self, connection: Connection) -> float:
        """Return epoch seconds, by the clock that all users of the ledger share."""
        if self._clock is None and self.postgresql:
            row = connection.exec_driver_sql("SELECT extract(epoch FROM clock_timestamp())")
            return float(row.scalar_one())
        return (self._clock or time.time)()

    def check(self) -> int:
        """Return the schema's version, after a test write. Raises LedgerError if that fails."""
        with self.begin() as connection:
            return int(connection.execute(_TOUCH).scalar_one())

    def clean(self) -> None:
        """Remove shredded data from SQLite's WAL, on a best-effort basis: readers are not waited for.

        The file is overwritten (secure_delete), but older pages stay in the WAL until it is begun anew.
        """
        if self.postgresql:
            return
        with suppress(DBAPIError), self._bare() as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")

    def shrink(self, *, idle: bool) -> None:
        """Give SQLite's free pages back to the file system, on a best-effort basis.

        ``idle``: nobody writes now, so that a file of an earlier version, whose free pages stay in it, may be
        rewritten once, which locks the ledger meanwhile. On PostgreSQL autovacuum does it.
        """
        if self.postgresql:
            return
        with suppress(DBAPIError, LedgerAway), self._my_turn(), self._bare() as connection:
            if _pragma(connection, "auto_vacuum") == _INCREMENTAL:
                driver: Any = connection.connection.driver_connection
                free = 0
                while free != (free := _pragma(connection, "freelist_count")):
                    # Only a script runs to its end: a statement without columns is executed for one page.
                    driver.executescript(f"PRAGMA incremental_vacuum({_PAGES_A_TIME})")
            elif idle and _pays(connection):
                connection.exec_driver_sql(f"PRAGMA auto_vacuum = {_INCREMENTAL}")
                connection.exec_driver_sql("VACUUM")
        self.clean()

    @contextmanager
    def _bare(self) -> Iterator[Connection]:
        """Connect without a transaction, which maintenance is refused in, and without waiting for locks."""
        bare = {"siproster_bare": True}
        with self._engine.connect().execution_options(**bare) as connection:
            connection.exec_driver_sql(f"PRAGMA busy_timeout = {_CLEAN_MS}")
            try:
                yield connection
            finally:
                connection.exec_driver_sql(f"PRAGMA busy_timeout = {_BUSY_MS}")

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()


def _engine(url: str, lock_wait: float) -> Engine:
    if url.startswith(_SQLITE):
        return _sqlite(Path(url.removeprefix(_SQLITE)), lock_wait)
    if url.startswith("postgresql://"):
        engine = _postgresql(url)
        event.listen(engine, "connect", _bound_pauses)
        return engine
    raise UsageError(
        "SIPROSTER_LEDGER must begin with sqlite:/// or postgresql://",
        "for example sqlite:////var/lib/siproster/ledger.db",
    )


def _postgresql(url: str) -> Engine:
    try:
        target = make_url(url).set(drivername="postgresql+psycopg")
        engine = create_engine(
            target, hide_parameters=True, pool_pre_ping=True, pool_size=20, max_overflow=20,
            connect_args={"connect_timeout": target.query.get("connect_timeout", _CONNECT_SECONDS)},
        )  # fmt: skip
        driver: Any = engine.dialect.loaded_dbapi
        driver.conninfo.make_conninfo(**{name: str(value) for name, value in target.query.items()})
    except ArgumentError:
        raise UsageError("SIPROSTER_LEDGER is not a URL", "a / or @ in its password is %2F or %40") from None
    except driver.ProgrammingError as error:
        reason = str(error).partition("\n")[0]
        raise UsageError(f"SIPROSTER_LEDGER: {reason}", _LIBPQS) from None
    return engine


def _sqlite(path: Path, lock_wait: float) -> Engine:
    """Return an engine for ``path`` as written: parsed as a URL, its ``%41`` and ``?`` would be changed."""
    try:
        make_folder(path.parent)
        _make_private(path)
    except OSError as error:
        raise LedgerError(
            f"the ledger {path} can't be opened: {reason_of(error)}",
            "let this user write there, or name another file: export SIPROSTER_LEDGER=sqlite:////PATH/ledger.sqlite",
        ) from None
    engine = create_engine(
        URL.create("sqlite", database=str(path)), hide_parameters=True, pool_size=20, max_overflow=20,
        pool_use_lifo=True,  # the connection that wrote last still has its pages in memory
    )  # fmt: skip
    in_turn = partial(_in_turn, lock_wait)
    event.listen(engine, "connect", lambda connection, _record: _prepare(connection, in_turn))
    event.listen(engine, "begin", lambda connection: _begin(connection, in_turn))
    return engine


def _bound_pauses(connection: Any, _record: Any) -> None:
    connection.execute(f"SET idle_in_transaction_session_timeout = '{_LONGEST_PAUSE}'")
    connection.commit()


def _make_private(path: Path) -> None:
    """Create the file with mode 0600, also behind a link, and never open one that exists.

    SQLite gives its -wal and -shm the mode of the file.

    Closing any descriptor of a file drops every lock that the process holds on it (POSIX): a connection of
    this process would lose SQLite's own, and the next process to leave would delete the WAL under it.
    """
    with suppress(FileExistsError):
        os.close(new_file(path.resolve()))
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))


def _prepare(connection: Any, in_turn: Callable[[Callable[[], None]], None]) -> None:
    # The driver's own BEGIN is deferred: a read that turns into a write then fails at once, or
    # overwrites silently. We issue BEGIN ourselves (below).
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
    in_turn(lambda: _use_wal(cursor))
    cursor.execute("PRAGMA synchronous = NORMAL")
    cursor.execute(f"PRAGMA cache_size = -{_CACHE_KB}")
    # Shredded data must not stay in free pages of the file.
    cursor.execute("PRAGMA secure_delete = ON")
    cursor.close()


def _pragma(connection: Connection, name: str) -> int:
    return int(connection.exec_driver_sql(f"PRAGMA {name}").scalar_one())


def _pays(connection: Connection) -> bool:
    """Return whether rewriting the file gives much space back."""
    free = _pragma(connection, "freelist_count")
    return free >= _PAYS and free * 4 >= _pragma(connection, "page_count")


def _use_wal(cursor: Any) -> None:
    """Switch a new ledger to WAL; the busy timeout does not cover a switch by another process."""
    # Lets a new file give freed pages back. A file that has tables changes with its next VACUUM.
    cursor.execute(f"PRAGMA auto_vacuum = {_INCREMENTAL}")
    if cursor.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        cursor.execute(f"PRAGMA auto_vacuum = {_INCREMENTAL}")  # possible before the file has pages
        cursor.execute("PRAGMA journal_mode = WAL")


def _begin(connection: Connection, in_turn: Callable[[Callable[[], None]], None]) -> None:
    options = connection.get_execution_options()
    if options.get("siproster_bare"):  # a checkpoint is refused within a transaction
        return
    if options.get("siproster_reads"):
        connection.exec_driver_sql("BEGIN")
        # Only the first read acquires a lock; later ones need none, and none of them is repeated.
        in_turn(lambda: connection.exec_driver_sql("SELECT 1 FROM sqlite_schema LIMIT 1").close())
    else:
        in_turn(lambda: connection.exec_driver_sql("BEGIN IMMEDIATE").close())


def _in_turn(longest: float, take: Callable[[], None]) -> None:
    """Acquire a lock of SQLite's, waiting at most ``longest`` seconds after others began to hold it.

    Raises SQLite's own error then. Ctrl-C ends the wait.
    """
    end = time.monotonic() + longest
    with HERE.entered() as entry:
        while True:
            try:
                return take()
            except (sqlite3.OperationalError, OperationalError) as error:
                left = end - time.monotonic()
                if not _is_locked(error) or left <= 0:
                    raise
                HERE.turn(entry, WaitKind.LEDGER, "another process holds SQLite's lock", left)
                time.sleep(0.02)  # the switch to WAL fails at once


def _is_locked(error: Exception) -> bool:
    code = getattr(getattr(error, "orig", error), "sqlite_errorcode", 0)
    return code & 0xFF in _LOCKED  # the upper bits have the details


def _blamed(error: LedgerError, environ: Mapping[str, str]) -> LedgerError | UsageError:
    """Return the error with the settings that may be its cause, which its own text doesn't name.

    It is a UsageError if libpq or the server refused what was set, and a LedgerError if no server answered.
    """
    names = sorted(name for name, value in environ.items() if value and _LIBPQ.fullmatch(name))
    wrong = _WRONG_VALUE.search(error.message)
    if not names:
        if wrong:
            return UsageError(f"SIPROSTER_LEDGER: {wrong[0]}", _LIBPQS)
        return type(error)(error.message, _connecting(error.message) or error.hint)
    hint = f"SIPROSTER_LEDGER decides, and these variables: {', '.join(names)}; correct or unset them"
    away = not wrong and _NO_SERVER.search(error.message) and "FATAL:" not in error.message
    return LedgerError(error.message, hint) if away else UsageError(error.message, hint)


def _connecting(message: str) -> str:
    """Return the remedy for a connection that PostgreSQL refused, or that reached none; else empty."""
    if not _NO_SERVER.search(message):
        return ""
    if "FATAL:" not in message:
        remedy = "start PostgreSQL, or correct host and port in SIPROSTER_LEDGER"
    elif missing := _NO_DATABASE.search(message):
        remedy = f"create it with `createdb {missing[1]}`, or correct its name in SIPROSTER_LEDGER"
    else:
        remedy = "correct user and password in SIPROSTER_LEDGER"
    return f"{remedy}; `siproster doctor` tries it; a job that had begun goes on with `siproster resume JOB`"


def _locked(file: str) -> LedgerAway:
    return LedgerAway(
        f"the ledger {file} is locked by another process",
        f"find out which with `fuser -v {shlex.quote(file)}`, let it end, then run the command again; "
        "a job that had begun goes on with `siproster resume JOB`",
    )


@contextmanager
def _explained(file: str) -> Iterator[None]:
    """Raise LedgerError for the driver's errors. ``file``: SQLite's, which its own texts don't name."""
    try:
        yield
    except DBAPIError as error:
        if _is_locked(error):
            raise _locked(file) from None
        kind = LedgerAway if _may_come_back(error) else LedgerError
        code = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF
        remedy = _REMEDIES.get(code, "put the cause right").format(shlex.quote(file))
        if code not in _DAMAGED:
            remedy = (
                f"nothing that was committed is lost: {remedy}, then run the command again; "
                "a job that had begun goes on with `siproster resume JOB`"
            )
        of_file = f" {file}" if file else ""
        raise kind(f"the ledger{of_file} failed: {reason_of(error.orig or error)}", remedy) from None
    except SQLAlchemyError as error:
        raise LedgerError(f"the ledger failed: {reason_of(error)}") from error


def _may_come_back(error: DBAPIError) -> bool:
    """Return whether PostgreSQL is away, restarting, or out of connections for the moment."""
    state = getattr(error.orig, "sqlstate", "")  # SQLite's errors have none, not even None
    unreachable = state is None and isinstance(error, OperationalError)
    return error.connection_invalidated or unreachable or str(state).startswith(("08", "57P", "533"))
