"""How the sandbox is started; nothing here changes while it runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Options:
    """The defaults are no secrets: the documentation prints them, and they open nothing but this process."""

    accounts: Sequence[str] = ("9900001",)
    client_id: str = "sandbox"
    client_secret: str = "sandbox"  # noqa: S105 - no secret, see above
    username: str = "sandbox"
    """Of HTTP Basic."""
    password: str = "sandbox"  # noqa: S105 - no secret, see above
    realms: Sequence[str] = ("office",)
    """Short names of the realms that each account starts with, all ACTIVE."""
    default_realm: str | None = None
    """Which of them is the default one; None: the first, empty: none."""
    knobs: Mapping[str, Any] = field(default_factory=dict)
    sip_port: int | None = None
    """Where the registrar listens, UDP and TCP; 0: any free port; None: there is no registrar."""
    log_limit: int | None = None
    """Keep only so many lines of the log; None: all."""

    def __post_init__(self) -> None:
        """Raises ValueError when the default realm is none of the realms."""
        if self.default_realm and self.default_realm not in self.realms:
            raise ValueError(f"default realm {self.default_realm}: it is none of {', '.join(self.realms)}")
