"""UDP transport: one connected socket for each server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from worker.reasons import reason_of
from worker.register.message import parse
from worker.register.result import NoAnswer
from worker.register.timers import Timers
from worker.register.transaction import Link, Transaction, Transport, written


class Datagrams(Link, asyncio.DatagramProtocol):
    """A UDP link. It resends until an answer comes, and accepts only this server's datagrams."""

    transport = Transport.UDP

    def __init__(self, timers: Timers) -> None:
        super().__init__(timers)
        self._socket: asyncio.DatagramTransport

    @classmethod
    async def open(cls, address: tuple[str, int], timers: Timers) -> Datagrams:
        """Open the socket. Raises NoAnswer if the server is unreachable."""
        loop = asyncio.get_running_loop()
        try:
            _, link = await loop.create_datagram_endpoint(lambda: cls(timers), remote_addr=address)
        except OSError as error:
            raise NoAnswer(f"no way to {written(address)}: {reason_of(error)}") from None
        return link

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._socket = transport

    def datagram_received(self, data: bytes, addr: object) -> None:
        self._deliver(parse(data))

    def error_received(self, exc: Exception) -> None:
        """Fail at once, without a time-out, if nothing listens there (RFC 3261, section 18.4)."""
        refused = isinstance(exc, ConnectionRefusedError)
        why = f"nothing listens on {self.peer}" if refused else f"no way to {self.peer}: {reason_of(exc)}"
        self._fail(NoAnswer(why))

    @property
    def local(self) -> str:
        return written(self._socket.get_extra_info("sockname")[:2])

    @property
    def peer(self) -> str:
        return f"{written(self._socket.get_extra_info('peername')[:2])} (udp)"

    def close(self) -> None:
        self.closed = True
        self._socket.close()

    def _send(self, raw: bytes) -> None:
        self._socket.sendto(raw)

    def _waits(self, transaction: Transaction) -> Iterator[float]:
        return self._timers.waits(lambda: transaction.proceeding)
