"""Logins of databases with rosters: ``[database."mysql://HOST/NAME"]`` tables of ``siproster.toml``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from worker.errors import UsageError
from worker.model import DatabaseLogin

TABLE: Final = "database"
FIELDS: Final = ("user", "password")
_EXAMPLE: Final = (
    'write [database."mysql://HOST/NAME"] or [database."postgresql://HOST/NAME"], '
    'below it user = "…" and password = "…"'
)
_is_url = re.compile(
    r"(?:mysql|mariadb|postgres|postgresql)://[^/@?#\s]*/[^/@?#\s]+", re.IGNORECASE
).fullmatch


def logins(path: Path, tables: object) -> dict[str, DatabaseLogin]:
    """Return the logins by URL.

    Raises:
        UsageError: a table's name is no URL of a database, or holds a user; a field is unknown or no text.
            No message shows a value.
    """
    if not isinstance(tables, dict) or not all(isinstance(one, dict) for one in tables.values()):
        raise UsageError(f"{path}: {TABLE} is not a table of tables", _EXAMPLE)
    return {url: _login(path, url, table) for url, table in tables.items()}


def _login(path: Path, url: str, table: Mapping[str, object]) -> DatabaseLogin:
    if not _is_url(url):  # it may hold a password, so it is not shown
        raise UsageError(
            f"{path}: the name of a {TABLE} table must be a URL without user, password and parameters",
            _EXAMPLE,
        )
    for name, value in table.items():
        if name not in FIELDS:
            raise UsageError(f"{path}: {name} is not a setting of a database", f"known: {', '.join(FIELDS)}")
        if not isinstance(value, str) or not value or "\0" in value:
            raise UsageError(
                f"{path}: {name} of {url} must be text in quotes, not empty and without NUL", _EXAMPLE
            )
    return DatabaseLogin(url, str(table.get("user", "")), str(table.get("password", "")))


def refuse_exposed(path: Path, found: Mapping[str, DatabaseLogin]) -> None:
    """Raise UsageError if there is a password; ``path`` can be read by others."""
    if any(one.password for one in found.values()):
        raise UsageError(
            f"{path} contains a database's password and can be read by others", f"run: chmod 600 {path}"
        )
