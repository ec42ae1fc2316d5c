"""The process that serves the page: its sockets, TLS, deadlines for slow clients, and a clean end."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.h11_impl import H11Protocol

from worker.errors import UsageError
from worker.web.guard import HEADERS
from worker.web.site import Bounds

_KEEP_ALIVE = 15
"""Seconds that an idle connection is kept."""

GRACE = 5
"""Seconds that requests in flight get at the end."""

_HEADER_BYTES = 32 * 1024
"""Longest request line with headers."""


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket. Raises UsageError if the address can't be used."""
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.create_server(address[:2], family=family, backlog=512)
    except OSError as error:
        reason = str(error.strerror).partition(" (")[0]
        raise UsageError(
            f"{host}:{port} can't be used: {reason}",
            "is `siproster serve` running already? If another program uses the port, choose one with --port",
        ) from None
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def tls_context(certificate: Path, key: Path | None) -> ssl.SSLContext:
    """Return the context for a certificate (with its chain) and its key. Raises UsageError."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        # A key with a pass phrase must not make the server ask for it.
        context.load_cert_chain(certificate, key, password="")
    except (OSError, ValueError) as error:  # SSLError is an OSError
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or "not understood"
        raise UsageError(
            f"the certificate {certificate}, or its key, can't be used: {reason.lower().replace('_', ' ')}",
            "--tls-cert takes a PEM file: certificate and chain; --tls-key its key, without a pass phrase",
        ) from None
    return context


def configured(app: Starlette, bounds: Bounds, tls: ssl.SSLContext | None = None) -> uvicorn.Config:
    """Return the settings of the HTTP server: bounds, and nothing about itself in its answers."""
    return uvicorn.Config(
        app, http=_protocol(bounds), ws="none", lifespan="off", log_config=None,
        access_log=False, server_header=False, proxy_headers=False, timeout_keep_alive=_KEEP_ALIVE,
        timeout_graceful_shutdown=GRACE, limit_concurrency=bounds.connections,
        h11_max_incomplete_event_size=_HEADER_BYTES,
        ssl_context_factory=(lambda _config, _default: tls) if tls else None,
    )  # fmt: skip


def serve(
    app: Starlette, listener: socket.socket, bounds: Bounds, tls: ssl.SSLContext | None,
    ready: Callable[[], None],
) -> None:  # fmt: skip
    """Serve until SIGTERM or SIGINT, then return. Only from a process's main thread."""
    # After its shutdown uvicorn raises the signal again that ended it.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt), listener:
        _Announced(configured(app, bounds, tls), ready).run(sockets=[listener])


class _Announced(uvicorn.Server):
    """A uvicorn server that announces when it is ready."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start serving, then say so."""
        await super().startup(sockets)
        self._ready()


def _protocol(bounds: Bounds) -> type[H11Protocol]:
    """Return a subclass of uvicorn's protocol that bounds connections, and the time for a request's headers.

    uvicorn bounds the time between requests only, and its own answers lack the page's headers.
    """

    class Bounded(H11Protocol):
        _deadline: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._wait_for_headers()
            if len(self.connections) > bounds.connections:
                transport.abort()

        def data_received(self, data: bytes) -> None:
            if self._deadline is None and not self._is_answering():
                self._wait_for_headers()
            super().data_received(data)
            if self._is_answering():
                self._stop_waiting()

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_waiting()
            super().connection_lost(exc)

        def send_400_response(self, msg: str) -> None:
            headers = HEADERS | {"Content-Type": "text/plain; charset=utf-8", "Connection": "close"}
            lines = ["HTTP/1.1 400 Bad Request", *(f"{name}: {value}" for name, value in headers.items())]
            self.transport.write(("\r\n".join(lines) + f"\r\n\r\n{msg}\n").encode())
            self.transport.close()

        def _is_answering(self) -> bool:
            cycle = getattr(self, "cycle", None)  # None before the first request, whatever its type says
            return bool(cycle and not cycle.response_complete)

        def _wait_for_headers(self) -> None:
            self._deadline = self.loop.call_later(bounds.header_seconds, self.transport.close)

        def _stop_waiting(self) -> None:
            if self._deadline:
                self._deadline.cancel()
                self._deadline = None

    return Bounded
