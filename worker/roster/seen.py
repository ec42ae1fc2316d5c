"""Names seen already, for any number of rows."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from worker.scratch import scratch

_CACHE_KIB = 8192
_ASKED = 500


class Seen:
    """Where each name was seen first, kept on disk: a million in a dict would cost 165 MB."""

    def __init__(self) -> None:
        self._db = scratch(_CACHE_KIB)
        # Blobs: a text may not hold what a name may (NUL, half a surrogate pair).
        self._db.execute("CREATE TABLE seen (name BLOB PRIMARY KEY, line INTEGER NOT NULL) WITHOUT ROWID")

    def first_lines(self, keys: Sequence[tuple[str, int]]) -> list[int]:
        """For each ``(name, line)`` the line where the name was seen first; the line itself for a new one."""
        before = self._db.total_changes
        new = [(_blob(name), line) for name, line in keys]
        self._db.execute("BEGIN")
        self._db.executemany("INSERT OR IGNORE INTO seen VALUES (?, ?)", new)
        self._db.execute("COMMIT")
        if self._db.total_changes - before == len(keys):
            return [line for _, line in keys]
        first = self._lines([blob for blob, _ in new])
        return [first[blob] for blob, _ in new]

    def look(self, names: Sequence[str]) -> list[int | None]:
        """For each name the line where it was seen first; None for one that was not."""
        blobs = [_blob(name) for name in names]
        first = self._lines(blobs)
        return [first.get(blob) for blob in blobs]

    def _lines(self, blobs: list[bytes]) -> dict[bytes, int]:
        found: dict[bytes, int] = {}
        for at in range(0, len(blobs), _ASKED):
            asked = blobs[at : at + _ASKED]
            marks = ",".join("?" * len(asked))
            query = f"SELECT name, line FROM seen WHERE name IN ({marks})"  # noqa: S608 (only marks)
            found.update(self._db.execute(query, asked))
        return found

    def close(self) -> None:
        """Ends it; the file goes with it."""
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _blob(name: str) -> bytes:
    return name.encode("utf-8", "surrogatepass")
