"""Reports of what a command waits for: a line at once, then now and then, and one when it goes on."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from worker.commands.terminal import echo
from worker.waits import HERE, WITHOUT_STOP, Wait, WaitKind, is_news, over, worded

_LOOK_EVERY = 0.25
"""Seconds between two looks at what is waited for."""

_SAY_EVERY = 12.0
"""Seconds between two lines about the same wait."""

_CHANGED = 3.0
"""Seconds between two lines about different waits."""

_GONE = 1.0
"""Seconds without a wait after which it is over; between two attempts there is none for a moment."""

_SLOW = 10.0
"""Seconds from which on an answer that came after all is worth a word."""

_NO_NEWS = WITHOUT_STOP | {WaitKind.REGISTRAR, WaitKind.DATABASE}
"""Kinds whose end is not reported: it comes with each request."""

Source = Callable[[], Wait | None]


class WaitReporter:
    """Prints on stderr, or beside a progress bar, what ``source`` waits for. ``clock``: monotonic seconds."""

    def __init__(
        self,
        source: Source,
        echo_line: Callable[[str], None] = lambda text: echo(text, "yellow"),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._echo = echo_line
        self._clock = clock
        self._reported: Wait | None = None
        """The present wait, if it was reported."""
        self._began = self._seen = 0.0
        self._printed_at: dict[WaitKind | None, float] = {}
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._on_bar = False
        self.text = ""
        """The present wait, for a progress bar; empty if there is none."""
        self.stops = False
        """Whether there is a wait during which nothing goes on, so that a rate of before means nothing."""

    def start(self) -> None:
        """Look now and then, in a thread of its own, for as long as the process lives."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="wait_reporter", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Stop reporting. Afterwards the process may fork."""
        if self._thread:
            self._stopped.set()
            self._thread.join()

    @contextmanager
    def following(self, source: Source) -> Iterator[None]:
        """Report the waits of another source during the block."""
        before, self._source = self._source, source
        try:
            yield
        finally:
            self._source, self._reported, self.text, self.stops = before, None, "", False

    @contextmanager
    def on_a_bar(self) -> Iterator[None]:
        """Show the waits on a progress bar as ``text``, without lines of their own, during the block."""
        self._on_bar = True
        try:
            yield
        finally:
            self._on_bar, self._reported = False, None

    def end(self) -> None:
        """Report at once that a wait is over."""
        if self._reported:
            self._print_over(self._reported)

    def look(self) -> None:
        """Look once, and print what is due."""
        wait, now = self._source(), self._clock()
        if wait is None or not is_news(wait):
            self.text, self.stops = "", False
            # A request in flight is not a wait yet; any other wait has just replaced another one.
            quiet = wait is None or wait.kind is WaitKind.ANSWER
            if self._reported and quiet and now - self._seen >= _GONE:
                self._print_over(self._reported)
            return
        self.text, self.stops = worded(wait), wait.kind not in WITHOUT_STOP
        self._seen = now
        if self._reported is None:
            self._began = now - wait.waited
        if now - self._printed_at.get(self._rhythm(wait), float("-inf")) >= self._pause(wait):
            self._line(self.text)
            self._printed_at[wait.kind] = self._printed_at[None] = now
            self._reported = wait

    def _rhythm(self, wait: Wait) -> WaitKind | None:
        """Return the kind whose interval applies to this line, or None for the shorter one of all lines."""
        going_on = self._reported is not None and self._reported.kind is wait.kind
        return wait.kind if going_on or wait.kind is WaitKind.ANSWER else None

    def _pause(self, wait: Wait) -> float:
        if self._rhythm(wait):
            return _SAY_EVERY
        return 0.0 if self._reported is None else _CHANGED

    def _print_over(self, wait: Wait) -> None:
        seconds = self._seen - self._began
        slow = wait.kind is not WaitKind.ANSWER or seconds >= _SLOW  # a slow service is no news each time
        if slow and wait.kind not in _NO_NEWS:
            self._line(over(wait, seconds))
        self._reported = None

    def _line(self, text: str) -> None:
        if not self._on_bar:
            self._echo(text)

    def _run(self) -> None:
        while not self._stopped.wait(_LOOK_EVERY):
            # No error here may end the command's work.
            with contextlib.suppress(Exception):
                self.look()


wait_reporter = WaitReporter(HERE.gravest)
"""The wait reporter of this process; a command with settings starts it."""
