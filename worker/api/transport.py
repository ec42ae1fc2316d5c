"""One HTTP request and its whole answer, within a deadline and a size. Knows nothing of retries or of XML."""

from __future__ import annotations

import os
import ssl
import sys
import threading
import weakref
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import certifi
import httpx

from worker import __version__, ca_certificates
from worker.api.deadline import Deadline
from worker.api.proxies import Client, Proxy, routes
from worker.api.response_xml import SIZE_LIMIT
from worker.errors import UsageError
from worker.reasons import reason_of

CONNECT_SECONDS = 10.0

LONGEST_PIECE = 64 * 1024
"""Bytes that are unpacked at once."""

_SKIMMED = 16 * 1024
"""Bytes of an answer that are read although nobody needs them."""

_HEADERS = (("User-Agent", f"siproster/{__version__}"), ("Accept-Encoding", "gzip"))

THROUGH = "through "
"""How a reason begins if a proxy was used; then comes the variable that names it."""

_LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=None)

_GZIP = zlib.MAX_WBITS | 16  # zlib's way to say that the data has gzip's head and tail


_NOT_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
)


def _socks_errors() -> tuple[type[Exception], ...]:
    """Return the errors that httpx lets through from a SOCKS proxy which does not speak SOCKS.

    Only where SOCKS is in use: its library takes a tenth of a second to load.
    """
    library: Any = sys.modules.get("socksio.exceptions")
    return (library.SOCKSError,) if library else ()


class NotSent(Exception):
    """No connection was made, so the service never saw the request.

    The text is the reason in plain words.
    """


class Interrupted(Exception):
    """The request was sent, at least in part, but no complete answer came.

    The text is the reason, or what is wrong with the answer, in plain words.
    """


@dataclass(frozen=True, slots=True)
class Reply:
    """A complete answer."""

    status: int
    headers: Mapping[str, str]
    """Looked up without regard to case."""
    body: bytes

    @property
    def ok(self) -> bool:
        """Return whether the status is a success."""
        return 200 <= self.status < 300


Destination = Callable[[str], tuple[httpx.URL, httpx.BaseTransport]]
"""A function that returns a URL, parsed, and the transport that leads there."""


class _Connections(threading.local):
    """The connections of the calling thread, which ``connect`` opens.

    One pool for all threads would look at each idle connection, under a lock, for each request.
    """

    def __init__(self, connect: Callable[[], Destination]) -> None:
        self.destination = connect()


class Transport:
    """Connections, shared by the threads of one process, each with its own; never used across a fork.

    TLS is always verified; proxies and trusted certificates come from the environment. Requests go straight
    to httpx's transports, which follow no redirects and keep no cookies: ``httpx.Client`` would add two
    thirds to each request's CPU time. Answers may be packed with gzip and nothing else, since they are
    unpacked here, within bounds.
    """

    def __init__(
        self,
        deadline: float,
        tls: ssl.SSLContext | None = None,
        proxies: Mapping[str, Proxy | None] | None = None,
    ) -> None:
        """Open the pool. Raises UsageError for an unusable proxy or certificate file in the environment.

        ``tls``, ``proxies``: used in place of the environment's.
        """
        self.deadline = deadline
        timeout = httpx.Timeout(deadline, connect=min(CONNECT_SECONDS, deadline))
        self._extensions = {"timeout": timeout.as_dict()}
        self._tls = tls or _trusted(*map(os.environ.get, ca_certificates.VARIABLES))
        self._routes = routes() if proxies is None else proxies
        self._proxies = weakref.WeakKeyDictionary[httpx.BaseTransport, Proxy]()
        self._ends = Deadline()
        self._closers: list[weakref.finalize[[], Any]] = []
        self._lock = threading.Lock()
        self._connections = _Connections(self._connect)

    def close(self) -> None:
        """Close every connection."""
        with self._lock:
            for close in self._closers:
                close()

    def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes,
        read: Callable[[httpx.Response], bytes] | None = None,
    ) -> Reply:  # fmt: skip
        """Send one request and return its complete answer. Raises NotSent or Interrupted.

        ``read`` returns as much of the answer's body as is wanted; by default all of it.

        Neither exception repeats the library's text, which contains the whole URL. Raises UsageError for a
        URL that cannot be requested.
        """
        self._ends.begin(self.deadline)
        try:
            where, through = self._connections.destination(url)
            request = httpx.Request(
                method,
                where,
                headers=[*_HEADERS, *headers.items()],
                content=body or None,
                extensions=self._extensions,
            )
            with closing(through.handle_request(request)) as response:
                return Reply(response.status_code, response.headers, (read or _read)(response))
        except (httpx.InvalidURL, UnicodeError) as error:
            raise UsageError(
                f"the service can't be asked for that name: {error}", "names have at most 64 characters"
            ) from None
        except _NOT_SENT + _socks_errors() as error:
            raise NotSent(self._reason(error, url)) from None
        except httpx.HTTPError as error:
            raise Interrupted(self._reason(error, url)) from None

    def _reason(self, error: Exception, url: str) -> str:
        if isinstance(error, httpx.TimeoutException) and self._ends.passed():
            return f"no complete answer within {self.deadline:g} s"
        proxy = self._proxies.get(self._connections.destination(url)[1])
        return f"{THROUGH}{proxy.variable}: {reason_of(error)}" if proxy else reason_of(error)

    def _connect(self) -> Destination:
        """Open connections for the calling thread. They are closed when it ends: a worker outlives many."""
        client = Client(
            limits=_LIMITS,
            verify=self._tls,
            # Read here, since httpx fails on values that other programs accept (proxies.py).
            trust_env=False,
            mounts={pattern: self._through(proxy) for pattern, proxy in self._routes.items()},
        )
        self._ends.hold(client)
        destination = lru_cache(maxsize=64)(partial(_destination, client))
        close = weakref.finalize(destination, client.close)
        close.atexit = False  # the process's end closes them, and a forked process must not
        with self._lock:
            self._closers = [*(one for one in self._closers if one.alive), close]
        return destination

    def _through(self, proxy: Proxy | None) -> httpx.HTTPTransport | None:
        if proxy is None:
            return None
        own = self._tls if proxy.url.startswith("https:") else None
        way = httpx.HTTPTransport(
            verify=self._tls, trust_env=False, limits=_LIMITS, proxy=httpx.Proxy(proxy.url, ssl_context=own)
        )
        self._proxies[way] = proxy
        return way


