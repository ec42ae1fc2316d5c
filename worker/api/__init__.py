"""The Bandwidth Registrar client: authentication, requests, retries. The only room with httpx and tenacity.

::

    Api ── realms, credentials, voice    the API's resources: requests, and the meaning of answers
            └── client            path and authentication: token
                 └── attempts     waits for the throttle, and retries where that helps
                      └── transport    one request, one complete answer
                           └── deadline     the connections, which end with the request's time
    faults                        the one place that interprets a refusal
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from worker.api.attempts import Attempts, Permit
from worker.api.client import Client
from worker.api.credentials import Credentials, Written
from worker.api.realms import Realms
from worker.api.response_xml import PAGE_SIZE
from worker.api.token_claims import ROLE, Claims
from worker.api.transport import Transport
from worker.api.voice import JSON, VOICE_PATH, Calls, CallState, Order
from worker.model import Answer, Credential, Endpoint, Family, Realm, Row, Stored
from worker.throttle import Throttle

__all__ = ["ROLE", "Api", "CallState", "Calls", "Claims", "Order"]


class Api:
    """A client of the service for one account. Create one per process, after a fork; threads may share it.

    Every method may raise TryLater (the rows are fine: wait) and StopJob (nothing on this account can
    succeed). ``budget``: seconds for one request with all its attempts; ``deadline``: seconds for one
    attempt; ``sleep`` waits between attempts, and an exception that it raises propagates.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        throttle: Throttle,
        *,
        sleep: Callable[[float], None] = time.sleep,
        budget: float = 60.0,
        deadline: float = 30.0,
    ) -> None:
        self._transport = Transport(deadline)
        self._attempts = Attempts(self._transport, throttle, sleep, budget, account=endpoint.account)
        self._endpoint = endpoint
        self._client = Client(endpoint, self._attempts)
        self._realms = Realms(self._client, sleep)
        self._credentials = Credentials(self._client, sleep, self._realms.list)

    @property
    def requests(self) -> int:
        """Return the number of requests sent so far, including token requests and retries."""
        return self._attempts.requests

    @property
    def retries(self) -> int:
        """Return the number of requests that were retried after a fault."""
        return self._attempts.retries

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def realms(self) -> list[Realm]:
        """Return all realms of the account."""
        return self._realms.list()

    def realm(self, ref: str) -> Realm:
        """Return the realm with this id, host name or short name. Raises NotFound, or Conflict
        if ambiguous.
        """
        return self._realms.find(ref)

    def default_realm(self) -> Realm:
        """Return the account's default realm. Raises NotFound if there is none."""
        return self._realms.default()

    def create_realm(
        self, name: str, description: str = "", default: bool = False, wait: float = 120.0
    ) -> Realm:
        """Create a realm and wait until it is ACTIVE, for at most about ``wait`` seconds.

        Raises UsageError for an invalid name, Conflict if the realm exists or its creation fails, Unavailable
        if it isn't ACTIVE in time, AnswerLost if it is not known whether it was created.
        """
        return self._realms.create(name, description, default, wait)

    def update_realm(self, ref: str, description: str | None = None, default: bool | None = None) -> Realm:
        """Set a realm's description, or make it the default one (None: no change); return the realm.

        Raises UsageError for ``default=False``, NotFound, Refused; AnswerLost if reading back does not show
        the change: it is safe to do it again.
        """
        return self._realms.update(ref, description, default)

    def delete_realm(self, ref: str) -> Realm:
        """Delete a realm, and return it as it was. The service deletes it a little later (202).

        Raises NotFound, Conflict if it is the default one (33006) or has credentials (12666), Refused;
        AnswerLost if it is still there: it is safe to do it again.
        """
        return self._realms.delete(ref)

    def create(
        self, family: Family, realm: Realm, batch: Sequence[Row | Credential], permit: Permit
    ) -> Answer:
        """Post a list of credentials: one request, one answer about its entries.

        Contradictions in the answer, such as an echo with another digest, are left out.

        ``permit`` is called with the deadline in seconds right before every attempt; an exception that it
        raises propagates. Raises AnswerLost (look up before posting again), ListRefused (split the list), and
        ValueError for a character that XML can't hold.
        """
        return self._credentials.create(family, realm, batch, permit)

    def find(
        self, family: Family, realm: Realm | None, composite: str, *, expected: bool = False
    ) -> Stored | None:
        """Return the credential stored under this name (case-insensitive), or None.

        The account family searches the whole account, regardless of the realm; the realm family needs one.
        ``expected``: the credential must exist, so a miss is looked up again for a few seconds, since lists
        lag.
        """
        return self._credentials.find(family, realm, composite, expected)

    def credentials(
        self,
        family: Family,
        realm: Realm | None,
        filters: Mapping[str, str] | None = None,
        size: int = PAGE_SIZE,
    ) -> Iterator[Stored]:
        """Yield all stored credentials, page by page. Yields nothing if there are none (23008).

        The account family lists the whole account, or one realm of it; the realm family needs the realm.
        ``filters``: the API's own, such as ``userNamefragment``. Fields that a list leaves out are None: see
        ``whole``. An entry may come twice if the list changes meanwhile.
        """
        return self._credentials.list(family, realm, filters or {}, size)

    def read(
        self, family: Family, realm: Realm | None, stored: Stored, written: Written | None = None
    ) -> Stored | None:
        """Return one credential by its composite (realm family: by its id), or None if it no longer exists.

        ``written`` returns whether the credential shows a write that was just done; while it doesn't, it is
        read again for a few seconds, since reads may lag.
        """
        return self._credentials.read(family, realm, stored, written)

    def whole(self, family: Family, realm: Realm | None, stored: Stored) -> Stored:
        """Return a listed entry as it is, or read it singly if the list left out a digest."""
        return self._credentials.whole(family, realm, stored)

    def update(
        self, family: Family, realm: Realm | None, stored: Stored, credential: Credential, permit: Permit,
        *, clear: bool = False,
    ) -> None:  # fmt: skip
        """Set the digests and the application of ``stored``. Without a new application its own is sent again.

        ``clear``: send no application at all, so that the service removes it if it works that way.

        The realm must be ``credential``'s, else Conflict: a user is never moved. Raises AnswerLost (read it
        back) and Refused.
        """
        self._credentials.update(family, realm, stored, credential, permit, clear)

    def delete(self, family: Family, realm: Realm | None, stored: Stored, permit: Permit) -> bool:
        """Delete a stored credential. Return False if it was gone already. Raises AnswerLost, Refused."""
        return self._credentials.delete(family, realm, stored, permit)

    def check(self) -> float | None:
        """Query this account with these credentials, and raise any problem with them.

        Return the whole seconds that the service's clock is ahead of ours, or None if the answer had no date.
        """
        return self._credentials.first_page()

    def claims(self) -> Claims | None:
        """Return the token's claims, for advice; None if there is no token, or it has none."""
        return self._client.claims()

    def calls(self, voice_host: str) -> Calls:
        """Return a client of the account's calls on the Voice API's host (a URL), with the same token."""
        endpoint = replace(self._endpoint, host=voice_host, api_path=VOICE_PATH)
        return Calls(self._client.beside(endpoint, JSON))
