"""Claims of a token, read for advice and never for a decision: the token is not verified here.

Bandwidth's tokens are JWTs (RFC 7519) with claims of its own: ``accounts``, ``roles``, ``express``. A token
that is no JWT is as good as any.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable
from dataclasses import dataclass

ROLE = "SIP Credentials"
"""The role needed to create SIP credentials, by the service's own name."""


@dataclass(frozen=True, slots=True)
class Claims:
    """Claims that say what a token allows; None if the token does not say."""

    accounts: tuple[str, ...] | None = None
    roles: tuple[str, ...] | None = None
    express: bool = False
    """True for a token of a voice-only account."""

    def lacks_account(self, account: str) -> bool:
        """Return whether the token names accounts and this one is not among them."""
        return self.accounts is not None and account not in self.accounts

    def lacks_role(self) -> bool:
        """Return whether the token names roles and none is the one for SIP credentials (case-insensitive)."""
        return self.roles is not None and _plain(ROLE) not in map(_plain, self.roles)


def read_claims(token: str) -> Claims | None:
    """Return the claims of a JWT, or None for any other token."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        padded = parts[1] + "=" * (-len(parts[1]) % 4)
        content = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, RecursionError):
        return None
    if not isinstance(content, dict):
        return None
    express = str(content.get("express", "")).lower() == "true"
    return Claims(_texts(content.get("accounts")), _texts(content.get("roles")), express)


def _texts(value: object) -> tuple[str, ...] | None:
    """Return a claim's texts: a list, a single value, or several separated by commas; else None."""
    if isinstance(value, str) and value:
        return tuple(one.strip() for one in value.split(","))
    if isinstance(value, int) and not isinstance(value, bool):
        return (str(value),)
    return tuple(_each(value)) if isinstance(value, list) else None


def _each(values: Iterable[object]) -> Iterable[str]:
    return (str(one) for one in values if isinstance(one, str | int) and not isinstance(one, bool))


def _plain(role: str) -> str:
    return "".join(letter for letter in role.casefold() if letter.isalnum())
