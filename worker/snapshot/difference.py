"""Compare two states of one account on disk: added, removed and changed credentials.

A credential's id stays with it, so ids are compared first; one that was deleted and created again has another
id and is found by its realm and name. Digests are kept as keyed marks only: enough to tell whether two are
the same, and useless to a thief.
"""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from worker.model import Stored
from worker.temp_db import temp_db

_CACHE_KIB = 32_768
_GROUP = 5000

_TABLE = (
    "CREATE TABLE {} (key TEXT PRIMARY KEY, place TEXT, id TEXT, name TEXT, realm TEXT, application TEXT, "
    "mark BLOB, pair TEXT) WITHOUT ROWID"
)
"""``pair``: the key of the same credential at the other moment."""

_INSERT = "INSERT OR REPLACE INTO {} VALUES (?, ?, ?, ?, ?, ?, ?, NULL)"
_COUNT = "SELECT count(*) FROM {}"

_PAIR = (
    "UPDATE before SET pair = key WHERE key IN (SELECT key FROM after)",
    "UPDATE after SET pair = key WHERE key IN (SELECT key FROM before)",
    "CREATE INDEX by_place ON after (place) WHERE pair IS NULL",
    "UPDATE before SET pair = (SELECT a.key FROM after a WHERE a.place = before.place AND a.pair IS NULL) "
    "WHERE pair IS NULL",
    "CREATE INDEX by_pair ON before (pair)",
    "UPDATE after SET pair = (SELECT key FROM before WHERE before.pair = after.key) WHERE pair IS NULL",
)

_CHANGES = """
SELECT 'changed' AS kind, a.id, a.name, a.realm, a.application, a.place AS place,
       b.id, b.name, b.realm, b.application, a.mark <> b.mark
  FROM before b JOIN after a ON a.key = b.pair
 WHERE a.mark <> b.mark OR a.name <> b.name OR a.place <> b.place
       OR lower(a.application) <> lower(b.application)
UNION ALL
SELECT 'removed', id, name, realm, application, place, '', '', '', '', 0 FROM before WHERE pair IS NULL
UNION ALL
SELECT 'added', id, name, realm, application, place, '', '', '', '', 0 FROM after WHERE pair IS NULL
ORDER BY place, kind
"""


@dataclass(frozen=True, slots=True)
class Change:
    """The change of one credential. Never contains its digests."""

    kind: Literal["added", "removed", "changed"]
    stored: Stored
    """The present state; for a removed one, the previous."""
    before: Stored | None = None
    """The previous state of a changed one."""
    differs: tuple[str, ...] = ()
    """Differences of a changed one: ``digests``, ``application``, ``realm``, ``case``."""


class Difference:
    """Two states, loaded one after the other, each streamed and of any size. Close it after use."""

    def __init__(self) -> None:
        self._key = os.urandom(32)
        self._db = temp_db(_CACHE_KIB)
        for moment in ("before", "after"):
            self._db.execute(_TABLE.format(moment))

    def load(self, moment: Literal["before", "after"], entries: Iterable[Stored]) -> int:
        """Load the credentials of one state and return how many; one that comes twice counts once."""
        source = iter(entries)
        while group := [self._row(entry) for entry in itertools.islice(source, _GROUP)]:
            self._db.execute("BEGIN")
            self._db.executemany(_INSERT.format(moment), group)
            self._db.execute("COMMIT")
        return int(self._db.execute(_COUNT.format(moment)).fetchone()[0])

    def changes(self) -> Iterator[Change]:
        """Yield the changes, by realm and name. Call it once, after both states were loaded."""
        for statement in _PAIR:
            self._db.execute(statement)
        yield from map(_change, self._db.execute(_CHANGES))

    def close(self) -> None:
        """Close the database and delete its file."""
        self._db.close()

    def _row(self, entry: Stored) -> tuple[Any, ...]:
        place = f"{entry.realm.casefold()}/{entry.composite.casefold()}"
        digests = f"{entry.hash1 or ''}/{entry.hash1b or ''}".encode()
        mark = hashlib.blake2b(digests, key=self._key, digest_size=16).digest()
        key = entry.id or f"/{place}"
        return key, place, entry.id, entry.composite, entry.realm, entry.application, mark


def _change(row: tuple[Any, ...]) -> Change:
    kind, stored, before = row[0], _stored(row[1:5]), _stored(row[6:10])
    if kind != "changed":
        return Change(kind, stored)
    return Change(kind, stored, before, tuple(_differs(before, stored, digests=bool(row[10]))))


def _stored(columns: tuple[str, ...]) -> Stored:
    id_, name, realm, application = columns
    return Stored(id_, name, realm, application=application)


def _differs(before: Stored, after: Stored, *, digests: bool) -> Iterator[str]:
    if digests:
        yield "digests"
    if before.application.casefold() != after.application.casefold():
        yield "application"
    if before.realm.casefold() != after.realm.casefold():
        yield "realm"
    if before.composite != after.composite:
        yield "case"
