"""Proxies from the environment: HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY, in either case.

httpx reads them too, but fails on values that other programs accept: a network or an address with a bracket
in NO_PROXY, or an unknown scheme. So they are read here, and httpx gets what it can use.

No proxy is used for this machine itself (curl and Go do the same): http:// is allowed there, since the
traffic stays on the machine, and a proxy could read it.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.request import getproxies

import httpx

from worker.errors import UsageError
from worker.hosts import is_loopback

_SCHEMES = ("http", "https", "all")
_WORD = re.compile(r"[a-z][a-z0-9+.-]{0,20}", re.IGNORECASE)

_NAME = re.compile(r"[a-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class Proxy:
    """One proxy, from the environment variable ``variable``. Its URL may hold a password."""

    url: str = field(repr=False)
    variable: str


class Client(httpx.Client):
    """An httpx client that bypasses proxies for loopback hosts: no mount pattern covers 127.0.0.0/8."""

    def _transport_for_url(self, url: httpx.URL) -> httpx.BaseTransport:
        return self._transport if is_loopback(url.host) else super()._transport_for_url(url)


def routes(
    given: Mapping[str, str] | None = None, environ: Mapping[str, str] = os.environ
) -> dict[str, Proxy | None]:
    """Return httpx's URL patterns, each with its proxy; None for a direct connection.

    ``given``: scheme to proxy, and the key ``no``, as ``urllib.request.getproxies`` has them. Raises
    UsageError, which names the variable and never its value, for a proxy that can't be used.
    """
    given = getproxies() if given is None else given
    if "*" in _entries(given):
        return {}
    found = {
        f"{scheme}://": _proxy(given[scheme], _variable(scheme, environ))
        for scheme in _SCHEMES
        if given.get(scheme)
    }
    return found | {pattern: None for entry in _entries(given) if (pattern := _pattern(entry))}


def warnings(given: Mapping[str, str] | None = None, environ: Mapping[str, str] = os.environ) -> list[str]:
    """Return a warning for each entry of NO_PROXY that is left out."""
    given = getproxies() if given is None else given
    return [
        f"{_variable('no', environ)}: {entry!r} is left out: it is neither a host's name nor an address"
        for entry in _entries(given)
        if entry != "*" and not _pattern(entry)
    ]


def _entries(given: Mapping[str, str]) -> list[str]:
    return [entry for part in given.get("no", "").split(",") if (entry := part.strip())]


def _variable(scheme: str, environ: Mapping[str, str]) -> str:
    """Return the variable that counts: the lower-case one if both are set, as in curl and urllib."""
    wanted = f"{scheme}_proxy"
    if environ.get(wanted):
        return wanted
    return next((name for name in environ if name.lower() == wanted), wanted.upper())


def _proxy(url: str, variable: str) -> Proxy:
    url = url if "://" in url else f"http://{url}"
    try:
        proxy = httpx.Proxy(url)
        usable = _has_host(proxy.url) and all(len(part) < 256 for part in proxy.raw_auth or ())
    except (httpx.InvalidURL, UnicodeError):
        usable = False
    except ValueError:
        scheme = url.partition("://")[0]
        word = repr(scheme) if _WORD.fullmatch(scheme) else "its scheme"
        raise UsageError(
            f"{variable}: {word} is not a kind of proxy that siproster knows",
            "use http://, https://, socks5:// or socks5h://, or unset it",
        ) from None
    if not usable:
        raise UsageError(f"{variable} is not the URL of a proxy", "write it as http://HOST:PORT, or unset it")
    return Proxy(url, variable)


def _pattern(entry: str) -> str:
    """Return httpx's pattern for an entry of NO_PROXY; empty if it has none (a network, an invalid URL).

    ``example.com`` is the host and all below it, ``.example.com`` and ``*.example.com`` only what is below.
    """
    pattern = entry if "://" in entry else f"all://{_host(entry)}"
    try:
        return pattern if _has_host(httpx.URL(pattern)) else ""
    except (httpx.InvalidURL, ValueError):
        return ""


def _has_host(url: httpx.URL) -> bool:
    """Return whether the URL has a usable host: httpx also accepts ``a b`` and ``[x``."""
    host = url.raw_host.decode().lstrip("*")
    return bool(_NAME.fullmatch(host)) or ":" in host


def _host(entry: str) -> str:
    if "/" in entry:
        return ""
    try:
        address = ipaddress.ip_address(entry.strip("[]"))
    except ValueError:
        return entry if entry.lower() == "localhost" else f"*{entry.lstrip('*')}"
    return f"[{address}]" if address.version == 6 else str(address)
