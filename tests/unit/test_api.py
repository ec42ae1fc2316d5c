"""The client's decisions that need no server: waits, tokens, names, refusals."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.api.attempts import asked_wait
from worker.api.client import segment
from worker.api.faults import Asked, failed, fault
from worker.api.realms import RealmIndex, account_ending
from worker.api.token import DEFAULT_LIFE, Bearer, read_token
from worker.api.transport import Reply
from worker.errors import (
    AccountNotFound,
    AuthenticationRefused,
    Conflict,
    ForeignAnswer,
    ListRefused,
    NotAllowed,
    NotFound,
    Refused,
    SiprosterError,
    StopJob,
    Unavailable,
)
from worker.model import Realm

NOW = 1_800_000_000.0
DIGEST = "1be6abcaa8e9956021d30f33a3925b99"


def reply(status: int, body: str = "", **headers: str) -> Reply:
    return Reply(status, headers, body.encode())


def refusal(status: int, code: str = "", text: str = "") -> Reply:
    said = f"<ErrorCode>{code}</ErrorCode><Description>{text}</Description>"
    return reply(status, f"<R><ResponseStatus>{said}</ResponseStatus></R>")


def token(status: int = 200, /, **content: object) -> Reply:
    return reply(status, json.dumps(content))


# How long to wait


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "0"}, 0.0),
        ({"Retry-After": formatdate(NOW + 30, usegmt=True)}, 30.0),
        ({"Retry-After": formatdate(NOW - 30, usegmt=True)}, 0.0),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "Fri, 99 Foo 99999 99:99:99 GMT"}, None),
        ({"X-RateLimit-Reset": str(int(NOW) + 12)}, 12.0),
        ({"X-RateLimit-Reset": str(int(NOW + 12) * 1000)}, 12.0),
        ({"X-RateLimit-Reset": str(int(NOW) - 12)}, 0.0),
        ({"Retry-After": "3", "X-RateLimit-Reset": str(int(NOW) + 12)}, 3.0),
        ({"Retry-After": "²"}, None),
        ({"Retry-After": "9" * 400}, None),
        ({}, None),
    ],
)
def test_what_the_service_asks_to_wait(headers: Mapping[str, str], seconds: float | None) -> None:
    """Seconds, a date, and the older host's epoch in seconds or milliseconds are all understood."""
    assert asked_wait(headers, NOW) == seconds


@given(st.text(), st.text())
def test_no_header_breaks_the_wait(after: str, reset: str) -> None:
    """With any text in the headers, the wait is None or not negative."""
    wait = asked_wait({"Retry-After": after, "X-RateLimit-Reset": reset}, NOW)
    assert wait is None or wait >= 0


# Paths


@pytest.mark.parametrize(
    ("name", "encoded"),
    [
        ("alice", "alice"),
        ("+1919@example.com", "%2B1919%40example.com"),
        ("a/b?c#d", "a%2Fb%3Fc%23d"),
        (".", "%2E"),
        ("..", "%2E%2E"),
        ("a..b", "a..b"),
    ],
)
def test_a_name_stays_one_segment(name: str, encoded: str) -> None:
    """No name changes the path around it: separators and names made of dots are encoded."""
    assert segment(name) == encoded


# Realms by name


def realms(*hosts: str) -> list[Realm]:
    return [Realm(str(1000 + number), host) for number, host in enumerate(hosts)]


LIVE = realms(
    "sales-0a1b2c.auth.bandwidth.com",
    "sales-bad-0a1b2c.auth.bandwidth.com",
    "Office-0a1b2c.auth.bandwidth.com",
)
GUIDE = realms("sales.0a1b2c.auth.bandwidth.com", "sales-bad.0a1b2c.auth.bandwidth.com")


@pytest.mark.parametrize(
    ("known", "ref", "host"),
    [
        (LIVE, "sales", LIVE[0].host),
        (LIVE, "SALES", LIVE[0].host),
        (LIVE, "sales-bad", LIVE[1].host),
        (LIVE, "office", "Office-0a1b2c.auth.bandwidth.com"),
        (LIVE, "SALES-bad-0A1B2C.auth.bandwidth.com", LIVE[1].host),
        (LIVE, "1001", LIVE[1].host),
        (GUIDE, "sales", GUIDE[0].host),
        (GUIDE, "sales-bad", GUIDE[1].host),
        (realms("custxx.auth.bandwidth.com"), "custxx", "custxx.auth.bandwidth.com"),
    ],
)
def test_a_realm_by_any_of_its_names(known: list[Realm], ref: str, host: str) -> None:
    """Id, host name and short name find it, in both styles of host name, with its spelling kept."""
    assert RealmIndex(known).one(ref).host == host


