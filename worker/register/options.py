"""Options for asking registrars: the user's choices, the same for all rows."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from enum import StrEnum

from worker import ca_certificates
from worker.register.addresses import Lookup, ServerAddress
from worker.register.timers import Timers
from worker.register.transaction import Transport


class AuthName(StrEnum):
    """The user name that goes into the digest; the registrar stores one hash for each form."""

    USER = "user"
    """The composite name: exercises Hash1."""
    USER_AT_REALM = "user@realm"
    """The composite name, ``@`` and the realm's host name: exercises Hash1b."""


@dataclass(frozen=True, slots=True)
class RegisterOptions:
    """Options of a verification. ``server``: the registrar of every realm, used in place of DNS."""

    transport: Transport = Transport.UDP
    auth_name: AuthName = AuthName.USER
    with_contact: bool = False
    """Bind a contact for a moment and take it away again; else only ask for the bindings."""
    server: ServerAddress | None = None
    timers: Timers = field(default_factory=Timers)
    lookup: Lookup = field(default_factory=Lookup)
    tls: ssl.SSLContext = field(default_factory=ca_certificates.context)
