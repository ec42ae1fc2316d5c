"""Tokens: those that people sign in with, and those of their sessions. The ledger has only hashes."""

from __future__ import annotations

import hashlib
import secrets


def new_token() -> str:
    """Return 256 random bits as text without ``.``."""
    return secrets.token_urlsafe(32)


def hash_of(token: str) -> str:
    """Return what the ledger stores for a token. It has 256 random bits, so a fast hash is enough."""
    return hashlib.sha256(b"siproster page token\0" + token.encode("utf-8", "replace")).hexdigest()


def person_token(name: str) -> str:
    """Return a new token for a person, which begins with their name: ``dana.K7…``."""
    return f"{name}.{new_token()}"
