"""Results of slow functions, cached for some seconds, so that a hanging server holds up no scrape."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from worker.errors import place_of

log = logging.getLogger(__name__)

T = TypeVar("T")

KEPT = 5.0
"""Seconds for which a result is cached."""

PATIENCE = 2.0
"""Seconds that a caller waits for a new one."""


class Cached(Generic[T]):
    """The last result of a function that may fail, or hang. Shared by threads."""

    def __init__(self, read: Callable[[], T], kept: float = KEPT, patience: float = PATIENCE) -> None:
        self._read = read
        self._kept = kept
        self._patience = patience
        self._changed = threading.Condition()
        self._value: T | None = None
        self._read_at = -1e9
        self._reading = False
        self.failed_at = -1e9
        """When ``get`` last returned None, in monotonic seconds."""

    def get(self) -> T | None:
        """Return a result that is at most some seconds old; None if there is none in time."""
        with self._changed:
            if not self._reading and time.monotonic() - self._read_at >= self._kept:
                self._reading = True
                threading.Thread(target=self._run, daemon=True).start()
            if not self._changed.wait_for(lambda: not self._reading, self._patience) or self._value is None:
                self.failed_at = time.monotonic()
                return None
            return self._value

    def _run(self) -> None:
        value: T | None = None
        try:
            value = self._read()
        except Exception as error:  # the thread must end in any case, or nothing would be read again
            log.debug("nothing was read: %s", place_of(error))
        finally:
            with self._changed:
                self._value, self._read_at, self._reading = value, time.monotonic(), False
                self._changed.notify_all()
