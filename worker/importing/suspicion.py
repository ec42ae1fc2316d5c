"""A chunk that kills its worker: found out row by row, without blaming a row for a random kill.

A death counts only where no outcome was recorded since, and only while the work was ours: whoever dies
waiting for the service was not killed by a row. A suspect chunk is split until the row that does it is
alone; alone, after ``DEADLY`` deaths, it is `crashed`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from worker.importing.settle import CredentialSource
from worker.importing.unconfirmed import LookupSource
from worker.importing.update import UpdateSource
from worker.model import Answer, Credential, Family, Realm, Stored

DEADLY = 3
"""Deaths over one row alone, after which it isn't tried again."""


class Source(CredentialSource, UpdateSource, LookupSource, Protocol):
    """The part of the API that a chunk's work needs."""


class WatchedSource:
    """The service, telling whenever the worker waits for it (Source)."""

    def __init__(self, api: Source, away: Callable[[bool], None]) -> None:
        self._api = api
        self._set_away = away

    def create(
        self, family: Family, realm: Realm, batch: Sequence[Credential], permit: Callable[[float], None]
    ) -> Answer:
        """As the source's own."""
        with self.away():
            return self._api.create(family, realm, batch, permit)

    def find(self, family: Family, realm: Realm, composite: str, *, expected: bool = False) -> Stored | None:
        """As the source's own."""
        with self.away():
            return self._api.find(family, realm, composite, expected=expected)

    def read(
        self,
        family: Family,
        realm: Realm | None,
        stored: Stored,
        written: Callable[[Stored | None], bool] | None = None,
    ) -> Stored | None:
        """As the source's own."""
        with self.away():
            return self._api.read(family, realm, stored, written)

    def update(
        self,
        family: Family,
        realm: Realm | None,
        stored: Stored,
        credential: Credential,
        permit: Callable[[float], None],
        *,
        clear: bool = False,
    ) -> None:
        """As the source's own."""
        with self.away():
            self._api.update(family, realm, stored, credential, permit, clear=clear)

    @contextmanager
    def away(self) -> Iterator[None]:
        """Tell that the worker waits for the service, for the length of a block."""
        self._set_away(True)
        try:
            yield
        finally:
            self._set_away(False)
