"""The drivers: run one query in a read-only snapshot, and stream its rows as texts.

Values are taken as the server writes them: a driver's Python types would change some of them (a decimal's
digits, a date's form). How bytes become text is decided by each column's own character set.
"""

from __future__ import annotations

import codecs
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from worker.errors import UsageError
from worker.roster.database_address import MYSQL, POSTGRESQL, Address

CONNECT_SECONDS: Final = 10
"""Most seconds until a connection is made."""
STEP_SECONDS: Final = 60
"""Most seconds until the first rows, or the next ones, come; also the longest wait for a lock."""
_GROUP = 1000
"""Rows that are fetched together."""

Decode = Callable[[Any], str]


class TwoReadings(ValueError):
    """A text that is valid in its column's character set, and as UTF-8, with different characters."""

    def __init__(self, charset: str, codec: str) -> None:
        super().__init__(charset)
        self.charset = charset
        self.codec = codec


@dataclass(frozen=True, slots=True)
class Result:
    """The result of a query: names, a decoder for each column, and the rows, None being NULL."""

    columns: tuple[str, ...]
    decoders: tuple[Decode, ...]
    rows: Iterator[Sequence[Any]]


@contextmanager
def run_query(address: Address, sql: str, encoding: str, password: str = "") -> Iterator[Result]:
    """Run the query in a read-only transaction with one snapshot.

    ``encoding``: for text whose character set doesn't settle it; empty: the column's own. ``password``: if
    empty, the driver looks for one in the environment and in its own files. Raises what the driver raises,
    and UsageError.
    """
    run = {MYSQL: _mysql, POSTGRESQL: _postgresql}.get(address.kind, _sqlite)
    with run(address, sql, encoding, password) as result:
        yield result


@contextmanager
def _mysql(address: Address, sql: str, encoding: str, password: str) -> Iterator[Result]:
    import pymysql
    from pymysql.cursors import SSCursor

    settings = _mysql_settings(address, password)
    # Without conversions every value stays as the server sent it: bytes.
    connection = pymysql.connect(
        **settings, charset="utf8mb4", use_unicode=False, conv={}, cursorclass=SSCursor,
        connect_timeout=CONNECT_SECONDS, read_timeout=STEP_SECONDS, autocommit=True,
    )  # fmt: skip
    with closing(connection):
        cursor = connection.cursor()
        for statement in _MYSQL_SNAPSHOT:
            cursor.execute(statement)
        charsets = _mysql_charsets(cursor)
        cursor.execute(sql)
        result: Any = vars(cursor)["_result"]  # the only place with the columns' character sets
        try:
            fields = result.fields if cursor.description else []
            decoders = tuple(_mysql_decoder(field, charsets, encoding) for field in fields)
            yield Result(tuple(field.name for field in fields), decoders, iter(cursor.fetchone, None))
        finally:
            result.unbuffered_active = False  # else its end would read all remaining rows first


_MYSQL_SNAPSHOT = (
    "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
    "SET SESSION TRANSACTION READ ONLY",
    f"SET SESSION lock_wait_timeout = {STEP_SECONDS // 2}",
    "SET character_set_results = NULL",  # each column's bytes in its own character set
    "START TRANSACTION WITH CONSISTENT SNAPSHOT",
)


def _mysql_settings(address: Address, password: str) -> dict[str, Any]:
    """Return where to connect, and as whom: the URL, MYSQL_PWD, ``password``, then the option file."""
    given = address.parameters
    file = given.get("option-file", "")
    usual = Path("~/.my.cnf").expanduser()
    settings: dict[str, Any] = {
        "host": address.host, "port": address.port or 0, "user": address.user, "database": address.database,
        "password": (os.environ.get("MYSQL_PWD") or password).encode(), "unix_socket": given.get("socket"),
        "read_default_file": file or (str(usual) if usual.is_file() else None),
    }  # fmt: skip
    if file and not Path(file).expanduser().is_file():
        raise UsageError(
            f"option-file: there is no file {file}", "it is an option file of MySQL's: [client] user=…"
        )
    return settings | _mysql_tls(given)


_MODES = ("DISABLED", "PREFERRED", "REQUIRED", "VERIFY_CA", "VERIFY_IDENTITY")


def _mysql_tls(given: Any) -> dict[str, Any]:
    """Return PyMySQL's settings for ``ssl-mode`` and the files, which mean what they mean to MySQL."""
    mode = given.get("ssl-mode", "VERIFY_CA" if "ssl-ca" in given else "PREFERRED").upper()
    if mode not in _MODES:
        raise UsageError(f"ssl-mode {mode[:40]!r} is unknown", f"known: {', '.join(_MODES)}")
    files = {
        name.replace("-", "_"): given[name] for name in ("ssl-ca", "ssl-cert", "ssl-key") if name in given
    }
    if mode == "DISABLED":
        return {"ssl_disabled": True}
    if mode == "PREFERRED" and not files:
        return {}
    if mode == "REQUIRED" or mode == "PREFERRED":
        return {"ssl": {"verify_mode": False, "check_hostname": False}, **files}
    return {"ssl_verify_cert": True, "ssl_verify_identity": mode == "VERIFY_IDENTITY", **files}


