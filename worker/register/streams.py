"""TCP and TLS transport: one connection for each server, with many requests on it at once."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator

from worker.reasons import reason_of
from worker.register.message import body_length, parse
from worker.register.result import Broke, NoAnswer, Undecided
from worker.register.timers import Timers
from worker.register.transaction import Link, Transaction, Transport, written
from worker.waits import HERE, WaitKind

_LONGEST_HEAD = 16_384


class Stream(Link):
    """A TCP or TLS link. TCP resends by itself; Content-Length separates the messages."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        transport: Transport,
        timers: Timers,
    ) -> None:
        super().__init__(timers)
        self.transport = transport
        self._reader = reader
        self._writer = writer
        self._peer = written(writer.get_extra_info("peername")[:2])
        self._own = written(writer.get_extra_info("sockname")[:2])
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def open(
        cls, address: tuple[str, int], timers: Timers, tls: ssl.SSLContext | None = None, name: str = ""
    ) -> Stream:
        """Connect. ``name``: the realm that the certificate must be for (RFC 5922, section 4).

        Raises NoAnswer if nothing answers, Undecided if the certificate is not the right one.
        """
        transport = Transport.TLS if tls else Transport.TCP
        opening = asyncio.open_connection(
            *address, ssl=tls, server_hostname=name if tls else None, limit=_LONGEST_HEAD
        )
        try:
            why = f"{written(address)} ({transport}): no connection yet"
            with HERE.entered(WaitKind.REGISTRAR, why, timers.total):
                reader, writer = await asyncio.wait_for(opening, timers.total)
        except ssl.SSLCertVerificationError as error:
            raise Undecided(
                f"{written(address)} (tls) can't prove to be {name}: {reason_of(error)}"
            ) from None
        except ssl.SSLError as error:
            raise NoAnswer(f"no connection to {written(address)} (tls): {reason_of(error)}") from None
        except (OSError, TimeoutError) as error:
            raise NoAnswer(f"no connection to {written(address)} ({transport}): {reason_of(error)}") from None
        return cls(reader, writer, transport, timers)

    @property
    def local(self) -> str:
        return self._own

    @property
    def peer(self) -> str:
        return f"{self._peer} ({self.transport})"

    def close(self) -> None:
        self.closed = True
        self._reading.cancel()
        self._writer.close()

    def _send(self, raw: bytes) -> None:
        self._writer.write(raw)

    def _waits(self, transaction: Transaction) -> Iterator[float]:
        yield self._timers.total

    async def _read(self) -> None:
        try:
            while True:
                head = (await self._reader.readuntil(b"\r\n\r\n")).lstrip(b"\r\n")
                if head:  # else somebody's keep-alive (RFC 5626, section 3.5.1)
                    await self._reader.readexactly(body_length(head))
                    self._deliver(parse(head))
        except (OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            self.closed = True
            self._writer.close()
            self._fail(Broke(f"the connection to {self.peer} broke"))
