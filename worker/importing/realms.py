"""The realms of a job: each reference is resolved once, and id and host name are kept with the job."""

from __future__ import annotations

from typing import Protocol

from worker.errors import Conflict, NotFound
from worker.ledger import Jobs
from worker.model import Family, Options, Problem, Realm


class RealmSource(Protocol):
    """The part of the API that knows realms."""

    def realms(self) -> list[Realm]: ...
    def realm(self, ref: str) -> Realm: ...
    def default_realm(self) -> Realm: ...
    def create_realm(self, name: str, description: str = "", default: bool = False) -> Realm: ...


class JobRealms:
    """Realm references → keys of the job's realms.

    A realm that ``--create-realm`` has to make gets its key while the roster is read and is made
    afterwards: an unreadable roster must leave nothing behind on the service.
    """

    def __init__(self, source: RealmSource, jobs: Jobs | None, job: str, options: Options) -> None:
        self._source = source
        self._jobs = jobs
        self._job = job
        self._options = options
        self._keys: dict[str, int | Problem] = {}
        self._by_id: dict[str, int] = {}
        self._realms: dict[int, Realm] = {}
        self._to_make: int | None = None
        self.stored = _stored_on(source.realms()) if options.api is Family.ACCOUNT else None
        """Credentials on the whole account (account family); None: not known."""
        if options.realm:
            self._keys[options.realm] = self._named_by_option(options.realm)

    @property
    def will_create(self) -> bool:
        """Whether ``--create-realm`` has something to do."""
        return self._to_make is not None

    def key(self, ref: str) -> int | Problem:
        """The key for a row's realm (empty: the account's default), or why there is none.

        Raises NotFound when the row names no realm and the account has no default one.
        """
        if ref not in self._keys:
            self._keys[ref] = self._resolved(ref)
        return self._keys[ref]

    def known(self, ref: str) -> int | Problem | None:
        """As ``key``, of what was asked for already; None: it was not."""
        return self._keys.get(ref)

    def realm(self, key: int) -> Realm | None:
        """The realm of a key; None for the one that is still to be made."""
        return self._realms.get(key)

    def host(self, key: int) -> str:
        """The realm's host name, which only the service knows: empty while it is still to be made."""
        realm = self._realms.get(key)
        return realm.host if realm else ""

    def hosts(self) -> list[str]:
        """The host names of all realms that the roster has named so far."""
        return [realm.host for realm in self._realms.values()]

    def create_missing(self) -> None:
        """Make the realm that ``--create-realm`` asks for and wait until it is ACTIVE."""
        if self._to_make is None:
            return
        name = self._options.realm
        made = self._source.create_realm(name, default=self._options.make_default)
        self._keep(self._to_make, name, made)
        self._to_make = None

    def _named_by_option(self, ref: str) -> int:
        try:
            realm = self._source.realm(ref)
        except NotFound:
            if not self._options.create_realm:
                raise
            self._to_make = len(self._by_id)
            self._by_id[""] = self._to_make
            return self._to_make
        if realm.status != "ACTIVE":
            raise Conflict(
                f"realm {realm.host} is {realm.status}; credentials go on ACTIVE realms only",
                f"`siproster realm show {ref}` says when it is ready",
            )
        return self._known(ref, realm)

    def _resolved(self, ref: str) -> int | Problem:
        if not ref:
            return self._known("", self._source.default_realm())
        try:
            realm = self._source.realm(ref)
        except NotFound:
            return Problem(
                "realm_unknown", f"the account has no realm {ref!r}; `siproster realm list` shows them"
            )
        except Conflict as conflict:
            return Problem("realm_unknown", conflict.message)
        if realm.status != "ACTIVE":
            return Problem("realm_not_active", f"realm {realm.host} is {realm.status}")
        return self._known(ref, realm)

    def _known(self, ref: str, realm: Realm) -> int:
        name = realm.id or realm.host
        if name in self._by_id:
            return self._by_id[name]
        key = self._by_id[name] = len(self._by_id)
        self._keep(key, ref, realm)
        return key

    def _keep(self, key: int, ref: str, realm: Realm) -> None:
        self._realms[key] = realm
        if self._jobs is not None:
            self._jobs.add_realm(self._job, key, ref, realm)


def _stored_on(realms: list[Realm]) -> int | None:
    counts = [realm.credentials for realm in realms]
    return None if None in counts else sum(count or 0 for count in counts)
