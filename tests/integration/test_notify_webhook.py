"""Webhooks over real connections: signatures, and receivers that redirect, hang, or answer garbage."""

from __future__ import annotations

import base64
import re
import runpy
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError

from tests.certificates import certificate
from tests.scripted import Told, scripted, spoken
from tests.unit.notifications import KEY, SECRET, run_ended, webhook
from worker.notify import Message, NotDelivered, Sender

MESSAGE = Message("msg_0a1b", run_ended())
LONGEST = 1.0


@pytest.fixture
def sender() -> Iterator[Sender]:
    """A sender whose attempts take a second at most."""
    with closing(Sender(longest=LONGEST)) as sender:
        yield sender


def refused(sender: Sender, url: str) -> NotDelivered:
    """The error of one attempt."""
    with pytest.raises(NotDelivered) as caught:
        sender.send(webhook(url), MESSAGE)
    return caught.value


def answered(sender: Sender, told: Told) -> NotDelivered:
    """The error for this answer."""
    with scripted(lambda _: told) as server:
        return refused(sender, f"{server.url}/hook?x=1")


def test_the_signature_is_verified_by_the_standards_own_library(sender: Sender) -> None:
    """Body, id, timestamp and signature are as the library wants them, and any change is noticed."""
    with scripted(lambda _: Told(204)) as server:
        sender.send(webhook(f"{server.url}/hook?x=1"), MESSAGE)
    (asked,) = server.asked
    assert (asked.method, asked.path) == ("POST", "/hook?x=1")
    assert asked.headers["content-type"] == "application/json"
    assert asked.headers["webhook-id"] == "msg_0a1b"
    assert abs(int(asked.headers["webhook-timestamp"]) - time.time()) < 60
    verified = Webhook(SECRET).verify(asked.body, dict(asked.headers))
    assert verified == {"id": "msg_0a1b", **run_ended()}
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(asked.body.replace(b"598", b"600"), dict(asked.headers))


def test_the_documented_verification(sender: Sender, tmp_path: Path) -> None:
    """The function in docs/notifications.md accepts a request, and no other body, secret or time."""
    page = (Path(__file__).parents[2] / "docs/notifications.md").read_text("utf-8")
    (tmp_path / "sample.py").write_text(re.findall(r"```python\n(.*?)```", page, re.DOTALL)[1])
    verified = runpy.run_path(str(tmp_path / "sample.py"))["verified"]
    with scripted(lambda _: Told()) as server:
        sender.send(webhook(server.url, secrets=(bytes(32), KEY)), MESSAGE)
    (asked,) = server.asked
    assert verified(SECRET, asked.headers, asked.body)
    assert not verified(SECRET, asked.headers, asked.body + b" ")
    assert not verified(f"whsec_{base64.b64encode(b'x' * 24).decode()}", asked.headers, asked.body)
    assert not verified(SECRET, {**asked.headers, "webhook-timestamp": "1000000"}, asked.body)


def test_each_secret_signs(sender: Sender) -> None:
    """While a secret is exchanged, receivers with the old one and with the new one both accept."""
    other = bytes(range(32))
    with scripted(lambda _: Told()) as server:
        sender.send(webhook(server.url, secrets=(other, KEY)), MESSAGE)
    (asked,) = server.asked
    assert asked.headers["webhook-signature"].count("v1,") == 2
    for secret in (SECRET, f"whsec_{base64.b64encode(other).decode()}"):
        Webhook(secret).verify(asked.body, dict(asked.headers))


def test_each_attempt_has_its_own_time(sender: Sender) -> None:
    """The id stays over attempts; timestamp and signature are those of the attempt."""
    times = iter([1_000_000.0, 1_000_300.0])
    with scripted(lambda _: Told()) as server, closing(Sender(lambda: next(times))) as own:
        for _ in range(2):
            own.send(webhook(server.url), MESSAGE)
    first, second = (one.headers for one in server.asked)
    assert first["webhook-id"] == second["webhook-id"]
    assert (first["webhook-timestamp"], second["webhook-timestamp"]) == ("1000000", "1000300")
    assert first["webhook-signature"] != second["webhook-signature"]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(sender: Sender, status: int) -> None:
    """The notification goes nowhere else, and the message says what to do without repeating the target."""
    with scripted(lambda _: Told()) as elsewhere:
        found = answered(sender, Told(status, headers={"Location": f"{elsewhere.url}/canary"}))
    assert elsewhere.asked == []
    assert f"redirects (HTTP {status})" in found.reason
    assert "final address" in found.reason
    assert "canary" not in found.reason
    assert not found.final


