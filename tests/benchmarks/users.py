"""The users of every benchmark: numbered, so that rosters, digests and stored entries come from a formula.

Imports nothing but the standard library, so that the server process stays small.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import md5
from pathlib import Path

ACCOUNT = "9900001"
CLIENT, SECRET = "bench", "bench"
REALM_ID = "1"
HOST = "bench-0a1b2c.auth.bandwidth.com"
"""The account's only realm, which is its default one."""

_PREFIX = "ext"


def name(number: int) -> str:
    """Return the user name with this number."""
    return f"{_PREFIX}{number}"


def number_of(user: str) -> int | None:
    """Return the number of a user name, or None if it is not one of these users."""
    digits = user.removeprefix(_PREFIX)
    return int(digits) if digits.isdecimal() and digits != user else None


def password(number: int) -> str:
    """Return the password of the user with this number."""
    return f"Pw-{number * 7919:08d}-xY"


def digests(user: str, secret: str) -> tuple[str, str]:
    """Return Hash1 and Hash1b on the realm."""
    ending = f":{HOST}:{secret}"
    return (
        md5(f"{user}{ending}".encode(), usedforsecurity=False).hexdigest(),
        md5(f"{user}@{HOST}{ending}".encode(), usedforsecurity=False).hexdigest(),
    )


def write_new(path: Path, rows: int) -> Path:
    """Write a roster of the first ``rows`` users, with the columns of an ordinary export."""
    with path.open("w", encoding="utf-8") as file:
        file.write("username,password,name,site\n")
        file.writelines(f"{name(n)},{password(n)},Person {n},Site {n % 20}\n" for n in range(rows))
    return path


def write_mixed(path: Path, stored: int, rows: int) -> Path:
    """Write a roster spread over ``stored`` users: of 20 rows one is new and one has another password."""
    with path.open("w", encoding="utf-8") as file:
        file.write("username,password,name,site\n")
        file.writelines(f"{who},{secret},Person,Site\n" for who, secret in _mixed(stored, rows))
    return path


def mixed_counts(rows: int) -> tuple[int, int, int]:
    """Return how many rows of ``write_mixed`` are new, differ, and are stored as they are."""
    new, differing = len(range(0, rows, 20)), len(range(1, rows, 20))
    return new, differing, rows - new - differing


def _mixed(stored: int, rows: int) -> Iterator[tuple[str, str]]:
    step = stored // rows
    for row in range(rows):
        number = row * step
        if row % 20 == 0:
            yield f"new{row}", password(number)
        elif row % 20 == 1:
            yield name(number), f"{password(number)}-other"
        else:
            yield name(number), password(number)
