"""Secrets at rest: AES-256-GCM over JSON, bound to the place where the sealed bytes are kept.

Sealed bytes are ``version (1) | key fingerprint (8) | nonce (12) | ciphertext and tag``. The context
(job and position) goes in as associated data, so sealed bytes moved elsewhere don't open.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Sequence
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from worker.errors import SealBroken, UsageError

_VERSION = b"\x01"
_FINGERPRINT = slice(1, 9)
_NONCE = slice(9, 21)


def new_key() -> str:
    """Return a fresh key: 32 random bytes in URL-safe base64, as ``SIPROSTER_KEY`` takes them."""
    return base64.urlsafe_b64encode(os.urandom(32)).decode("ascii")


def fingerprint(key: bytes) -> str:
    """Return 16 hex digits that identify a key without revealing it."""
    return hashlib.sha256(b"siproster sealing key\0" + key).hexdigest()[:16]


class BlockSeal:
    """A seal for many digests in one call, with a key that only this object has and that is never stored.

    For temporary files of one run. An MD5 digest is one block of AES and looks random, so this mode (ECB)
    gives away equal blocks alone, which are entries that came twice.
    """

    def __init__(self) -> None:
        self._cipher = Cipher(algorithms.AES256(os.urandom(32)), modes.ECB())  # noqa: S305 (see above)

    def close_over(self, blocks: bytes) -> bytes:
        """Seal whole blocks of 16 bytes."""
        return self._cipher.encryptor().update(blocks)

    def open(self, blocks: bytes) -> bytes:
        """Return the blocks, opened; modified ones are not detected."""
        return self._cipher.decryptor().update(blocks)


class StreamSeal:
    """A seal for one temporary file, which is written once and read once.

    Its key is never stored, and damage is not detected.
    """

    def __init__(self) -> None:
        cipher = Cipher(algorithms.AES256(os.urandom(32)), modes.CTR(os.urandom(16)))
        self.close_over = cipher.encryptor().update
        """Seal the next bytes."""
        self.open = cipher.decryptor().update
        """Return the next bytes, opened."""


class Seal:
    """A ring of keys: the first one seals, all of them open (so keys can be rotated)."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        if not keys or any(len(key) != 32 for key in keys):
            raise UsageError(
                "a sealing key must be 32 bytes in URL-safe base64",
                "generate one with `siproster keygen`",
            )
        self.fingerprint = fingerprint(keys[0])
        self._ring = {bytes.fromhex(fingerprint(key)): AESGCM(key) for key in keys}

    def __repr__(self) -> str:
        return f"<Seal {self.fingerprint}>"

    def can_open(self, key: str) -> bool:
        """Return whether this ring has the key with this fingerprint, and so can open what it sealed."""
        return bytes.fromhex(key) in self._ring

    def close_over(self, value: Any, context: str) -> bytes:
        """Seal a JSON value for one place."""
        return self.close_over_bytes(json.dumps(value, separators=(",", ":")).encode("ascii"), context)

    def close_over_bytes(self, clear: bytes, context: str) -> bytes:
        """Seal bytes for one place."""
        name = bytes.fromhex(self.fingerprint)
        nonce = os.urandom(12)
        return _VERSION + name + nonce + self._ring[name].encrypt(nonce, clear, context.encode())

    def open(self, sealed: bytes, context: str) -> Any:
        """Return the JSON value. Raises SealBroken if the key is missing or the bytes are not its own."""
        return json.loads(self.open_bytes(sealed, context))

    def open_bytes(self, sealed: bytes, context: str) -> bytes:
        """Return the bytes that ``close_over_bytes`` sealed. Raises SealBroken like ``open``."""
        if sealed[:1] != _VERSION:
            raise SealBroken(
                "sealed rows are not in this version's format", "use the version that sealed them"
            )
        cipher = self._ring.get(sealed[_FINGERPRINT])
        if cipher is None:
            raise SealBroken(
                f"rows are sealed with key {sealed[_FINGERPRINT].hex()}, which is not in SIPROSTER_KEY",
                "add the key that the job was sealed with; the first key in the list seals, all of them open",
            )
        try:
            return cipher.decrypt(sealed[_NONCE], sealed[_NONCE.stop :], context.encode())
        except (InvalidTag, ValueError):  # ValueError: cut off before the nonce ends
            raise SealBroken("sealed rows in the ledger were changed or moved, and can't be opened") from None
