"""Requests through proxies: SOCKS5 and HTTP, and what is said where one refuses or is not there."""

from __future__ import annotations

import socket
from contextlib import closing

import pytest

from tests.proxy import socks_proxy
from tests.sandbox import Sandbox
from tests.scripted import Asked, Told, scripted, spoken
from tests.servers import free_port
from worker.api.proxies import Proxy
from worker.api.transport import Interrupted, NotSent, Transport


def failure(proxy: str, url: str = "https://api.example/") -> str:
    """Return the reason why a request through this proxy failed."""
    with closing(Transport(0.5, None, {"all://": Proxy(proxy, "ALL_PROXY")})) as transport:
        with pytest.raises((NotSent, Interrupted)) as caught:
            transport.send("GET", url, {}, b"")
        return str(caught.value)


@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
def test_through_socks(sandbox: Sandbox, scheme: str) -> None:
    """A request and its answer; the proxy looks up the name."""
    with socks_proxy(("127.0.0.1", int(sandbox.url.rpartition(":")[2]))) as (url, asked):
        proxy = Proxy(url.replace("socks5", scheme), "ALL_PROXY")
        with closing(Transport(5, None, {"all://": proxy})) as transport:
            assert transport.send("GET", "http://api.example/_sandbox/health", {}, b"").status == 200
    assert asked == [("api.example", 80)]


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "127.0.0.1", "127.0.0.2"])
def test_this_machine_is_asked_directly(sandbox: Sandbox, host: str) -> None:
    """This machine is asked directly: credentials go there in clear, which a proxy could read."""
    port = int(sandbox.url.rpartition(":")[2])
    with scripted(lambda _: Told(418, b"")) as proxy:
        ways: dict[str, Proxy | None] = {
            pattern: Proxy(proxy.url, "HTTP_PROXY") for pattern in ("http://", "all://")
        }
        with closing(Transport(5, None, ways)) as transport:
            said: int | str
            try:
                said = transport.send("GET", f"http://{host}:{port}/_sandbox/health", {}, b"").status
            except NotSent as error:  # nobody listens at 127.0.0.2
                said = str(error)
    assert said == ("connection refused" if host == "127.0.0.2" else 200)


def test_through_http() -> None:
    """An HTTP proxy gets the whole URL."""

    def answer(asked: Asked) -> Told:
        return Told(200, asked.path.encode())

    with scripted(answer) as proxy:
        ways = {"http://": Proxy(proxy.url, "HTTP_PROXY")}
        with closing(Transport(5, None, ways)) as transport:
            assert transport.send("GET", "http://api.example/x", {}, b"").body == b"http://api.example/x"


def test_a_proxy_that_is_not_there() -> None:
    """The error names the proxy's variable, since the service's own address is not what is wrong."""
    port = free_port()
    for scheme in ("http", "socks5"):
        assert failure(f"{scheme}://127.0.0.1:{port}") == "through ALL_PROXY: connection refused"
    assert failure("http://proxy.invalid:1").startswith("through ALL_PROXY: the host name can't be resolved")


def test_a_proxy_that_refuses() -> None:
    """A proxy's refusal is reported with its status, but without its text, which can't be trusted."""

    def refuse(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 407 canary-said-this\r\nContent-Length: 0\r\n\r\n")

    with spoken(refuse) as url:
        assert failure(url) == "through ALL_PROXY: the proxy refused the connection (HTTP 407)"


def test_a_proxy_that_speaks_something_else() -> None:
    """An HTTP server at a SOCKS address, or one that says nothing, is reported."""

    def speak_http(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    def stall(connection: socket.socket) -> None:
        while connection.recv(65536):
            pass

    with spoken(speak_http) as url:
        assert failure(url.replace("http:", "socks5:")) == "through ALL_PROXY: the proxy doesn't speak SOCKS5"
    with spoken(lambda connection: None) as url:
        assert failure(url.replace("http:", "socks5:")).startswith("through ALL_PROXY: the ")
    with spoken(stall) as url:
        assert failure(url.replace("http:", "socks5:")) == "no complete answer within 0.5 s"


def test_the_other_loopback_address_is_asked_directly() -> None:
    """IPv6's ::1, where nobody listens: no proxy is named."""
    assert "ALL_PROXY" not in failure("http://127.0.0.1:1", f"http://[::1]:{free_port()}/")
