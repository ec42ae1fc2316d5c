"""The digests that a PBX has stored beside passwords. Where both are there, the PBX uses the digest."""

from __future__ import annotations

import hashlib
from typing import Final

from worker.model import Row
from worker.roster.format import refuse

_USUAL_REALM: Final = "asterisk"
"""The realm of Asterisk that sets none, and so of FreePBX."""
_MADE_BY: Final = {32: hashlib.md5, 64: hashlib.sha256}
"""Hashes by the number of their hex digits."""


def outdates(digest: str, user: str, password: str, realm: str = "") -> bool:
    """Return whether a stored digest was made from another password, or can't be compared with this one.

    ``realm``: what the file names; Asterisk's usual one is tried, too.
    """
    made = _MADE_BY.get(len(digest))
    if made is None:
        return True
    texts = (f"{user}:{one}:{password}".encode("utf-8", "surrogatepass") for one in (realm, _USUAL_REALM))
    return all(made(text, usedforsecurity=False).hexdigest() != digest.lower() for text in texts)


def reason(pbx: str, digest: str, password: str) -> str:
    """Return why a password can't be sent that a digest outdates; both are named as in the export."""
    return (
        f"{digest}: {pbx} uses this digest, not made from {password}: phones have another password; "
        f"use --generate-passwords FILE, or remove {digest} from the export if {password} is right"
    )


def give_up_password(row: Row, code: str, text: str) -> None:
    """Refuse a row whose password is out of date, without it: a retry can't send it either."""
    row.password = ""
    row.problems = tuple(one for one in row.problems if not _of_password(one.code))
    row.warnings = tuple(one for one in row.warnings if not _of_password(one.code))
    refuse(row, code, text)


def _of_password(code: str) -> bool:
    return code == "weak_password" or code.startswith("password_")
