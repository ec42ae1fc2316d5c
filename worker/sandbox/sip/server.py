"""The registrar's sockets: UDP and TCP on one port, in the event loop of the API."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

from worker.sandbox.knobs import Values
from worker.sandbox.sip.message import LONGEST_HEAD, Malformed, Request, body_length, read_head
from worker.sandbox.sip.registrar import Registrar

KEPT = 10_000
"""Transactions over UDP whose answers are sent again with the request (RFC 3261, section 17.2.2)."""
TRIES = 20
IDLE = 300.0
"""Seconds that a TCP connection may say nothing."""
MOST_CONNECTIONS = 1_000

# CancelledError is among them: when the sandbox ends, asyncio would print its traceback.
_ENDS = (
    *(Malformed, OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError),
    asyncio.CancelledError,
)
"""Errors that end a connection without an answer."""

Source = tuple[str, int]
Current = Callable[[], Registrar]
"""The registrar now: a reset makes a new one."""


class SipServer:
    """Both listeners. Raises OSError if the port is taken; port 0 takes any free one."""

    def __init__(self, host: str, port: int, registrar: Current, values: Callable[[], Values]) -> None:
        self._tcp, self._udp = _bound(host, port)
        self.port: int = self._tcp.getsockname()[1]
        self._registrar = registrar
        self._values = values
        self._datagrams: asyncio.DatagramTransport | None = None
        self._server: asyncio.Server | None = None
        self._connections = 0

    async def start(self) -> None:
        """Start listening."""
        loop = asyncio.get_running_loop()
        self._datagrams, _ = await loop.create_datagram_endpoint(
            lambda: _Datagrams(self._registrar, self._values), sock=self._udp
        )
        self._server = await asyncio.start_server(self._converse, sock=self._tcp, limit=LONGEST_HEAD)

    def close(self) -> None:
        """Stop listening."""
        if self._datagrams:
            self._datagrams.close()
        if self._server:
            self._server.close()
        self._udp.close()
        self._tcp.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection, request by request, until it ends or sends something that is not SIP."""
        self._connections += 1
        try:
            if self._connections <= MOST_CONNECTIONS:
                source: Source = writer.get_extra_info("peername")[:2]
                while (request := await _next(reader)) is not None:
                    await self._reply(request, writer, source)
        except _ENDS:
            pass
        finally:
            self._connections -= 1
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _reply(self, request: Request, writer: asyncio.StreamWriter, source: Source) -> None:
        reply = self._registrar().answer(request, "tcp", source)
        await asyncio.sleep(self._values().sip_latency)
        if reply is not None:
            writer.write(reply)
            await asyncio.wait_for(writer.drain(), IDLE)


async def _next(reader: asyncio.StreamReader) -> Request | None:
    """Return the next request, or None if the connection ended between two."""
    head = b""
    while not head:
        try:
            # Empty lines before a request keep a connection open (RFC 5626, section 3.5.1).
            head = (await asyncio.wait_for(reader.readuntil(b"\n"), IDLE)).strip(b"\r\n")
        except asyncio.IncompleteReadError as end:
            if end.partial:
                raise
            return None
    while line := (await asyncio.wait_for(reader.readuntil(b"\n"), IDLE)).rstrip(b"\r\n"):
        head += b"\n" + line
        if len(head) > LONGEST_HEAD:
            raise Malformed("too long")
    request = read_head(head)
    await asyncio.wait_for(reader.readexactly(body_length(request)), IDLE)
    return request


class _Datagrams(asyncio.DatagramProtocol):
    """The UDP listener: one request a datagram. A resent request gets the same answer again."""

    def __init__(self, registrar: Current, values: Callable[[], Values]) -> None:
        self._registrar = registrar
        self._values = values
        self._answers: OrderedDict[Hashable, bytes | None] = OrderedDict()
        self._lost: OrderedDict[Hashable, int] = OrderedDict()
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        source = addr[:2]
        try:
            request = read_head(data.lstrip(b"\r\n").replace(b"\r\n", b"\n").partition(b"\n\n")[0])
            body_length(request)
        except Malformed:
            return
        key = (source, request.branch, request.method, request.first("cseq"), request.first("call-id"))
        if self._gets_lost(key):
            return
        reply = self._once(key, request, source)
        if reply is not None:
            asyncio.get_running_loop().call_later(self._values().sip_latency, self._send, reply, addr)

    def _once(self, key: Hashable, request: Request, source: Source) -> bytes | None:
        registrar = self._registrar()
        known = (id(registrar), key)
        if known not in self._answers or not request.branch:
            _keep(self._answers, known, registrar.answer(request, "udp", source))
        return self._answers[known]

    def _gets_lost(self, key: Hashable) -> bool:
        before = self._lost.get(key, 0)
        if before >= self._values().sip_loses:
            return False
        _keep(self._lost, key, before + 1)
        return True

    def _send(self, reply: bytes, addr: tuple[str | Any, int]) -> None:
        if self._transport and not self._transport.is_closing():
            self._transport.sendto(reply, addr)


def _keep(kept: OrderedDict[Hashable, Any], key: Hashable, value: object) -> None:
    """Store it, and discard the oldest if there are too many."""
    kept[key] = value
    if len(kept) > KEPT:
        kept.popitem(last=False)


def _bound(host: str, port: int) -> tuple[socket.socket, socket.socket]:
    """Bind TCP and UDP to the same port. A free one may be taken for one of them, so several are tried."""
    for left in reversed(range(TRIES)):
        tcp = socket.create_server((host, port))
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            udp.bind((host, tcp.getsockname()[1]))
        except OSError:
            tcp.close()
            udp.close()
            if port or not left:
                raise
        else:
            udp.setblocking(False)
            return tcp, udp
    raise OSError("no free port")  # not reached: the last try raises by itself
