"""The Bandwidth Registrar client: authentication, requests, retries. The only room with httpx and tenacity.

::

    Api ── realms, credentials    what is asked, and what the answers mean
            └── client            path and proof: token
                 └── attempts     in its turn (throttle), again where that helps
                      └── transport    one request, one whole answer
    faults                        the one place that reads a refusal
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from worker.api.attempts import Attempts, Permit
from worker.api.client import Client
from worker.api.credentials import Credentials
from worker.api.realms import Realms
from worker.api.transport import Transport
from worker.model import Answer, Credential, Endpoint, Family, Realm, Stored
from worker.throttle import Throttle

__all__ = ["Api"]


class Api:
    """The service, for one account. One per process, made after a fork, shared by threads.

    Every method may raise TryLater (nothing is wrong with the rows: wait) and StopJob (nothing on this
    account can succeed). ``budget``: seconds spent on one request with all its attempts; ``deadline``:
    seconds for one attempt; ``sleep`` waits between attempts, and what it raises comes out.
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
        self._attempts = Attempts(self._transport, throttle, sleep, budget)
        client = Client(endpoint, self._attempts)
        self._realms = Realms(client, sleep)
        self._credentials = Credentials(client, sleep)

    @property
    def requests(self) -> int:
        """Requests sent so far, those for tokens and every repetition included."""
        return self._attempts.requests

    @property
    def retries(self) -> int:
        """How often a request was repeated after a fault."""
        return self._attempts.retries

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def realms(self) -> list[Realm]:
        """All realms of the account."""
        return self._realms.list()

    def realm(self, ref: str) -> Realm:
        """The realm with this id, host name or short name. Raises NotFound; Conflict when several match."""
        return self._realms.find(ref)

    def default_realm(self) -> Realm:
        """The account's default realm. Raises NotFound where there is none."""
        return self._realms.default()

    def create_realm(
        self, name: str, description: str = "", default: bool = False, wait: float = 120.0
    ) -> Realm:
        """Make a realm; it is ACTIVE when it returns, at most about ``wait`` seconds later.

        Raises UsageError for a name that can't be, Conflict where it exists or its making fails,
        Unavailable where it isn't ACTIVE in time, AnswerLost where nobody can tell whether it was made.
        """
        return self._realms.create(name, description, default, wait)

    def create(self, family: Family, realm: Realm, batch: Sequence[Credential], permit: Permit) -> Answer:
        """Post a list of credentials: one request, one answer about its entries.

        ``permit`` is called with the deadline in seconds right before every attempt; what it raises comes
        out. Raises AnswerLost (ask before posting again), ListRefused (split the list), and ValueError
        for a character that XML can't hold.
        """
        return self._credentials.create(family, realm, batch, permit)

    def find(self, family: Family, realm: Realm, composite: str, *, expected: bool = False) -> Stored | None:
        """What the service holds under this name, without regard to case; None: nothing.

        ``expected``: it must exist, so a miss is asked again for a few seconds, since lists lag.
        """
        return self._credentials.find(family, realm, composite, expected)

    def check(self) -> float | None:
        """Ask about this account with these credentials; raises what stands against it.

        Seconds that the service's clock is ahead of ours, by the whole second; None where it told no date.
        """
        return self._credentials.first_page()