def test_a_name_with_a_hyphen_stays_whole() -> None:
    """Only the account's own ending is taken off: ``sales`` is not ``sales-bad``."""
    assert account_ending([realm.host for realm in LIVE]) == "-0a1b2c"
    assert account_ending([realm.host for realm in GUIDE]) == ""
    with pytest.raises(NotFound):
        RealmIndex(GUIDE[1:]).one("sales")


def test_an_unknown_realm_is_told_with_those_there_are() -> None:
    """The hint names the account's realms, or says that there are none."""
    with pytest.raises(NotFound) as caught:
        RealmIndex(GUIDE).one("nowhere")
    assert GUIDE[0].host in caught.value.hint
    with pytest.raises(NotFound) as caught:
        RealmIndex([]).one("nowhere")
    assert "none" in caught.value.hint


def test_a_name_that_several_realms_have_is_a_conflict() -> None:
    """Both styles of host name on one account: one short name may mean two realms."""
    both = [LIVE[0], Realm("7", GUIDE[0].host)]
    with pytest.raises(Conflict) as caught:
        RealmIndex(both).one("sales")
    assert LIVE[0].host in str(caught.value)
    assert GUIDE[0].host in str(caught.value)


# Refusals


@pytest.mark.parametrize(
    ("answer", "asked", "kind"),
    [
        (refusal(401), Asked.ONE, AuthenticationRefused),
        (refusal(403, "", "no role"), Asked.CREATE, AuthenticationRefused),
        (refusal(403, "23013"), Asked.CREATE, NotAllowed),
        (refusal(400, "33004"), Asked.LIST, NotAllowed),
        (refusal(200, "33004"), Asked.LIST, NotAllowed),
        (refusal(404, "4022"), Asked.ONE, AccountNotFound),
        (refusal(404), Asked.LIST, AccountNotFound),
        (refusal(404), Asked.CREATE, AccountNotFound),
        (refusal(404), Asked.ONE, Refused),
        (refusal(404, "23017"), Asked.CREATE, ListRefused),
        (refusal(404, "33001"), Asked.ONE, Refused),
        (refusal(400, "23006"), Asked.CREATE, ListRefused),
        (refusal(413, "", "too large"), Asked.CREATE, ListRefused),
        (reply(413, "<html>Too large"), Asked.CREATE, ForeignAnswer),
        (reply(409), Asked.CHANGE, ForeignAnswer),
        (refusal(409), Asked.CHANGE, ForeignAnswer),
        (refusal(400), Asked.CREATE, ForeignAnswer),
        (reply(404), Asked.CHANGE, ForeignAnswer),
        (reply(409), Asked.ONE, Refused),
        (refusal(404, "", "gone"), Asked.CHANGE, Refused),
        (refusal(409, "23019"), Asked.CHANGE, Refused),
        (reply(302, Location="https://elsewhere.example/"), Asked.CREATE, StopJob),
        (reply(407), Asked.ONE, StopJob),
        (refusal(400, "33005"), Asked.ONE, Refused),
    ],
)
def test_each_refusal_has_its_exception(answer: Reply, asked: Asked, kind: type[SiprosterError]) -> None:
    """Status, code and what was asked for decide what the caller must do."""
    assert failed(answer)
    assert type(fault(answer, asked)) is kind


@pytest.mark.parametrize(
    ("text", "bound"),
    [
        ("The list contains more than 250 SIP credentials.", 250),
        ("more than 1,000 entries", 1000),
        ("too many entries", None),
    ],
)
def test_the_bound_is_read_from_the_text(text: str, bound: int | None) -> None:
    """The bound of 23003 is read from its text, which alone has it."""
    error = fault(refusal(400, "23003", text), Asked.CREATE)
    assert isinstance(error, ListRefused)
    assert error.bound == bound


@pytest.mark.parametrize("asked", Asked)
@pytest.mark.parametrize("code", ["", "23026", "23013", "4022"])
@pytest.mark.parametrize("status", [400, 401, 404])
def test_no_refusal_repeats_a_digest(asked: Asked, code: str, status: int) -> None:
    """The service's texts are redacted before they get into messages."""
    error = fault(refusal(status, code, f"exists with {DIGEST}"), asked)
    assert DIGEST not in f"{error} {error!r} {error.hint}"
    assert DIGEST not in str(vars(error))


