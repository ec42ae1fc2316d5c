"""Hide cells that reveal a row's secret by their value, whatever their column is called.

A secret is the row's password and its digests. A cell reveals a secret that it equals, or that it
contains and that has at least ``CONTAINED`` characters: as it is or in another case, percent-encoded (a URL),
with HTML entities, in hex digits, or inside a Base64 text (Basic authentication, provisioning); as UTF-8,
Windows-1252 or UTF-16. So does any MD5 digest.
"""

from __future__ import annotations

import html
import unicodedata
from binascii import b2a_base64
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final
from urllib.parse import unquote_plus

from worker.model import Problem, Row

HIDDEN: Final = "<hidden>"
CONTAINED: Final = 6
"""Least characters of a secret that is searched inside cells; a shorter one would be found by chance."""
_DIGITS: Final = 32
"""Hex digits of an MD5 digest: a cell with fewer characters contains none."""
_EQUAL: Final = 4
"""Fewer characters are no secret, and hiding ``1`` or ``yes`` would hide the content of many columns."""
_HEX: Final = b"0123456789abcdefABCDEF"
_RUNS: Final = bytes(byte if byte in _HEX else ord(" ") for byte in range(256))
"""Table for ``bytes.translate`` that leaves hex digits, with blanks between them."""
_NO_DIGITS: Final = bytes(set(range(256)) - set(_HEX))
_STANDARD: Final = bytes.maketrans(b"-_", b"+/")
"""Base64's alphabet for URLs to the usual one."""
_BEFORE: Final = ((b"", 0), (b"\0", 2), (b"\0\0", 3))
"""Bytes before a secret in its group of three, and the Base64 characters that depend on them."""
_TOLD: Final = (
    Problem("cell_hidden", f"a cell that contains the password or a digest is {HIDDEN} in the results"),
)


def may_show(row: Row, cells: Sequence[str]) -> bool:
    """Return whether nothing in these cells needs a closer look. Fast, since it is called for every row."""
    text, longest = "\n".join(cells), max(map(len, cells))
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
    if "%" in text or "&" in text or (longest >= _DIGITS and _digest_in(text)):
        return False
    secrets = (row.password, row.hash1, row.hash1b) if row.hash1 or row.hash1b else (row.password,)
    if longest < min(map(len, secrets)) and text.isascii():  # no text gets shorter by casefold
        return True
    folded = text.casefold()
    for secret in secrets:
        if len(secret) < CONTAINED:
            if secret and secret in cells:
                return False
        elif (secret if secret.isascii() else _composed(secret)).casefold() in folded or (
            longest >= len(secret) * 8 // 6 - 1 and _in_bytes(secret, text, longest)
        ):
            return False
    return True


def _digest_in(text: str) -> bool:
    """Return whether the text has a run of exactly as many hex digits as an MD5 digest."""
    return _DIGITS in map(len, text.encode("ascii", "replace").translate(_RUNS).split())


