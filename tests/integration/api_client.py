"""The client as the tests of it use it: pointed at a sandbox, with a sleep that takes no time."""

from __future__ import annotations

from tests.sandbox import ACCOUNT, SECRET, USER, Sandbox
from worker import throttle
from worker.api import Api
from worker.digest import digests
from worker.model import Credential, Endpoint, Realm

DEADLINE = 5.0
APPLICATION = "7b2f8f6e-1111-2222-3333-abcdefabcdef"


class Naps:
    """A sleep that takes no time: it moves its own clock and remembers."""

    def __init__(self) -> None:
        self.taken: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.taken.append(seconds)

    def clock(self) -> float:
        return sum(self.taken)


class Permits:
    """A permit that keeps what it was called with."""

    def __init__(self) -> None:
        self.deadlines: list[float] = []

    def __call__(self, deadline: float) -> None:
        self.deadlines.append(deadline)


def client(
    url: str,
    naps: Naps | None = None,
    *,
    account: str = ACCOUNT,
    secret: str = SECRET,
    deadline: float = DEADLINE,
    budget: float = 60.0,
) -> Api:
    endpoint = Endpoint(url, account, client_id=USER, client_secret=secret)
    if naps is None:
        return Api(endpoint, throttle.local(None), deadline=deadline, budget=budget)
    pace = throttle.local(None, naps.sleep, naps.clock)
    return Api(endpoint, pace, sleep=naps.sleep, deadline=deadline, budget=budget)


def credential(realm: Realm, user: str, domain: str = "", password: str = "Tb7xQ2mK9rL4") -> Credential:
    composite = f"{user}@{domain}" if domain else user
    return Credential(user, domain, realm.host, *digests(composite, realm.host, password), APPLICATION)


def posts(sandbox: Sandbox) -> list[object]:
    """The statuses of the lists that were posted; None where none was decided."""
    return [line["status"] for line in sandbox.log("POST", "sipcredentials")]
