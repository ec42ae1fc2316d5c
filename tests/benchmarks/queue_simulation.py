"""A night of one fleet and many accounts, simulated: who waits how long, and how equal their shares are.

    python -m tests.benchmarks.queue_simulation            prints the table of docs/scaling.md

Events in virtual time, from a seed. The order of messages is the program's own (``fleet.FairCycle``), and so
are the times of giving way; a process, the broker's lists, an account's pace and the sweep are models.
"""

from __future__ import annotations

import heapq
import itertools
import math
import random
import statistics
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from worker.api.attempts import RESTS
from worker.fleet import FairCycle
from worker.importing.chunk_session import SHORT_TURN, TURN
from worker.importing.sweep import SWEEP_EVERY
from worker.throttle import GIVES_WAY

REQUESTS = 180
"""Requests of a chunk in a nightly roster: of 600 users 60 changed; each is read, changed and read again."""

LARGE, EVERY = 40, 50
"""One roster in so many (EVERY) is large: so many chunks (LARGE)."""

AT_ONCE, SECONDS = 24, 0.9
"""The step of the simulation: so many requests, 8 in flight, of 0.3 s each."""

OVERHEAD = 0.05
"""Seconds of a process for claiming, opening and releasing a chunk."""

PATIENT = 60.0
"""Seconds for which a refused request is repeated where nobody else needs the process."""

STANDS_STILL, SLOW, USUAL = 0.0, 2.0, 50.0
"""Requests a second that the service takes from an account: of 20 accounts 1, 1, and the others."""


@dataclass(frozen=True)
class Night:
    """A night's rosters. ``spread``: hours over which the schedules' times are spread (``--jitter``)."""

    rosters: int
    accounts: int
    workers: int
    spread: float
    processes: int = 4
    """Processes of each worker."""


NIGHTS = (Night(10, 5, 1, 0.0, processes=2), Night(1_000, 100, 2, 0.25), Night(100_000, 2_000, 12, 8.0))


@dataclass
class Account:
    """An account with its queue and its pace; ``later``: rosters that wait for the one that is at work."""

    name: str
    limit: float
    queue: deque[Chunk] = field(default_factory=deque)
    later: deque[Roster] = field(default_factory=deque)
    rosters: list[Roster] = field(default_factory=list)
    slot: float = 0.0
    rests_until: float = 0.0


@dataclass
class Roster:
    """A roster. Times are seconds of the night; ``released``: no other one of its account was left."""

    account: Account
    chunks: int
    due: float
    released: float = math.inf
    begun: float = math.inf
    ended: float = math.inf
    open: int = 0
    """Chunks that have not ended."""


@dataclass
class Chunk:
    """A chunk of a roster."""

    roster: Roster
    left: int = REQUESTS
    tries: int = 0


class InTurn(FairCycle):
    """Kombu's own order: queues in turn, however many processes an account holds."""

    def consume(self, count: int) -> list[str]:
        """Return the queues, the one that was served last at the end."""
        return self._queues[:count]


class Worker:
    """A worker: its order of queues, and the queue of each process that is at work."""

    def __init__(self, cycle: type[FairCycle], processes: int, queues: list[str]) -> None:
        self.held: list[str] = []
        self.processes = processes
        self.cycle = cycle(lambda: self.held)
        self.cycle.update(queues)


