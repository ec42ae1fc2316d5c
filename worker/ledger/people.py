"""The people who may sign in to the page: their names, roles, and the hashes of their tokens."""

from __future__ import annotations

import datetime as dt
import enum
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import RowMapping, text

from worker.errors import Conflict, NotFound, UsageError
from worker.ledger.store import Store

_ADD = text("""
    INSERT INTO people (key, name, role, token_hash, created) VALUES (:key, :name, :role, :token_hash, :now)
    ON CONFLICT (key) DO NOTHING""")
_RENEW = text("""
    UPDATE people SET token_hash = :token_hash, created = :now,
        role = CASE WHEN :role = '' THEN role ELSE :role END WHERE key = :key RETURNING *""")
_GET = text("SELECT * FROM people WHERE key = :key")
_ALL = text("SELECT * FROM people ORDER BY key")
_REMOVE = text("DELETE FROM people WHERE key = :key")
_END_SESSIONS = text("DELETE FROM page_sessions WHERE person = :key")
_SET_ROLE = text("UPDATE people SET role = :role WHERE key = :key")

_is_name = re.compile(r"[A-Za-z0-9][A-Za-z0-9_@+-]*(\.[A-Za-z0-9_@+-]+)*").fullmatch
_LONGEST_NAME = 64


class Role(enum.StrEnum):
    """The permissions of a person; each role may also do what those before it may."""

    UPLOAD = "upload"
    """Upload rosters, and see what became of them."""
    APPROVE = "approve"
    """See everything, approve plans, retry and undo jobs, run and pause schedules."""
    ADMIN = "admin"
    """Manage people, and read the audit log."""

    def includes(self, other: Role) -> bool:
        """Return whether this role may do what the other may."""
        order = list(Role)
        return order.index(self) >= order.index(other)


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who uses the page."""

    name: str
    role: Role


@dataclass(frozen=True, slots=True)
class PersonRecord:
    """A person who may sign in. ``token_hash``: SHA-256 of the token, in hex."""

    person: Person
    token_hash: str
    created: dt.datetime
    """When the token was made."""
    signed_in: dt.datetime | None
    """When the person last signed in."""


class People:
    """The people of one ledger. Names are compared without regard to case."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def check_new(self, name: str) -> None:
        """Raise Conflict if there is a person of that name, UsageError if it can't be a name."""
        if len(name) > _LONGEST_NAME or not _is_name(name):
            raise UsageError(
                f"{name[:_LONGEST_NAME]!r} can't be the name of a person",
                "use letters, digits and . _ - + @, 64 at most, such as dana or dana@example.com",
            )
        if self.find(name):
            raise _exists(name)

    def add(self, person: Person, token_hash: str) -> None:
        """Add a person. Raises as ``check_new``."""
        self.check_new(person.name)
        values = {**_key(person.name), "name": person.name, "role": person.role, "token_hash": token_hash}
        with self._store.begin() as connection:
            if connection.execute(_ADD, {**values, "now": self._store.now(connection)}).rowcount != 1:
                raise _exists(person.name)

    def renew(self, name: str, token_hash: str, role: Role | None = None) -> Person:
        """Replace a person's token, and the role if one is given, and end their sessions. Raises NotFound."""
        values = {**_key(name), "token_hash": token_hash, "role": role or ""}
        with self._store.begin() as connection:
            found = connection.execute(_RENEW, {**values, "now": self._store.now(connection)})
            row = found.mappings().one_or_none()
            connection.execute(_END_SESSIONS, _key(name))
        if row is None:
            raise _no_person(name)
        return _record_of(row).person

    def set_role(self, name: str, role: Role) -> None:
        """Change what a person may do, from their next request on. Raises NotFound."""
        with self._store.begin() as connection:
            changed = connection.execute(_SET_ROLE, {**_key(name), "role": role}).rowcount
        if changed != 1:
            raise _no_person(name)

    def remove(self, name: str) -> None:
        """Remove a person, and end their sessions. Raises NotFound."""
        with self._store.begin() as connection:
            removed = connection.execute(_REMOVE, _key(name)).rowcount
            connection.execute(_END_SESSIONS, _key(name))
        if removed != 1:
            raise _no_person(name)

    def get(self, name: str) -> Person:
        """Return a person. Raises NotFound."""
        if known := self.find(name):
            return known.person
        raise _no_person(name)

    def find(self, name: str) -> PersonRecord | None:
        """Return a person, or None if there is none of that name."""
        with self._store.read() as connection:
            row = connection.execute(_GET, _key(name)).mappings().one_or_none()
            return _record_of(row) if row else None

    def all(self) -> list[PersonRecord]:
        """Return all people by name."""
        with self._store.read() as connection:
            return [_record_of(row) for row in connection.execute(_ALL).mappings()]


def is_among(name: str, names: Iterable[str]) -> bool:
    """Return whether a name is one of these, whatever its case: ``Dana`` may have been ``dana`` before."""
    return name.casefold() in map(str.casefold, names)


def _record_of(row: RowMapping) -> PersonRecord:
    signed_in = row["signed_in"]
    return PersonRecord(
        Person(row["name"], Role(row["role"])), row["token_hash"],
        dt.datetime.fromtimestamp(row["created"], dt.UTC),
        dt.datetime.fromtimestamp(signed_in, dt.UTC) if signed_in else None,
    )  # fmt: skip


def _key(name: str) -> dict[str, Any]:
    return {"key": name.casefold()}


def _exists(name: str) -> Conflict:
    return Conflict(f"there is already a person {name!r}", f"for a new token: siproster people renew {name}")


def _no_person(name: str) -> NotFound:
    return NotFound(f"there is no person {name[:_LONGEST_NAME]!r}", "list them with: siproster people list")
