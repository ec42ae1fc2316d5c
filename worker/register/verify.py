"""Verifies rows: so many a second, so many at once, and in their order."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable

from worker.register.options import RegisterOptions
from worker.register.probe import RegistrarProbe
from worker.register.result import Entry, RegisterResult
from worker.register.timers import Pace
from worker.waits import HERE, WaitKind

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_WORTH_A_WORD = 1.0
"""Seconds from which the wait for the next row's turn is reported."""

_AHEAD = 1000
"""Rows whose results may wait for that of a row before them."""


class Verifier:
    """Tries rows from any source. ``in_flight``: how many at once."""

    def __init__(self, options: RegisterOptions, pace: Pace, in_flight: int) -> None:
        self._options = options
        self._pace = pace
        self._gate = asyncio.Semaphore(in_flight)
        self._probes: dict[str, RegistrarProbe] = {}
        self._running: deque[tuple[Entry, asyncio.Task[RegisterResult]]] = deque()
        self._stopped = asyncio.Event()

    def run(self, entries: Iterable[Entry], found: Callable[[Entry, RegisterResult], None]) -> bool:
        """Verify all rows, call ``found`` with each result in their order, and close all connections.

        Ctrl-C ends it early, a second one at once. Return whether it was interrupted. Only in a process's
        main thread, since it handles signals.
        """
        return asyncio.run(self._run(entries, found))

    async def results(self, entries: Iterable[Entry]) -> AsyncGenerator[tuple[Entry, RegisterResult], None]:
        """Yield each row with its result, in the rows' order; after ``stop`` only those that were reached."""
        for entry in entries:
            await self._turn(entry)
            await self._gate.acquire()
            if self._stopped.is_set():
                break
            task = asyncio.create_task(self._probe(entry).result(entry))
            task.add_done_callback(lambda _: self._gate.release())  # also of one that was never begun
            self._running.append((entry, task))
            while self._running and (self._running[0][1].done() or len(self._running) >= _AHEAD):
                async for found in self._oldest():
                    yield found
        while self._running:
            async for found in self._oldest():
                yield found

    def stop(self) -> None:
        """Start nothing more, and wait for no answer; bindings that were made are still removed."""
        self._stopped.set()
        for _, task in self._running:
            task.cancel()

    @property
    def given_up(self) -> list[str]:
        """Return one sentence for each realm whose rows were not tried, with the reason."""
        return [probe.given_up for probe in self._probes.values() if probe.given_up]

    async def close(self) -> None:
        """Let go of everything."""
        self.stop()
        await asyncio.gather(*(probe.close() for probe in self._probes.values()))

    async def _run(self, entries: Iterable[Entry], found: Callable[[Entry, RegisterResult], None]) -> bool:
        for number in _SIGNALS:
            asyncio.get_running_loop().add_signal_handler(number, self._interrupted)
        try:
            async with contextlib.aclosing(self.results(entries)) as results:
                async for entry, result in results:
                    found(entry, result)
            return self._stopped.is_set()
        finally:
            await self.close()

    def _interrupted(self) -> None:
        if self._stopped.is_set():
            os._exit(130)
        self.stop()

    async def _turn(self, entry: Entry) -> None:
        """Wait until the row may be tried; one that won't be tried need not wait."""
        if not self._probe(entry).given_up and (delay := self._pace.delay()):
            kind = WaitKind.PACED if delay > _WORTH_A_WORD else None
            told = HERE.entered(kind, f"--rate {self._pace.rate:g}", delay)
            with told, contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopped.wait(), delay)

    async def _oldest(self) -> AsyncGenerator[tuple[Entry, RegisterResult], None]:
        entry, task = self._running[0]
        await asyncio.wait((task,))
        self._running.popleft()
        if not task.cancelled():
            yield entry, task.result()

    def _probe(self, entry: Entry) -> RegistrarProbe:
        if entry.host not in self._probes:
            self._probes[entry.host] = RegistrarProbe(entry.host, self._options)
        return self._probes[entry.host]
