"""Where a realm's registrar is: SRV records (RFC 2782, RFC 3263), else the realm's own host."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import dns.asyncresolver
import dns.exception
import dns.resolver

from worker.register.finding import Undecided
from worker.register.transaction import Transport, written

log = logging.getLogger(__name__)

Address = tuple[str, int]

_SERVICES = {Transport.UDP: "_sip._udp", Transport.TCP: "_sip._tcp", Transport.TLS: "_sips._tcp"}
_PORTS = {Transport.UDP: 5060, Transport.TCP: 5060, Transport.TLS: 5061}


@dataclass(frozen=True, slots=True)
class Place:
    """A server by its name, or address, and port."""

    host: str
    port: int


class Lookup:
    """Asks DNS. ``nameservers`` and ``port``: others than the system's."""

    def __init__(self, nameservers: Sequence[str] = (), port: int = 53, seconds: float = 5.0) -> None:
        self._nameservers = nameservers
        self._port = port
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
        name = f"{_SERVICES[transport]}.{realm}"
        records = await self._records(name)
        if records is None:
            return [Place(realm, _PORTS[transport])]
        found = [Place(one.target.to_text(omit_final_dot=True), one.port) for one in records]
        if [one.host for one in found] == ["."]:
            raise Undecided(f"{name} says that {realm} has no SIP service over {transport}")
        return found

    async def _records(self, name: str) -> Sequence[Any] | None:
        """The SRV records by priority and weight; None: there are none, and DNS is sure of it."""
        try:
            resolver = dns.asyncresolver.Resolver(configure=not self._nameservers)
            if self._nameservers:
                resolver.nameservers, resolver.port = list(self._nameservers), self._port
            answer = await resolver.resolve(f"{name}.", "SRV", lifetime=self._seconds)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return None
        except (dns.exception.DNSException, OSError, UnicodeError) as error:
            raise Undecided(f"DNS can't say where {name} is ({type(error).__name__})") from None
        return answer.rrset.processing_order() if answer.rrset is not None else None


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
