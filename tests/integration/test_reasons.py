"""Causes in plain words, as they come from real sockets, servers and certificates."""

from __future__ import annotations

import datetime as dt
import socket
import ssl
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.certificates import certificate
from tests.integration.api_client import Naps, client
from tests.scripted import Told, scripted, spoken
from tests.servers import free_port
from worker.api.transport import NotSent, Transport
from worker.errors import LedgerError, Unavailable
from worker.ledger import Ledger
from worker.model import Endpoint
from worker.runtime import RuntimeConfig
from worker.tasks import CeleryQueue, make_app


def told(url: str) -> str:
    """Return the client's error text for a service at this URL."""
    with closing(client(url, Naps(), budget=0, deadline=0.5)) as api, pytest.raises(Unavailable) as caught:
        api.realms()
    return caught.value.message.removeprefix("the service did not answer as it should in time: ")


def reset(connection: socket.socket) -> None:
    connection.recv(1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


def hang_up(connection: socket.socket) -> None:
    connection.recv(65536)


def speak_smtp(connection: socket.socket) -> None:
    connection.recv(65536)
    connection.sendall(b"220 mail.example ESMTP\r\n\r\n")


def stall(connection: socket.socket) -> None:
    while connection.recv(65536):
        pass


@pytest.mark.parametrize(
    ("speak", "reason"),
    [
        (reset, "the connection was cut"),
        (hang_up, "the connection was cut"),
        (speak_smtp, "the answer is not HTTP"),
        (stall, "no complete answer within 0.5 s"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_service_that_does_not_speak(speak: Callable[[socket.socket], None], reason: str) -> None:
    """A reset, an early end, another protocol and silence are distinguished."""
    with spoken(speak) as url:
        assert told(url) == reason


def test_a_service_that_is_not_there() -> None:
    """A closed port and an unknown host name are reported in words, not as an exception's class."""
    assert told(f"http://127.0.0.1:{free_port()}") == "connection refused"
    assert told("http://registrar.invalid").startswith("the host name can't be resolved")
    assert told(f"http://{'a' * 64}.example") == "the host name is not a valid DNS name"


YESTERDAY = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)


@pytest.mark.parametrize(
    ("name", "ends", "trusted", "reason"),
    [
        ("localhost", None, False, "the certificate isn't trusted: self-signed certificate"),
        ("localhost", YESTERDAY, True, "the certificate has expired"),
        ("other.example", None, True, "the certificate is for another host name"),
    ],
)
def test_a_certificate_that_proves_nothing(
    tmp_path: Path, name: str, ends: dt.datetime | None, trusted: bool, reason: str
) -> None:
    """A certificate that is untrusted, expired, or for another host name is refused for that reason."""
    files = certificate(tmp_path, name, ends)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*files)
    trust = ssl.create_default_context(cafile=str(files[0]) if trusted else None)
    with scripted(lambda _: Told(), context) as server:
        url = server.url.replace("127.0.0.1", "localhost")
        with closing(Transport(5, trust, {})) as transport, pytest.raises(NotSent) as caught:
            transport.send("GET", url, {}, b"")
    assert str(caught.value) == reason


def test_a_service_without_tls() -> None:
    """An https address of a port that speaks plain HTTP is reported in words."""
    with scripted(lambda _: Told()) as server:
        assert told(server.url.replace("http:", "https:")) == "the other side doesn't speak TLS there"


def test_a_broker_and_a_ledger_that_are_not_there() -> None:
    """Redis and PostgreSQL at a closed port are reported in words, without a class of their libraries."""
    port = free_port()
    queue = CeleryQueue(
        make_app(RuntimeConfig(f"redis://127.0.0.1:{port}/0", "", (), [Endpoint("", "")])), ""
    )
    with pytest.raises(Unavailable, match=r"^the broker does not take messages: connection refused$"):
        queue.check()
    with pytest.raises(LedgerError) as caught:
        Ledger(f"postgresql://u:canary-77@127.0.0.1:{port}/d")
    assert caught.value.message.startswith("the ledger failed: connection to server at ")
    assert caught.value.message.endswith("Connection refused")
    assert "canary-77" not in caught.value.message
