"""Retries and authentication against a faulty sandbox: what is repeated, for how long, and who we are."""

from __future__ import annotations

import threading
import time
from contextlib import closing

import pytest

from tests.integration.api_client import Naps, Permits, client, credential, posts
from tests.sandbox import ACCOUNT, SECRET, USER, Sandbox
from tests.servers import free_port
from worker import throttle
from worker.api import Api
from worker.errors import (
    AnswerLost,
    AuthenticationRefused,
    Throttled,
    TryLater,
    Unavailable,
)
from worker.model import Endpoint, Family, Realm

LOST: list[dict[str, object]] = [
    {"drop": {"next": 1, "commit": True}},
    {"drop": {"next": 1, "commit": True, "reset": True}},
    {"drop": {"next": 1}},
    {"stall": {"next": 1, "commit": True, "seconds": 2}},
    {"cut": {"next": 1}},
    {"html_success": {"next": 1, "commit": True}},
    {"bad_gateway": {"next": 1, "commit": True}},
    {"bad_gateway": {"next": 1, "status": 504}},
    {"bad_gateway": {"next": 1, "status": 500}},
]


@pytest.mark.parametrize("fault", LOST, ids=str)
def test_a_write_whose_answer_is_lost_is_not_repeated(
    sandbox: Sandbox, permits: Permits, fault: dict[str, dict[str, object]]
) -> None:
    """A write whose answer is lost is sent once; a look-up shows whether it was done."""
    with closing(client(sandbox.url, Naps(), deadline=0.5)) as api:
        realm = api.default_realm()
        alice = credential(realm, "alice")
        sandbox.knobs(**{kind: {**rule, "method": "POST"} for kind, rule in fault.items()})
        with pytest.raises(AnswerLost):
            api.create(Family.ACCOUNT, realm, [alice], permits)
        held = {one["composite"] for one in sandbox.credentials()}
        assert (api.find(Family.ACCOUNT, realm, "alice") is not None) == ("alice" in held)
    assert (len(posts(sandbox)), len(permits.deadlines)) == (1, 1)


READ_FAULTS: list[dict[str, dict[str, object]]] = [
    {"drop": {"next": 2}},
    {"cut": {"next": 2}},
    {"html_success": {"next": 2}},
    {"bad_gateway": {"next": 2}},
    {"bad_gateway": {"next": 2, "status": 500}},
    {"unavailable": {"next": 2, "answer": "html"}},
    {"too_many_requests": {"next": 2, "answer": "none"}},
]


@pytest.mark.parametrize("fault", READ_FAULTS, ids=str)
def test_a_read_is_repeated(
    sandbox: Sandbox, api: Api, naps: Naps, fault: dict[str, dict[str, object]]
) -> None:
    """A look-up has no effect, so every fault of its answer is worth another attempt."""
    realm = api.default_realm()
    sandbox.knobs(**{kind: {**rule, "path": "sipcredentials"} for kind, rule in fault.items()})
    assert api.find(Family.ACCOUNT, realm, "nobody") is None
    assert api.retries == 2
    assert len(naps.taken) >= 2


@pytest.mark.parametrize("answer", ["seconds", "date", "reset_seconds", "reset_milliseconds"])
def test_a_throttled_write_waits_as_asked(
    sandbox: Sandbox, api: Api, naps: Naps, permits: Permits, answer: str
) -> None:
    """However the service says when to come back, it is waited for, by all, and the list is stored once."""
    realm = api.default_realm()
    sandbox.knobs(too_many_requests={"next": 1, "method": "POST", "answer": answer, "seconds": 20})
    assert api.create(Family.ACCOUNT, realm, [credential(realm, "alice")], permits).ids
    assert 18 <= sum(naps.taken) < 23
    assert posts(sandbox) == [429, 201]
    assert len(permits.deadlines) == 2
    assert api.retries == 1


def test_a_429_without_a_time_slows_down(sandbox: Sandbox, api: Api, naps: Naps) -> None:
    """No set pause: the refused request is tried again soon, and those after it are spaced."""
    api.check()
    assert naps.taken == []
    sandbox.knobs(too_many_requests={"next": 1, "answer": "none"})
    api.check()
    assert sum(naps.taken) < 1
    before = len(naps.taken)
    for _ in range(3):
        api.check()
    assert len(naps.taken) - before >= 2
    assert 0.2 < sum(naps.taken[before:]) < 1


@pytest.mark.parametrize("answer", ["xml", "no_code", "html"])
def test_an_unavailable_service_is_asked_again(
    sandbox: Sandbox, api: Api, naps: Naps, permits: Permits, answer: str
) -> None:
    """503 was no attempt at the work, whatever its body says: even a write is repeated."""
    realm = api.default_realm()
    sandbox.knobs(unavailable={"next": 3, "method": "POST", "answer": answer})
    assert api.create(Family.ACCOUNT, realm, [credential(realm, "alice")], permits).ids
    assert posts(sandbox) == [503, 503, 503, 201]
    assert len(naps.taken) == 3


