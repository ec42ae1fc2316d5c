"""Proxies from the environment: what httpx gets, and what is ignored or refused."""

from __future__ import annotations

import httpx
import pytest

from worker.api.proxies import routes, warnings
from worker.errors import UsageError

KNOWN = {"https": "http://proxy.example:3128"}


def direct(no: str, host: str) -> bool:
    """Return whether httpx asks this host without the proxy; ``no``: the value of NO_PROXY."""
    found = routes(KNOWN | {"no": no}, {"HTTPS_PROXY": "x"})
    ways = {
        pattern: None if way is None else httpx.HTTPTransport(proxy=way.url) for pattern, way in found.items()
    }
    with httpx.Client(trust_env=False, mounts=ways) as client:
        return client._transport_for_url(httpx.URL(f"https://{host}/")) is client._transport


@pytest.mark.parametrize(
    ("no", "host"),
    [
        ("example.com", "example.com"),
        ("example.com", "api.example.com"),
        (".example.com", "api.example.com"),
        ("*.example.com", "api.example.com"),
        ("localhost", "localhost"),
        ("LOCALHOST", "localhost"),
        ("10.1.2.3", "10.1.2.3"),
        ("::1", "[::1]"),
        ("[::1]", "[::1]"),
        ("[fd00::2]", "[fd00::2]"),
        ("fe80::/10, example.com ,", "example.com"),
        ("https://example.com", "example.com"),
        ("*", "anything.example"),
        ("a,*", "anything.example"),
    ],
)
def test_hosts_that_are_asked_directly(no: str, host: str) -> None:
    """NO_PROXY matches names, their subdomains, and addresses with or without brackets."""
    assert direct(no, host)


@pytest.mark.parametrize(
    ("no", "host"),
    [
        ("example.com", "badexample.com"),
        (".example.com", "example.com"),
        ("10.0.0.0/8", "10.0.0.0"),
        ("", "example.com"),
        ("::1", "[::2]"),
    ],
)
def test_hosts_that_are_asked_through_the_proxy(no: str, host: str) -> None:
    """All other hosts use the proxy, even if their names look alike."""
    assert not direct(no, host)


@pytest.mark.parametrize(
    "entry",
    [
        "fe80::/10",
        "fd07:b51a:cc66:f0::/64",
        "10.0.0.0/8",
        "::1]:x",
        "a b",
        "http://[::1",
        "\udcff",
        "a/b",
        "[::g]",
    ],
)
def test_an_entry_that_is_left_out_is_told(entry: str) -> None:
    """A warning has the variable and the entry that is ignored, and not the others."""
    given = KNOWN | {"no": f"localhost,{entry},::1"}
    (warning,) = warnings(given, {"no_proxy": "x", "NO_PROXY": "y"})
    assert warning.startswith(f"no_proxy: {entry!r} is left out")
    assert set(routes(given, {})) == {"https://", "all://localhost", "all://[::1]"}


def test_what_is_taken_is_not_warned_about() -> None:
    """An entry that matches everything, or an empty list, causes no warning."""
    assert warnings({"no": "*,localhost, ,.example.com"}, {}) == []
    assert warnings({}, {}) == []
    assert routes({}, {}) == {}


@pytest.mark.parametrize(
    "url",
    [
        "http://p:1",
        "https://p:1",
        "socks5://p:1",
        "socks5h://p:1",
        "p:1",
        "p",
        "http://u:canary%40@p:1/",
        "http://[::1]:1",
    ],
)
def test_proxies_that_are_known(url: str) -> None:
    """HTTP, HTTPS and SOCKS proxies are accepted, and hosts without a scheme; no repr has a password."""
    (proxy,) = routes({"all": url}, {"ALL_PROXY": url}).values()
    assert proxy is not None
    assert proxy.variable == "ALL_PROXY"
    assert "canary" not in repr(proxy)
    httpx.HTTPTransport(proxy=proxy.url).close()


@pytest.mark.parametrize("scheme", ["http", "https", "all"])
@pytest.mark.parametrize(
    "url",
    [
        "foo://x",
        "socks4://x:1",
        "http://x:abc",
        "http://",
        "http://[::1",
        "://",
        "http://canary-5@[x",
        "\udcff",
        "http://a b",
        "ftp://canary-5@x",
        f"socks5://u:{'canary' * 50}@x",
    ],
)
def test_a_proxy_that_can_not_be_is_named(scheme: str, url: str) -> None:
    """An invalid proxy is named by its variable, and not by its value, which may hold a password."""
    name = f"{scheme.title()}_Proxy"
    with pytest.raises(UsageError) as caught:
        routes({scheme: url}, {name: url})
    assert caught.value.message.startswith(name)
    assert "unset it" in caught.value.hint
    assert "canary" not in caught.value.message + caught.value.hint
