"""Servers of a realm's registrar: SRV records (RFC 2782, RFC 3263), else the realm's own host."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import socket
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from worker.errors import NotFound, SiprosterError
from worker.register.result import Undecided
from worker.register.transaction import Transport, written
from worker.srv import SECONDS, NotOffered, look_up

log = logging.getLogger(__name__)

Address = tuple[str, int]

_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 5.0
"""Seconds between two questions about a name that does not exist yet."""

_LAG = (
    "; a new realm may not be in DNS yet: try again in a few minutes; a registrar that is elsewhere, "
    "such as the sandbox's, is named with --registrar HOST:PORT"
)

_PORTS = {Transport.UDP: 5060, Transport.TCP: 5060, Transport.TLS: 5061}


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """A server's host name or IP address, and its port."""

    host: str
    port: int


OfHost = Callable[[ServerAddress, Transport], Awaitable[list[Address]]]


@dataclass(frozen=True, slots=True)
class Waiting:
    """Limits on the wait for a realm's name, which may lag behind the realm (docs/bandwidth-api.md#realms).

    ``notify`` is called with a sentence that names the wait and its end.
    """

    seconds: float = 0.0
    notify: Callable[[str], None] = log.info


class Lookup:
    """A DNS client. ``resolver``: ``ADDRESS`` or ``ADDRESS:PORT`` of a server other than the system's."""

    def __init__(
        self,
        resolver: str = "",
        seconds: float = SECONDS,
        waiting: Waiting | None = None,
        of_host: OfHost | None = None,
    ) -> None:
        """``seconds``: the limit for one answer about records. ``of_host`` resolves a server's host name."""
        self._resolver = resolver
        self._seconds = seconds
        self._waiting = waiting or Waiting()
        self._of_host = of_host or _of_host

    async def addresses(
        self, realm: str, transport: Transport, server: ServerAddress | None
    ) -> list[Address]:
        """Return the servers to try, in order. A ``server`` is used in place of the realm's DNS records.

        If DNS is certain that the realm does not exist, it is asked again for a while. Raises Undecided if
        the servers can't be found, or there is none.
        """
        end, pause, told = time.monotonic() + self._waiting.seconds, _FIRST_PAUSE, False
        while True:
            servers = [server] if server else await self._servers(realm, transport)
            found = [address for one in servers for address in await self._of_host(one, transport)]
            if found:
                log.debug("registrar of %s: %s", realm, ", ".join(map(written, found)))
                return list(dict.fromkeys(found))
            names = ", ".join(written((one.host, one.port)) for one in servers)
            unknown = not server and names == written((realm, _PORTS[transport]))
            left = end - time.monotonic()
            if not unknown or left <= 0:
                raise Undecided(f"DNS knows no address of {names}" + (_LAG if unknown else ""))
            if not told:
                self._waiting.notify(_waits(realm, self._waiting.seconds))
                told = True
            await asyncio.sleep(min(pause, left))
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _servers(self, realm: str, transport: Transport) -> list[ServerAddress]:
        found = await asyncio.to_thread(servers_of, realm, transport, self._resolver, self._seconds)
        return found or [usual_server(realm, transport)]


def servers_of(
    realm: str, transport: Transport, resolver: str = "", seconds: float = SECONDS
) -> list[ServerAddress]:
    """Return the servers of a realm's SRV records, in the order in which to try them; empty: it has none.

    Raises Undecided if DNS can't tell, or says that the realm offers no such service.
    """
    try:
        found = look_up(realm, transport.value, resolver, seconds)
    except NotOffered as no:
        raise Undecided(no.message) from None
    except NotFound:  # DNS is sure of it
        return []
    except (SiprosterError, OSError, UnicodeError) as error:
        raise Undecided(str(error)) from None
    return [ServerAddress(one.host, one.port) for one in found]


def usual_server(realm: str, transport: Transport) -> ServerAddress:
    """Return the server of a realm without SRV records: its own host (RFC 3263, 4.2)."""
    return ServerAddress(realm, _PORTS[transport])


def _waits(realm: str, seconds: float) -> str:
    until = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=seconds)
    return (
        f"DNS does not know {realm} yet, which is normal for a new realm: "
        f"asking again until {until:%H:%M:%SZ} ({seconds:g} s); the sandbox's realms are never there: "
        "its registrar is named with --registrar HOST:PORT"
    )


async def _of_host(server: ServerAddress, transport: Transport) -> list[Address]:
    kind = socket.SOCK_DGRAM if transport is Transport.UDP else socket.SOCK_STREAM
    try:
        found = await asyncio.get_running_loop().getaddrinfo(server.host, server.port, type=kind)
    except socket.gaierror as error:
        if error.errno == socket.EAI_AGAIN:
            raise Undecided(f"DNS did not answer for {server.host}") from None
        return []
    except (OSError, UnicodeError):
        return []
    return [(str(address[0]), int(address[1])) for *_, address in found]
