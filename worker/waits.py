"""Waits: the current waits of this process, and the one place that puts a wait into words.

All code that may wait for more than a moment enters it here. Commands read it to tell their user; workers
write it into the ledger, where `status` and the waiting command find it.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum

from worker.meter import METER


class WaitKind(StrEnum):
    """The kinds of wait of a process, the most serious first: of several waits, that one is reported."""

    LEDGER = "ledger"
    """The ledger's database is unavailable."""
    BROKER = "broker"
    """Redis is unavailable."""
    ACCOUNT = "account"
    """Another job writes to the account."""
    SERVICE = "service"
    """The service is unavailable, or fails; it is tried again."""
    SLOWED = "slowed"
    """The service asked to wait: 429, or 503 with a time."""
    REALM = "realm"
    """A new realm is not ACTIVE yet."""
    ASKING = "asking"
    """Rows whose answer was lost are being looked up."""
    WORKER = "worker"
    """No worker answers for the account."""
    LEASE = "lease"
    """A dead worker holds a chunk until its lease ends."""
    RATE_LIMITED = "rate_limited"
    """Requests go on, but fewer than the service refused with 429."""
    PACED = "paced"
    """The next request has to wait for its time: ``--rate``."""
    REGISTRAR = "registrar"
    """A registrar has not answered yet."""
    DATABASE = "database"
    """The database that holds the roster has not answered yet."""
    ANSWER = "answer"
    """A request is in flight."""


@dataclass(frozen=True, slots=True)
class Wait:
    """A wait in progress. Times are seconds from now, so that no two clocks are compared."""

    kind: WaitKind
    reason: str
    """The details that the kind leaves open; never a secret."""
    waited: float
    left: float | None
    """Seconds until the wait is given up, or goes on; None: unknown."""
    by_patience: bool = False
    """Whether ``--patience`` ends it."""


@dataclass(slots=True)
class Entry:
    """A wait in progress. Without a ``kind`` there is nothing to report yet."""

    kind: WaitKind | None
    reason: str
    since: float
    until: float | None


