"""Find a realm's SIP servers by its SRV records (RFC 2782, RFC 3263). The only room that asks DNS.

A resolver's answer "there is none" and its silence are told apart: the first is a fact about the realm,
the second is none.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from worker.errors import NotFound, Unavailable, UsageError
from worker.reasons import reason_of

if TYPE_CHECKING:
    from dns.rdtypes.IN.SRV import SRV
    from dns.resolver import Resolver


class NotOffered(NotFound):
    """Raised when the realm's record says that it offers no such service."""


SERVICES: Mapping[str, str] = {"udp": "_sip._udp", "tcp": "_sip._tcp", "tls": "_sips._tcp"}
"""Prefix of the realm's host name for each transport."""

SECONDS = 5.0
"""Most seconds that a resolver may take, for all of its servers together."""

_NO_TARGET = "."
"""The target that says that the service is decidedly not offered (RFC 2782)."""


@dataclass(frozen=True, slots=True)
class Target:
    """One SRV record."""

    host: str
    port: int
    priority: int
    weight: int


def look_up(realm: str, transport: str = "udp", resolver: str = "", seconds: float = SECONDS) -> list[Target]:
    """Return the targets in the order in which to try them: by priority, at random by weight.

    ``resolver``: ``ADDRESS`` or ``ADDRESS:PORT`` of a DNS server; empty: the system's. Raises NotFound if
    the realm has no such record (NotOffered: one that says that there is no such service), Unavailable
    if no server answered, UsageError for a resolver that is no address.
    """
    # Imported here, since it takes longer than most commands, which use no DNS.
    import dns.exception
    import dns.rdtypes.IN.SRV
    import dns.resolver

    name = f"{SERVICES[transport]}.{realm}"
    try:
        answer = _resolver(resolver).resolve(name, "SRV", lifetime=seconds, search=False)
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        raise _none(name) from None
    except dns.exception.DNSException as error:
        raise Unavailable(
            f"DNS did not answer about {name} ({reason_of(error)}): whether it has a record is not known",
            "check the network and the resolver; --resolver ADDRESS asks another one",
        ) from None
    records = answer.rrset.processing_order() if answer.rrset else []
    targets = [_target(record) for record in records if isinstance(record, dns.rdtypes.IN.SRV.SRV)]
    offered = [target for target in targets if target.host]
    if not offered:
        if targets:
            raise NotOffered(f"{name} says that {realm} has no SIP service over {transport}")
        raise _none(name)
    return offered


def check_address(resolver: str) -> None:
    """Raise UsageError for a resolver that ``look_up`` would refuse."""
    if resolver:
        _address(resolver)


def _none(name: str) -> NotFound:
    return NotFound(
        f"there is no SRV record {name}", "SIP's usual port is 5060; ask Bandwidth for the account's own"
    )


def _target(record: SRV) -> Target:
    host = record.target.to_text()
    host = "" if host == _NO_TARGET else host.rstrip(".")
    return Target(host, record.port, record.priority, record.weight)


def _resolver(address: str) -> Resolver:
    import dns.resolver

    if not address:
        return dns.resolver.Resolver()
    host, port = _address(address)
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers = [host]
    resolver.port = port
    return resolver


def _address(text: str) -> tuple[str, int]:
    """Parse ``192.0.2.1``, ``192.0.2.1:5353``, ``2001:db8::1``, ``[2001:db8::1]:5353``."""
    host, colon, port = text.rpartition(":")
    if not colon or (":" in host and not host.startswith("[")):
        host, port = text, "53"
    try:
        number = int(port)
        address = str(ipaddress.ip_address(host.strip("[]")))
    except ValueError:
        number, address = 0, ""
    if not 0 < number < 65536:
        raise UsageError(
            f"{text!r} is not the address of a resolver", "write it as 192.0.2.1 or 192.0.2.1:5353"
        )
    return address, number
