"""The table ``subscriber`` of Kamailio and OpenSIPS, whatever carries it: passwords, and digests beside them.

Sources: the schemas of both (Kamailio 4 to 6, OpenSIPS 2 to 3.5), and docs/bandwidth-api.md#digests.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from worker.model import Options, Row
from worker.roster import dbtext, kamcli
from worker.roster.batch_text import is_batch, refuse_drawn
from worker.roster.format import MISSING, Start, Table, refuse, warn
from worker.roster.formats.columns import ColumnFormat, Columns, Judge
from worker.roster.layout import Assignment
from worker.roster.text import Text

DIGESTS: Final = ("ha1", "ha1b", "ha1sha256", "ha1sha512t256")
_CUT: Final = 25
"""Width of the password column in the schemas of OpenSIPS, and of old Kamailios."""
_OF_ROWS: Final = frozenset({MISSING, "hash_incomplete", "bad_hash", "hash_name"})
_NOTHING: Final = frozenset({"", "NULL", "\\N", "(null)", "<null>"})


@dataclass(frozen=True, slots=True)
class Subscribers(ColumnFormat):
    """A format of the table. Digests come over only for users of the realm that they were made for."""

    unlike: tuple[str, ...] = ()
    """Columns that the other product's table has, and this one's hasn't."""
    narrow: Callable[[Columns], bool] = lambda columns: True
    """Whether the password column has 25 characters, by the other columns."""

    def recognise(self, start: Start) -> str:
        """Return the carrier and the columns that tell the format; empty for the output of ``mysql -B``."""
        if names := dbtext.columns_of(start.text):
            why = self.reason(names)
            return why and f"db_text, {why}"
        if names := kamcli.columns_of(start.text):
            why = self.reason(names)
            return why and f"kamcli's JSON, {why}"
        return "" if is_batch(start) else self.reason(start.header)

    def open(self, text: Text, start: Start, options: Options) -> Table:
        """Return the records of a db_text file, of kamcli's JSON, or of CSV.

        Raises UsageError for a table that was drawn for a terminal.
        """
        refuse_drawn(start)
        if dbtext.columns_of(start.text):
            return dbtext.open_dbtext(text, start.text, options)
        if kamcli.columns_of(start.text):
            return kamcli.open_kamcli(text, start.text, options)
        return text

    def fits(self, header: Sequence[str]) -> bool:
        """Return whether the columns tell the format, and none tells the other product's table."""
        columns = Columns(header)
        return ColumnFormat.fits(self, header) and not any(name in columns for name in self.unlike)

    def assign(self, header: Sequence[str]) -> Assignment:
        """Return which of the header's columns are what."""
        columns = Columns(header)
        both = "ha1" in columns and "ha1b" in columns
        return Assignment(
            username=columns.named(self.username),
            password=columns.first(self.password),
            domain=columns.first((self.domain,)),
            hash1=columns.first(("ha1",)) if both else "",
            hash1b=columns.first(("ha1b",)) if both else "",
            secrets=columns.named((*DIGESTS, "vmpin", "vmpassword")),
            judge=_judge(columns, _CUT if self.narrow(columns) else 0),
        )


def _judge(columns: Columns, cut: int) -> Judge:
    at_ha1, at_domain = columns.at("ha1"), columns.at("domain")
    at_digests = [at for name in DIGESTS if (at := columns.at(name)) is not None]

    def judge(row: Row, fields: Sequence[str]) -> None:
        stored = [fields[at] for at in at_digests if fields[at] not in _NOTHING]
        if row.password in _NOTHING:
            if stored:
                _judge_digests(row, fields[at_domain] if at_domain is not None else "")
            return
        row.hash1 = row.hash1b = ""  # the password is used; its own check of digests is below
        row.problems = tuple(one for one in row.problems if one.code not in _OF_ROWS)
        if row.password in stored:
            row.password = ""
            refuse(
                row, "digest_only", "password: holds the digest of ha1, which is of no use in another realm"
            )
            return
        if cut and len(row.password) == cut:
            text = (
                f"password: exactly {cut} characters, the width of the column; the rest may have been cut off"
            )
            warn(row, "password_cut", text)
        if at_ha1 is not None and at_domain is not None and _differs(row, fields[at_ha1], fields[at_domain]):
            text = "ha1: not made from this password and the domain; the password may be out of date"
            warn(row, "hash_mismatch", text)

    return judge


def _judge_digests(row: Row, domain: str) -> None:
    """Refuse digests that can't have been made for the user and the realm that the row goes to."""
    if row.realm and row.realm == domain and not row.domain:
        return  # the digests of a user without Domain; that it is the realm's full host name is checked later
    row.password = row.hash1 = row.hash1b = ""
    row.problems = tuple(
        one for one in row.problems if one.code not in _OF_ROWS and one.code[:9] != "password_"
    )
    row.warnings = tuple(one for one in row.warnings if one.code != "weak_password")
    text = "only digests are stored, made for another realm or user name"
    if row.realm and row.realm == domain:
        text = "the digests were made for the user name without a Domain; use --map domain= to have it so"
    refuse(row, "digest_only", text)


def _differs(row: Row, ha1: str, realm: str) -> bool:
    """Return whether a stored digest is of another password or realm; False if its kind is unknown."""
    made = {32: hashlib.md5, 64: hashlib.sha256}.get(len(ha1))
    if made is None or not realm or ha1 in _NOTHING:
        return False
    try:
        text = f"{row.user}:{realm}:{row.password}".encode()
    except UnicodeEncodeError:  # half a character; the row is refused for that
        return False
    return made(text, usedforsecurity=False).hexdigest() != ha1.lower()
