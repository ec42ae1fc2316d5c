"""An index of the stored credentials by name, on disk: in memory, a million would take half a gigabyte.

The file has no name and mode 0600, and its digests are sealed with keys that only this object has.
"""

from __future__ import annotations

import itertools
import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence

from worker.model import Stored
from worker.seal import BlockSeal, Seal
from worker.temp_db import temp_db, text_key

_CACHE_KIB = 32_768
_GROUP = 2000
_pair = re.compile("[0-9a-f]{64}").fullmatch
"""Hash1 and Hash1b in their usual form."""
_PAIR_BYTES = 32
_zeros = re.compile("0+(?=[0-9]+(?:@|$))").match
"""Match the leading zeros of a number, which a domain may follow."""

_TABLE = (
    "CREATE TABLE stored (name TEXT PRIMARY KEY, nr INTEGER, id TEXT, composite TEXT, realm TEXT, "
    "application TEXT, digests BLOB) WITHOUT ROWID"
)
_ZEROS_TABLE = "CREATE TABLE zeros (core TEXT PRIMARY KEY, composite TEXT) WITHOUT ROWID"
"""Numbers with leading zeros, by their names without them."""
_INSERT_ZEROS = "INSERT OR REPLACE INTO zeros VALUES (?, ?)"
_WITH_ZEROS = "SELECT asked.key, composite FROM json_each(?) AS asked CROSS JOIN zeros ON core = asked.value"
_WITHOUT_ZEROS = (
    "SELECT asked.key, composite FROM json_each(?) AS asked CROSS JOIN stored ON name = asked.value"
)
_INSERT = "INSERT OR REPLACE INTO stored VALUES (?, ?, ?, ?, ?, ?, ?)"
# CROSS JOIN tells SQLite to go through the requested names first.
_NAMED = (
    "SELECT asked.key, nr, stored.id, composite, realm, application, digests "
    "FROM json_each(?) AS asked CROSS JOIN stored ON name = asked.value"
)
_ALL = "SELECT nr, id, composite, realm, application, digests FROM stored ORDER BY realm, name"


class CredentialIndex:
    """Stored credentials by place and name, and which of them a roster has named. Close it after use.

    A place is the scope in which a name is unique: the account, or one realm of it.
    """

    def __init__(self) -> None:
        self._blocks = BlockSeal()
        self._seal = Seal([os.urandom(32)])
        self._named = bytearray()
        """One byte for each entry, by its number: whether a roster has named it."""
        self._db = temp_db(_CACHE_KIB)
        self._db.execute(_TABLE)
        self._db.execute(_ZEROS_TABLE)

    def load(self, place: str, entries: Iterable[Stored]) -> None:
        """Add the entries of a place's list; an entry that comes twice counts once."""
        source = iter(entries)
        while group := list(itertools.islice(source, _GROUP)):
            first = len(self._named)
            self._named.extend(bytes(len(group)))
            rows = [
                (_name(place, one.composite), nr, one.id, one.composite, one.realm, one.application, digests)
                for nr, (one, digests) in enumerate(zip(group, self._sealed(group), strict=True), first)
            ]
            self._db.execute("BEGIN")
            self._db.executemany(_INSERT, rows)
            with_zeros = [one.composite for one in group if one.composite.startswith("0")]
            self._db.executemany(_INSERT_ZEROS, [(_name(place, _core(one)), one) for one in with_zeros])
            self._db.execute("COMMIT")

    def named(self, place: str, composites: Sequence[str]) -> list[Stored | None]:
        """Return the credentials stored under each name, in any case, and mark them as named."""
        asked = json.dumps([_name(place, composite) for composite in composites])
        rows = self._db.execute(_NAMED, (asked,)).fetchall()
        found: list[Stored | None] = [None] * len(composites)
        for row, (hash1, hash1b) in zip(rows, self._opened([row[6] for row in rows]), strict=True):
            at, nr, id_, composite, realm, application, _ = row
            self._named[nr] = 1
            found[at] = Stored(id_, composite, realm, hash1, hash1b, application)
        return found

    def differing_by_zeros(self, place: str, composites: Sequence[str]) -> dict[int, str]:
        """Return the stored names that differ from these only by zeros in front, by the names' indices."""
        cores = [_name(place, _core(composite)) for composite in composites]
        asked = json.dumps(cores)
        found = dict(self._db.execute(_WITH_ZEROS, (asked,)).fetchall())
        # A core of its own is the name itself, which is known not to be stored.
        return found | dict(self._db.execute(_WITHOUT_ZEROS, (asked,)).fetchall())

    def unnamed(self, *, whole: bool = False) -> Iterator[Stored]:
        """Yield the credentials that the roster has not named, by realm and name; ``whole``: with digests."""
        if 0 not in self._named:
            return
        for nr, id_, composite, realm, application, digests in self._db.execute(_ALL):
            if not self._named[nr]:
                hash1, hash1b = next(self._opened([digests])) if whole else (None, None)
                yield Stored(id_, composite, realm, hash1, hash1b, application)

    def by_realm(self) -> dict[str, int]:
        """Return how many credentials are stored on each realm, as the lists name it."""
        return dict(self._db.execute("SELECT realm, count(*) FROM stored GROUP BY realm"))

    def close(self) -> None:
        """Close the index and delete its file."""
        self._db.close()

    def _sealed(self, entries: Sequence[Stored]) -> Iterator[bytes]:
        """Yield each entry's digests, sealed; entries with two complete ones, nearly all, in one call."""
        pairs = [f"{one.hash1}{one.hash1b}" for one in entries]
        whole = [pair if _pair(pair) else "" for pair in pairs]
        blocks = self._blocks.close_over(bytes.fromhex("".join(whole)))
        at = 0
        for one, pair in zip(entries, whole, strict=True):
            if pair:
                yield blocks[at : at + _PAIR_BYTES]
                at += _PAIR_BYTES
            else:
                yield self._seal.close_over([one.hash1, one.hash1b], "")

    def _opened(self, sealed: Sequence[bytes]) -> Iterator[tuple[str | None, str | None]]:
        pairs = self._blocks.open(b"".join([one for one in sealed if len(one) == _PAIR_BYTES])).hex()
        at = 0
        for one in sealed:
            if len(one) == _PAIR_BYTES:
                yield pairs[at : at + _PAIR_BYTES], pairs[at + _PAIR_BYTES : at + 2 * _PAIR_BYTES]
                at += 2 * _PAIR_BYTES
            else:
                hash1, hash1b = self._seal.open(one, "")
                yield hash1, hash1b


def _core(composite: str) -> str:
    zeros = _zeros(composite)
    return composite[zeros.end() :] if zeros else composite


def _name(place: str, composite: str) -> str:
    return text_key(f"{place} {composite.casefold()}")
