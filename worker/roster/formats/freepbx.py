"""FreePBX: extensions as Bulk Handler (13 and newer) and Bulk Extensions (12 and older) export them.

Sources: the modules bulkhandler, core and voicemail of FreePBX, and the samples in bulkhandler/tools.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

from worker.errors import UsageError
from worker.model import Options, Row
from worker.roster.format import About, Start, Table, refuse, skip
from worker.roster.formats.columns import ColumnFormat, Columns, Judge, all_of, only_sip
from worker.roster.formats.digests import give_up_password, outdates, reason
from worker.roster.layout import Assignment
from worker.roster.php_csv import PhpText
from worker.roster.text import Record, Text

_SIP = frozenset({"sip", "pjsip"})
_PLACEHOLDER = "password_placeholder"
_SECRETS = (
    "password", "vmpwd", "voicemailvmpwd", "voicmailvmpwd", "devinfosecret", "secret", "md5cred",
    "devinfomd5cred", "customcontextpassword", "vmpassword",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class FreePbx(ColumnFormat):
    """Both generations: Bulk Extensions has ``devinfo_secret``, with an ``action`` or without ``secret``."""

    def recognise(self, start: Start) -> str:
        """Return the generation and the columns that tell it; empty if too few of them are there.

        Raises UsageError for FreePBX's exports of trunks, User Manager and inbound routes.
        """
        _refuse_others(start)
        generation = (
            "Bulk Extensions, 12 or older" if _is_old(Columns(start.header)) else "Bulk Handler, 13 or newer"
        )
        why = self.reason(start.header)
        return f"{generation}: {why}" if why else ""

    def fits(self, header: Sequence[str]) -> bool:
        """Return whether enough columns are there.

        A digest that beats the secret, or the technology, is enough of a mark: rows depend on it.
        """
        columns = Columns(header)
        alone = any(columns.has(("extension", "secret", mark)) for mark in ("md5cred", "tech"))
        return alone or ColumnFormat.fits(self, header)

    def open(self, text: Text, start: Start, options: Options) -> Table:
        """Return the records, as PHP writes them. Raises UsageError for an old file whose rows shift."""
        _refuse_others(start)
        php = PhpText.of(text)
        if _is_old(Columns(start.header)):
            with php.read() as records:
                _refuse_shifted(php.shown, records)
        return php

    def assign(self, header: Sequence[str]) -> Assignment:
        """Return which of the header's columns are what."""
        columns = Columns(header)
        old = _is_old(columns)
        users = ("extension",) if old else self.username
        if "extension" not in columns:
            users = ()
        return Assignment(
            username=columns.named(users),
            password=columns.first(("devinfosecret",) if old else ("secret",)),
            secrets=columns.named(_SECRETS),
            judge=all_of(
                _only_extensions(columns),
                only_sip(columns.at("tech"), _SIP),
                _no_deleted(columns.at("action") if old else None),
                _no_placeholder,
                _no_digest(columns, users, old),
            ),
        )


def _is_old(columns: Columns) -> bool:
    return "devinfosecret" in columns and ("action" in columns or "secret" not in columns)


def _refuse_others(start: Start) -> None:
    """Raise UsageError for an export of FreePBX's that has no extensions with SIP passwords."""
    columns = start.columns
    if "trunkname" in columns or {"trunkid", "channelid"} <= columns:
        what = "trunks: their user names and secrets are your providers'"
    elif "defaultextension" in columns and not columns & {"secret", "devinfosecret"}:
        what = "User Manager: its passwords are those of the web login"
    elif {"cidnum", "destination", "extension"} <= columns and "secret" not in columns:
        what = "inbound routes (DIDs), which have no passwords"
    else:
        return
    raise UsageError(
        f"{start.name} is FreePBX's export of {what}",
        "export the extensions: Admin > Bulk Handler > Export > Extensions",
    )


def _refuse_shifted(place: str, records: Iterable[Record]) -> None:
    """Raise UsageError for rows with more fields than the header: the first versions wrote no quotes at all.

    A comma in a name or a secret shifts the columns behind it, even in rows whose number of fields is right.
    """
    records = iter(records)
    width = next((len(fields) for _, fields in islice(records, 1)), 0)
    long = [line for line, fields in records if len(fields) > width][:4]
    if long:
        lines = ", ".join(map(str, long[:3])) + (" and others" if len(long) > 3 else "")
        raise UsageError(
            f"{place}: line {lines} has more fields than the header: old versions of Bulk Extensions wrote "
            "no quotes, so a comma in a name or a secret shifts the columns behind it",
            "put such values in quotes, or export from a newer version, such as by Bulk Handler",
        )


