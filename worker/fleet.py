"""Fairness between the accounts that one fleet of workers serves.

There are two rules. A worker's main process takes the next message for the account that holds the fewest of
its pool's processes (FairCycle). A pool's process that only waits, for the pace or for a service that refuses
everything, gives its chunk back if another account has messages (OtherQueues). So no process is held up by an
account that stands still. docs/scaling.md has the figures.
"""

from __future__ import annotations

import hashlib
import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

_ASK_EVERY = 1.0
"""Seconds for which an answer about other queues is used."""


def queue_name(identity: str, host: str, account: str) -> str:
    """Return the queue of one ledger and one account, so that workers of others never see its messages."""
    account_hash = hashlib.sha256(f"{host}\0{account}".encode()).hexdigest()[:10]
    return f"siproster.{identity[:8]}.{account_hash}"


class FairCycle:
    """The order in which a worker asks for messages: fewest processes held first, then longest not served.

    Kombu's Redis transport pops from the first queue in this order that has a message. Its own cycle serves
    queues in turn, so accounts whose chunks take long would get all processes but for a moment.
    ``held`` returns the queue of each message that is being worked on.
    """

    def __init__(self, held: Callable[[], Iterable[str]]) -> None:
        self._held = held
        self._queues: list[str] = []

    def update(self, queues: Iterable[str]) -> None:
        """Set the queues."""
        self._queues = list(queues)

    def consume(self, count: int) -> list[str]:
        """Return the first ``count`` queues in the order in which to ask them."""
        held = Counter(self._held())
        none = [queue for queue in self._queues if queue not in held]
        some = [queue for queue in self._queues if queue in held]
        return [*none, *sorted(some, key=held.__getitem__)][:count]  # stable: among equals, by last service

    def rotate(self, served: str) -> str:
        """Put a queue that was just served behind all others."""
        if served in self._queues:
            self._queues.remove(served)
            self._queues.append(served)
        return served


class OtherQueues:
    """The queues of one process's accounts. A message in one of them means that no process is free.

    Shared by threads. ``exist`` returns how many of the keys exist in Redis, which keeps no empty lists; 0
    while it does not answer.
    """

    def __init__(
        self,
        queues: Sequence[str],
        exist: Callable[[Sequence[str]], int],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._queues = queues
        self._exist = exist
        self._clock = clock
        self._lock = threading.Lock()
        self._answers: dict[str, tuple[bool, float]] = {}
        """By queue: whether others have messages, and until when the answer is used."""

    def have_messages(self, own: str) -> bool:
        """Return whether a queue other than ``own`` has messages."""
        with self._lock:
            answer, until = self._answers.get(own, (False, -math.inf))
            if self._clock() >= until:
                began = self._clock()
                answer = self._exist([queue for queue in self._queues if queue != own]) > 0
                now = self._clock()
                # A Redis that is slow to answer, or doesn't, is asked less often.
                self._answers[own] = answer, now + _ASK_EVERY + 4 * (now - began)
            return answer
