"""An account that exists only in memory, as a plan asks it (importing.pipeline.AccountSource)."""

from __future__ import annotations

from collections.abc import Iterator

from tests.unit.jobs import HOST, OTHER_HOST
from tests.unit.registrar import Registrar
from worker.model import Family, Realm, Stored

OFFICE = Realm("17", HOST, default=True, credentials=3)
BRANCH = Realm("18", OTHER_HOST, credentials=0)


class Realms:
    """Lists the account's realms, and keeps those that are made.

    What is stored on them is ``stored``'s; ``listed`` are the realms that were listed (None: the account),
    ``omits`` the digests that a list leaves out.
    """

    def __init__(self, *realms: Realm, stored: Registrar | None = None) -> None:
        self.known = list(realms or (OFFICE, BRANCH))
        self.stored = stored or Registrar()
        self.listed: list[str | None] = []
        self.omits = False
        self.made: list[Realm] = []
        self.listings = 0
        """How often the account's realms were listed."""

    def realms(self) -> list[Realm]:
        """All realms of the account."""
        self.listings += 1
        return list(self.known)

    def create_realm(self, name: str, description: str = "", default: bool = False) -> Realm:
        """Make a realm, ACTIVE at once."""
        realm = Realm(str(30 + len(self.made)), f"{name}-0a1b2c.auth.bandwidth.com", default=default)
        self.made.append(realm)
        self.known.append(realm)
        return realm

    def credentials(self, family: Family, realm: Realm | None) -> Iterator[Stored]:
        """Every entry of the account, or of one realm."""
        self.listed.append(realm.host if realm else None)
        for held in list(self.stored.stored.values()):
            if realm is None or held.realm == realm.host:
                yield Stored(held.id, held.composite, held.realm) if self.omits else held

    def find(self, family: Family, realm: Realm | None, composite: str) -> Stored | None:
        """Return what is stored under one name."""
        return self.stored.find(family, realm or OFFICE, composite)

    def whole(self, family: Family, realm: Realm | None, stored: Stored) -> Stored:
        """Return the credential with the fields that a list left out."""
        return self.stored.find(family, realm or OFFICE, stored.composite) or stored
