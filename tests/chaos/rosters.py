"""The rosters of a chaos run: what each row asks for, and what must become of it."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from tests.integration.sandbox_client import CREDENTIALS, REALMS, client, entry, roster, texts
from tests.sandbox import Sandbox
from tests.system.rosters import Digests, User, write

CANARY = "Kanarienvogel7f3a"
"""In every password: found anywhere outside the rosters, it says that a password got out."""


class Fate(StrEnum):
    """A row's user as the service has it before the job, which decides the row's expected end."""

    NEW = "new"
    """Nothing: it must be made, once."""
    SAME = "same"
    """The very same credential: it must be found, and never claimed as made."""
    OTHER = "other"
    """One with another password: it must be left alone."""
    INVALID = "invalid"
    """In any state: the row can't be sent."""


_FATES = [Fate.NEW] * 92 + [Fate.INVALID] * 2 + [Fate.SAME, Fate.OTHER] * 3


@dataclass(frozen=True, slots=True)
class Wanted:
    """One row of a roster, with the physical line it stands on."""

    line: int
    user: str
    domain: str
    password: str
    fate: Fate

    @property
    def name(self) -> str:
        """``user`` or ``user@domain``."""
        return f"{self.user}@{self.domain}" if self.domain else self.user

    def digests(self, host: str) -> Digests:
        """Hash1 and Hash1b on the realm of this host name."""
        return User(self.name, self.password).digests(host)


def make(luck: random.Random, count: int, *, crowded: bool) -> list[Wanted]:
    """``count`` rows; ``crowded``: some of the users exist already."""
    rows = []
    for number in range(count):
        fate = luck.choice(_FATES)
        if fate is not Fate.INVALID and not crowded:
            fate = Fate.NEW
        password = "" if fate is Fate.INVALID else f"{CANARY}-{number:05d}-{luck.randbytes(4).hex()}-ü"
        domain = "pbx.example.com" if number % 5 == 0 else ""
        rows.append(Wanted(number + 2, f"ext{number:05d}", domain, password, fate))
    return rows


def write_roster(path: Path, rows: Sequence[Wanted]) -> Path:
    """The CSV file, with a column that is carried into the results."""
    cells = (
        {"username": row.user, "password": row.password, "domain": row.domain, "name": f"Person {row.line}"}
        for row in rows
    )
    return write(path, list(cells))


def realm_host(sandbox: Sandbox) -> str:
    """The host name of the account's only realm."""
    with client(sandbox) as http:
        return texts(http.get(REALMS), "Realms/Realm/Realm")[0]


def settle_in(sandbox: Sandbox, rows: Iterable[Wanted], host: str) -> None:
    """Put on the service what has to be there before the job."""
    with client(sandbox) as http:
        entries = [_stored(row, host) for row in rows if row.fate in (Fate.SAME, Fate.OTHER)]
        if entries:
            http.post(CREDENTIALS, content=roster(entries)).raise_for_status()


def _stored(row: Wanted, host: str) -> str:
    if row.fate is Fate.OTHER:
        return entry(row.user, Domain=row.domain)
    hash1, hash1b = row.digests(host)
    return entry(row.user, Domain=row.domain, Hash1=hash1, Hash1b=hash1b)
