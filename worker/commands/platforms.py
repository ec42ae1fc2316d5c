"""``call --for``: what another platform needs to call in with a credential. Nothing is sent to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from worker.errors import NotFound, Unavailable
from worker.srv import Target, look_up

PLATFORMS = ("twilio", "generic")

Parameters = dict[str, str | None]

_NUMBER = "+NUMBER"
"""Stands for whom the platform is to call; any number in E.164."""

_NAMES = {
    "twilio": ("To", "From", "SipAuthUsername", "SipAuthPassword", "Url"),
    "generic": ("request URI", "caller", "authentication user", "password", "application"),
}
"""The platforms' own parameter names; Twilio's are those of its Calls API, as in the guide."""

_OPEN = (
    "",
    "(a number of yours on the platform)",
    "",
    "(this user's clear-text password; siproster has no copy of it)",
    "(the URL of the call's instructions)",
)
"""Placeholders for values that only the user knows."""


@dataclass(frozen=True, slots=True)
class Edge:
    """The servers that take calls: the realm's SRV targets, best first, or the reason why there are none."""

    targets: Sequence[Target] = ()
    trouble: NotFound | Unavailable | None = None

    @property
    def port(self) -> int | None:
        """Return the account's own port; None if it is not known."""
        return self.targets[0].port if self.targets else None

    @property
    def exit_code(self) -> int:
        """Return 0 if DNS answered, even that there is no record; 5 if it did not answer."""
        return self.trouble.exit_code if isinstance(self.trouble, Unavailable) else 0


def edge_of(host: str, resolver: str) -> Edge:
    """Ask DNS for the realm's edge. Raises UsageError for a resolver that is none."""
    try:
        return Edge(look_up(host, "udp", resolver))
    except (NotFound, Unavailable) as trouble:
        return Edge(trouble=trouble)


def parameters(platform: str, user: str, host: str, number: str, answer_url: str, edge: Edge) -> Parameters:
    """Return the parameters by the platform's own names; None for those that only the user knows."""
    port = f":{edge.port}" if edge.port else ":PORT" if edge.exit_code else ""
    values = (f"sip:{_NUMBER}@{host}{port}", number or None, user, None, answer_url or None)
    return dict(zip(_NAMES[platform], values, strict=True))


def shown(given: Parameters, edge: Edge) -> dict[str, str]:
    """Return the same for people, with the servers behind the realm."""
    servers = ", ".join(f"{one.host}:{one.port}" for one in edge.targets)
    words = {name: value or word for (name, value), word in zip(given.items(), _OPEN, strict=True)}
    return words | ({"SIP servers": servers} if servers else {})


def facts(platform: str, given: Parameters, host: str, edge: Edge) -> dict[str, Any]:
    """Return the facts for ``--json``. ``dns``: ``found``, ``no_record``, ``no_answer``."""
    missed = "no_answer" if edge.exit_code else "no_record"
    return {
        "platform": platform,
        "parameters": given,
        "realm": host,
        "port": edge.port,
        "dns": missed if edge.trouble else "found",
        "servers": [{"host": one.host, "port": one.port, "priority": one.priority} for one in edge.targets],
    }
