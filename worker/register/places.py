"""Where a realm's registrar is: SRV records (RFC 2782, RFC 3263), else the realm's own host."""

from __future__ import annotations

import asyncio
import logging
import socket
from dataclasses import dataclass

from worker.errors import NotFound, SiprosterError
from worker.register.finding import Undecided
from worker.register.transaction import Transport, written
from worker.srv import SECONDS, NotOffered, look_up

log = logging.getLogger(__name__)

Address = tuple[str, int]

_PORTS = {Transport.UDP: 5060, Transport.TCP: 5060, Transport.TLS: 5061}


@dataclass(frozen=True, slots=True)
class Place:
    """A server by its name, or address, and port."""

    host: str
    port: int


class Lookup:
    """Asks DNS. ``resolver``: ``ADDRESS`` or ``ADDRESS:PORT`` of a server other than the system's."""

    def __init__(self, resolver: str = "", seconds: float = SECONDS) -> None:
        self._resolver = resolver
        self._seconds = seconds

    async def addresses(self, realm: str, transport: Transport, place: Place | None) -> list[Address]:
        """The servers to be tried, in their order; ``place`` in place of what DNS says of the realm.

        Raises Undecided when that can't be found out, or there is none.
        """
        places = [place] if place else await self._places(realm, transport)
        found = [address for one in places for address in await _of_host(one, transport)]
        if not found:
            names = ", ".join(written((one.host, one.port)) for one in places)
            raise Undecided(f"DNS knows no address of {names}")
        log.debug("registrar of %s: %s", realm, ", ".join(map(written, found)))
        return list(dict.fromkeys(found))

    async def _places(self, realm: str, transport: Transport) -> list[Place]:
        try:
            found = await asyncio.to_thread(look_up, realm, transport.value, self._resolver, self._seconds)
        except NotOffered as no:
            raise Undecided(no.message) from None
        except NotFound:  # DNS is sure of it
            return [Place(realm, _PORTS[transport])]
        except (SiprosterError, OSError, UnicodeError) as error:
            raise Undecided(str(error)) from None
        return [Place(one.host, one.port) for one in found]


async def _of_host(place: Place, transport: Transport) -> list[Address]:
    kind = socket.SOCK_DGRAM if transport is Transport.UDP else socket.SOCK_STREAM
    try:
        found = await asyncio.get_running_loop().getaddrinfo(place.host, place.port, type=kind)
    except socket.gaierror as error:
        if error.errno == socket.EAI_AGAIN:
            raise Undecided(f"DNS can't say where {place.host} is (it did not answer)") from None
        return []
    except (OSError, UnicodeError):
        return []
    return [(str(address[0]), int(address[1])) for *_, address in found]
