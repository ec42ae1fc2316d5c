"""Sources of the keys that seal secrets at rest."""

from __future__ import annotations

import base64
import os
import re
import stat
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from worker.errors import UsageError
from worker.files import open_found, whole_file
from worker.reasons import reason_of

_LONGEST = 1 << 16
"""Bytes."""


def parsed(text: str) -> list[bytes]:
    """Return the comma-separated keys, each 32 bytes in URL-safe base64. Raises UsageError."""
    parts = [part.strip() for part in text.split(",")]
    for number, part in enumerate(parts, 1):
        if not re.fullmatch(r"[A-Za-z0-9_-]{43}=?", part):
            raise UsageError(
                f"key {number} of {len(parts)} is not 32 bytes in URL-safe base64",
                "set it to the ledger's key; for a new ledger, to one that `siproster keygen` prints",
            )
    return [base64.urlsafe_b64decode(part.rstrip("=") + "=") for part in parts]


def checked(text: str) -> str:
    """Return the text unchanged if it can be parsed. Raises UsageError."""
    parsed(text)
    return text


def beside(ledger: Path, new_key: Callable[[], str], sealed_with: Callable[[], Sequence[str]]) -> list[bytes]:
    """Return the keys in ``<ledger>.key``, which is created if it is missing and nothing is sealed yet.

    ``sealed_with`` returns the fingerprints of the keys that the ledger's rows are sealed with.
    """
    path = ledger.with_name(f"{ledger.name}.key")
    try:
        if not os.path.lexists(path):
            _refuse_another_key(path, sealed_with())
            _create(path, new_key())
        with open_found(path) as file:
            _refuse_others(path, os.fstat(file.fileno()))
            return _of_file(path, file.read(_LONGEST))
    except OSError as error:
        raise UsageError(
            f"the sealing key can't be used: {path}: {reason_of(error)}",
            f"let this user read and write it (`ls -l {path}`), or set SIPROSTER_KEY",
        ) from None


def _of_file(path: Path, content: bytes) -> list[bytes]:
    try:
        return parsed(content.decode("ascii"))
    except (UnicodeDecodeError, UsageError):
        raise UsageError(
            f"{path} contains no key",
            "put the file back from a backup, or set SIPROSTER_KEY to the key: nothing else opens its rows",
        ) from None


def _refuse_another_key(path: Path, used: Sequence[str]) -> None:
    """Raise UsageError if rows are sealed already: a new key could not open them."""
    if used:
        raise UsageError(
            f"{path} is missing, and the ledger's rows are sealed with it (key {', '.join(used)})",
            "put it back from a backup, or set SIPROSTER_KEY to it; if it is lost, remove the jobs that it "
            "sealed (`siproster jobs purge`), or use another ledger with SIPROSTER_LEDGER",
        )


def _refuse_others(path: Path, facts: os.stat_result) -> None:
    if not stat.S_ISREG(facts.st_mode) or facts.st_uid not in (os.geteuid(), 0):
        raise UsageError(f"{path} is not your own file", "restore the original file")
    if facts.st_mode & 0o077:
        raise UsageError(f"{path} can be read by others", f"run: chmod 600 {path}")


def _create(path: Path, key: str) -> None:
    """Create the file atomically. If two processes do so at once, the first one's key stays."""
    with suppress(FileExistsError), whole_file(path) as file:
        file.write(f"{key}\n".encode())
