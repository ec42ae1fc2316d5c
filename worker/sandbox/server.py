"""The process: socket, uvicorn, and a clean shutdown."""

from __future__ import annotations

import contextlib
import signal
import socket
import sys
from collections.abc import Callable

import uvicorn

from worker.sandbox.app import application
from worker.sandbox.options import Options
from worker.sandbox.sip import SipServer
from worker.sandbox.state import State

IDLE = 300
"""Seconds that an idle connection is kept: longer than any client of a test waits."""
GRACE = 1
"""Seconds that requests in flight get at the end; one that stalls on purpose gets no more."""


Announce = Callable[[str, str], None]
"""Told the API's URL and the registrar's HOST:PORT (empty: it doesn't run) as soon as both listen."""


class Announced(uvicorn.Server):
    """A uvicorn server that announces when it is ready."""

    def __init__(self, config: uvicorn.Config, sip: SipServer | None, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._sip = sip
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start serving, then say so."""
        if self._sip:
            await self._sip.start()
        await super().startup(sockets)
        self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, the registrar first."""
        if self._sip:
            self._sip.close()
        await super().shutdown(sockets)


def to_stdout(url: str, registrar: str) -> None:
    """Print the lines that say where the sandbox is."""
    sys.stdout.write(f"sandbox ready at {url}\n")
    sys.stdout.write(f"registrar ready at {registrar}\n" if registrar else "")
    sys.stdout.flush()


def main(
    *,
    host: str = "127.0.0.1",
    port: int = 8321,
    options: Options | None = None,
    announce: Announce = to_stdout,
) -> None:
    """Serve until SIGTERM or SIGINT, then return. Port 0: any free one, named in the announced URL.

    Only from a process's main thread. Raises OSError if the address is taken, KnobError (a ValueError) if the
    options' knobs are wrong.
    """
    state = State(options or Options())
    listener = socket.create_server((host, port), backlog=512)
    # Inherited by accepted sockets; otherwise each body would wait 40 ms for the ACK of its headers.
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
    sip = sip_server(host, state)
    registrar = f"{host}:{state.sip_port}" if sip else ""
    server = Announced(config, sip, lambda: announce(url, registrar))
    # After its shutdown uvicorn raises the signal again that ended it.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt), listener:
        server.run(sockets=[listener])


def sip_server(host: str, state: State) -> SipServer | None:
    """Return the registrar's listeners, or None if none is wanted. Raises OSError if its port is taken."""
    port = state.options.sip_port
    if port is None:
        return None
    server = SipServer(host, port, lambda: state.registrar, lambda: state.knobs.values)
    state.sip_port = server.port
    return server
