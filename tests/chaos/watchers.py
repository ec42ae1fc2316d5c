"""Watch what others could see while the program runs: Redis's traffic and the process list."""

from __future__ import annotations

import contextlib
import socket
import threading
from abc import ABC, abstractmethod
from pathlib import Path

import psutil


class Watch(ABC):
    """A thread that looks again and again and writes what it sees to a file."""

    def __init__(self, path: Path, every: float) -> None:
        self._path = path
        self._every = every
        self.ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name=path.stem, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop watching."""
        self.ended.set()
        self._thread.join()

    def write(self, seen: bytes) -> None:
        """Add to the file."""
        with self._path.open("ab") as file:
            file.write(seen)

    @abstractmethod
    def look(self) -> None:
        """Look once."""

    def _run(self) -> None:
        while not self.ended.wait(self._every):
            self.look()


class MonitorWatch(Watch):
    """Record every command that Redis receives, as MONITOR reports it, whenever Redis is up."""

    def __init__(self, port: int, path: Path) -> None:
        self._port = port
        super().__init__(path, 0.1)

    def look(self) -> None:
        """Listen until Redis goes away."""
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self._port), 1) as line:
            line.sendall(b"MONITOR\r\n")
            self._listen(line)

    def _listen(self, line: socket.socket) -> None:
        while not self.ended.is_set():
            try:
                seen = line.recv(65_536)
            except TimeoutError:  # frozen, or nothing to tell
                continue
            if not seen:
                return
            self.write(seen)


class ProcessWatch(Watch):
    """The arguments of every process on this machine, as ``ps`` shows them to everybody."""

    def __init__(self, path: Path) -> None:
        self._seen: set[str] = set()
        super().__init__(path, 0.5)

    def look(self) -> None:
        """Write down what was not seen before."""
        found = (process.info["cmdline"] or () for process in psutil.process_iter(["cmdline"]))
        # The sandbox is the harness's own: it takes the client's secret as an argument.
        shown = {" ".join(words) for words in found if "worker.sandbox" not in words}
        self.write(
            "".join(f"{line}\n" for line in sorted(shown - self._seen)).encode("utf-8", "surrogateescape")
        )
        self._seen |= shown
