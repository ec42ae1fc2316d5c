"""The snapshot file: one line of JSON that describes it, then sealed chunks of credentials.

Each chunk is its length (4 bytes, big-endian) and the sealed bytes, which open only at their own position
in this very file; the last chunk states the number of rows. So any change, swap or truncation is noticed.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

from worker.errors import LedgerError, SiprosterError, UsageError
from worker.files import whole_file
from worker.model import Family, Stored
from worker.reasons import reason_of
from worker.seal import Seal

FORMAT = "siproster snapshot 1"
_ROWS = 1000
_LONGEST_LINE = 4096
_LONGEST_CHUNK = 16 << 20
_LENGTH = 4
_fingerprint = re.compile("[0-9a-f]{16}").fullmatch


@dataclass(frozen=True, slots=True)
class Facts:
    """The facts that the file states in clear."""

    family: Family
    """The endpoint family that the account was read through."""
    host: str
    account: str
    realm: str
    """Host name of the one realm that was read; empty: the whole account."""
    taken: str
    """When reading began: ISO 8601, UTC."""
    key: str
    """Fingerprint of the key that sealed it."""


def write(path: Path, facts: Facts, seal: Seal, entries: Iterable[Stored]) -> int:
    """Write the file (mode 0600), which gets its name when complete; return how many credentials it has.

    Raises UsageError if a file of that name exists, or can't be created; SiprosterError if writing fails
    before its end.
    """
    if os.path.lexists(path):
        raise _exists(path)
    head = _line(facts)
    with _new_file(path) as file:
        file.write(head)
        for seq, chunk in enumerate(_chunks(entries)):
            sealed = seal.close_over(chunk, _place(head, seq))
            file.write(len(sealed).to_bytes(_LENGTH, "big") + sealed)
    return int(chunk["rows"])


class Snapshot:
    """A snapshot's file. Raises UsageError for a file that is no snapshot, or can't be read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._opened() as file:
            self._head = file.readline(_LONGEST_LINE)
        self.facts = self._read_facts()

    def entries(self, seal: Seal) -> Iterator[Stored]:
        """Yield every credential. Raises UsageError if the key is missing, or the file was changed."""
        if not seal.can_open(self.facts.key):
            raise UsageError(
                f"{self.path} is sealed with key {self.facts.key}, which this process doesn't have",
                "add that key to SIPROSTER_KEY, behind a comma: the first key seals, all of them open",
            )
        with self._opened() as file:
            file.seek(len(self._head))
            rows = 0
            for seq in itertools.count():
                chunk = self._open(seal, self._sealed(file), seq)
                if isinstance(chunk, dict):
                    break
                rows += len(chunk)
                yield from (Stored(*row) for row in chunk)
            if chunk != {"rows": rows} or file.read(1):
                raise self._damaged()

    @contextmanager
    def _opened(self) -> Iterator[BinaryIO]:
        try:
            with self.path.open("rb") as file:
                yield file
        except OSError as error:
            raise UsageError(
                f"{self.path} can't be read: {reason_of(error)}",
                "name a file that `siproster snapshot FILE` has written",
            ) from None

    def _read_facts(self) -> Facts:
        try:
            told = json.loads(self._head)
            if told["format"] == FORMAT and _fingerprint(told["key"]):
                clear = (str(told[name]) for name in ("host", "account", "realm", "taken", "key"))
                return Facts(Family(told["family"]), *clear)
        except (ValueError, LookupError, TypeError, RecursionError):  # a foreign file may contain anything
            pass
        raise UsageError(f"{self.path} is not a snapshot", "`siproster snapshot FILE` creates one")

    def _sealed(self, file: BinaryIO) -> bytes:
        length = int.from_bytes(file.read(_LENGTH), "big")
        sealed = file.read(length) if length <= _LONGEST_CHUNK else b""
        if not length or len(sealed) != length:
            raise self._damaged()
        return sealed

    def _open(self, seal: Seal, sealed: bytes, seq: int) -> Any:
        try:
            return seal.open(sealed, _place(self._head, seq))
        except LedgerError:
            raise self._damaged() from None

    def _damaged(self) -> UsageError:
        return UsageError(f"{self.path} was changed or is incomplete", "restore it from a backup")


def _line(facts: Facts) -> bytes:
    return json.dumps({"format": FORMAT, **asdict(facts)}).encode("ascii") + b"\n"


def _place(head: bytes, seq: int) -> str:
    return f"snapshot/{hashlib.sha256(head).hexdigest()}/{seq}"


def _chunks(entries: Iterable[Stored]) -> Iterator[Any]:
    """Yield lists of rows, and finally the end mark."""
    source, rows = map(_row, entries), 0
    while group := list(itertools.islice(source, _ROWS)):
        rows += len(group)
        yield group
    yield {"rows": rows}


def _row(entry: Stored) -> list[str | None]:
    return [entry.id, entry.composite, entry.realm, entry.hash1, entry.hash1b, entry.application]


def _exists(path: Path) -> UsageError:
    return UsageError(f"{path} already exists", "choose another file: siproster never overwrites a snapshot")


@contextmanager
def _new_file(path: Path) -> Iterator[BinaryIO]:
    begun = False
    try:
        with whole_file(path) as file:
            begun = True
            yield file
    except FileExistsError:  # it was created while the account was read
        raise _exists(path) from None
    except OSError as error:
        if not begun:
            raise UsageError(
                f"{path} can't be written: {reason_of(error)}", "choose another folder"
            ) from None
        raise SiprosterError(f"{path} can't be written completely: {reason_of(error)}") from None
