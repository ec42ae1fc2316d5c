"""The realms of a job: each reference is resolved once, and id and host name are stored with the job."""

from __future__ import annotations

from typing import Protocol

from worker.api.realms import RealmIndex, check_name, check_ref
from worker.errors import Conflict, NotFound
from worker.ledger import Jobs
from worker.model import Options, Problem, Realm
from worker.roster import realm_problems


class RealmSource(Protocol):
    """The part of the API that knows realms."""

    def realms(self) -> list[Realm]: ...
    def create_realm(self, name: str, description: str = "", default: bool = False) -> Realm: ...


class JobRealms:
    """A mapping of realm references to keys of the job's realms.

    The account's realms are listed once, however many references a roster has, and no text from the roster is
    sent to the service. A realm that ``--create-realm`` has to create gets its key while the roster is read
    and is created afterwards: an unreadable roster must leave nothing behind on the service.
    """

    def __init__(self, source: RealmSource, jobs: Jobs | None, job: str, options: Options) -> None:
        """Resolve ``--realm``. Raises UsageError, NotFound or Conflict if it names no usable realm."""
        self._source = source
        self._jobs = jobs
        self._job = job
        self._options = options
        self._keys: dict[str, int] = {}
        self._by_id: dict[str, int] = {}
        self._realms: dict[int, Realm] = {}
        self.to_make: int | None = None
        """Key of the realm that ``--create-realm`` has to create, if a row needs it."""
        listed = source.realms()
        self._index = RealmIndex(listed)
        self.stored = _stored_on(listed)
        """Credentials on the whole account; None: unknown."""
        if options.realm:
            self._keys[options.realm] = self._named_by_option(options.realm)

    def resolve(self, ref: str) -> tuple[int, str] | Problem:
        """Return key and host name of a row's realm (empty: the account's default), or why there is none.

        The host is empty for a realm that is not created yet. Raises NotFound when the row names no realm
        and the account has no default one.
        """
        key = self._keys.get(ref)
        found = self._resolved(ref) if key is None else key
        return found if isinstance(found, Problem) else (found, self.host(found))

    def find(self, ref: str) -> Realm | None:
        """Return the account's realm that ``ref`` names, if there is one. It does not become the job's."""
        try:
            return self._index.one(ref)
        except (NotFound, Conflict):
            return None

    def find_host(self, ref: str) -> str:
        """Return the host name of the account's realm that ``ref`` names; if there is none, ``ref``."""
        realm = self.find(ref)
        return realm.host if realm else ref

    def known(self, ref: str) -> int | None:
        """Return the key of a realm that was resolved already and is usable; else None."""
        return self._keys.get(ref)

    def realm(self, key: int) -> Realm | None:
        """Return the realm of a key; None for one that is not created yet."""
        return self._realms.get(key)

    def host(self, key: int) -> str:
        """Return the realm's host name, which only the service knows; empty until the realm is created."""
        realm = self._realms.get(key)
        return realm.host if realm else ""

    def key_of(self, host: str) -> int | None:
        """Return the key of the job's realm with this host name, if the roster has named it so far."""
        wanted = host.casefold()
        return next((key for key, realm in self._realms.items() if realm.host.casefold() == wanted), None)

    def hosts(self) -> list[str]:
        """Return the host names of all realms that the roster has named so far."""
        return [realm.host for realm in self._realms.values()]

    def create_missing(self) -> None:
        """Create the realm that ``--create-realm`` asks for and wait until it is ACTIVE."""
        if self.to_make is None:
            return
        name = self._options.realm
        made = self._source.create_realm(name, default=self._options.make_default)
        self._keep(self.to_make, name, made)
        self.to_make = None

    def _named_by_option(self, ref: str) -> int:
        check_ref(ref)
        try:
            realm = self._index.one(ref)
        except NotFound:
            if not self._options.create_realm:
                raise
            check_name(ref)
            self.to_make = len(self._by_id)
            self._by_id[""] = self.to_make
            return self.to_make
        if realm.status != "ACTIVE":
            raise Conflict(
                f"realm {realm.host} is {realm.status}; credentials go on ACTIVE realms only",
                f"`siproster realm show {ref}` says when it is ready",
            )
        return self._known(ref, realm)

    def _resolved(self, ref: str) -> int | Problem:
        if not ref:
            return self._remembered(ref, self._index.default())
        if wrong := realm_problems(ref):
            return wrong[0]
        if self.to_make is not None and ref.casefold() == self._options.realm.casefold():
            return self.to_make
        try:
            realm = self._index.one(ref)
        except NotFound:
            text = f"the account has no realm {ref!r}; `siproster realm list` shows them"
            return Problem("realm_unknown", text)
        except Conflict as conflict:
            return Problem("realm_unknown", conflict.message)
        if realm.status != "ACTIVE":
            return Problem("realm_not_active", f"realm {realm.host} is {realm.status}")
        return self._remembered(ref, realm)

    def _remembered(self, ref: str, realm: Realm) -> int:
        # Only valid references are cached: a roster may have a million that name no realm.
        key = self._keys[ref] = self._known(ref, realm)
        return key

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