def _only_extensions(columns: Columns) -> Judge | None:
    extension, tech = columns.at("extension"), columns.at("tech")

    def judge(row: Row, fields: Sequence[str]) -> None:
        if extension is not None and not fields[extension] and not row.password:
            skip(row, "not_an_extension", "it has no extension: a mailbox, or another module's line")
        elif tech is not None and not fields[tech] and not row.password:
            skip(row, "not_sip", "it has no device: neither a technology nor a secret")

    return judge


def _no_deleted(at: int | None) -> Judge | None:
    if at is None:
        return None

    def judge(row: Row, fields: Sequence[str]) -> None:
        if fields[at].strip().lower() in ("del", "delete"):
            skip(
                row, "not_an_extension", f"its action is {fields[at].strip()}: the extension is to be deleted"
            )

    return judge


def _no_placeholder(row: Row, _: Sequence[str]) -> None:
    if row.password.strip().upper() == "REGEN" and not any(one.code == _PLACEHOLDER for one in row.problems):
        row.password = ""
        refuse(row, _PLACEHOLDER, "secret: REGEN asks FreePBX's import for a new one; it is not a password")


def _no_digest(columns: Columns, users: Sequence[str], old: bool) -> Judge | None:
    """Refuse rows whose digest was not made from the secret; ``users``: the columns of the user name."""
    digest, secret = ("devinfomd5cred", "devinfosecret") if old else ("md5cred", "secret")
    at, (shown,) = columns.at(digest), columns.named((digest,)) or ("",)
    at_secret = columns.at(secret)
    at_users = [found for one in users if (found := columns.at(one)) is not None]
    if at is None:
        return None
    only = f"{shown}: only a digest is stored, which is of no use in another realm"
    outdated = reason("Asterisk", shown, "the secret")

    def judge(row: Row, fields: Sequence[str]) -> None:
        if not fields[at]:
            return
        password = fields[at_secret] if at_secret is not None else ""
        user = next((fields[one] for one in at_users if fields[one]), "")
        if not password:
            give_up_password(row, "digest_only", only)
        elif outdates(fields[at], user, password):
            give_up_password(row, "digest_only", outdated)

    return judge


FREEPBX = FreePbx(
    name="freepbx",
    title="FreePBX: extensions from Bulk Handler (13 and newer) or Bulk Extensions (12 and older)",
    about=About(
        columns=(
            ("username, else account, else extension", "user name"),
            ("secret", "SIP password, in clear text, also if it is 32 hex digits"),
            ("devinfo_secret", "SIP password in Bulk Extensions, where extension is the user name"),
            ("tech", "rows other than sip and pjsip are skipped"),
            ("md5_cred", "a digest, which beats secret: if it doesn't match, the row needs a new password"),
        ),
        decoys=("password", "voicemail_vmpwd", "vmpwd"),
        notes=(
            "The header differs between PBXs: it has the columns of all modules.",
            "Rows without an extension (mailboxes alone) are skipped.",
            "Exports of trunks, of User Manager and of inbound routes are refused.",
            "The file is read as PHP writes it; a value that ends in a backslash can't be, and is refused.",
        ),
        example="extension,password,name,tech,user,secret,username,voicemail_vmpwd\n"
        '1001,,"Ann Hill",pjsip,1001,Kestrel-7731,,4821\n',
    ),
    needs=(("extension", "secret"), ("extension", "devinfosecret")),
    marks=(
        "tech", "devicetype", "voicemailvmpwd", "voicemailoptions", "findmefollowstrategy",
        "findmefollowgrplist",
        "sipdriver", "emergencycid", "callwaitingenable", "noansweredest", "noanswerdest", "busydest",
        "chanunavailcid", "chanunavaildest", "ringtimer", "recordinginexternal", "cidmasquerade",
        "outboundcid",
        "devinfochannel", "devinfocontext", "devinfodial", "devinfodtmfmode", "action", "vmpwd", "hardware",
    ),
    least=2,
    username=("username", "account", "extension"),
    password=("secret",),
)  # fmt: skip
