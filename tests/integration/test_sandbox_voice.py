"""The sandbox's Voice resources: what can be ordered, and what becomes of a call."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import httpx
import pytest

from tests.integration.sandbox_client import ACCOUNT_PATH, post, token
from tests.integration.sandbox_client import client as xml_client
from tests.integration.sip_phone import Phone, Wire
from tests.sandbox import SECRET, USER, Sandbox

CALLS = f"{ACCOUNT_PATH}/calls"
APPLICATION = "7b2f8f6e-1111-2222-3333-abcdefabcdef"


@pytest.fixture
def http(sandbox: Sandbox) -> Iterator[httpx.Client]:
    """An authenticated client of a sandbox as new, in which alice is stored."""
    with xml_client(sandbox) as registrar:
        assert post(registrar, "alice").status_code == 201
    with httpx.Client(base_url=sandbox.url, auth=(USER, SECRET), trust_env=False) as connected:
        yield connected


@pytest.fixture
def order(sandbox: Sandbox, http: httpx.Client) -> dict[str, Any]:
    """The body of a call to alice that is good."""
    return order_to(sandbox, "alice")


def order_to(sandbox: Sandbox, user: str) -> dict[str, Any]:
    """The body of a call to a user of the default realm."""
    return {
        "from": "+19195551234",
        "to": f"sip:{user}@{sandbox.credentials()[0]['realm']}",
        "applicationId": APPLICATION,
        "answerUrl": "https://example.com/answer",
    }


def placed(http: httpx.Client, order: dict[str, Any]) -> str:
    """The path of a call that was just placed."""
    answer = http.post(CALLS, json=order)
    assert answer.status_code == 201, answer.text
    return str(answer.headers["Location"])


def at_its_end(http: httpx.Client, path: str) -> dict[str, Any]:
    """The call once it is over."""
    while (call := http.get(path).raise_for_status().json())["state"] != "disconnected":
        time.sleep(0.02)
    return dict(call)


def until_status(http: httpx.Client, method: str, path: str, status: int, body: object = None) -> None:
    """Ask again and again until the answer has this status."""
    end = time.monotonic() + 60
    while http.request(method, path, json=body).status_code != status:
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_call_from_its_order_to_its_end(
    sandbox: Sandbox, http: httpx.Client, order: dict[str, Any]
) -> None:
    """An order gets 201 with an id; the call's states have their times; a control path lists the call."""
    sandbox.knobs(call_rings=1, call_talks=1)
    answer = http.post(CALLS, json=order)
    receipt = answer.json()
    assert (answer.status_code, receipt["callId"][:2], receipt["to"]) == (201, "c-", order["to"])
    path = f"{CALLS}/{receipt['callId']}"
    assert answer.headers["Location"] == receipt["callUrl"] == path
    first = http.get(path).json()
    assert (first["state"], first["answerTime"], first["endTime"]) == ("initiated", None, None)
    seen = {first["state"]}
    while (call := http.get(path).json())["state"] != "disconnected":
        seen.add(call["state"])
    assert seen == {"initiated", "answered"}
    assert call["startTime"] < call["answerTime"] < call["endTime"] == call["lastUpdate"]
    assert (call["disconnectCause"], call["errorMessage"]) == ("hangup", None)
    assert sandbox.lines("calls") == [call]


def test_who_may_call(sandbox: Sandbox, http: httpx.Client, order: dict[str, Any]) -> None:
    """The same token as the Registrar API's opens it; without one 401, with JSON; 404 for another account."""
    bearer = {"Authorization": f"Bearer {token(sandbox).json()['access_token']}"}
    url = sandbox.url + CALLS
    assert httpx.post(url, json=order, headers=bearer, trust_env=False).status_code == 201
    refused = httpx.post(url, json=order, trust_env=False)
    assert (refused.status_code, refused.json()["description"]) == (401, "Authentication is required.")
    assert http.post("/api/v2/accounts/77/calls", json=order).status_code == 404
    assert http.get(CALLS).status_code == 405
    assert http.post(CALLS, content=b"<xml/>", headers={"Content-Type": "application/xml"}).status_code == 415


@pytest.mark.parametrize(
    ("name", "value"),
    [("from", "9195551234"), ("from", "+0123456789"), ("from", None), ("to", "alice"), ("to", "sip:alice"),
     ("to", "sip:a b@example.com"), ("applicationId", "mine"), ("answerUrl", "example.com/answer"),
     ("answerUrl", "ftp://example.com/"), ("answerUrl", "https://[x"), ("to", 7)],
)  # fmt: skip
def test_an_order_that_can_not_be(
    sandbox: Sandbox, http: httpx.Client, order: dict[str, Any], name: str, value: object
) -> None:
    """400 of type validation, naming the member; nothing is called."""
    answer = http.post(CALLS, json=order | {name: value})
    assert (answer.status_code, answer.json()["type"]) == (400, "validation")
    assert name in answer.json()["description"]
    assert sandbox.lines("calls") == []


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"[" * 100_000])
def test_a_body_that_is_no_order(http: httpx.Client, body: bytes) -> None:
    """400 for what is no JSON, or no object."""
    answer = http.post(CALLS, content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["type"]) == (400, "validation")


def test_an_application_of_another_account(
    sandbox: Sandbox, http: httpx.Client, order: dict[str, Any]
) -> None:
    """If the account's applications are known, all others are refused."""
    sandbox.knobs(applications=["0a6c3e91-d284-47b5-a1f0-5e8b7c2d9f36"])
    assert http.post(CALLS, json=order).json()["description"].startswith("Invalid applicationId")


