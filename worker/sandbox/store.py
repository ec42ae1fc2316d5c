"""One account: its realms, its credentials, and the view that reads have of them."""

from __future__ import annotations

import copy
import itertools
import time
import zlib
from collections.abc import Iterator

from worker.sandbox.order import Order
from worker.sandbox.rules import NUMBER, Digests
from worker.sandbox.stored import Credential, Realm

FIRST_REALM = 1101
FIRST_CREDENTIAL = 870001


class Account:
    """The truth about one account. Not thread-safe: only the event loop's thread uses it."""

    def __init__(self, account: str) -> None:
        self.id = account
        self.hex = f"{zlib.crc32(account.encode()) & 0xFFFFFF:06x}"
        self.order = Order()
        self._realm_ids = itertools.count(FIRST_REALM)
        self._realms: dict[str, Realm] = {}
        self._hosts: dict[str, Realm] = {}
        self._labels: dict[str, Realm] = {}
        self._realm_orders: dict[str, Order] = {}
        self._made: list[Credential | None] = []
        self._gone: dict[tuple[str, str], Credential] = {}
        self._lagging: dict[int, tuple[float, Credential | None]] = {}

    # -- realms

    def realms(self) -> list[Realm]:
        """Return all realms in the order of their creation, without deleted ones."""
        return [realm for realm in self._realms.values() if realm.status != "GONE"]

    def realm(self, ref: str, short_names: bool = True) -> Realm | None:
        """Return the realm with this id, host name or (case-insensitive) short name, or None."""
        wanted = ref.lower()
        found = self._realms.get(ref) or self._hosts.get(wanted)
        if found is None and short_names:
            found = self._labels.get(wanted)
        return found if found is not None and found.status != "GONE" else None

    def realm_of_host(self, host: str) -> Realm | None:
        """Return the realm with this host name, and with no other name of it, or None."""
        found = self._hosts.get(host.lower())
        return found if found is not None and found.status != "GONE" else None

    def default_realm(self) -> Realm | None:
        """Return the account's default realm, or None."""
        return next((realm for realm in self.realms() if realm.default), None)

    def add_realm(self, label: str, host_style: str, description: str = "", default: bool = False) -> Realm:
        """Add a realm, ACTIVE at once, and return it; the caller delays it."""
        between = "-" if host_style == "live" else "."
        host = f"{label}{between}{self.hex}.auth.bandwidth.com"
        number = str(next(self._realm_ids))
        realm = Realm(number, label, host, description, default=False)
        self._realms[number], self._realm_orders[number] = realm, Order()
        self._hosts[host.lower()] = self._labels[label.lower()] = realm
        if default:
            self.make_default(realm)
        return realm

    def make_default(self, realm: Realm) -> None:
        """Make the realm the default one, and no other."""
        for other in self._realms.values():
            other.default = other is realm

    # -- credentials

    def find(self, key: str, realm: Realm | None = None) -> Credential | None:
        """Return the credential with this lower-case name on the realm, or on the account; else None."""
        if realm is not None:
            return realm.names.get(key)
        for other in self._realms.values():
            if key in other.names:
                return other.names[key]
        return None

    def by_id(self, number: str) -> Credential | None:
        """Return the credential with this id, or None."""
        index = int(number) - FIRST_CREDENTIAL if NUMBER(number) else -1
        return self._made[index] if 0 <= index < len(self._made) else None

    def create(self, name: str, realm: Realm, digests: Digests, application: str, lag: float) -> Credential:
        """Store a new one; reads show it after ``lag`` seconds."""
        key = name.lower()
        # One string for both if they are equal, which saves memory with a million names.
        key = name if key == name else key
        number = FIRST_CREDENTIAL + len(self._made)
        credential = Credential(number, name, key, realm, *digests, application)
        before = self._gone.pop((realm.id, key), None)
        if before is not None:
            credential.remember(before)
        credential.created += 1
        self._made.append(credential)
        self._add_to_indexes(credential)
        self._hide(credential, None, lag)
        return credential

    def update(
        self, credential: Credential, realm: Realm, digests: Digests, application: str, lag: float
    ) -> None:
        """Set everything but the name; reads show it after ``lag`` seconds."""
        self._hide(credential, copy.copy(credential), lag)
        if realm is not credential.realm:
            self._remove_from_indexes(credential)
            credential.realm = realm
            self._add_to_indexes(credential)
        credential.hash1, credential.hash1b = digests
        credential.application = application
        credential.updated += 1

    def delete(self, credential: Credential) -> None:
        """Take it away; its history stays."""
        self._remove_from_indexes(credential)
        self._made[credential.id - FIRST_CREDENTIAL] = None
        self._lagging.pop(credential.id, None)
        credential.deleted += 1
        self._gone[credential.realm.id, credential.key] = credential

    def credentials(self, deleted: bool = False) -> Iterator[tuple[Credential, bool]]:
        """Yield every stored credential and, on request, the deleted ones; with whether it still exists."""
        yield from ((credential, True) for credential in list(self._made) if credential is not None)
        if deleted:
            yield from ((credential, False) for credential in list(self._gone.values()))

    def __len__(self) -> int:
        """Return the number of stored credentials."""
        return sum(len(realm.names) for realm in self._realms.values())

    # -- what reads show

    def visible(self, credential: Credential) -> Credential | None:
        """Return the credential as reads show it now, which may be its former state, or None."""
        until, former = self._lagging.get(credential.id, (0.0, None))
        if time.monotonic() >= until:
            self._lagging.pop(credential.id, None)
            return credential
        return former

    def order_of(self, realm: Realm | None) -> Order:
        """Return the order of the realm's credentials, or of the account's."""
        return self.order if realm is None else self._realm_orders[realm.id]

    def lags(self) -> bool:
        """Return whether any read still shows something else than the truth."""
        now = time.monotonic()
        self._lagging = {number: lag for number, lag in self._lagging.items() if lag[0] > now}
        return bool(self._lagging)

    def _hide(self, credential: Credential, former: Credential | None, lag: float) -> None:
        if lag > 0:
            until, earlier = self._lagging.get(credential.id, (0.0, None))
            shown = earlier if until > time.monotonic() else former
            self._lagging[credential.id] = (time.monotonic() + lag, shown)

    def _add_to_indexes(self, credential: Credential) -> None:
        credential.realm.names[credential.key] = credential
        self.order.add(credential)
        self._realm_orders[credential.realm.id].add(credential)

    def _remove_from_indexes(self, credential: Credential) -> None:
        del credential.realm.names[credential.key]
        self.order.discard(credential)
        self._realm_orders[credential.realm.id].discard(credential)
