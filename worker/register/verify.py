"""Goes through rows: so many a second, so many at once, and in their order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable

from worker.register.asking import Asking
from worker.register.door import Door
from worker.register.finding import Entry, Finding
from worker.register.timers import Pace

_AHEAD = 1000
"""Rows whose findings may wait for that of a row before them."""


class Verifier:
    """Tries rows, wherever they come from. ``in_flight``: how many at once."""

    def __init__(self, asking: Asking, pace: Pace, in_flight: int) -> None:
        self._asking = asking
        self._pace = pace
        self._gate = asyncio.Semaphore(in_flight)
        self._doors: dict[str, Door] = {}
        self._running: deque[tuple[Entry, asyncio.Task[Finding]]] = deque()
        self._stopped = False

    async def findings(self, entries: Iterable[Entry]) -> AsyncIterator[tuple[Entry, Finding]]:
        """Each row with what came of it, in the rows' order; after ``stop`` only those that were reached."""
        for entry in entries:
            if not self._door(entry).given_up:
                await self._pace.turn()
            await self._gate.acquire()
            if self._stopped:
                break
            task = asyncio.create_task(self._door(entry).finding(entry))
            task.add_done_callback(lambda _: self._gate.release())  # also of one that was never begun
            self._running.append((entry, task))
            while self._running and (self._running[0][1].done() or len(self._running) >= _AHEAD):
                async for found in self._oldest():
                    yield found
        while self._running:
            async for found in self._oldest():
                yield found

    def stop(self) -> None:
        """Start nothing more, and wait for no answer; what was bound is taken away all the same."""
        self._stopped = True
        for _, task in self._running:
            task.cancel()

    @property
    def given_up(self) -> list[str]:
        """Why rows of a realm were not tried, one sentence for each such realm."""
        return [door.given_up for door in self._doors.values() if door.given_up]

    async def close(self) -> None:
        """Let go of everything."""
        self.stop()
        await asyncio.gather(*(door.close() for door in self._doors.values()))

    async def _oldest(self) -> AsyncIterator[tuple[Entry, Finding]]:
        entry, task = self._running[0]
        await asyncio.wait((task,))
        self._running.popleft()
        if not task.cancelled():
            yield entry, task.result()

    def _door(self, entry: Entry) -> Door:
        if entry.host not in self._doors:
            self._doors[entry.host] = Door(entry.host, self._asking)
        return self._doors[entry.host]
