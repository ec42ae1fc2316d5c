"""One realm's registrar: its servers in order, and the connections to them."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from worker.register.addresses import Address
from worker.register.datagrams import Datagrams
from worker.register.message import Reply, Request
from worker.register.options import RegisterOptions
from worker.register.result import Broke, NoAnswer
from worker.register.streams import Stream
from worker.register.transaction import Link, Transport

T = TypeVar("T")


class Registrar:
    """A client of one realm's servers. A server that doesn't answer is skipped from then on."""

    def __init__(self, host: str, options: RegisterOptions) -> None:
        """``host``: the realm's full host name."""
        self._host = host
        self._options = options
        self._found: asyncio.Task[list[Address]] | None = None
        self._links: dict[Address, asyncio.Task[Link]] = {}
        self._unfinished: set[asyncio.Task[Any]] = set()
        self._preferred = 0

    async def ask(self, request: Request) -> tuple[Reply, Address]:
        """Return the first answer of any server, and the server's address.

        Time-outs and missing connections lead to the next server (RFC 3263, section 4.3), answers
        never. Only for a request without credentials: another server would make it another attempt.
        Raises NoAnswer when none answers, Undecided when they can't be found.
        """
        addresses = await self._addresses()
        start = self._preferred
        for step in range(len(addresses)):
            self._preferred = (start + step) % len(addresses)
            address = addresses[self._preferred]
            try:
                return await self._ask_again(address, request), address
            except NoAnswer as failure:
                last = failure
        raise last

    async def ask_at(self, address: Address, request: Request) -> Reply:
        """Return this server's answer. Raises NoAnswer."""
        link = await self._link(address)
        return await link.ask(request)

    async def _ask_again(self, address: Address, request: Request) -> Reply:
        try:
            return await self.ask_at(address, request)
        except Broke:
            return await self.ask_at(address, request)

    def finishing(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Return a task that ``close`` waits for, so that an exchange is never left incomplete."""
        task = asyncio.create_task(work)
        self._unfinished.add(task)
        task.add_done_callback(self._unfinished.discard)
        return task

    async def close(self) -> None:
        """Finish what must be finished, and close the connections."""
        await asyncio.gather(*self._unfinished, return_exceptions=True)
        for task in self._links.values():
            if task.done() and not task.cancelled() and not task.exception():
                task.result().close()
            task.cancel()
        if self._found:
            self._found.cancel()

    async def _addresses(self) -> list[Address]:
        if self._found is None:  # asked once for all rows, also where DNS has no good answer
            lookup, server = self._options.lookup, self._options.server
            self._found = asyncio.create_task(lookup.addresses(self._host, self._options.transport, server))
        return await asyncio.shield(self._found)

    async def _link(self, address: Address) -> Link:
        """Return the connection to a server, opened once for all rows and again if it broke."""
        task = self._links.get(address)
        if task is None or (task.done() and (task.exception() or task.result().closed)):
            task = self._links[address] = asyncio.create_task(self._open(address))
        return await asyncio.shield(task)

    async def _open(self, address: Address) -> Link:
        options = self._options
        if options.transport is Transport.UDP:
            return await Datagrams.open(address, options.timers)
        tls = options.tls if options.transport is Transport.TLS else None
        return await Stream.open(address, options.timers, tls, self._host)
