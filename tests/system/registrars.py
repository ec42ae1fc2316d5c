"""Users that were imported into the sandbox, and are held by Kamailio as Bandwidth's edge would."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.kamailio import Kamailio
from tests.program import Program
from tests.sandbox import Sandbox
from tests.servers import free_port
from tests.system.rosters import Row, User, result_rows, roster_of
from tests.system.runs import run

BRISK = ("--rate", "1000")
"""Nobody else uses these registrars."""


def imported(office: Program, sandbox: Sandbox, kamailio: Kamailio, wanted: Sequence[User]) -> Path:
    """The roster of users who are imported; Kamailio gets exactly the digests that were posted."""
    roster = roster_of(office.work / "staff.csv", wanted)
    assert run(office, "import", roster)["counts"] == {"created": len(wanted)}
    kamailio.hold(sandbox.credentials())
    return roster


def verified(
    office: Program, roster: str | Path, place: str, *options: str | Path, code: int = 0
) -> tuple[dict[str, Any], list[Row]]:
    """The facts of a run of ``verify`` that ends with this exit code, and the lines of its file."""
    facts = run(office, "verify", roster, "--registrar", place, *BRISK, *options, code=code)
    return facts, result_rows(facts["files"]["verify"])


def verdicts(rows: Sequence[Row]) -> dict[str, str]:
    """Return each row's user, as in the roster, with its verdict."""
    return {row["username"]: row["bw__verify"] for row in rows}


class Relay:
    """Passes datagrams on to a registrar, and keeps the first one with a password back for a while."""

    def __init__(self, place: str, seconds: float) -> None:
        host, _, port = place.partition(":")
        self._passed: set[bytes] = set()
        self._seconds = seconds
        self._held: bytes | None = None
        self._ahead = socket.socket(type=socket.SOCK_DGRAM)
        self._ahead.connect((host, int(port)))
        self._behind = socket.socket(type=socket.SOCK_DGRAM)
        self._port = free_port()
        self._behind.bind(("127.0.0.1", self._port))
        self._client: Any = None
        for way in (self._forth, self._back):
            threading.Thread(target=way, daemon=True).start()

    @property
    def place(self) -> str:
        """Return the address for ``--registrar``."""
        return f"127.0.0.1:{self._port}"

    @property
    def passed(self) -> int:
        """Return how many requests were let through; one that was sent again counts once."""
        return len(self._passed)

    def close(self) -> None:
        """Let nothing through any more."""
        for one in (self._ahead, self._behind):
            one.close()

    def _forth(self) -> None:
        while True:
            try:
                raw, self._client = self._behind.recvfrom(65536)
                if self._seconds and self._held is None and b"\r\nAuthorization:" in raw:
                    self._held = raw
                    time.sleep(self._seconds)
                elif raw == self._held:
                    continue
                self._ahead.send(raw)
            except OSError:
                return
            self._passed.add(raw)

    def _back(self) -> None:
        while True:
            try:
                self._behind.sendto(self._ahead.recv(65536), self._client)
            except OSError:
                return


@contextmanager
def relay(place: str, seconds: float = 0) -> Iterator[Relay]:
    """One for the length of a block; ``seconds``: how long the first password is kept back."""
    between = Relay(place, seconds)
    try:
        yield between
    finally:
        between.close()
