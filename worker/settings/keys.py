"""Where the keys that seal secrets at rest come from."""

from __future__ import annotations

import base64
import os
import re
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from worker.errors import UsageError


def parsed(text: str) -> list[bytes]:
    """Comma-separated keys, each 32 bytes in URL-safe base64; UsageError tells which one isn't."""
    parts = [part.strip() for part in text.split(",")]
    for number, part in enumerate(parts, 1):
        if not re.fullmatch(r"[A-Za-z0-9_-]{43}=?", part):
            raise UsageError(
                f"key {number} of {len(parts)} is not 32 bytes in URL-safe base64",
                "make one with `siproster keygen`",
            )
    return [base64.urlsafe_b64decode(part.rstrip("=") + "=") for part in parts]


def checked(text: str) -> str:
    """The text as it is, once it can be parsed."""
    parsed(text)
    return text


def beside(ledger: Path, new_key: Callable[[], str]) -> list[bytes]:
    """The keys in ``<ledger>.key``, which is made where there is none."""
    path = ledger.with_name(f"{ledger.name}.key")
    try:
        if not path.exists():
            _create(path, new_key())
        if path.stat().st_mode & 0o077:
            raise UsageError(f"{path} can be read by others", f"run: chmod 600 {path}")
        return parsed(path.read_text("ascii"))
    except UnicodeDecodeError:
        raise UsageError(f"{path} holds no key", "put back the one that was there") from None
    except OSError as error:
        raise UsageError(f"the sealing key can't be used: {path}: {error.strerror}") from None


def _create(path: Path, key: str) -> None:
    """Whole or not at all; where two processes make one at once, the first one's key stays."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".key-")
    try:
        with os.fdopen(handle, "w") as file:
            file.write(f"{key}\n")
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(name, path)
    finally:
        Path(name).unlink()