def test_gone_is_for_good(sender: Sender) -> None:
    """410 ends the attempts; any other refusal doesn't."""
    assert answered(sender, Told(410)).final
    assert not any(answered(sender, Told(status)).final for status in (400, 404, 429, 500, 503))


@pytest.mark.parametrize(
    ("value", "after"),
    [("120", 120.0), ("", None), ("soon", None), ("-5", None), ("9" * 40, 999_999_999.0),
     ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0), ("Wed, 99 Foo 2026 00:00:00 GMT", None)],
)  # fmt: skip
def test_retry_after(sender: Sender, value: str, after: float | None) -> None:
    """Seconds or a date; anything else counts as not said."""
    assert answered(sender, Told(503, headers={"Retry-After": value})).after == after


def test_the_answer_is_not_repeated(sender: Sender) -> None:
    """Texts of the receiver may hold anything, and so they are not part of the reason."""
    found = answered(sender, Told(500, b"canary " * 100, {"X-Error": "canary"}))
    assert found.reason == "the receiver answered HTTP 500"


def test_nobody_listens(sender: Sender) -> None:
    """A receiver that is down is named as such."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert refused(sender, f"http://127.0.0.1:{port}/").reason == "connection refused"


def test_the_receivers_certificate_is_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An https receiver needs a certificate that is trusted: by SSL_CERT_FILE, if that is set."""
    public, private = certificate(tmp_path, "localhost")
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(public, private)
    with scripted(lambda _: Told(), tls) as server:
        url = server.url.replace("127.0.0.1", "localhost")
        with closing(Sender()) as sender:
            assert "isn't trusted" in refused(sender, url).reason
        monkeypatch.setenv("SSL_CERT_FILE", str(public))
        with closing(Sender()) as sender:
            sender.send(webhook(url), MESSAGE)
        assert len(server.asked) == 1
        monkeypatch.setenv("SSL_CERT_FILE", "/nowhere.pem")
        with closing(Sender()) as sender:
            assert "SSL_CERT_FILE" in refused(sender, url).reason


def test_a_receiver_that_hangs(sender: Sender) -> None:
    """A receiver that accepts and says nothing costs the deadline, and no more."""
    began = time.monotonic()
    with spoken(lambda connection: time.sleep(60)) as url:
        assert "no complete answer within 1 s" in refused(sender, url).reason
    assert time.monotonic() - began < 30


def test_a_receiver_that_drips_its_head(sender: Sender) -> None:
    """A head that arrives byte by byte, for ever, ends at the deadline."""

    def drip(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
        while True:
            connection.sendall(b"x")
            time.sleep(0.05)

    began = time.monotonic()
    with spoken(drip) as url:
        assert "no complete answer within 1 s" in refused(sender, url).reason
    assert time.monotonic() - began < 30


def test_a_body_that_never_ends_is_no_failure(sender: Sender) -> None:
    """The status says that it was received: neither an endless body nor a slow one is waited for."""
    began = time.monotonic()
    with scripted(lambda _: Told(body=b"x" * 1000, drip=0.05)) as server:
        sender.send(webhook(server.url), MESSAGE)

    flooded: list[int] = []

    def flood(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(b"x" * 65536)
            flooded.append(65536)

    with spoken(flood) as url:
        sender.send(webhook(url), MESSAGE)
    assert time.monotonic() - began < 30
    assert sum(flooded) < 20_000_000  # what the kernel holds


@pytest.mark.parametrize(
    "garbage",
    [b"\x16\x03\x01\x00\x05hello", b"220 mail.example.com ESMTP\r\n", b"", b"HTTP/1.1 999999 \r\n\r\n",
     b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 50_000],
    ids=["tls", "smtp", "nothing", "status", "headers"],
)  # fmt: skip
def test_garbage(sender: Sender, garbage: bytes) -> None:
    """An answer that is not HTTP is a failed attempt, told in plain words."""

    def speak(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(garbage)

    with spoken(speak) as url:
        found = refused(sender, url)
    assert not found.final
    assert found.reason
    assert "Error" not in found.reason


def test_packed_garbage_is_received(sender: Sender) -> None:
    """A body that claims to be gzip and isn't doesn't matter: nobody reads it."""
    with scripted(lambda _: Told(body=b"no gzip", headers={"Content-Encoding": "gzip"})) as server:
        sender.send(webhook(server.url), MESSAGE)
    assert len(server.asked) == 1
