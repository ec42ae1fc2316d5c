"""The configuration of Asterisk: sip.conf, users.conf, pjsip.conf and pjsip_wizard.conf, also FreePBX's."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import chain
from typing import Final

from worker.errors import UsageError
from worker.model import Options
from worker.roster.format import About, Start, Table
from worker.roster.formats.asterisk_entries import HEADER, records
from worker.roster.formats.asterisk_lines import Lines
from worker.roster.formats.asterisk_links import Links
from worker.roster.formats.asterisk_sections import Loose, Outline, Section, packed, sections, unpacked
from worker.roster.formats.includes import Includes
from worker.roster.formats.verdict import judge_by
from worker.roster.kept import KeptTable, keep
from worker.roster.layout import Assignment
from worker.roster.text import Text, changed

_NAMES: Final = re.compile(r"(?:sip|users|pjsip)(?:[._-]\w+)*\.conf", re.IGNORECASE).fullmatch
_IAX: Final = re.compile(r"iax(?:[._-]\w+)*\.conf", re.IGNORECASE).fullmatch
_section = re.compile(r"^[ \t]*\[[^\]\r\n]+\](?:\([^)\r\n]*\))?[ \t]*(?:;.*)?$", re.MULTILINE).search
_MOST_LATE: Final = 2000
"""Auths that are kept in memory until the end of the file."""
_setting = re.compile(
    r"^[ \t]*(type[ \t]*=>?[ \t]*(?:friend|peer|user|auth|endpoint|aor|wizard|registration|identify)\b"
    r"|hassip[ \t]*=|register[ \t]*=>)",
    re.MULTILINE | re.IGNORECASE,
).search


class Asterisk:
    """``--from asterisk``."""

    name = "asterisk"
    title = "Asterisk: sip.conf, users.conf, pjsip.conf, pjsip_wizard.conf"
    about = About(
        columns=(
            ("[section] of sip.conf and users.conf", "user name"),
            ("secret", "SIP password, in clear text"),
            ("username, password of type=auth", "user name and password in pjsip.conf"),
            ("inbound_auth/username, …/password", "user name and password in pjsip_wizard.conf"),
            (
                "md5secret, md5_cred, password_digest",
                "a digest, which can't move: the user needs a new password",
            ),
            ("callerid, context, mailbox, macaddress", "carried, with name, host and sip_realm"),
        ),
        decoys=("defaultuser", "remotesecret", "auth", "vmsecret", "outbound_auth/*", "register =>"),
        notes=(
            "Templates, additions [x](+) and comments are read as Asterisk reads them; #exec is never run.",
            "#include is followed into the folder of the file; a file that isn't read is an invalid row.",
            "Trunks, registrations, IAX2 users and the auths that outbound_auth names are skipped.",
            "FreePBX: import /etc/asterisk/pjsip.conf with its includes, so that trunks are known.",
        ),
        example="[phone](!)\ntype = friend\nhost = dynamic\n\n[6001](phone)\nsecret = Kestrel-7731\n",
    )

    def recognise(self, start: Start) -> str:
        """Return the setting that only these files have, behind a section's header."""
        if _IAX(start.name):
            return ""
        found = _setting(start.text) if _section(start.text) else None
        return f"sections with {' '.join(found[1].split())}" if found else ""

    def open(self, text: Text, start: Start, options: Options) -> Table:
        """Return the entries as Asterisk reads them. Raises UsageError, with the line, for a broken file."""
        if _IAX(start.name):
            raise UsageError(
                f"{text.shown} is for IAX2, which is not SIP", "import sip.conf or pjsip.conf of the same PBX"
            )
        files = Includes(text, options.encoding)
        with closing(text.source), closing(Links()) as links:
            return _read_once(files, links) or _read(files, links)

    def assign(self, header: Sequence[str]) -> Assignment:
        """Return the assignment of the columns that ``open`` makes."""
        judge = judge_by(HEADER.index("verdict"))
        return Assignment(("username",), "secret", secrets=("md5",), internal="verdict", judge=judge)


def _read_once(files: Includes, links: Links) -> Table | None:
    """Return the entries by one pass; None if too many depend on what comes later in the file."""
    outline, late = Outline(), list[Section]()
    links.late = late

    near = links.near

    def in_doubt() -> bool:
        few = len(late) <= _MOST_LATE and not near.is_full
        return not (few and links.in_order and outline.complete) or files.several

    def decided() -> Iterator[Section | Loose]:
        for entry in sections(Lines(files), outline, survey=True, near=near):
            if links.add(entry):
                yield entry
            if not (isinstance(entry, Section) and entry.use) and in_doubt():
                return

    table = keep(records(decided(), links, files, complete=False), files.text.shown, "", files.text.encoding)
    if outline.is_empty and not in_doubt() and links.decide():
        rest = records(late, links, files)
        header, first = next(rest), next(rest, None)
        later = keep(chain((header, first), rest), files.text.shown) if first else None
        return replace(table, sha256=files.sha256, later=later)
    table.close()
    return None


def _read(files: Includes, links: Links) -> Table:
    """Return the entries of a file whose sections depend on each other."""
    parts = _parts(files, links)
    with closing(parts), parts.read() as kept:
        found = records(map(unpacked, kept), links, files)
        return keep(found, files.text.shown, files.sha256, files.text.encoding)


def _parts(files: Includes, links: Links) -> KeptTable:
    """Return the sections and lines that may be entries, packed, and fill ``links``.

    One pass is enough, unless a section inherits from one that is no template, or gets additions later.
    """
    outline, lines = Outline(), Lines(files)
    while True:
        outline.begin()
        kept = _kept(sections(lines, outline, survey=True), files, links)
        if outline.complete:
            break
        kept.close()
    if outline.is_empty:
        return kept
    kept.close()
    before = files.sha256
    kept = _kept(sections(lines, outline), files, links)
    if files.sha256 != before:
        kept.close()
        raise changed(files.text.source)
    return kept


def _kept(entries: Iterable[Section | Loose], files: Includes, links: Links) -> KeptTable:
    links.clear()
    return keep(map(packed, filter(links.add, entries)), files.text.shown)