@lru_cache(maxsize=4)
def _trusted(*_variables: str | None) -> ssl.SSLContext:
    """Return the certificates to trust, read once: that takes 50 ms and a megabyte, for each account."""
    return ca_certificates.context(certifi.where())


def _destination(client: Client, url: str) -> tuple[httpx.URL, httpx.BaseTransport]:
    where = httpx.URL(url)
    return where, client._transport_for_url(where)


def check_host(host: str) -> None:
    """Raise UsageError if the client can't use ``host``: scheme and host of a URL."""
    try:
        _ = httpx.URL(host).host
    except (httpx.InvalidURL, UnicodeError) as error:
        raise UsageError(
            f"{host} is not the address of a host: {error}", "correct BW_API_URL (for calls: BW_VOICE_URL)"
        ) from None


def skim(response: httpx.Response) -> bytes:
    """Read the beginning of a body that nobody needs, for the other side's sake, and return nothing.

    A receiver that is cut off while it answers would log an error. It has done its work by then, so it
    doesn't matter if the rest never comes.
    """
    size = 0
    assert isinstance(response.stream, httpx.SyncByteStream)  # noqa: S101  for the type's sake
    with suppress(httpx.HTTPError):
        for piece in response.stream:
            if (size := size + len(piece)) > _SKIMMED:
                break
    return b""


def _read(response: httpx.Response) -> bytes:
    """Return the unpacked body. Raises Interrupted as soon as it is too large."""
    pieces, size = [], 0
    assert isinstance(response.stream, httpx.SyncByteStream)  # noqa: S101  for the type's sake
    for piece in unpacked(response.stream, response.headers.get("Content-Encoding", "")):
        size += len(piece)
        if size > SIZE_LIMIT:
            raise Interrupted(f"the answer is larger than {SIZE_LIMIT // 1_000_000} MB")
        pieces.append(piece)
    return b"".join(pieces)


def unpacked(raw: Iterable[bytes], coding: str) -> Iterator[bytes]:
    """Yield the body without its ``Content-Encoding``; unpacked pieces have LONGEST_PIECE bytes at most.

    The library's own decoders unpack each piece from the network at once, and 64 KiB of gzip may hold 64 MiB.
    Raises Interrupted for a coding that was not requested.
    """
    coding = coding.strip().lower()
    if coding in ("", "identity"):
        yield from raw
    elif coding in ("gzip", "x-gzip"):
        yield from _gunzipped(raw)
    elif any(raw):  # an empty body has none
        raise Interrupted("the answer is packed in a way that was not asked for")


def _gunzipped(raw: Iterable[bytes]) -> Iterator[bytes]:
    unpacking, begun = zlib.decompressobj(_GZIP), False
    try:
        for packed in raw:
            begun, rest = True, packed
            while rest and not unpacking.eof:
                yield unpacking.decompress(rest, LONGEST_PIECE)
                rest = unpacking.unconsumed_tail
    except zlib.error:
        raise Interrupted("the answer's gzip is broken") from None
    if begun and not unpacking.eof:
        raise Interrupted("the answer was cut")
