"""Errors of databases in words: what was refused, and the command that helps. No text holds a password."""

from __future__ import annotations

import re
from typing import Any

from worker.errors import UsageError
from worker.reasons import reason_of
from worker.roster.database_address import MYSQL, POSTGRESQL, Address

NOTHING_SENT = "nothing was sent"

_KINDS = {
    1044: "denied", 1045: "login", 1698: "login", 1049: "database", 1142: "denied", 1143: "denied",
    1146: "table", 1054: "column", 1064: "syntax", 1205: "locked", 1969: "slow", 2003: "away", 2006: "cut",
    2013: "cut", 1053: "cut", 1927: "cut",
    1792: "writes", "25006": "writes", 2026: "tls",
    "28P01": "login", "28000": "login", "3D000": "database", "42501": "denied", "42P01": "table",
    "42703": "column", "42601": "syntax", "55P03": "locked", "57014": "slow", "57P01": "cut",
}  # fmt: skip
"""MariaDB's and MySQL's error numbers, and PostgreSQL's SQLSTATE, to what happened."""

_TEXTS = (
    ("password authentication failed", "login"), ("no password supplied", "login"),
    ("no pg_hba.conf entry", "login"), ('role "', "login"), ('database "', "database"),
    ("no such table", "table"), ("no such column", "column"), ("syntax error", "syntax"),
    ("incomplete input", "syntax"), ("readonly database", "writes"),
    ("authorization denied", "writes"), ("not authorized", "writes"), ("database is locked", "locked"),
)  # fmt: skip
"""Texts of libpq when connecting fails, and of SQLite: neither has a code that says as much."""

_LOGIN = {
    MYSQL: "set MYSQL_PWD to the password, or write it to siproster.toml or ~/.my.cnf; the user goes into "
    "the URL: mysql://USER@HOST/…",
    POSTGRESQL: "set PGPASSWORD to the password, or write it to siproster.toml or ~/.pgpass; the user goes "
    "into the URL: postgresql://USER@HOST/…",
}  # fmt: skip
_NOT_THAT_PBX = (
    "this is another PBX's database, or another version's: check --from and the database's name, "
    "or read what is there with --query FILE"
)
_SHOW_DATABASES = {
    MYSQL: "mysql -h HOST -u USER -p -e 'SHOW DATABASES'",
    POSTGRESQL: "psql -h HOST -U USER -l",
}


def refused(address: Address, error: Exception, *, own_query: bool, connected: bool) -> UsageError:
    """Return the error for a driver's exception. ``own_query``: the query is a format's, not --query's."""
    code, text = _code_and_text(error)
    what = _KINDS.get(code) or next((kind for part, kind in _TEXTS if part in text), "")
    place = address.shown
    match what:
        case "login":
            return UsageError(f"{place}: the user name or password was refused", _LOGIN[address.kind])
        case "database":
            return UsageError(
                f"{place}: there is no such database", f"list them: {_SHOW_DATABASES[address.kind]}"
            )
        case "denied":
            return UsageError(
                f"{place}: the user may not read {_quoted(text) or 'this database'}",
                "ask its administrator for: GRANT SELECT on the tables that the query reads",
            )
        case "table" | "column":
            name = _quoted(text)
            return UsageError(
                f"{place}: there is no {what} {name}".rstrip(),
                _NOT_THAT_PBX if own_query else "correct the file of --query",
            )
        case "syntax":
            return UsageError(
                f"{place}: the query can't be understood", "try the file of --query in a client"
            )
        case "locked" | "slow":
            return UsageError(
                f"{place}: the query took too long, or a table stayed locked; {NOTHING_SENT}", "try again"
            )
        case "writes":
            return UsageError(f"{place}: the query writes, and a roster is only read", "give a SELECT")
        case "tls":
            return UsageError(
                f"{place}: no TLS connection as ssl-mode wants it", "check ssl-mode and ssl-ca in the URL"
            )
        case "cut":
            return _cut(place)
    if connected and type(error).__name__ in ("OperationalError", "InterfaceError"):
        return _cut(place)
    return UsageError(
        f"{place} can't be read: {reason_of(error)}",
        "check its host and port",
    )


def _cut(place: str) -> UsageError:
    return UsageError(
        f"{place}: the connection was cut while the roster was being read; {NOTHING_SENT}",
        "run the command again when the database is up",
    )


def _code_and_text(error: Exception) -> tuple[Any, str]:
    """Return the number or SQLSTATE, and the server's text."""
    state = getattr(error, "sqlstate", None)
    code = error.args[0] if error.args and isinstance(error.args[0], int) else state
    return code, str(error.args[-1]) if error.args else ""


_named = re.compile(
    r"(?:for (?:table|relation|schema|view|database) |no such (?:table|column): )([\w.$`-]{1,128})"
).search
_in_quotes = re.compile("""['"`]([\\w.$-]{1,128})['"`]""").search


def _quoted(text: str) -> str:
    """Return the first name that the server's text quotes: a table's or a column's."""
    found = _named(text) or _in_quotes(text)
    return repr(found[1].strip("`")) if found else ""