def test_five_calls_a_second(sandbox: Sandbox, http: httpx.Client, order: dict[str, Any]) -> None:
    """Above five in a second orders are 429 and place nothing; later calls go through again."""
    with ThreadPoolExecutor(15) as pool:
        answers = list(pool.map(lambda _: http.post(CALLS, json=order), range(15)))
    assert {answer.status_code for answer in answers} == {201, 429}
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.json()["type"] == "rate-limit"
    times = [datetime.fromisoformat(call["enqueuedTime"]).timestamp() for call in sandbox.lines("calls")]
    assert len(times) == sum(answer.status_code == 201 for answer in answers)
    # Another clock counts the seconds than the one that is shown, to the millisecond.
    assert all(later - earlier > 0.9 for earlier, later in zip(times, times[5:], strict=False))
    until_status(http, "POST", CALLS, 201, order)


def test_a_new_call_can_not_be_read_at_once(
    sandbox: Sandbox, http: httpx.Client, order: dict[str, Any]
) -> None:
    """call_hidden: 404 for its seconds, as the real one does; an id that never was stays 404."""
    sandbox.knobs(call_hidden=2)
    path = placed(http, order)
    assert http.get(path).status_code == 404
    until_status(http, "GET", path, 200)
    assert http.get(f"{CALLS}/c-unknown").status_code == 404


def test_a_call_is_its_accounts_alone(make_sandbox: Callable[..., Sandbox]) -> None:
    """Another account of the same service can't read it."""
    both = make_sandbox("--account", "9900001", "--account", "77")
    with httpx.Client(base_url=both.url, auth=(USER, SECRET), trust_env=False) as http:
        order = {"from": "+19195551234", "to": "+19195550100", "applicationId": APPLICATION}
        path = placed(http, order | {"answerUrl": "https://example.com/answer"})
        assert http.get(path).status_code == 200
        assert http.get(path.replace("9900001", "77")).status_code == 404


@pytest.mark.parametrize("cause", ["busy", "timeout", "rejected", "error", "callback-error"])
def test_a_call_that_nobody_answers(
    sandbox: Sandbox, http: httpx.Client, order: dict[str, Any], cause: str
) -> None:
    """call_ends: the cause, an errorMessage, and no time of an answer."""
    sandbox.knobs(call_ends=cause, call_rings=0)
    call = at_its_end(http, placed(http, order))
    assert (call["disconnectCause"], call["answerTime"]) == (cause, None)
    assert cause in call["errorMessage"]
    assert call["errorId"]


def test_a_call_that_goes_on_and_one_that_waits(
    sandbox: Sandbox, http: httpx.Client, order: dict[str, Any]
) -> None:
    """call_ends: answered stays answered, queued stays queued."""
    sandbox.knobs(call_ends="answered", call_rings=0)
    assert http.get(placed(http, order)).json()["state"] == "answered"
    sandbox.knobs(call_ends="queued")
    assert http.get(placed(http, order)).json()["state"] == "queued"


def test_a_call_to_somebody_who_is_not_there(
    sandbox: Sandbox, http: httpx.Client, order: dict[str, Any]
) -> None:
    """A user or realm that isn't stored: 201 all the same, then rejected."""
    sandbox.knobs(call_rings=0)
    nobody = at_its_end(http, placed(http, order_to(sandbox, "nobody")))
    elsewhere = at_its_end(http, placed(http, order | {"to": "sip:alice@example.com"}))
    assert [call["disconnectCause"] for call in (nobody, elsewhere)] == ["rejected", "rejected"]
    assert at_its_end(http, placed(http, order_to(sandbox, "+ALICE")))["disconnectCause"] == "hangup"


def test_a_refusal_on_order(sandbox: Sandbox, http: httpx.Client, order: dict[str, Any]) -> None:
    """The faults strike calls as well, and refuse in the Voice API's own words."""
    sandbox.knobs(
        refuse={"next": 1, "path": "/calls", "status": 403, "code": "authorization-error", "text": "No."}
    )
    answer = http.post(CALLS, json=order)
    assert (answer.status_code, answer.json()) == (
        403,
        {"type": "authorization-error", "description": "No.", "id": None},
    )
    assert sandbox.lines("calls") == []


def test_only_a_registered_phone_rings(make_sandbox: Callable[..., Sandbox]) -> None:
    """If the registrar runs, a call rings only while a phone is registered; else it fails and says so."""
    edge = make_sandbox("--sip-port", "0", "--knob", "call_rings=0", "--knob", "sip_accepts_anything=true")
    with xml_client(edge) as registrar:
        post(registrar, "alice")
    order = order_to(edge, "alice")
    wire = Wire(edge.sip_port)
    phone = Phone(wire, edge.credentials()[0]["realm"], "alice", "any")
    with httpx.Client(base_url=edge.url, auth=(USER, SECRET), trust_env=False) as http:
        call = at_its_end(http, placed(http, order))
        assert (call["disconnectCause"], call["answerTime"]) == ("error", None)
        assert "No phone is registered" in call["errorMessage"]
        phone.register("Contact: <sip:alice@192.0.2.1>")
        assert at_its_end(http, placed(http, order))["disconnectCause"] == "hangup"
        phone.register("Contact: <sip:alice@192.0.2.1>;expires=0")
        assert at_its_end(http, placed(http, order))["disconnectCause"] == "error"
        edge.knobs(call_phone_needed=False)
        assert at_its_end(http, placed(http, order))["disconnectCause"] == "hangup"
    wire.close()
