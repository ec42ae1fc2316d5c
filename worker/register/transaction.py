"""Requests that wait for their answers, over any transport."""

from __future__ import annotations

import asyncio
import secrets
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum

from worker.register.message import Reply, Request
from worker.register.result import Broke, NoAnswer
from worker.register.timers import Timers
from worker.waits import HERE, WaitKind

_COOKIE = "z9hG4bK"
"""Begins every branch (RFC 3261, section 8.1.1.7)."""


class Transport(StrEnum):
    """The transport of REGISTER."""

    UDP = "udp"
    TCP = "tcp"
    TLS = "tls"


class Transaction:
    """One request in flight, until its answer or the reason why there will be none."""

    def __init__(self, cseq: int) -> None:
        self._cseq = (cseq, "REGISTER")
        self._end: asyncio.Future[Reply | NoAnswer] = asyncio.get_running_loop().create_future()
        self.proceeding = False

    def take(self, reply: Reply) -> None:
        """Accept a message with this transaction's branch if it answers this REGISTER."""
        if reply.cseq != self._cseq:
            return
        if reply.status < 200:
            self.proceeding = True
        elif not self._end.done():
            self._end.set_result(reply)

    def fail(self, why: NoAnswer) -> None:
        """End the transaction: no answer will come any more."""
        if not self._end.done():
            self._end.set_result(why)

    async def within(self, seconds: float) -> Reply | None:
        """Return the answer, or None if there is none yet. Raises NoAnswer if there never will be."""
        await asyncio.wait((self._end,), timeout=seconds)
        if not self._end.done():
            return None
        end = self._end.result()
        if isinstance(end, NoAnswer):
            raise end
        return end


class Link(ABC):
    """A link to one server. Matches answers by Via branch and CSeq (RFC 3261, section 17.1.3)."""

    transport: Transport
    closed = False
    """Nothing can be sent any more; the next request needs another one."""

    def __init__(self, timers: Timers) -> None:
        self._timers = timers
        self._waiting: dict[str, Transaction] = {}

    async def ask(self, request: Request) -> Reply:
        """Send a request and wait for its final answer. Raises NoAnswer."""
        branch = _COOKIE + secrets.token_hex(12)
        raw = request.encoded(self.transport, self.local, branch)
        if self.closed:
            raise Broke(f"the connection to {self.peer} broke")
        told = HERE.entered(WaitKind.REGISTRAR, f"{self.peer}: no answer yet", self._timers.total)
        with told, self._transaction(branch, request.cseq) as transaction:
            for wait in self._waits(transaction):
                self._send(raw)
                if reply := await transaction.within(wait):
                    return reply
        raise NoAnswer(f"{self.peer} did not answer in {self._timers.total:g} s")

    @property
    @abstractmethod
    def local(self) -> str:
        """Return our own address as the server sees it, as far as we know: ``host:port``."""

    @property
    @abstractmethod
    def peer(self) -> str:
        """Return the server's address, for people."""

    @abstractmethod
    def close(self) -> None:
        """Let go of it."""

    @abstractmethod
    def _send(self, raw: bytes) -> None: ...

    @abstractmethod
    def _waits(self, transaction: Transaction) -> Iterator[float]:
        """Yield the seconds to wait after each sending."""

    def _deliver(self, reply: Reply | None) -> None:
        """Hand an answer to its transaction; drop it if none waits for it."""
        if reply is not None and (transaction := self._waiting.get(reply.branch)):
            transaction.take(reply)

    def _fail(self, why: NoAnswer) -> None:
        for transaction in self._waiting.values():
            transaction.fail(why)

    @contextmanager
    def _transaction(self, branch: str, cseq: int) -> Iterator[Transaction]:
        key = branch.lower()
        transaction = self._waiting[key] = Transaction(cseq)
        try:
            yield transaction
        finally:
            del self._waiting[key]


def written(address: tuple[str, int]) -> str:
    """Return ``host:port``, with an IPv6 address in brackets."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
