"""Links between the sections of an Asterisk configuration: which auth is for calls in, which for out.

Only names and settings that are no secrets are kept, in a private database on disk: memory stays flat.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Final

from worker.roster.formats.asterisk_lines import BLANKS
from worker.roster.formats.asterisk_near import Near, Use, listed
from worker.roster.formats.asterisk_sections import OF_GENERAL, Loose, Section, Settings
from worker.temp_db import temp_db, text_key

_CACHE_KIB = 8192
_GROUP = 1000
_TABLES: Final = {
    "auth": "",
    "endpoint": "number, label, aor, callerid, context, mailbox",
    "outbound": "user",
    "registering": "user",
    "identified": "",
    "aor": "registers, contact",
    "phone": "mac",
    "registered": "",
}
"""Tables and their columns beside the name. The first row of a name counts; of ``endpoint``, the one with the
lowest number, since some come late.

The names themselves are the keys: they mostly come in an order, so that neighbours share a page.
"""
_USES: Final = """
    SELECT e.name IS NOT NULL, coalesce(e.callerid, ''), coalesce(e.context, ''), coalesce(e.mailbox, ''),
        coalesce(p.mac, ''), coalesce(r.user, o.user, ''),
        i.name IS NOT NULL AND coalesce(NOT a.registers OR e.aor = '', FALSE),
        r.name IS NULL AND coalesce(a.registers AND NOT a.contact, FALSE)
    FROM json_each(?) asked
    LEFT JOIN endpoint e ON e.name = asked.value
    LEFT JOIN outbound o ON o.name = asked.value
    LEFT JOIN registering r ON r.name = asked.value
    LEFT JOIN identified i ON i.name = e.label
    LEFT JOIN aor a ON a.name = CASE WHEN coalesce(i.name, o.name, r.name) IS NOT NULL THEN e.aor END
    LEFT JOIN phone p ON p.name = e.label
    ORDER BY asked.key
    """
"""The aor matters only for an auth that is one of a trunk, too."""
_WITHOUT: Final = """
    SELECT number, label, callerid, context, mailbox FROM endpoint
    WHERE name NOT IN (SELECT name FROM auth) ORDER BY number
    """
_EARLIER: Final = (
    "ON CONFLICT DO UPDATE SET "
    + ", ".join(f"{column} = excluded.{column}" for column in _TABLES["endpoint"].split(", "))
    + " WHERE excluded.number < number"
)
_USERS: Final = ("auth", "endpoint", "outbound", "registering", "identified", "phone")
"""The tables whose names tell something of an auth, or of its endpoint."""
_NAMES: Final = " UNION ALL ".join(
    ("SELECT aor FROM endpoint", *(f"SELECT name FROM {table}" for table in _USERS))  # noqa: S608
)
_NO_ENTRIES = """
    acl asterisk-publication contact domain_alias global inbound-publication resource_list
    subscription_persistence system transport
    """
_HELPERS: Final = frozenset(_NO_ENTRIES.split())
"""Sections of pjsip.conf that are neither users nor trunks."""
_host = re.compile(r".*@\[?([^@:/~\]]+)", re.DOTALL).match


class Links:
    """The uses of all sections, filled by one pass. Close it after use."""

    def __init__(self) -> None:
        self._db = temp_db(_CACHE_KIB)
        self.clear()

    def clear(self) -> None:
        """Begin anew."""
        self.general: Settings = {}
        """The settings of ``[general]``."""
        self.default_realm = ""
        """The realm of auths that name none, by ``type=global``."""
        self.in_order = True
        """Whether no section depends on a later one, beside those in ``late``."""
        self.near = Near()
        self.late: list[Section] | None = None
        """Auths whose use is known at the end of the file; None: they are entries like all others."""
        self._entries = False
        self.pairs = 0
        """The number of auths that are called as FreePBX calls those of extensions."""
        self._rows: dict[str, list[tuple[int | str, ...]]] = {table: [] for table in _TABLES}
        for table, columns in _TABLES.items():
            self._db.execute(f"DROP TABLE IF EXISTS {table}")
            self._db.execute(
                f"CREATE TABLE {table} (name TEXT PRIMARY KEY{columns and ', '}{columns}) WITHOUT ROWID"
            )

    def add(self, entry: Section | Loose) -> bool:
        """Note what a section or line uses; return whether it may be an entry."""
        if isinstance(entry, Loose):
            return self._line(entry)
        settings, name = entry.settings, entry.name
        kind = settings.get("type", "").lower()
        if entry.use or kind == "auth":
            self.pairs += name == f"{settings.get('username', '')}-auth"
            if not entry.use:
                self._note("auth", name)
                if self.late is not None:
                    self.in_order = self.in_order and name.lower() not in OF_GENERAL
                    self.late.append(entry)
                    return False
        elif kind == "endpoint":
            return self._endpoint(entry)
        elif kind == "aor":
            registers = settings.get("max_contacts", "0") not in ("", "0")  # else no phone can
            self._note("aor", name, int(registers), int("contact" in settings))  # SQLite is slow with bools
            return False
        else:
            return self._other(kind, name, settings)
        self._entries = True
        return True

    def _line(self, line: Loose) -> bool:
        if line.kind == "register" and (host := registrar_of(line.value)):
            self._note("registered", host.lower())
            self.in_order = self.in_order and not self._entries
        return True

    def _other(self, kind: str, name: str, settings: Settings) -> bool:
        """Note a section that is no phone's; return whether it may be an entry."""
        if kind == "global":
            self.default_realm = settings.get("default_realm", "")
            self.in_order = self.in_order and not self._entries
            return False
        if kind in ("registration", "outbound-publish"):
            self._outbound("registering", f"{kind} [{name}]", settings)
            self._note("identified", settings.get("endpoint", ""))
        elif kind == "identify":
            self._note("identified", settings.get("endpoint", ""))
            return False
        elif kind == "phoneprov":
            self._note("phone", settings.get("endpoint", ""), text_key(settings.get("mac", "")))
            return False
        elif name.lower() == "general":
            self.general = self.general | settings
            self.in_order = self.in_order and not self._entries
            return False
        self._entries = True
        return kind not in _HELPERS

    def uses(self, auths: Iterable[str]) -> list[Use]:
        """Return the uses of ``auth`` sections, in their order."""
        self._write()
        asked = json.dumps(list(map(text_key, auths)))
        return list(map(Use._make, self._db.execute(_USES, (asked,)).fetchall()))

    def decide(self) -> bool:
        """Return whether what was decided by neighbours alone stays so, now that all sections are known."""
        self._write()
        names = (name for (name,) in self._db.execute(_NAMES))
        return not self.near.clashes(names)

    def registers_at(self, host: str) -> bool:
        """Return whether a ``register`` line names the host."""
        self._write()
        asked = self._db.execute("SELECT 1 FROM registered WHERE name = ?", (text_key(host.lower()),))
        return asked.fetchone() is not None

    def without_auth(self) -> Iterator[tuple[int, str, Settings]]:
        """Yield endpoints whose auth is not in the file, by their lines: number, name and what is shown."""
        self._write()
        for number, label, *shown in self._db.execute(_WITHOUT):
            yield number, label, dict(zip(("callerid", "context", "mailbox"), shown, strict=True))

    def close(self) -> None:
        """Delete the database."""
        self._db.close()

    def _endpoint(self, section: Section) -> bool:
        """Note an endpoint; return whether it has no auth, so that it is an entry."""
        settings, name = section.settings, section.name
        self._outbound("outbound", f"endpoint [{name}]", settings)
        get = settings.get
        auths, aor = listed(get("auth", "")), get("aors", "").partition(",")[0].strip(BLANKS)
        shown = (name, aor, get("callerid", ""), get("context", ""), get("mailboxes", ""))
        for auth in auths:
            self._note("endpoint", auth, section.number, *map(text_key, shown))
        return not auths

    def _outbound(self, table: str, user: str, settings: Settings) -> None:
        if "outbound_auth" in settings:
            for auth in listed(settings["outbound_auth"]):
                self._note(table, auth, text_key(user))

    def _note(self, table: str, name: str, *row: int | str) -> None:
        rows = self._rows[table]
        rows.append((text_key(name), *row))
        if table in _USERS:
            self.near.mention(name)
        if len(rows) == _GROUP:
            self._write()

    def _write(self) -> None:
        """Write the rows that wait; the tables are complete after that."""
        if not any(self._rows.values()):
            return
        self._db.execute("BEGIN")
        for table, rows in self._rows.items():
            if rows:
                marks = ", ".join("?" * len(rows[0]))
                known = _EARLIER if table == "endpoint" else "ON CONFLICT DO NOTHING"
                self._db.executemany(f"INSERT INTO {table} VALUES ({marks}) {known}", rows)  # noqa: S608
                rows.clear()
        self._db.execute("COMMIT")


def registrar_of(value: str) -> str:
    """Return the host of a ``register`` line, ``user[:secret[:authuser]]@host[:port][/extension]``.

    The host follows the last ``@``: a secret may contain others, and must not be shown. Empty: there is none.
    """
    found = _host(value)
    return found[1].strip(BLANKS) if found else ""