def test_a_success_is_none_of_it() -> None:
    """A 2xx with entries and a description without a code is a success."""
    assert not failed(reply(201, "<R><ResponseStatus><Description>done</Description></ResponseStatus></R>"))
    assert not failed(reply(200))


# Tokens


@pytest.mark.parametrize(
    ("content", "life"),
    [
        ({"expires_in": 120}, 120.0),
        ({"expires_in": "120"}, 120.0),
        ({}, DEFAULT_LIFE),
        ({"expires_in": None}, DEFAULT_LIFE),
        ({"expires_in": "soon"}, DEFAULT_LIFE),
        ({"expires_in": -5}, DEFAULT_LIFE),
        ({"expires_in": 10**400}, DEFAULT_LIFE),
        ({"expires_in": float("nan")}, DEFAULT_LIFE),
    ],
)
def test_how_long_a_token_lives(content: Mapping[str, object], life: float) -> None:
    """A token lives as long as the answer says, or an hour if it says nothing valid."""
    assert read_token(token(access_token="abc", **content)).life == life


@pytest.mark.parametrize(
    "answer",
    [
        reply(200, "<html>Please log in</html>"),
        reply(200),
        reply(200, "[]"),
        reply(200, "[" * 100_000),
        token(access_token=""),
        token(access_token="to\r\nken"),
        token(access_token=7),
    ],
)
def test_an_answer_without_a_token_looks_like_a_wrong_host(answer: Reply) -> None:
    """A reply without a token is reported as a proxy or a wrong host, never as a parser's error."""
    with pytest.raises(AuthenticationRefused, match="proxy or a wrong host") as caught:
        read_token(answer)
    assert "BW_API_URL" in caught.value.hint
    assert "log in" not in str(caught.value)


def test_a_refused_client_is_told_with_the_reason() -> None:
    """An OAuth error code is shown, and no other text of the answer."""
    with pytest.raises(AuthenticationRefused, match=r"HTTP 401, invalid_client$"):
        read_token(token(401, error="invalid_client"))
    with pytest.raises(AuthenticationRefused, match=r"HTTP 400$"):
        read_token(token(400, error="secret s3cr3t is wrong"))


class Endpoint:
    """Issues numbered tokens and keeps count; ``clock`` is moved by hand."""

    def __init__(self, life: float) -> None:
        self.life = life
        self.issued = 0
        self.now = 0.0

    def clock(self) -> float:
        return self.now

    def issue(self) -> Reply:
        self.issued += 1
        return token(access_token=f"token-{self.issued}", expires_in=self.life)


@pytest.mark.parametrize(("life", "good_for"), [(3600.0, 3540.0), (120.0, 60.0), (60.0, 30.0), (2.0, 1.0)])
def test_a_token_is_renewed_in_time(life: float, good_for: float) -> None:
    """A token is renewed a minute before its end, or at half its life, whichever is later."""
    endpoint = Endpoint(life)
    bearer = Bearer(endpoint.issue, endpoint.clock)
    assert bearer.header() == "Bearer token-1"
    endpoint.now = good_for - 0.01
    assert bearer.header() == "Bearer token-1"
    endpoint.now = good_for
    assert bearer.header() == "Bearer token-2"


def test_a_refused_token_is_renewed_once_for_all() -> None:
    """Two threads whose requests carried the same refused token cost one new token, not two."""
    endpoint = Endpoint(3600)
    bearer = Bearer(endpoint.issue, endpoint.clock)
    old = bearer.header()
    assert bearer.renew(old)
    new = bearer.header()
    assert bearer.renew(old)
    assert bearer.header() == new
    assert endpoint.issued == 2


def test_threads_share_the_failure_they_waited_for() -> None:
    """Eight threads that wait for one failing attempt share its failure, and don't each retry."""
    moment = iter(range(10_000))
    arrived = threading.Semaphore(0)
    attempts = []

    def clock() -> float:
        arrived.release()
        return next(moment)

    def fetch() -> Reply:
        attempts.append(threading.current_thread().name)
        for _ in range(8):
            assert arrived.acquire(timeout=30)
        raise Unavailable("away")

    bearer = Bearer(fetch, clock)
    failures = []

    def ask() -> None:
        with pytest.raises(Unavailable):
            bearer.header()
        failures.append(1)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert (len(failures), len(attempts)) == (8, 1)
