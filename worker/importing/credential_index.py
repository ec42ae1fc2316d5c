"""What the service holds, by name, on disk: a million credentials in memory would be half a gigabyte.

The file has no name and mode 0600, and its digests are sealed with a key that this object alone has.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from worker.model import Stored
from worker.scratch import scratch
from worker.seal import Seal

_CACHE_KIB = 32_768
_GROUP = 2000
_ASKED = 500

_TABLE = (
    "CREATE TABLE stored (name BLOB PRIMARY KEY, id TEXT, composite TEXT, realm TEXT, application TEXT, "
    "digests BLOB, named INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID"
)
_INSERT = (
    "INSERT OR REPLACE INTO stored (name, id, composite, realm, application, digests) "
    "VALUES (?, ?, ?, ?, ?, ?)"
)
_ALL = "SELECT id, composite, realm, application FROM stored WHERE named = 0 ORDER BY realm, name"


class Inventory:
    """Stored credentials by place and name, and which of them a roster has named. To be closed.

    A place is where a name is unique: the account, or one realm of it.
    """

    def __init__(self) -> None:
        self._seal = Seal([os.urandom(32)])
        self._db = scratch(_CACHE_KIB)
        self._db.execute(_TABLE)

    def load(self, place: str, entries: Iterable[Stored]) -> None:
        """Enter what a list of the place gave; an entry that comes twice counts once."""
        source = iter(entries)
        while group := [self._row(place, entry) for entry in itertools.islice(source, _GROUP)]:
            self._db.execute("BEGIN")
            self._db.executemany(_INSERT, group)
            self._db.execute("COMMIT")

    def named(self, place: str, composites: Sequence[str]) -> list[Stored | None]:
        """What is stored under each name, whatever its case; they all count as named from then on."""
        names = [_name(place, composite) for composite in composites]
        found: dict[bytes, Stored] = {}
        for at in range(0, len(names), _ASKED):
            asked = names[at : at + _ASKED]
            marks = ",".join("?" * len(asked))
            where = f"FROM stored WHERE name IN ({marks})"
            rows = self._db.execute(f"SELECT name, id, composite, realm, application, digests {where}", asked)
            found.update((row[0], self._stored(row)) for row in rows)
            self._db.execute(f"UPDATE stored SET named = 1 WHERE name IN ({marks})", asked)  # noqa: S608
        return [found.get(name) for name in names]

    def unnamed(self) -> Iterator[Stored]:
        """Whom the roster has not named, by realm and name, without digests."""
        for id_, composite, realm, application in self._db.execute(_ALL):
            yield Stored(id_, composite, realm, application=application)

    def close(self) -> None:
        """End it; the file goes with it."""
        self._db.close()

    def _row(self, place: str, entry: Stored) -> tuple[Any, ...]:
        digests = self._seal.close_over([entry.hash1, entry.hash1b], "")
        name = _name(place, entry.composite)
        return name, entry.id, entry.composite, entry.realm, entry.application, digests

    def _stored(self, row: tuple[Any, ...]) -> Stored:
        _, id_, composite, realm, application, digests = row
        hash1, hash1b = self._seal.open(digests, "")
        return Stored(id_, composite, realm, hash1, hash1b, application)


def _name(place: str, composite: str) -> bytes:
    # A blob: a text may not hold what a name may (NUL, half a surrogate pair).
    return f"{place}\0{composite.casefold()}".encode("utf-8", "surrogatepass")
