"""A chunk that kills its worker: found out row by row, without blaming a row for a random kill.

A death counts only where no outcome was recorded since, and only while the work was ours: whoever dies
waiting for the service was not killed by a row. A suspect chunk is split until the row that does it is
alone; alone, after ``DEADLY`` deaths, it is `crashed`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from worker.importing.settle import CredentialSource
from worker.model import Answer, Credential, Family, Realm, Stored

DEADLY = 3
"""Deaths over one row alone, after which it isn't tried again."""


class WatchedSource:
    """The service, telling whenever the worker waits for it (settle.CredentialSource)."""

    def __init__(self, api: CredentialSource, away: Callable[[bool], None]) -> None:
        self._api = api
        self._away = away

    def create(
        self, family: Family, realm: Realm, batch: Sequence[Credential], permit: Callable[[float], None]
    ) -> Answer:
        """As the source's own."""
        self._away(True)
        try:
            return self._api.create(family, realm, batch, permit)
        finally:
            self._away(False)

    def find(self, family: Family, realm: Realm, composite: str, *, expected: bool = False) -> Stored | None:
        """As the source's own."""
        self._away(True)
        try:
            return self._api.find(family, realm, composite, expected=expected)
        finally:
            self._away(False)
