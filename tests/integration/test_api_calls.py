"""Calls through the client: placed once, whatever becomes of the answer, and read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest

from tests.integration.api_client import APPLICATION, Naps, client
from tests.integration.sandbox_client import client as xml_client
from tests.integration.sandbox_client import post
from tests.sandbox import Sandbox
from tests.scripted import Asked, Scripted, Told, scripted
from tests.servers import free_port
from worker.api import Api, Calls, Order
from worker.errors import (
    AccountNotFound,
    AnswerLost,
    AuthenticationRefused,
    Refused,
    StopJob,
    Throttled,
    Unavailable,
)

TOKEN = Told(200, b'{"access_token": "t", "expires_in": 3600}')
ORDER = Order("+19195551234", "sip:alice@acme.example.com", APPLICATION, "https://example.com/answer")


@pytest.fixture
def order(sandbox: Sandbox) -> Order:
    """A call to alice, who is stored."""
    with xml_client(sandbox) as http:
        post(http, "alice")
    return Order(
        ORDER.number, f"sip:alice@{sandbox.credentials()[0]['realm']}", APPLICATION, ORDER.answer_url
    )


@pytest.fixture
def calls(api: Api, sandbox: Sandbox, order: Order) -> Calls:
    """The calls of an account on which alice is stored."""
    return api.calls(sandbox.url)


def orders(sandbox: Sandbox) -> list[object]:
    """The statuses that orders were answered with."""
    return [line["status"] for line in sandbox.log("POST", "/calls")]


def voice(answer: Callable[[Asked], Told]) -> Iterator[tuple[Calls, Scripted]]:
    """Yield the calls API of a service that answers with ``answer`` behind a token, and its server."""

    def told(asked: Asked) -> Told:
        return TOKEN if "oauth2" in asked.path else answer(asked)

    with scripted(told) as server, closing(client(server.url, Naps(), budget=5)) as api:
        yield api.calls(server.url), server


def test_placed_and_read(sandbox: Sandbox, calls: Calls, order: Order) -> None:
    """The order arrives as given; the state says how it went; the token is the Registrar API's own."""
    sandbox.knobs(call_rings=0, call_talks=0)
    call_id = calls.place(order)
    (held,) = sandbox.lines("calls")
    assert (held["callId"], held["from"], held["to"]) == (call_id, order.number, order.to)
    assert held["applicationId"] == APPLICATION
    seen = calls.read(call_id)
    assert seen is not None
    assert (seen.state, seen.cause, seen.over, seen.was_answered) == ("disconnected", "hangup", True, True)
    assert len(sandbox.log("POST", "oauth2")) == 1


def test_a_new_call_that_can_not_be_read(sandbox: Sandbox, calls: Calls, order: Order) -> None:
    """A 404 for a new call is None: it is pending, not an error."""
    sandbox.knobs(call_hidden=60)
    assert calls.read(calls.place(order)) is None
    assert calls.read("c-never-was") is None


@pytest.mark.parametrize(
    "fault",
    [{"drop": {"next": 1, "commit": True}}, {"drop": {"next": 1}}, {"cut": {"next": 1}},
     {"bad_gateway": {"next": 1, "commit": True}}, {"html_success": {"next": 1, "commit": True}},
     {"unavailable": {"next": 1, "commit": True}}],
)  # fmt: skip
def test_an_order_is_never_repeated_when_its_answer_is_lost(
    sandbox: Sandbox, calls: Calls, order: Order, fault: dict[str, Any]
) -> None:
    """Cut, dropped, a proxy's page, even a 503: one order went out, and the error says that it may ring."""
    (kind, rule), *_ = fault.items()
    sandbox.knobs(**{kind: {**rule, "path": "/calls"}})
    with pytest.raises(AnswerLost, match="may have been placed") as lost:
        calls.place(order)
    assert "before you call again" in lost.value.hint
    assert len(orders(sandbox)) == 1


