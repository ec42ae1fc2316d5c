"""Check that the realm a row goes to is the one that its digests were made for."""

from __future__ import annotations

from worker.digest import digests
from worker.model import Problem, Row

_HINT = "name the full host name that they were made for, in the realm column or with --realm"

_MISMATCH = Problem(
    "hash_mismatch", "hash1, hash1b: not made of this password; the password is used, the digests are not"
)


def refuse_digests_without_realm(row: Row) -> None:
    """Refuse a row of digests that names no realm: the default realm proves nothing about them."""
    if not (row.password or row.realm):
        _refuse(row, f"nobody says for which realm the digests were made; {_HINT}")


def check_realm_of_digests(row: Row) -> None:
    """Check a row's digests against the realm that it goes to; ``host`` is empty for one not created yet.

    A row with a password uses that, and gets a warning if its digests for this very realm differ from it.
    """
    host = row.host
    if row.password:
        own = (row.hash1, row.hash1b)
        if not row.problems and host == row.realm and digests(row.composite, host, row.password) != own:
            row.warnings += (_MISMATCH,)
    elif not host:
        _refuse(row, "no digest can have been made for a realm that --create-realm has still to make")
    elif host != row.realm:  # byte for byte: another spelling makes another digest
        _refuse(row, f"the digests go on realm {host}, but {row.realm!r} is what is named; {_HINT}")


def _refuse(row: Row, text: str) -> None:
    row.problems += (Problem("hash_realm", text),)
