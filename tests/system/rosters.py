"""Rosters and result files as a user has them, and the digests that must come out of them."""

from __future__ import annotations

import codecs
import csv
import hashlib
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.sandbox import Sandbox

SAMPLES = Path(__file__).parents[2] / "samples"

Row = dict[str, str]
Digests = tuple[str, str]


@dataclass(frozen=True)
class User:
    """One user that a roster asks for."""

    name: str
    """``user`` or ``user@domain``."""
    password: str
    realm: str = "office"
    """The short name of the realm it belongs on."""

    def digests(self, host: str) -> Digests:
        """Hash1 and Hash1b on the realm of this host name (docs/bandwidth-api.md#digests)."""
        return (
            hashlib.md5(f"{self.name}:{host}:{self.password}".encode(), usedforsecurity=False).hexdigest(),
            hashlib.md5(
                f"{self.name}@{host}:{host}:{self.password}".encode(), usedforsecurity=False
            ).hexdigest(),
        )


def records(path: Path, encoding: str = "utf-8-sig", delimiter: str = ",") -> Iterator[tuple[int, Row]]:
    """Every record that isn't blank, with the physical line on which it starts."""
    reader = csv.reader(io.StringIO(path.read_bytes().decode(encoding), newline=""), delimiter=delimiter)
    header = next(reader)
    line = reader.line_num + 1
    for cells in reader:
        if any(cells):
            yield line, dict(zip(header, cells, strict=False))
        line = reader.line_num + 1


def result_rows(path: str | Path) -> list[Row]:
    """The lines of a result file, as they stand there; its delimiter is the roster's."""
    codec = "utf-16" if Path(path).read_bytes().startswith(codecs.BOM_UTF16_LE) else "utf-8-sig"
    with Path(path).open(encoding=codec, newline="") as file:
        (delimiter,) = re.findall(r"\A\w+(\W)", file.readline())
        file.seek(0)
        return list(csv.DictReader(file, delimiter=delimiter))


def write(path: Path, rows: Sequence[Mapping[str, str]]) -> Path:
    """A CSV file with these rows; the first one's keys are the header."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def users(count: int, first: int = 0) -> list[User]:
    """Users without a name or a password in common."""
    return [User(f"ext{number}", f"Pw-{number * 7919:08d}-xY") for number in range(first, first + count)]


def roster_of(path: Path, wanted: Iterable[User]) -> Path:
    """A roster that asks for these users."""
    return write(path, [{"username": user.name, "password": user.password} for user in wanted])


def truth(sandbox: Sandbox) -> dict[tuple[str, str], Digests]:
    """Return the digests that the service holds, by the realm's short name and the composite name."""
    return {
        (_label(held), held["composite"]): (held["hash1"], held["hash1b"]) for held in sandbox.credentials()
    }


def expected(sandbox: Sandbox, wanted: Iterable[User]) -> dict[tuple[str, str], Digests]:
    """Return the digests that the service must hold for these users, with its own realms' host names."""
    hosts = {_label(held): held["realm"] for held in sandbox.credentials()}
    return {
        (user.realm, user.name): user.digests(hosts.get(user.realm, f"no realm {user.realm}"))
        for user in wanted
    }


def made_once(sandbox: Sandbox) -> bool:
    """Return whether every credential was created exactly once, and neither changed nor deleted since."""
    histories = {
        (held["created"], held["updated"], held["deleted"]) for held in sandbox.credentials(deleted=True)
    }
    return histories == {(1, 0, 0)}


def _label(held: Mapping[str, Any]) -> str:
    return str(held["realm"]).rpartition("-")[0]
