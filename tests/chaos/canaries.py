"""Looks for secrets in everything that a run left behind, byte by byte."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import LiteralString

from tests.chaos.rosters import CANARY
from tests.chaos.world import CLIENT_SECRET, World

_DIGEST = re.compile(rb"(?i)(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])")
_TABLES: tuple[LiteralString, ...] = ("jobs", "writers", "realms", "pages", "chunks", "outcomes", "meta")

MAY_HOLD = {"rosters"}
"""Folders of the evidence that the harness itself put passwords into."""


def found(world: World, digests: Collection[str]) -> Iterator[str]:
    """Every place where a password, a digest, the client's secret or the sealing key can be read."""
    words = [CANARY.encode(), CLIENT_SECRET.encode(), world.key.encode(), world.postgres.PASSWORD.encode()]
    for path in [*_files(world.folder), *_files(world.postgres.folder / "data")]:
        with contextlib.suppress(FileNotFoundError):  # of servers that still run
            yield from _in(str(path), path.read_bytes(), words, digests)
    for table in _TABLES:
        for row in world.query(f"SELECT t::text FROM {table} t"):  # noqa: S608 - from the list above
            yield from _in(f"table {table}", row[0].encode(), words, digests)


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.relative_to(folder).parts[0] not in MAY_HOLD:
            yield path


def _in(place: str, content: bytes, words: Collection[bytes], digests: Collection[str]) -> Iterator[str]:
    yield from (f"{place} holds {word.decode()}" for word in words if word in content)
    for match in _DIGEST.finditer(content):
        if match[0].decode().lower() in digests:
            yield f"{place} holds a digest"
            return
