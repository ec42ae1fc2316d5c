"""An index of names seen so far, for any number of rows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Self

from worker.temp_db import temp_db, text_key

_CACHE_KIB = 8192
# One statement for a page: binding each name separately takes twice as long.
_ADD = "INSERT OR IGNORE INTO seen SELECT key, value FROM json_each(?)"
_LINES = "SELECT name, line FROM seen WHERE name IN (SELECT value FROM json_each(?))"


class DuplicateIndex:
    """The line where each name was first seen, kept on disk: a million in a dict would cost 165 MB."""

    def __init__(self) -> None:
        self._db = temp_db(_CACHE_KIB)
        self._db.execute("CREATE TABLE seen (name TEXT PRIMARY KEY, line INTEGER NOT NULL) WITHOUT ROWID")

    def first_lines(self, names: Sequence[str], lines: Sequence[int]) -> Sequence[int]:
        """Return for each name, seen on its line, where it was first seen; ``lines`` if all are new."""
        keys = list(map(text_key, names))
        new = dict(zip(reversed(keys), reversed(lines), strict=True))  # the first line of each name
        before = self._db.total_changes
        self._db.execute("BEGIN")
        self._db.execute(_ADD, (json.dumps(new),))
        self._db.execute("COMMIT")
        if self._db.total_changes - before == len(keys):
            return lines
        first = self._lines(keys)
        return [first[key] for key in keys]

    def look(self, names: Sequence[str]) -> list[int | None]:
        """Return for each name the line where it was first seen; None if it wasn't."""
        keys = list(map(text_key, names))
        first = self._lines(keys)
        return [first.get(key) for key in keys]

    def _lines(self, keys: list[str]) -> dict[str, int]:
        return dict(self._db.execute(_LINES, (json.dumps(keys),)))

    def close(self) -> None:
        """Close the index and delete its file."""
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
