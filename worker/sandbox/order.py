"""Credentials in the order of their names, for pages."""

from __future__ import annotations

from bisect import bisect_left, insort
from operator import attrgetter

from worker.sandbox.stored import Credential

FEW = 500
"""Up to so many new ones are put in one by one; more are sorted in together."""

by_key = attrgetter("key")


class Order:
    """A sorted list that sets new credentials aside until the order is needed."""

    def __init__(self) -> None:
        self._sorted: list[Credential] = []
        self._fresh: list[Credential] = []

    def add(self, credential: Credential) -> None:
        """Put one in."""
        self._fresh.append(credential)

    def discard(self, credential: Credential) -> None:
        """Take one out."""
        credentials = self.sorted()
        position = bisect_left(credentials, credential.key, key=by_key)
        while credentials[position] is not credential:
            position += 1
        del credentials[position]

    def sorted(self) -> list[Credential]:
        """Return all credentials by name; the list is the order's own and must not be changed."""
        if len(self._fresh) <= FEW:
            for credential in self._fresh:
                insort(self._sorted, credential, key=by_key)
        else:
            # Two sorted runs: the sort merges them in linear time.
            self._sorted += sorted(self._fresh, key=by_key)
            self._sorted.sort(key=by_key)
        self._fresh.clear()
        return self._sorted

    def position(self, key: str) -> int:
        """Return the position where the name is, or would be."""
        return bisect_left(self.sorted(), key, key=by_key)