@pytest.mark.parametrize(("fault", "kind"), [("too_many_requests", Throttled), ("unavailable", Unavailable)])
def test_a_wait_beyond_the_budget_is_told_at_once(
    sandbox: Sandbox, api: Api, naps: Naps, permits: Permits, fault: str, kind: type[TryLater]
) -> None:
    """A wait beyond the budget is raised at once, with its length; all workers cool down, up to the cap."""
    realm = api.default_realm()
    sandbox.knobs(**{fault: {"next": 1, "method": "POST", "seconds": 1000}})
    with pytest.raises(kind) as caught:
        api.create(Family.ACCOUNT, realm, [credential(realm, "alice")], permits)
    assert caught.value.retry_after == 1000
    with pytest.raises(Throttled) as cooling:
        api.check()
    assert cooling.value.retry_after == pytest.approx(120, abs=1)
    assert naps.taken == []
    assert len(posts(sandbox)) == 1


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ({"too_many_requests": {"probability": 1, "seconds": 2}}, Throttled),
        ({"too_many_requests": {"probability": 1, "answer": "none"}}, Throttled),
        ({"unavailable": {"probability": 1}}, Unavailable),
    ],
)
def test_the_budget_ends(
    sandbox: Sandbox,
    api: Api,
    naps: Naps,
    permits: Permits,
    fault: dict[str, object],
    kind: type[TryLater],
) -> None:
    """A service that stays away is given up after about a minute, and the error says why it failed."""
    realm = api.default_realm()
    sandbox.knobs(**fault)
    with pytest.raises(kind):
        api.create(Family.ACCOUNT, realm, [credential(realm, "alice")], permits)
    assert 30 < sum(naps.taken) < 90
    assert len(posts(sandbox)) == api.retries + 1 == len(permits.deadlines)


def test_nobody_there(naps: Naps, permits: Permits) -> None:
    """Without a connection nothing was sent: even a write is tried again, and then it is Unavailable."""
    endpoint = Endpoint(f"http://127.0.0.1:{free_port()}", ACCOUNT, username=USER, password=SECRET)
    realm = Realm("1", "r.auth.bandwidth.com")
    with closing(Api(endpoint, throttle.local(None), sleep=naps.sleep)) as api:
        with pytest.raises(Unavailable, match="connection refused"):
            api.create(Family.ACCOUNT, realm, [credential(realm, "alice")], permits)
        assert api.retries + 1 == len(permits.deadlines) > 3


def test_a_wait_can_be_given_up(sandbox: Sandbox) -> None:
    """An exception raised by the sleep ends the wait: a process that stops doesn't wait for its budget."""

    class Stopping(Exception):
        pass

    def sleep(seconds: float) -> None:
        raise Stopping

    sandbox.knobs(unavailable={"probability": 1})
    endpoint = Endpoint(sandbox.url, ACCOUNT, username=USER, password=SECRET)
    with closing(Api(endpoint, throttle.local(None), sleep=sleep)) as api, pytest.raises(Stopping):
        api.realms()


def test_one_token_for_all_threads(sandbox: Sandbox, api: Api) -> None:
    """Eight threads that start together use one token."""
    threads = [threading.Thread(target=api.check) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(sandbox.log("POST", "token")) == 1
    assert len(sandbox.log("GET", "sipcredentials")) == 8
    assert api.requests == 9


def test_a_short_lived_token_is_renewed_in_time(sandbox: Sandbox, api: Api) -> None:
    """A token of two seconds is renewed after one: no request is ever refused for it."""
    sandbox.knobs(expires_in=2)
    end = time.monotonic() + 2.5
    while time.monotonic() < end:
        api.check()
        time.sleep(0.05)
    assert 401 not in {line["status"] for line in sandbox.log()}
    assert 2 <= len(sandbox.log("POST", "token")) <= 4


def test_a_refused_token_is_renewed_once(sandbox: Sandbox, api: Api, permits: Permits) -> None:
    """The service forgets its tokens in the middle: one new token, the list stored once."""
    realm = api.default_realm()
    sandbox.reset()
    api.create(Family.ACCOUNT, realm, [credential(realm, "alice")], permits)
    assert posts(sandbox) == [401, 201]
    assert len(sandbox.log("POST", "token")) == 1
    assert len(permits.deadlines) == 2


def test_a_token_that_never_helps_stops(sandbox: Sandbox, api: Api) -> None:
    """A 401 with a fresh token is final, and the message says what else it may mean."""
    sandbox.knobs(refuse={"probability": 1, "status": 401, "path": "accounts"})
    with pytest.raises(AuthenticationRefused) as caught:
        api.check()
    assert "role" in caught.value.hint
    assert len(sandbox.log("GET")) == 2


def test_a_wrong_secret(sandbox: Sandbox, naps: Naps) -> None:
    """The token endpoint's refusal is reported without the secret, and not retried."""
    wrong = client(sandbox.url, naps, secret="canary-5c1e")
    with closing(wrong), pytest.raises(AuthenticationRefused, match="invalid_client") as caught:
        wrong.check()
    assert "canary-5c1e" not in f"{caught.value!r} {caught.value.hint}"
    assert len(sandbox.log()) == 1


def test_a_token_endpoint_that_is_away_is_waited_for(sandbox: Sandbox, api: Api) -> None:
    """Faults at the token endpoint are repeated like those of any read."""
    sandbox.knobs(bad_gateway={"next": 2, "path": "token"}, too_many_requests={"next": 1, "path": "token"})
    api.check()
    assert api.retries == 3


def test_a_page_in_the_place_of_a_token(sandbox: Sandbox, api: Api) -> None:
    """An HTML page with status 200 in the place of a token is reported as a proxy or a wrong host."""
    sandbox.knobs(html_success={"probability": 1, "path": "token"})
    with pytest.raises(AuthenticationRefused, match="proxy or a wrong host"):
        api.check()


def test_a_password_in_the_place_of_a_client(sandbox: Sandbox, naps: Naps) -> None:
    """Without a client id, user name and password go along as HTTP Basic, and no token is asked for."""
    endpoint = Endpoint(sandbox.url, ACCOUNT, username=USER, password=SECRET)
    with closing(Api(endpoint, throttle.local(None), sleep=naps.sleep)) as api:
        api.check()
        sandbox.knobs(basic_allowed=False)
        with pytest.raises(AuthenticationRefused):
            api.check()
    assert sandbox.log("POST") == []
    assert len(sandbox.log("GET")) == 2