def _composed(text: str) -> str:
    """Return the text with composed letters: whether it is in NFC or NFD makes no difference to a reader."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def without_secrets(row: Row, loose: Sequence[int]) -> Row:
    """Return the row with cells that reveal its secrets replaced by ``<hidden>``, and a warning.

    ``loose``: positions of the carried cells that may be hidden. The cells that the row's fields are taken
    from stay: they are sent and shown anyway, and ``retry`` needs them. So does a cell that equals the user
    name, which a password may be, too.
    """
    secrets = _Secrets(row, row.user, row.domain, row.composite)
    gone = {at for at in loose if (cell := row.cells[at]) and secrets.given_away_by(cell)}
    if not gone:
        return row
    cells = tuple(HIDDEN if at in gone else cell for at, cell in enumerate(row.cells))
    return replace(row, cells=cells, warnings=row.warnings + _TOLD)


def never_sent(row: Row) -> Row:
    """Return a row that can't be sent without the fields, cells and reasons that contain its secrets.

    They are only shown, never sent: a user name such as ``sip:1001:PASSWORD@pbx``. So a password that is
    the domain is hidden here, too. Applying it twice changes nothing.
    """
    secrets = _Secrets(row, row.user, row.composite)
    fields = (row.user, row.domain, row.realm, row.application, *row.cells)
    if secrets.held_by_none((*fields, *(one.text for one in row.problems))):
        return row
    user, domain, realm, application, *cells = (HIDDEN if secrets.held_by(one) else one for one in fields)
    quoted = {repr(one) for one in fields if one and secrets.held_by(one)}
    problems = tuple(
        _without_text(one) if secrets.inside(one.text) or any(cell in one.text for cell in quoted) else one
        for one in row.problems
    )
    if (user, domain, realm, application, *cells) == fields and problems == row.problems:
        return row
    return replace(
        row, user=user, domain=domain, realm=realm, application=application, cells=tuple(cells),
        problems=problems, warnings=row.warnings if _TOLD[0] in row.warnings else row.warnings + _TOLD,
    )  # fmt: skip


def _without_text(problem: Problem) -> Problem:
    """Return the problem without its text. Cutting out only the password would reveal it."""
    text = f"the reason is {HIDDEN}, because it quotes a cell that contains the password; see docs/errors.md"
    return replace(problem, text=f"{text} {problem.code}")


def name_without_secrets(name: str, passwords: Iterable[str]) -> str:
    """Return the roster's file name, or ``roster`` if it contains a password: jobs and results show it."""
    folded = name.casefold()
    longest = len(folded)  # a text never gets shorter by casefold
    told = [one.casefold() for one in passwords if CONTAINED <= len(one) <= longest]
    return "roster" if any(map(folded.__contains__, told)) else name


class _Secrets:
    """The secrets of one row that can be told from the names that are shown."""

    def __init__(self, row: Row, *shown: str) -> None:
        names = {name.casefold() for name in shown}
        given = (row.password, row.hash1, row.hash1b)
        kept = [one for one in given if len(one) >= _EQUAL and one.casefold() not in names]
        self._equal = frozenset(kept)
        self._contained = [one for one in kept if len(one) >= CONTAINED]

    def given_away_by(self, cell: str) -> bool:
        """Return whether reading the cell reveals a secret."""
        return _digest_in(cell) or self.held_by(cell)

    def held_by(self, cell: str) -> bool:
        """Return whether the cell equals one of the secrets, or contains one."""
        return cell in self._equal or self.inside(cell)

    def held_by_none(self, cells: Sequence[str]) -> bool:
        """Return whether no cell equals or contains one of the secrets; one search through all of them."""
        if not self._equal:
            return True
        return self._equal.isdisjoint(cells) and not self.inside("\n".join(cells))

    def inside(self, cell: str) -> bool:
        """Return whether the cell contains one of the secrets, in any form."""
        forms = (cell, unquote_plus(cell), unquote_plus(cell, "cp1252", "replace"), html.unescape(cell))
        folded = {_composed(form).casefold() for form in forms}
        return any(
            _in_bytes(secret, cell, len(cell)) or any(_composed(secret).casefold() in form for form in folded)
            for secret in self._contained
        )


def _in_bytes(secret: str, text: str, longest: int) -> bool:
    """Return whether the text holds the Base64 or the hex digits of bytes that contain the secret.

    ``longest``: the most characters of a cell of it, which may be too short for hex digits and UTF-16.
    """
    ascii_text, raws = text.encode("ascii", "replace"), [secret.encode("utf-8", "replace")]
    if not secret.isascii():
        raws.append(secret.encode("cp1252", "replace"))
    if longest >= 2 * len(secret):
        raws.append(secret.encode("utf-16-le", "replace"))
        digits = ascii_text.translate(None, _NO_DIGITS).lower()
        if any(raw.hex().encode() in digits for raw in raws):
            return True
    standard = ascii_text.translate(_STANDARD)
    return any(_in_base64(raw, standard) for raw in raws)


def _in_base64(raw: bytes, standard: bytes) -> bool:
    """Return whether the text, in the standard alphabet, holds the Base64 of bytes that contain these.

    The search is for the characters that depend on the secret alone, for each of the three positions in a
    group of three bytes at which it may begin.
    """
    for before, begin in _BEFORE:
        encoded = b2a_base64(before + raw, newline=False)
        if encoded[begin : (len(before) + len(raw)) * 8 // 6] in standard:
            return True
    return False
