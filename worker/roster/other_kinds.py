"""Files that are plainly something else than a table of SIP users: refused by name, with what reads them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from worker.errors import UsageError
from worker.model import Options
from worker.roster.column_names import bare, password_rank
from worker.roster.format import Start

_Kind = tuple[Callable[[str], object], str, str]
"""A test of the beginning, what it is, and what to do."""
_SAVE = "open it in a spreadsheet and save it as CSV UTF-8, or as .xlsx"
_COPY = (
    r"in psql, write CSV with: \copy (SELECT username, password FROM subscriber) TO 'users.csv' CSV HEADER"
)
_FIRST = r"\A[\ufeff\s]*+"  # possessive, as all repetitions here: a hostile file costs one pass


def _starts(pattern: str) -> Callable[[str], object]:
    return re.compile(_FIRST + pattern, re.IGNORECASE | re.MULTILINE).match


_TEXTS: Final[tuple[_Kind, ...]] = (
    (_starts(r"(?:<!--.*?-->\s*)?(?:<!doctype html|<(?:html|table|head|body|meta|style|div)\b)"),
     "an HTML page, which some applications save as .xls",
     f"{_SAVE}; if it shows a sign-in page, sign in and download the file again"),
    (_starts(r"MIME-Version:|From: .*\r?\n.*MIME-Version:"), "a web archive, saved as a spreadsheet", _SAVE),
    (re.compile("urn:schemas-microsoft-com:office:spreadsheet").search, "an XML spreadsheet", _SAVE),
    (_starts(r"(?:<\?xml[^>]*>\s*)?(?:<!--(?s:.*?)-->\s*)*+<(?:include|document|section|domain|user)\b"),
     "an XML file, as FreeSWITCH's directory is", "--from freeswitch reads a directory of FreeSWITCH"),
    (_starts(r"<\?xml|<\w+[ >]"), "an XML file", "export the users as CSV"),
    (_starts(r"(?:\{\s*\"|\[\s*[\[{\"]|\{\s*\}|\[\s*\])"), "JSON",
     "--from kamailio and --from opensips read the JSON of kamcli; export other users as CSV"),
    (_starts(r"(?:[ \t]*(?:[;#][^\n]*)?\r?\n)*+[ \t]*\[[^\]\r\n]+\](?:\([^)\r\n]*\))?[ \t]*(?:;.*)?\r?$"),
     "an Asterisk configuration, such as sip.conf or pjsip.conf", "--from asterisk reads it"),
    (_starts(r"\w+\((?:int|string|str|double|blob)[,)]"), "a table of Kamailio's or OpenSIPS' dbtext",
     "--from kamailio or --from opensips reads it"),
    (_starts(r"(?:--[^\n]*\n\s*+|/\*(?s:.*?)\*/;?\s*+)*+"
             r"(?:CREATE (?:TABLE|DATABASE)|INSERT INTO|DROP TABLE|PRAGMA |BEGIN TRANSACTION|SET [\w.@]+ ?=|"
             r"LOCK TABLES|COPY \w+[^\n]* FROM stdin)"),
     "an SQL dump", "load it into a database and give its URL as the roster, or export the table as CSV"),
    (_starts(r"\+-[-+]*\+[ \t]*\r?\n"), "a table that a database client drew",
     "write it again with `mysql --batch`, which --from mysql-batch reads"),
    (_starts(r"[^\r\n|]*\|[^\r\n]*\r?\n[ \t]*-+(?:\+-+)+[ \t]*\r?$"), "psql's aligned table",
     _COPY),
    (_starts(r"-\[ RECORD 1 \]"), "psql's expanded table",
     _COPY),
    (_starts(r"\|?[^\r\n|]+\|[^\r\n]*\r?\n[ \t]*\|?[ \t]*:?-{2,}:?[ \t]*\|[-:| \t]*\r?$"), "a Markdown table",
     "save it as CSV"),
    (_starts(r"(?:version: ?\d+\s+)?dn: ?\w+="), "an LDIF file of a directory", "export the users as CSV"),
    (_starts(r"BEGIN:VCARD"), "a file of address cards", "export the users of the PBX as CSV"),
)  # fmt: skip
"""By how the text begins; these can't be read as a table."""

_FREEPBX = "export them with Admin > Bulk Handler > Export > Extensions, which --from freepbx reads"
_BY_MAP = "if that is what the phones use, say so with --map password=COLUMN and --map username=COLUMN"


def _column_kind(names: frozenset[str], start: Start) -> tuple[str, str]:
    """Return what the columns plainly belong to, and what to do; both empty for a roster."""
    sip = any(password_rank(cell) == 0 or bare(cell) == "secret" for cell in start.header)
    if "trunkname" in names or {"trunkid", "channelid"} <= names:
        return "FreePBX's export of trunks: its passwords are the providers', not users'", _FREEPBX
    if "defaultextension" in names and not sip:
        return "an export of FreePBX's User Manager: its passwords are those of the web login", _FREEPBX
    if re.search(r"\[(?:userPrincipalName|passwordProfile)\]", start.text[:8192]) or (
        "passwordprofile" in names and "userprincipalname" in names
    ):
        return (
            "a Microsoft Entra (Azure AD) template: its passwords are for the cloud login, not SIP",
            _BY_MAP,
        )
    if re.search(r"Email Address \[Required\],[^\n]*Password", start.text[:8192], re.IGNORECASE):
        return "a Google Workspace template: its passwords are for the cloud login, not SIP", _BY_MAP
    if not sip and ("devicepool" in names or "callingsearchspace" in names
                    or {"manageruserid", "userid", "password"} <= names):  # fmt: skip
        return "an export of Cisco BAT: its Password opens the phone's configuration window, not SIP", _BY_MAP
    if names in _BROWSERS or ({"url", "username", "password"} < names and names & _OF_MANAGERS):
        return "an export of a password manager or browser: its passwords are those of web pages", _BY_MAP
    return "", ""


_BROWSERS: Final = (
    frozenset({"name", "url", "username", "password"}),
    frozenset({"name", "url", "username", "password", "note"}),
)
_OF_MANAGERS: Final = frozenset({"totp", "grouping", "httprealm", "formactionorigin", "loginuri", "otpauth"})


def refuse_other_kinds(start: Start, place: str, options: Options) -> None:
    """Raise UsageError for a file that is plainly no table of SIP users, with its name and what reads it.

    A table whose columns are those of something else is read where ``--map password`` names one.
    """
    for test, kind, advice in _TEXTS:
        if start.text and test(start.text):
            raise UsageError(f"{place} is {kind}, not a table of users", advice)
    if "password" not in options.map:
        kind, advice = _column_kind(frozenset(map(bare, start.header)), start)
        if kind:
            raise UsageError(f"{place} is {kind}", advice)
