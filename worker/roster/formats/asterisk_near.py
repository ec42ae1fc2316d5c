"""Phones of pjsip.conf whose endpoint and auth stand together, as most do: they need no second look.

They are joined in memory. What else is in the file may still change what such an auth is, so the names that
were decided here are kept, as hashes, and compared with all others at the end.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from itertools import islice
from typing import Final, NamedTuple

from worker.roster.formats.asterisk_lines import BLANKS, Plain
from worker.temp_db import text_key

TRUNK_CONTEXTS: Final = ("from-trunk", "from-pstn")
"""The beginnings of the contexts that FreePBX gives to trunks."""
_MOST_MENTIONED = 10_000
"""Names that are remembered, so that no auth that has one is decided at once and in vain."""
_MOST_DECIDED = 1 << 22
_MOST_IN_VAIN = 5_000
"""Endpoints without an auth near them: in more, joining is given up."""


class Use(NamedTuple):
    """The use of an ``auth`` section of pjsip.conf; what is true or false is SQLite's 1 or 0."""

    known: bool = False
    """Whether an endpoint of the file lets phones authenticate with it."""
    callerid: str = ""
    context: str = ""
    mailbox: str = ""
    mac: str = ""
    outbound: str = ""
    """The section that authenticates with it elsewhere, such as ``registration [provider]``; empty: none."""
    identified: bool = False
    """Whether its endpoint is one of a trunk: it is known by its address, and no phone can register there."""
    phones: bool = False
    """Whether phones register with its endpoint, and the PBX itself registers nowhere with it."""


Fate = Use | bool
"""What becomes of a plain section: an auth's use; False for one that was needed only for it; or True."""
Waiting = tuple[int, Plain]
"""An endpoint whose auth was not found yet, and its line."""


class Near:
    """The sections that are joined in memory, and the names that this decided."""

    def __init__(self) -> None:
        self._mentioned: set[str] = set()
        self._decided = array("q")
        self._in_vain = 0
        self._waiting: dict[str, Waiting] = {}
        """By their auth."""

    @property
    def is_full(self) -> bool:
        """Return whether too much is in memory, or too little stands together: then it is of no use."""
        return len(self._decided) > _MOST_DECIDED or self._in_vain > _MOST_IN_VAIN

    def mention(self, name: str) -> None:
        """Note a name that is used in another way."""
        if len(self._mentioned) >= _MOST_MENTIONED:
            self._mentioned.clear()
        self._mentioned.add(name)

    def clashes(self, names: Iterable[str]) -> bool:
        """Return whether something may have been decided without one of these names."""
        hashes = map(hash, names)
        while some := set(islice(hashes, _MOST_MENTIONED)):
            if not some.isdisjoint(self._decided):
                return True
        return False

    def left(self) -> list[Waiting]:
        """Return the endpoints that wait in vain, at the end of the file."""
        waiting, self._waiting = self._waiting, {}
        return list(waiting.values())

    def join(self, number: int, run: list[Plain], wanted: set[str]) -> tuple[list[Fate], list[Waiting]]:
        """Return the fate of each section; and endpoints of the run before, if they wait in vain.

        ``number``: the line of the first section; ``wanted``: names, in lower case, to leave alone.
        """
        fates: list[Fate] = [True] * len(run)
        auths: list[int] = []
        aors: list[int] = []
        before = self._waiting
        endpoints = {auth: endpoint for auth, (_, endpoint) in before.items()}
        for at, plain in enumerate(run):
            kind = plain["type"]
            if wanted and plain["name"].lower() in wanted:
                kind = ""
            if kind == "auth":
                auths.append(at)
                continue
            if kind == "aor":
                aors.append(at)
                continue
            auth, outbound, used = plain.group("auth", "outbound_auth", "endpoint")
            if kind == "endpoint" and auth and outbound is None and "," not in auth:
                fates[at] = False
                endpoints.setdefault(auth, plain)
            elif auth or outbound or used:
                for name in (*listed(auth or ""), *listed(outbound or ""), used or ""):
                    self.mention(name)
        joined = self._decide(run, auths, endpoints, fates)
        reached = set(map(_aor_of, joined.values()))
        dropped = [name for at in aors if (name := run[at]["name"]) in reached]
        for at in aors:
            fates[at] = run[at]["name"] not in reached
        names = {*joined, *dropped, *(endpoint["name"] for endpoint in joined.values())}
        self._decided.extend(map(hash, names))
        text, start = run[0].string, run[0].start()
        self._waiting = {
            auth: (number + text.count("\n", start, endpoint.start()), endpoint)
            for auth, endpoint in endpoints.items()
            if auth not in joined and auth not in before
        }
        left = [waited for auth, waited in before.items() if auth not in joined]
        self._in_vain += len(left)
        return fates, left

    def _decide(
        self, run: list[Plain], auths: list[int], endpoints: dict[str, Plain], fates: list[Fate]
    ) -> dict[str, Plain]:
        """Set the fates of auths that only their endpoint uses; return these endpoints by their auths."""
        joined: dict[str, Plain] = {}
        mentioned = self._mentioned
        text = run[0].string
        for at in auths:
            auth = run[at]["name"]
            if (endpoint := endpoints.get(auth)) is None or auth in mentioned:
                continue
            label, caller, context, mailbox = endpoint.group("name", "callerid", "context", "mailboxes")
            if label in mentioned or not (auth + label).isprintable():  # the rest is named as by text_key
                continue
            if text.count("\npassword", *run[at].span()) > 1 or run[at]["md5_cred"]:
                continue  # a secret may be there twice
            if context and context.startswith(TRUNK_CONTEXTS):
                continue
            joined[auth] = endpoint
            fates[at] = Use(True, text_key(caller or ""), text_key(context or ""), text_key(mailbox or ""))
        return joined


def listed(value: str) -> list[str]:
    """Return the names of a list with commas, as ``auth`` and ``aors`` have them."""
    return [name for one in value.split(",") if (name := one.strip(BLANKS))]


def _aor_of(endpoint: Plain) -> str:
    return (endpoint["aors"] or "").partition(",")[0].strip(BLANKS)
