"""The threads of one server that look after its steps: one for each subject."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Threads:
    """Threads by subject. Each is known from before its claim is in the ledger until it has settled it."""

    def __init__(self) -> None:
        self._threads: dict[str, threading.Thread] = {}
        self._claimed: Counter[str] = Counter()
        self._lock = threading.Lock()

    @contextmanager
    def claiming(self, subject: str) -> Iterator[None]:
        """Have a subject looked after while it is claimed: it has no thread yet."""
        with self._lock:
            self._claimed[subject] += 1
        try:
            yield
        finally:
            with self._lock:
                self._claimed[subject] -= 1

    def start(self, subject: str, work: Callable[[], None]) -> None:
        """Begin to look after a subject."""

        def run() -> None:
            try:
                work()
            finally:
                with self._lock:
                    if self._threads.get(subject) is threading.current_thread():
                        del self._threads[subject]

        thread = threading.Thread(target=run, name=subject, daemon=True)
        with self._lock:
            self._threads[subject] = thread
        thread.start()

    def look_after(self, subject: str) -> bool:
        """Return whether a thread of this server will record the end of the subject's step."""
        with self._lock:
            return subject in self._threads or self._claimed[subject] > 0

    def wait(self, subject: str, seconds: float | None = None) -> None:
        """Wait until the subject's step has ended."""
        with self._lock:
            thread = self._threads.get(subject)
        if thread:
            thread.join(seconds)
