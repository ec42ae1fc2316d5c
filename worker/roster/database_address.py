"""Addresses of databases: ``mysql://``, ``postgresql://`` and ``sqlite://`` URLs, without passwords."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

from worker.errors import UsageError
from worker.hosts import is_loopback
from worker.model import DatabaseLogin

MYSQL: Final = "mysql"
POSTGRESQL: Final = "postgresql"
SQLITE: Final = "sqlite"

_SCHEMES = {
    "mysql": MYSQL, "mariadb": MYSQL, "postgresql": POSTGRESQL, "postgres": POSTGRESQL, "sqlite": SQLITE,
}  # fmt: skip
_PARAMETERS = {
    MYSQL: {"option-file", "socket", "ssl-mode", "ssl-ca", "ssl-cert", "ssl-key"},
    POSTGRESQL: {
        *("service", "passfile", "sslmode", "sslrootcert", "sslcert", "sslkey", "sslcrl"),
        *("channel_binding", "gssencmode", "target_session_attrs"),
    },
    SQLITE: set(),
}
"""Parameters of a URL by kind: libpq's own names, and those of MySQL's clients."""

_RIGHT_WAY = {
    MYSQL: "leave it out of the URL and set MYSQL_PWD, or write it to siproster.toml (docs/sources.md) or to "
    "~/.my.cnf: [client] password=…",
    POSTGRESQL: "leave it out of the URL and set PGPASSWORD, or write it to siproster.toml (docs/sources.md) "
    "or to ~/.pgpass (0600)",
    SQLITE: "a SQLite file has no password",
}
_PASSWORDS: Final = {
    MYSQL: ("MYSQL_PWD", "option-file"),
    POSTGRESQL: ("PGPASSWORD", "passfile", "service"),
}
"""Names of the environment's password, and of the URL's parameters that name a file with one."""
_PORTS: Final = {MYSQL: 3306, POSTGRESQL: 5432}
_scheme = re.compile("([A-Za-z]+)://").match


@dataclass(frozen=True, slots=True)
class Address:
    """A database: where it is, and how it is connected to. Holds no password."""

    kind: str
    host: str = ""
    port: int | None = None
    user: str = ""
    database: str = ""
    """Its name; of SQLite, the path of the file."""
    parameters: Mapping[str, str] = field(default_factory=dict)

    @property
    def shown(self) -> str:
        """Return the URL without user and parameters, as messages and the ledger have it."""
        if self.kind == SQLITE:
            return f"sqlite:///{self.database}"
        port = f":{self.port}" if self.port else ""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.kind}://{host}{port}/{self.database}"

    @property
    def is_verified(self) -> bool:
        """Return whether nobody in between can read passwords: a local database, or TLS that is checked."""
        if self.kind == SQLITE or "socket" in self.parameters or not self.host or is_loopback(self.host):
            return True
        if self.kind == MYSQL:
            return self.parameters.get("ssl-mode", "").upper() == "VERIFY_IDENTITY"
        return self.parameters.get("sslmode", os.environ.get("PGSSLMODE", "")) == "verify-full"

    @property
    def name(self) -> str:
        """Return the database's name, for people and for the job's id."""
        return Path(self.database).name or str(self.parameters.get("service", "")) or self.kind


def is_database(place: str) -> bool:
    """Return whether a roster's place is the URL of a database."""
    found = _scheme(place)
    return bool(found and found[1].casefold() in _SCHEMES)


def address_of(url: str) -> Address:
    """Return the address that a URL holds.

    Raises:
        UsageError: it holds a password, which others on this machine could see, or can't be understood.
    """
    scheme, _, rest = url.partition("://")
    kind = _SCHEMES[scheme.casefold()]
    if kind == SQLITE:
        return Address(kind, database=_sqlite_path(rest))
    if ":" in rest.rpartition("@")[0]:  # whatever characters the password may hold
        raise UsageError(
            "the URL holds a password, which the process list and the shell's history show", _RIGHT_WAY[kind]
        )
    try:
        parts = urlsplit(url)
        port = parts.port
        given = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    except ValueError:
        raise UsageError(f"the address of the {kind} database can't be understood", _example(kind)) from None
    _check_parameters(kind, given)
    database = unquote(parts.path.removeprefix("/"))
    if not database and "service" not in given:
        raise UsageError(f"the {kind} URL names no database", _example(kind))
    return Address(kind, parts.hostname or "", port, unquote(parts.username or ""), database, given)


def log_in(
    address: Address, logins: Iterable[DatabaseLogin], environ: Mapping[str, str] = os.environ
) -> tuple[Address, str]:
    """Return the address with its user, and the password, both as the settings file's login for it says.

    The password is empty where the environment has one, or the URL names a file with one, which take
    precedence, and for another user than the login's.
    """
    for login in logins:
        given = address_of(login.url)
        if _server(given) != _server(address) or (address.user and login.user not in ("", address.user)):
            continue
        variable, *parameters = _PASSWORDS[address.kind]
        elsewhere = environ.get(variable) or any(name in address.parameters for name in parameters)
        return replace(address, user=address.user or login.user), "" if elsewhere else login.password
    return address, ""


def _server(address: Address) -> tuple[str, str, int | None, str]:
    port = address.port or _PORTS.get(address.kind)
    return address.kind, address.host.rstrip("."), port, address.database


def _check_parameters(kind: str, given: Mapping[str, str]) -> None:
    known = _PARAMETERS[kind]
    for name in given:
        if name in ("password", "sslpassword"):
            raise UsageError("the URL holds a password, which the process list shows", _RIGHT_WAY[kind])
        if name not in known:
            raise UsageError(
                f"{name[:40]!r} is not a parameter of a {kind} URL", f"known: {', '.join(sorted(known))}"
            )


def _sqlite_path(rest: str) -> str:
    """Return the file of ``sqlite:///FILE``, where a fourth slash begins an absolute path."""
    if not rest.startswith("/") or len(rest) < 2:
        raise UsageError("the sqlite URL names no file", _example(SQLITE))
    path = Path(unquote(rest[1:])).expanduser()
    if path.is_file():
        return str(path.absolute())
    rooted = Path("/", path)
    if rooted.is_file():
        raise UsageError(f"there is no file {path}", f"did you mean sqlite:///{rooted}?")
    raise UsageError(f"there is no file {path}", f"the working folder is {Path.cwd()}")


def _example(kind: str) -> str:
    if kind == SQLITE:
        return "write it as sqlite:///roster.db, or sqlite:////var/lib/roster.db for an absolute path"
    return f"write it as {kind}://USER@HOST/DATABASE"
