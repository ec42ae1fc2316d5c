"""Whether the realm that a row goes to is the one that its digests were made for."""

from __future__ import annotations

from dataclasses import replace

from worker.digest import digests
from worker.model import Problem, Row

_HINT = "name the full host name that they were made for, in the realm column or with --realm"


def named(row: Row) -> Row:
    """A row of digests that names no realm is wrong: the default one says nothing about them."""
    if row.password or row.realm or not (row.hash1 or row.hash1b):
        return row
    return _refused(row, f"nobody says for which realm the digests were made; {_HINT}")


def held_against(row: Row, host: str) -> Row:
    """The row, its digests held against the realm that it goes to; ``host`` is empty for one not made yet.

    A row with a password uses that, and is warned about digests for this very realm that are another's.
    """
    own = (row.hash1, row.hash1b)
    if not any(own):
        return row
    if row.password:
        if row.problems or host != row.realm or digests(row.composite, host, row.password) == own:
            return row
        return replace(row, warnings=(*row.warnings, _MISMATCH))
    if not host:
        return _refused(row, "no digest can have been made for a realm that --create-realm has still to make")
    if host != row.realm:  # to the byte: another spelling makes another digest
        return _refused(row, f"the digests go on realm {host}, but {row.realm!r} is what is named; {_HINT}")
    return row


_MISMATCH = Problem(
    "hash_mismatch", "hash1, hash1b: not made of this password; the password is used, the digests are not"
)


def _refused(row: Row, text: str) -> Row:
    return replace(row, problems=(*row.problems, Problem("hash_realm", text)))