class Waits:
    """All waits of one process. Shared by threads. ``clock``: monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._entries: dict[int, Entry] = {}
        self._lingering: dict[WaitKind, Entry] = {}

    @contextmanager
    def entered(
        self,
        kind: WaitKind | None = None,
        reason: str = "",
        seconds: float | None = None,
        began: float | None = None,
    ) -> Iterator[Entry]:
        """Record a wait for the length of a block, at most ``seconds`` (None: unknown).

        A caller that only learns later that it waits calls ``turn``. ``began``: when, if not now.
        """
        now = self._clock()
        until = None if seconds is None else now + seconds
        entry = Entry(kind, reason, now if began is None else began, until)
        with self._lock:
            number = next(self._numbers)
            self._entries[number] = entry
        try:
            yield entry
        finally:
            with self._lock:
                del self._entries[number]
            if METER.on and entry.kind:
                METER.count("wait_seconds", self._clock() - entry.since, entry.kind.value)

    def turn(self, entry: Entry, kind: WaitKind, reason: str, seconds: float | None) -> None:
        """Set the subject of a wait and its end in ``seconds`` from now; its beginning stays."""
        with self._lock:
            entry.kind, entry.reason = kind, reason
            entry.until = None if seconds is None else self._clock() + seconds

    def linger(self, kind: WaitKind, reason: str, seconds: float) -> None:
        """Record one of many short waits in a row, which counts as going on for so many seconds."""
        with self._lock:
            now, before = self._clock(), self._lingering.get(kind)
            goes_on = before is not None and before.until is not None and now < before.until
            since = before.since if before and goes_on else now
            self._lingering[kind] = Entry(kind, reason, since, now + seconds)

    def gravest(self) -> Wait | None:
        """Return the most serious wait, of one kind the longest. None if there is none."""
        with self._lock:
            now = self._clock()
            going_on = [
                Wait(one.kind, one.reason, now - one.since, None if one.until is None else one.until - now)
                for one in self._entries.values()
                if one.kind
            ]
            going_on += [
                Wait(kind, one.reason, now - one.since, None)
                for kind, one in self._lingering.items()
                if one.until is not None and now < one.until
            ]
        return gravest(going_on)


class Outage:
    """A log of outages: one line when something goes away, another when it is back. Shared by threads."""

    def __init__(
        self, log: logging.Logger, what: str, meanwhile: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._log = log
        self._what = what
        self._meanwhile = meanwhile
        self._clock = clock
        self._since: float | None = None
        self._lock = threading.Lock()

    def gone(self, reason: str) -> None:
        """Log that it does not answer; ``reason`` holds no secret."""
        with self._lock:
            if self._since is None:
                self._since = self._clock()
                self._log.warning("%s does not answer (%s): %s", self._what, reason, self._meanwhile)

    def back(self) -> None:
        """Log that it answers, but only if it did not before."""
        if self._since is None:
            return
        with self._lock:
            if self._since is not None:
                self._log.warning("%s answers again after %s", self._what, span(self._clock() - self._since))
                self._since = None


HERE = Waits()
"""The waits of this process."""

SOON = 1.5
"""Seconds from which on a wait is worth a word: within 3 seconds something is said."""

WITHOUT_STOP = frozenset({WaitKind.RATE_LIMITED, WaitKind.PACED})
"""Kinds during which requests go on, if slowly, so that a rate and a time left can be told."""

_ORDER = list(WaitKind)


def gravest(waits: list[Wait]) -> Wait | None:
    """Return the most serious wait (the order of WaitKind), and of one kind the longest."""
    return min(waits, key=lambda one: (_ORDER.index(one.kind), -one.waited), default=None)


def is_news(wait: Wait) -> bool:
    """Return whether a wait is worth a word by now."""
    return wait.waited >= SOON


def worded(wait: Wait) -> str:
    """Return a wait in words: its subject, and when it ends; if that is unknown, how long it has lasted."""
    waited, left = span(wait.waited), None if wait.left is None or wait.left < 0 else span(wait.left)
    match wait.kind:
        case WaitKind.SLOWED:
            end = f"; continues in {left}" if left else f", for {waited}"
            return f"{wait.reason}: the service asked for a pause{end}"
        case WaitKind.RATE_LIMITED:
            return wait.reason
        case WaitKind.ANSWER:
            end = f"; the request's deadline is {span(wait.waited + wait.left)}" if wait.left else ""
            return f"no answer from the service for {waited}{end}"
        case WaitKind.PACED:
            end = f", in {left}" if left else ""
            return f"waiting for the next request at {wait.reason}{end}"
        case WaitKind.ASKING:
            return f"asking about {wait.reason}, for {waited}"
        case WaitKind.LEASE:
            end = f", in {left}" if left else ""
            return f"waiting for the lease of {wait.reason} to expire{end}"
        case WaitKind.WORKER:
            return f"{wait.reason}{_gives_up(wait, left)}"
        case _:
            subject = f"waiting for {_SUBJECTS[wait.kind]}{wait.reason}"
            return f"{subject}{_gives_up(wait, left) or f', for {waited}'}"


def over(wait: Wait, seconds: float) -> str:
    """Return the words for a wait that is over, after so many seconds."""
    return f"{_OVER.get(wait.kind, 'continuing')} after {span(seconds)}"


def span(seconds: float) -> str:
    """Return a number of seconds as people say it: ``42 s``, ``9:20``, ``1:00:00``."""
    whole = max(0, round(seconds))
    minutes, rest = divmod(whole, 60)
    if whole < 100:
        return f"{whole} s"
    return f"{minutes}:{rest:02}" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


def _gives_up(wait: Wait, left: str | None) -> str:
    if left is None:
        return ""
    return f"; gives up in {left}{' (--patience)' if wait.by_patience else ''}"


_SUBJECTS = {
    WaitKind.BROKER: "the broker: ",
    WaitKind.LEDGER: "the ledger: ",
    WaitKind.SERVICE: "the service: ",
    WaitKind.ACCOUNT: "the account: ",
    WaitKind.REALM: "realm ",
    WaitKind.REGISTRAR: "the registrar ",
    WaitKind.DATABASE: "the roster's database ",
}

_OVER = {
    WaitKind.BROKER: "the broker answers again",
    WaitKind.LEDGER: "the ledger answers again",
    WaitKind.SERVICE: "the service answers again",
    WaitKind.SLOWED: "the service accepts requests again",
    WaitKind.ANSWER: "the service answers again",
    WaitKind.ACCOUNT: "the account is free again",
    WaitKind.WORKER: "a worker answers",
}
