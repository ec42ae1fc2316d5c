"""Start options of the sandbox; none of them changes while it runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Options:
    """Start options. The defaults are no secrets: they are documented, and open nothing else."""

    accounts: Sequence[str] = ("9900001",)
    client_id: str = "sandbox"
    client_secret: str = "sandbox"  # noqa: S105 - no secret, see above
    username: str = "sandbox"
    """User name of HTTP Basic."""
    password: str = "sandbox"  # noqa: S105 - no secret, see above
    realms: Sequence[str] = ("office",)
    """Short names of the realms that each account starts with, all ACTIVE."""
    default_realm: str | None = None
    """The default one among the realms; None for the first, empty for none."""
    knobs: Mapping[str, Any] = field(default_factory=dict)
    sip_port: int | None = None
    """The registrar's port, UDP and TCP; 0 for any free port; None for no registrar."""
    log_limit: int | None = None
    """Keep only so many lines of the log; None: all."""

    def __post_init__(self) -> None:
        """Raise ValueError if the default realm is not among the realms."""
        if self.default_realm and self.default_realm not in self.realms:
            raise ValueError(f"default realm {self.default_realm}: it is none of {', '.join(self.realms)}")