_BIT = 16
_TEXTS = frozenset({15, 245, 247, 248, 249, 250, 251, 252, 253, 254})
"""MySQL's field types of text: VARCHAR, JSON, ENUM, SET, the BLOBs and TEXTs, CHAR."""
_CODECS = {
    "latin1": "cp1252", "ucs2": "utf-16-be", "utf16": "utf-16-be", "utf16le": "utf-16-le",
    "utf32": "utf-32-be", "koi8r": "koi8-r", "koi8u": "koi8-u", "macroman": "mac-roman",
    "tis620": "tis-620", "eucjpms": "euc-jp", "utf8mb3": "utf-8", "utf8mb4": "utf-8", "utf8": "utf-8",
    "binary": "utf-8", "euckr": "euc-kr", "gb2312": "gb2312", "ujis": "euc-jp",
}  # fmt: skip
"""MySQL's character sets to Python's codecs, where the names differ. Its latin1 is Windows-1252."""


def _mysql_charsets(cursor: Any) -> dict[int, str]:
    """Return the server's numbers of collations, which describe a result's columns, with their charsets."""
    cursor.execute("SELECT ID, CHARACTER_SET_NAME FROM information_schema.COLLATIONS WHERE ID IS NOT NULL")
    return {int(number): str(name, "ascii") for number, name in cursor.fetchall() if name}


def _mysql_decoder(field: Any, charsets: Mapping[int, str], encoding: str) -> Decode:
    if field.type_code == _BIT:
        return lambda value: str(int.from_bytes(value, "big"))
    if field.type_code not in _TEXTS:
        return lambda value: str(value, "ascii")
    # MariaDB's newest collations have no number of their own there; they are of Unicode's character sets.
    charset = charsets.get(field.charsetnr, "utf8mb4")
    try:
        codec = codecs.lookup(_CODECS.get(charset, charset)).name
    except LookupError:
        raise UsageError(
            f"column {field.name!r} has the character set {charset}, which siproster can't decode",
            f"convert it in a --query: SELECT CONVERT({field.name} USING utf8mb4) …",
        ) from None
    if codec.startswith("utf"):
        return lambda value: str(value, encoding if encoding and charset == "binary" else codec)
    return _legacy(charset, encoding or codec, sure=bool(encoding))


def _legacy(charset: str, codec: str, *, sure: bool) -> Decode:
    """Return a decoder of a character set that programs also wrote UTF-8 into, as older FreePBX did."""

    def decode(value: bytes) -> str:
        if value.isascii():
            return value.decode("ascii")
        text = str(value, codec)
        if not sure and _is_utf8(value):
            raise TwoReadings(charset, codec)
        return text

    return decode


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


@contextmanager
def _postgresql(address: Address, sql: str, encoding: str, password: str) -> Iterator[Result]:
    import psycopg
    from psycopg.adapt import Loader
    from psycopg.conninfo import make_conninfo

    class Bytes(Loader):
        """Takes a value as the server writes it."""

        def load(self, data: Any) -> bytes:
            return bytes(data)

    parts = {
        "host": address.host, "port": str(address.port or ""), "user": address.user,
        "dbname": address.database, "password": password,
        "connect_timeout": str(CONNECT_SECONDS), "client_encoding": "UTF8", "application_name": "siproster",
        "options": f"-c statement_timeout={STEP_SECONDS}s -c lock_timeout={STEP_SECONDS // 2}s "
        "-c default_transaction_read_only=on", **address.parameters,
    }  # fmt: skip
    connection = psycopg.connect(make_conninfo(**{name: value for name, value in parts.items() if value}))
    connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    connection.read_only = True
    with closing(connection):
        cursor = connection.cursor("siproster")
        cursor.itersize = _GROUP
        for oid in (0, *(oid for info in connection.adapters.types for oid in (info.oid, info.array_oid))):
            cursor.adapters.register_loader(oid, Bytes)
        cursor.execute(sql.encode())
        description = cursor.description or []
        decoders = tuple(_postgresql_decoder(column.type_code, encoding) for column in description)
        yield Result(tuple(column.name for column in description), decoders, iter(cursor))


def _postgresql_decoder(oid: int, encoding: str) -> Decode:
    """Return how a type's text is read, the same as ``value::text`` gives."""
    codec = encoding or "utf-8"
    match oid:
        case 16:  # bool
            return lambda value: "true" if value == b"t" else "false"
        case 17:  # bytea
            return lambda value: str(bytes.fromhex(str(value[2:], "ascii")), codec)
        case 1042:  # char(n): the blanks that fill it up are no part of the value
            return lambda value: str(value, "utf-8").rstrip(" ")
    return lambda value: str(value, "utf-8")


_READING: Final = (
    sqlite3.SQLITE_SELECT,
    sqlite3.SQLITE_READ,
    sqlite3.SQLITE_FUNCTION,
    sqlite3.SQLITE_RECURSIVE,
)


def _only_reading(action: int, *_: str | None) -> int:
    """Allow nothing but reading: ATTACH and VACUUM INTO would write other files, in spite of ``mode=ro``."""
    return sqlite3.SQLITE_OK if action in _READING else sqlite3.SQLITE_DENY


@contextmanager
def _sqlite(address: Address, sql: str, encoding: str, password: str) -> Iterator[Result]:
    del password  # a file has none
    path = Path(address.database).absolute()
    connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=STEP_SECONDS / 2)
    with closing(connection):
        connection.set_authorizer(_only_reading)
        connection.text_factory = bytes
        cursor = connection.execute(sql)
        names = tuple(
            column[0] if isinstance(column[0], str) else str(column[0], "utf-8")
            for column in cursor.description or ()
        )

        def decode(value: Any) -> str:
            return str(value, encoding or "utf-8") if isinstance(value, bytes) else str(value)

        yield Result(names, (decode,) * len(names), cursor)
