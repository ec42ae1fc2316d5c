"""Registered phones: a credential's contacts, each with its expiry (RFC 3261, section 10.3)."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass

from worker.sandbox.sip.message import Request, parts_of_list

LONGEST = 3600
"""Seconds that a binding lasts at most, and by default (section 10.2.1.1)."""
MOST_CONTACTS = 10
"""Contacts of one credential."""

_BRACKETS = re.compile(r'(?:"(?:[^"\\]|\\.)*"|[^<"]{0,128})\s{0,8}<([^<>]{1,512})>(.*)', re.DOTALL).fullmatch
_BARE = re.compile(r"([^;<>\s]{1,512})(.*)", re.DOTALL).fullmatch
_URI = re.compile(r"(?:sips?|tel):[^\s<>\"]+", re.IGNORECASE).fullmatch
_EXPIRES = re.compile(r";\s*expires\s*=\s*([^;,\s]*)", re.IGNORECASE)
_SECONDS = re.compile(r"[0-9]{1,10}").fullmatch


class BadContact(ValueError):
    """Raised for a Contact that can't be read, or can't be bound."""


class OutOfOrder(ValueError):
    """Raised for a change whose CSeq isn't above the one before, in the same Call-ID."""


@dataclass(frozen=True, slots=True)
class Contact:
    """One Contact of a request: a URI and its seconds; 0 unbinds it."""

    uri: str
    seconds: int


@dataclass(frozen=True, slots=True)
class Binding:
    """A phone that is registered until ``ends``, on the monotonic clock."""

    uri: str
    ends: float
    call_id: str
    cseq: int

    @property
    def left(self) -> int:
        """Return the seconds left, at least 1: a binding without any has been removed."""
        return max(1, round(self.ends - time.monotonic()))


class Bindings:
    """The registered phones, by the credential's id, which is not used again after its deletion."""

    def __init__(self) -> None:
        self._known: dict[int, dict[str, Binding]] = {}

    def of(self, credential: int) -> list[Binding]:
        """Return the bindings that haven't expired, in the order in which they were made."""
        now = time.monotonic()
        known = self._known.get(credential, {})
        left = {uri: binding for uri, binding in known.items() if binding.ends > now}
        if left:
            self._known[credential] = left
        else:
            self._known.pop(credential, None)
        return list(left.values())

    def change(self, credential: int, contacts: Sequence[Contact] | None, request: Request) -> None:
        """Bind and unbind, all or nothing; None unbinds everything. Raises OutOfOrder, BadContact."""
        call_id, cseq = request.first("call-id"), request.cseq
        known = {binding.uri: binding for binding in self.of(credential)}
        touched = list(known) if contacts is None else [contact.uri for contact in contacts]
        for binding in (known[uri] for uri in touched if uri in known):
            if binding.call_id == call_id and binding.cseq >= cseq:
                raise OutOfOrder
        for uri in touched:
            known.pop(uri, None)
        for contact in contacts or ():
            if contact.seconds:
                ends = time.monotonic() + contact.seconds
                known[contact.uri] = Binding(contact.uri, ends, call_id, cseq)
        if len(known) > MOST_CONTACTS:
            raise BadContact("too many contacts")
        self._known[credential] = known


def read_contacts(request: Request) -> list[Contact] | None:
    """Return the contacts; empty if the request only asks, None for ``*`` (unbind all). Raises BadContact."""
    values = [part for line in request.all("contact") for part in parts_of_list(line)]
    otherwise = _seconds(request.first("expires"))
    if "*" in values:
        if len(values) > 1 or otherwise != 0 or not request.first("expires"):
            raise BadContact("* goes alone, with Expires: 0")
        return None
    return [_contact(value, otherwise) for value in values]


def _contact(value: str, otherwise: int) -> Contact:
    found = _BRACKETS(value) or _BARE(value)
    if not found or not _URI(found[1]):
        raise BadContact("no URI")
    asked = _EXPIRES.search(found[2])
    return Contact(found[1], _seconds(asked[1]) if asked else otherwise)


def _seconds(text: str) -> int:
    """Return the requested seconds; an hour if they are missing or invalid (section 10.3, step 7)."""
    return min(int(text), LONGEST) if _SECONDS(text) else LONGEST
