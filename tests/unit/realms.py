"""The realms of an account that exists only in memory (importing.realms.RealmSource)."""

from __future__ import annotations

from tests.unit.jobs import HOST, OTHER_HOST
from worker.errors import Conflict, NotFound
from worker.model import Realm

OFFICE = Realm("17", HOST, default=True, credentials=3)
BRANCH = Realm("18", OTHER_HOST, credentials=0)


class Realms:
    """Looks realms up by id, host name or first label, and keeps those that are made."""

    def __init__(self, *realms: Realm) -> None:
        self.known = list(realms or (OFFICE, BRANCH))
        self.made: list[Realm] = []
        self.asked: list[str] = []

    def realms(self) -> list[Realm]:
        """All realms of the account."""
        return self.known

    def realm(self, ref: str) -> Realm:
        """The one realm that is meant."""
        self.asked.append(ref)
        label = ref.casefold() + "-"
        found = [r for r in self.known if ref in (r.id, r.host) or r.host.startswith(label)]
        if not found:
            raise NotFound(f"there is no realm {ref}")
        if len(found) > 1:
            raise Conflict(f"{ref} may be {' or '.join(realm.host for realm in found)}")
        return found[0]

    def default_realm(self) -> Realm:
        """The default one."""
        self.asked.append("")
        for realm in self.known:
            if realm.default:
                return realm
        raise NotFound("the account has no default realm", "name one with --realm")

    def create_realm(self, name: str, description: str = "", default: bool = False) -> Realm:
        """Make a realm, ACTIVE at once."""
        realm = Realm(str(30 + len(self.made)), f"{name}-0a1b2c.auth.bandwidth.com", default=default)
        self.made.append(realm)
        self.known.append(realm)
        return realm
