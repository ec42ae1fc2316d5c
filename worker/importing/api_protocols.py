"""The parts of the API that working on a job needs (worker.api.Api; tests use doubles that keep state)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from worker.model import Answer, Credential, Family, Realm, Row, Stored

Permit = Callable[[float], None]
"""A function called with a request's deadline in seconds right before it is sent; raises to prevent it."""


# fmt: off
class CredentialSource(Protocol):
    """The part of the API that creates credentials and finds them by name."""

    def create(self, family: Family, realm: Realm, batch: Sequence[Row], permit: Permit) -> Answer: ...
    def find(
        self, family: Family, realm: Realm, composite: str, *, expected: bool = False
    ) -> Stored | None: ...


class ListSource(Protocol):
    """The part of the API that lists credentials and counts them by realm."""

    def realms(self) -> list[Realm]: ...
    def credentials(self, family: Family, realm: Realm | None) -> Iterator[Stored]: ...
    def whole(self, family: Family, realm: Realm | None, stored: Stored) -> Stored: ...


class UpdateSource(Protocol):
    """The part of the API that reads and updates one credential."""

    def read(
        self, family: Family, realm: Realm | None, stored: Stored,
        written: Callable[[Stored | None], bool] | None = None,
    ) -> Stored | None: ...
    def update(
        self, family: Family, realm: Realm | None, stored: Stored, credential: Credential, permit: Permit,
        *, clear: bool = False,
    ) -> None: ...


class DeleteSource(UpdateSource, Protocol):
    """The part of the API that reads and deletes one credential."""

    def delete(self, family: Family, realm: Realm | None, stored: Stored, permit: Permit) -> bool: ...
# fmt: on


class Source(CredentialSource, ListSource, DeleteSource, Protocol):
    """All parts of the API that working on a chunk needs."""