def test_an_order_that_was_surely_not_taken_is_repeated(sandbox: Sandbox, calls: Calls, order: Order) -> None:
    """A 429 placed nothing: the order waits for its turn, and there is one call in the end."""
    sandbox.knobs(too_many_requests={"next": 2, "path": "/calls"})
    calls.place(order)
    assert orders(sandbox) == [429, 429, 201]
    assert len(sandbox.lines("calls")) == 1


def test_reading_is_repeated(sandbox: Sandbox, calls: Calls, order: Order) -> None:
    """A read that fails is asked again: it changes nothing."""
    call_id = calls.place(order)
    sandbox.knobs(drop={"next": 1, "path": "/calls/"}, unavailable={"next": 1, "path": "/calls/"})
    assert calls.read(call_id) is not None


def test_what_is_refused(sandbox: Sandbox, calls: Calls, order: Order) -> None:
    """A 400 is Refused with type and description; 403 and 404 say what to check."""
    sandbox.knobs(applications=["0a6c3e91-d284-47b5-a1f0-5e8b7c2d9f36"])
    with pytest.raises(Refused, match="validation: Invalid applicationId"):
        calls.place(order)
    sandbox.knobs(refuse={"next": 1, "path": "/calls", "status": 403, "text": "Access is denied"})
    with pytest.raises(AuthenticationRefused, match="HTTP 403: Access is denied"):
        calls.place(order)
    with closing(client(sandbox.url, account="77")) as other, pytest.raises(AccountNotFound):
        other.calls(sandbox.url).place(order)
    assert sandbox.lines("calls") == []


@pytest.mark.parametrize(
    ("told", "error"),
    [
        (Told(201, b"{}"), AnswerLost),
        (Told(201, b'{"callId": 7}'), AnswerLost),
        (Told(201, b'{"callId": "' + b"x" * 300 + b'"}'), AnswerLost),
        (Told(201, b"[" * 100_000), AnswerLost),
        (Told(302, b"", {"Location": "http://example.com/"}), StopJob),
        (Told(407, b""), StopJob),
        (Told(429, b""), Throttled),
        (Told(400, b"<html>no</html>"), Refused),
    ],
)  # fmt: skip
def test_odd_answers_to_an_order(told: Told, error: type[Exception]) -> None:
    """A success without an id is a lost answer; redirects are not followed; a 429 for ever is Throttled."""
    for calls, server in voice(lambda _: told):
        with pytest.raises(error):
            calls.place(ORDER)
        sent = [asked for asked in server.asked if asked.path.endswith("/calls")]
        assert (len(sent) > 1) == (told.status == 429)
        assert json.loads(sent[0].body)["answerUrl"] == ORDER.answer_url


def test_nobody_at_the_voice_host(sandbox: Sandbox, api: Api, naps: Naps, order: Order) -> None:
    """A missing voice host is tried for as long as a request may take; the error says no call was placed."""
    with pytest.raises(Unavailable) as away:
        api.calls(f"http://127.0.0.1:{free_port()}").place(order)
    assert (away.value.exit_code, away.value.hint.startswith("no call was placed")) == (5, True)
    assert sum(naps.taken) > 30
    assert sandbox.lines("calls") == []


def test_texts_of_the_service_are_made_fit(sandbox: Sandbox) -> None:
    """Digests, control characters and lengths of a text that comes from outside don't get through."""
    digest = "1be6abcaa8e9956021d30f33a3925b99"
    content = {
        "state": "disconnected",
        "disconnectCause": "error\x1b[31m",
        "errorMessage": f"bad {digest}\n" * 99,
    }
    body = json.dumps(content | {"endTime": 7}).encode()
    for calls, server in voice(lambda _: Told(200, body)):
        seen = calls.read("../c 1")
        assert seen is not None
        assert (seen.cause, seen.ended_at) == ("error [31m", "")
        assert digest not in seen.error
        assert len(seen.error) <= 500
        assert server.asked[-1].path.endswith("/calls/..%2Fc%201")