class Simulation:
    """A night. ``fair``: the program as it is; else kombu's own order, and no account gives way."""

    def __init__(self, night: Night, *, fair: bool = True, seed: int = 1) -> None:
        self.now = 0.0
        self._fair = fair
        self._random = random.Random(seed)
        self._numbers = itertools.count()
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        limits = [USUAL, STANDS_STILL, SLOW, *[USUAL] * 17]
        self.accounts = [Account(f"a{n}", limits[n % 20]) for n in range(night.accounts)]
        self._by_name = {account.name: account for account in self.accounts}
        self._sizes = list(itertools.accumulate(1 / (n + 10) ** 0.7 for n in range(night.accounts)))
        cycle = FairCycle if fair else InTurn
        self._workers = [Worker(cycle, night.processes, list(self._by_name)) for _ in range(night.workers)]
        self._waiting: set[str] = set()
        """The queues with messages."""
        for number in range(night.rosters):
            self._plan(night, number)

    def run(self, hours: float = 16.0) -> Simulation:
        """Let the night pass."""
        while self._events and self._events[0][0] <= hours * 3600:
            self.now, _, happen = heapq.heappop(self._events)
            happen()
            self._serve()
        return self

    @property
    def usual(self) -> list[Account]:
        """The accounts that are held up by nothing but the other accounts."""
        return [account for account in self.accounts if account.limit == USUAL and account.rosters]

    def _plan(self, night: Night, number: int) -> None:
        """Make a roster: the first accounts have most, and each has one before any has two."""
        first = number < night.accounts
        account = (
            self.accounts[number]
            if first
            else self._random.choices(self.accounts, cum_weights=self._sizes)[0]
        )
        due = self._random.uniform(0, night.spread * 3600)
        roster = Roster(account, LARGE if number % EVERY == EVERY - 1 else 1, due)
        account.rosters.append(roster)
        self._at(due, lambda: self._arrive(roster))

    def _at(self, when: float, happen: Callable[[], None]) -> None:
        heapq.heappush(self._events, (when, next(self._numbers), happen))

    def _arrive(self, roster: Roster) -> None:
        """One roster at a time writes to an account."""
        roster.account.later.append(roster)
        if roster.account.later[0] is roster:
            self._release(roster)

    def _release(self, roster: Roster) -> None:
        roster.released, roster.open = self.now, roster.chunks
        for _ in range(roster.chunks):
            self._put(Chunk(roster))

    def _put(self, chunk: Chunk) -> None:
        account = chunk.roster.account
        account.queue.append(chunk)
        self._waiting.add(account.name)

    def _serve(self) -> None:
        """Give the messages to the free processes; of several workers any may be the first."""
        free = [worker for worker in self._workers if len(worker.held) < worker.processes]
        self._random.shuffle(free)
        for worker in free:
            while self._waiting and len(worker.held) < worker.processes:
                self._take(worker)

    def _take(self, worker: Worker) -> None:
        order = worker.cycle.consume(len(self.accounts))
        account = self._by_name[next(queue for queue in order if queue in self._waiting)]
        chunk = account.queue.popleft()
        if not account.queue:
            self._waiting.remove(account.name)
        worker.held.append(worker.cycle.rotate(account.name))
        chunk.tries += 1
        chunk.roster.begun = min(chunk.roster.begun, self.now)
        began = self.now
        self._at(self.now + OVERHEAD, lambda: self._work(worker, chunk, began))

    def _needed(self, account: Account) -> bool:
        """Whether another account needs the process, and it heeds that."""
        return self._fair and len(self._waiting) > (account.name in self._waiting)

    def _work(self, worker: Worker, chunk: Chunk, began: float) -> None:
        """Do the next step of a chunk in a process, or release it."""
        account = chunk.roster.account
        if not account.limit:
            self._stand_still(worker, chunk)
        elif not chunk.left:
            worker.held.remove(account.name)
            self._end(chunk)
        elif self.now - began > (SHORT_TURN if self._needed(account) else TURN):
            worker.held.remove(account.name)
            self._at(_next_sweep(self.now), lambda: self._put(chunk))
        else:
            sent = min(AT_ONCE, chunk.left)
            chunk.left -= sent
            account.slot = max(self.now, account.slot) + sent / account.limit
            done = max(self.now + SECONDS, account.slot)
            self._at(done, lambda: self._work(worker, chunk, began))

    def _stand_still(self, worker: Worker, chunk: Chunk) -> None:
        """Get nothing but 429: bounce off the account's rest, or see the refusals for a while."""
        account = chunk.roster.account
        needed = self._needed(account)
        seconds = 0.0 if self.now < account.rests_until else GIVES_WAY if needed else PATIENT
        delay = min(300.0, 2.0**chunk.tries)

        def give_up() -> None:
            if needed and seconds:
                account.rests_until = self.now + RESTS
            worker.held.remove(account.name)
            again = max(self.now + delay, account.rests_until)
            self._at(_next_sweep(again), lambda: self._put(chunk))

        self._at(self.now + seconds, give_up)

    def _end(self, chunk: Chunk) -> None:
        roster = chunk.roster
        roster.open -= 1
        if roster.open:
            return
        roster.ended = self.now
        roster.account.later.popleft()
        if roster.account.later:
            self._release(roster.account.later[0])


def _next_sweep(when: float) -> float:
    return math.ceil(when / SWEEP_EVERY) * SWEEP_EVERY


@dataclass(frozen=True)
class Figures:
    """What a night shows about the usual accounts, beside which others are slow or stand still.

    Waits are seconds from a roster's release to its first request.
    """

    unfinished: int
    """Rosters that did not end."""
    median_wait: float
    longest_wait: float
    longest_wait_of_small: float
    """Of the accounts without a large roster."""
    jain: float
    """Jain's index of the small accounts' speeds (alone / beside others): 1 if all are slowed down alike."""
    last_end: float


def figures(night: Simulation) -> Figures:
    """Return the figures of a simulated night."""
    rosters = [roster for account in night.usual for roster in account.rosters]
    small = [one.rosters for one in night.usual if all(roster.chunks == 1 for roster in one.rosters)]
    ended = [[roster for roster in them if roster.ended < math.inf] for them in small]
    speeds = [
        sum(map(_alone, them)) / sum(one.ended - one.released for one in them) for them in ended if them
    ]
    waits = [roster.begun - roster.released for roster in rosters if roster.begun < math.inf]
    return Figures(
        sum(roster.ended == math.inf for roster in rosters),
        statistics.median(waits),
        max(waits),
        max(one.begun - one.released for them in small for one in them if one.begun < math.inf),
        jain(speeds),
        max(roster.ended for roster in rosters if roster.ended < math.inf),
    )


def _alone(roster: Roster) -> float:
    """Return the seconds that a roster takes one process which nobody else needs."""
    return roster.chunks * (OVERHEAD + REQUESTS * max(SECONDS / AT_ONCE, 1 / roster.account.limit))


def jain(shares: list[float]) -> float:
    """Return Jain's fairness index: (sum x)² / (n · sum x²)."""
    return sum(shares) ** 2 / (len(shares) * sum(share * share for share in shares))


def main() -> None:
    """Print a row for each night, as the program is and with kombu's own order."""
    print(
        "rosters | accounts | processes | order | median wait | longest | small accounts | Jain | end | open"
    )
    for night in NIGHTS:
        for fair in (True, False):
            seen = figures(Simulation(night, fair=fair).run())
            print(
                f"{night.rosters:,} | {night.accounts:,} | {night.workers * night.processes} | "
                f"{'fair' if fair else 'in turn'} | {seen.median_wait:.1f} s | {seen.longest_wait:.0f} s | "
                f"{seen.longest_wait_of_small:.0f} s | {seen.jain:.2f} | {seen.last_end / 3600:.1f} h | "
                f"{seen.unfinished}",
                flush=True,
            )


if __name__ == "__main__":
    main()
