"""The facts about one user's phone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields


@dataclass(frozen=True, slots=True)
class Server:
    """The registrar that a phone sends to."""

    host: str
    port: int
    transport: str
    """``udp``, ``tcp`` or ``tls``."""
    srv: bool = False
    """Whether host and port come from the realm's SRV records, which phones find by themselves."""
    proxy: bool = False
    """Whether it was given in place of DNS, so that phones need it as their outbound proxy."""


@dataclass(frozen=True, slots=True)
class Phone:
    """One user's phone: the variables of a template. Empty: the roster doesn't tell."""

    line: int
    """The row's line in the roster."""
    site: str
    name: str
    extension: str
    old_user: str
    mac: str
    """Twelve lower-case hex digits."""
    did: str
    user: str
    domain: str
    password: str = field(repr=False)
    realm: str
    """The realm's full host name: the domain of the user's SIP address."""
    server: Server
    row: Mapping[str, str]
    """The roster's own columns, without those that may hold secrets."""
    notes: tuple[str, ...] = ()
    """Reasons why a cell of the row could not be used."""

    @property
    def auth_user(self) -> str:
        """Return the user name of its digests, ``user`` or ``user@domain``."""
        return f"{self.user}@{self.domain}" if self.domain else self.user

    @property
    def sip_user(self) -> str:
        """Return the user part of its SIP address, where an ``@`` has to be escaped (RFC 3261, 19.1.2)."""
        return self.auth_user.replace("@", "%40")

    def variables(self) -> dict[str, object]:
        """Return what a template can name."""
        own = {one.name: getattr(self, one.name) for one in fields(self) if one.name not in _INNER}
        server = self.server
        return own | {
            "auth_user": self.auth_user,
            "sip_user": self.sip_user,
            "registrar": server.host,
            "port": server.port,
            "transport": server.transport,
            "srv": server.srv,
            "proxy": server.proxy,
        }


_INNER = frozenset({"server", "notes"})
VARIABLES = frozenset({
    *(one.name for one in fields(Phone) if one.name not in _INNER),
    *("auth_user", "sip_user", "registrar", "port", "transport", "srv", "proxy"),
})  # fmt: skip
"""The names of ``Phone.variables``."""
