"""Stored objects of the service: realms and credentials."""

from __future__ import annotations

import time
from dataclasses import dataclass, field


@dataclass(slots=True)
class Realm:
    """A realm. Its state follows from the clock: pending until ``due``, then ``then``."""

    id: str
    label: str
    """The short name it was made with."""
    host: str
    description: str
    default: bool
    due: float = 0.0
    """On the monotonic clock."""
    pending: str = "CREATE_PENDING"
    then: str = "ACTIVE"
    names: dict[str, Credential] = field(default_factory=dict)
    """The realm's credentials by their names in lower case."""

    @property
    def status(self) -> str:
        """Return the present state; ``GONE`` once it has been deleted."""
        return self.pending if time.monotonic() < self.due else self.then


@dataclass(slots=True, eq=False)
class Credential:
    """A credential, with counts of its writes: the oracle for tests."""

    id: int
    name: str
    """``user`` or ``user@domain``, as it was sent."""
    key: str
    """The name in lower case: the service compares without case."""
    realm: Realm
    hash1: bytes = field(repr=False)
    hash1b: bytes | None = field(repr=False)
    application: str
    created: int = 0
    """The number of credentials created under this name on this realm, this one included."""
    updated: int = 0
    deleted: int = 0

    def remember(self, earlier: Credential) -> None:
        """Continue the counts of a deleted credential of the same name."""
        self.created, self.updated, self.deleted = earlier.created, earlier.updated, earlier.deleted
