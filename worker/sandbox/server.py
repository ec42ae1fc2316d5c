"""The process: a socket, uvicorn, and a clean end."""

from __future__ import annotations

import contextlib
import signal
import socket
import sys
from collections.abc import Callable

import uvicorn

from worker.sandbox.app import application
from worker.sandbox.options import Options
from worker.sandbox.state import State

IDLE = 300
"""Seconds that an idle connection is kept: longer than any client of a test waits."""
GRACE = 1
"""Seconds that requests in flight get at the end; one that stalls on purpose gets no more."""


class Announced(uvicorn.Server):
    """Says when it is ready."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start serving, then say so."""
        await super().startup(sockets)
        self._ready()


def to_stdout(url: str) -> None:
    """The one line that says where the sandbox is."""
    sys.stdout.write(f"sandbox ready at {url}\n")
    sys.stdout.flush()


def main(
    *,
    host: str = "127.0.0.1",
    port: int = 8321,
    options: Options | None = None,
    announce: Callable[[str], None] = to_stdout,
) -> None:
    """Serve until SIGTERM or SIGINT, then return. Port 0: any free one, named in the announced URL.

    Only from a process's main thread. Raises OSError when the address is taken, KnobError (a
    ValueError) when the options' knobs are wrong.
    """
    state = State(options or Options())
    listener = socket.create_server((host, port), backlog=512)
    # Accepted sockets inherit it; else the body of every answer waits 40 ms for the ACK of its headers.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    url = f"http://{host}:{listener.getsockname()[1]}"
    config = uvicorn.Config(
        application(state),
        http=state.connections.protocol(),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=IDLE,
        timeout_graceful_shutdown=GRACE,
    )
    server = Announced(config, lambda: announce(url))
    # uvicorn raises the signal that ended it once more after its shutdown.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt), listener:
        server.run(sockets=[listener])
