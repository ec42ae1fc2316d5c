"""Connections on which no request outlasts its deadline, whatever the other side does.

httpx bounds each connect, read and write alone, and has no bound for the whole (encode/httpx#1450,
httpcore#936). So headers that arrive byte by byte, or endless interim answers (1xx), could hold a request for
any time; and a job's lease on its rows is calculated from the deadline. httpcore's pools accept a network
backend for that: here each step gets the time that is left of the request's.
"""

from __future__ import annotations

import math
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

import httpcore
import httpx

_WRITTEN_AT_ONCE = 16 * 1024
"""Bytes per write to a socket, and per TLS record: a slow reader must not restart the clock for each part."""


class Deadline(threading.local):
    """The time by which the calling thread's request must be over. Each thread has its own, one at a time."""

    def __init__(self) -> None:
        self._end = math.inf

    def begin(self, seconds: float) -> None:
        """Start a request that must be over within so many seconds."""
        self._end = time.monotonic() + seconds

    def hold(self, client: httpx.Client) -> None:
        """Put every connection of this client under the deadline, those through proxies too.

        httpx hands no backend down to the pools it makes, so it is put into them.
        """
        for transport in (client._transport, *client._mounts.values()):
            if transport is not None:  # None: a host to which no proxy leads
                assert isinstance(transport, httpx.HTTPTransport)  # noqa: S101  for the type's sake
                transport._pool._network_backend = Backend(transport._pool._network_backend, self)

    def left(self, longest: float | None, late: type[Exception], among: int = 1) -> float:
        """Return the seconds for the next step: up to ``longest``, shared equally ``among`` several.

        Raises ``late`` if no time is left.
        """
        left = self._end - time.monotonic()
        if left <= 0:
            raise late()
        return min(left / among, math.inf if longest is None else longest)

    def passed(self) -> bool:
        """Return whether the request's time is over."""
        return time.monotonic() >= self._end


def addresses(host: str, port: int) -> list[str]:
    """Return the host's addresses, in order of preference. Raises httpcore.ConnectError."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise httpcore.ConnectError from error
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class Backend(httpcore.NetworkBackend):
    """Connects as ``inner`` does, under the deadline. ``resolve`` returns a host's addresses."""

    def __init__(
        self,
        inner: httpcore.NetworkBackend,
        deadline: Deadline,
        resolve: Callable[[str, int], list[str]] = addresses,
    ) -> None:
        self._inner = inner
        self._deadline = deadline
        self._resolve = resolve

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to the first of the host's addresses that answers, with a share of the time for each."""
        options, found = list(socket_options or ()), self._resolve(host, port)
        failure: Exception = httpcore.ConnectError()
        for number, address in enumerate(found):
            seconds = self._deadline.left(timeout, httpcore.ConnectTimeout, among=len(found) - number)
            try:
                stream = self._inner.connect_tcp(address, port, seconds, local_address, options)
                return _Stream(stream, self._deadline)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure


class _Stream(httpcore.NetworkStream):
    """A connection that reads and writes as ``inner`` does, under the calling thread's deadline.

    The TLS handshake inside a proxy's TLS is an exception: httpcore takes its steps by itself, so the time
    that is left bounds each step alone. Nothing is sent after the deadline there either.
    """

    def __init__(self, inner: httpcore.NetworkStream, deadline: Deadline) -> None:
        self._inner = inner
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, self._deadline.left(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for start in range(0, len(buffer), _WRITTEN_AT_ONCE):
            left = self._deadline.left(timeout, httpcore.WriteTimeout)
            self._inner.write(buffer[start : start + _WRITTEN_AT_ONCE], left)

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        left = self._deadline.left(timeout, httpcore.ConnectTimeout)
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, left), self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)
