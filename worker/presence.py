"""Announcements on the broker, by which workers and schedulers show that they are alive."""

from __future__ import annotations

import json
import logging
import os
import platform
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from worker import __version__
from worker.reasons import reason_of
from worker.waits import Outage

log = logging.getLogger(__name__)

_EVERY = 3.0
"""Seconds between two announcements of a process."""

_KEPT = 15
"""Seconds after which a process without announcements is gone."""

_SECONDS = 5
"""Seconds that connecting to the broker, or withdrawing the announcements, may take."""


_ALL_SAY = {"machine", "pid", "version", "since", "pool"}


def this_process() -> str:
    """Return this process as announcements name it: ``machine:pid``."""
    return f"{platform.node()}:{os.getpid()}"


def worker_key(queue: str, process: str) -> str:
    """Return the key that announces a worker process for a queue."""
    return f"siproster:worker:{queue}:{process}"


def scheduler_key(identity: str, process: str) -> str:
    """Return the key that announces a scheduler of a ledger."""
    return f"siproster:scheduler:{identity[:8]}:{process}"


def announced(client: Any, pattern: str) -> list[dict[str, Any]]:
    """Return the contents of the announcements whose keys match. ``client``: a Redis client."""
    keys = sorted(client.scan_iter(match=pattern, count=1000))
    values = client.mget(keys) if keys else []
    return [facts for value in values if (facts := _facts_of(value))]


def _facts_of(value: bytes | None) -> dict[str, Any]:
    """Return the contents of an announcement; empty if it has expired, or comes from an earlier version."""
    try:
        facts = json.loads(value or b"null")
    except ValueError:
        return {}
    return facts if isinstance(facts, dict) and facts.keys() >= _ALL_SAY else {}


class Presence:
    """The announcements of this process, which expire some seconds after its end. Logs the broker's outages.

    ``connect`` opens a connection of kombu's. ``facts``: what each key says beside what all of them say.
    ``pool``: the pids of this process's children, to be kept up to date by its owner.
    """

    def __init__(
        self,
        connect: Callable[[], AbstractContextManager[Any]],
        facts: Mapping[str, Mapping[str, object]],
        who: str = "the worker",
    ) -> None:
        self._who = who
        self.pool: Sequence[int] = ()
        self._connect = connect
        self._facts = facts
        self._since = time.time()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._announce, name="announce", daemon=True)

    def start(self) -> None:
        """Announce this process in a thread, which doesn't survive a fork."""
        self._thread.start()

    def stop(self) -> None:
        """Withdraw the announcements, if the broker answers."""
        self._ended.set()
        if self._thread.ident:
            self._thread.join(_SECONDS)

    def _announce(self) -> None:
        outage, pause = Outage(log, "Redis", f"{self._who} waits for it"), 0.0
        while not self._ended.wait(pause):
            try:
                with self._connect() as connection:
                    connection.ensure_connection(max_retries=1, timeout=_SECONDS)
                    client = connection.default_channel.client
                    pause = _EVERY
                    while True:
                        self._refresh(client)
                        outage.back()
                        if self._ended.wait(pause):
                            client.delete(*self._facts)
                            return
            except Exception as error:  # no error may stop the process
                outage.gone(reason_of(error))
                pause = 1.0

    def _refresh(self, client: Any) -> None:
        common = {
            "machine": platform.node(), "pid": os.getpid(), "version": __version__, "since": self._since,
            "pool": list(self.pool),
        }  # fmt: skip
        with client.pipeline(transaction=False) as pipeline:
            for key, facts in self._facts.items():
                pipeline.set(key, json.dumps({**common, **facts}), ex=_KEPT)
            pipeline.execute()
