"""Live connections, for faults that end one without an answer or in the middle of it."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any

from starlette.types import Receive, Scope
from uvicorn.protocols.http.h11_impl import H11Protocol

RESET_ON_CLOSE = struct.pack("ii", 1, 0)
"""SO_LINGER, on, no time: closing sends RST (socket(7))."""


class Connections:
    """Maps a client's address, which a request's scope names, to the transport of its live connection."""

    def __init__(self) -> None:
        self._live: dict[tuple[str, int] | None, asyncio.Transport] = {}

    def protocol(self) -> type[H11Protocol]:
        """Return a subclass of uvicorn's protocol that also records its connections here."""
        live = self._live

        class Known(H11Protocol):
            def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
                super().connection_made(transport)
                live[self.client] = transport

            def connection_lost(self, exc: Exception | None) -> None:
                live.pop(self.client, None)
                super().connection_lost(exc)

        return Known

    async def hang_up(self, scope: Scope, receive: Receive, reset: bool) -> None:
        """Close the request's connection after what was already sent, and return when it is gone."""
        transport = self._live.get(scope["client"])
        if transport is not None and reset:
            raw: socket.socket | Any = transport.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
            transport.abort()
        elif transport is not None:
            transport.close()
        while (await receive())["type"] != "http.disconnect":
            pass
