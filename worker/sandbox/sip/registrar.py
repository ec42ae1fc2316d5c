"""The registrar: one REGISTER, one answer (RFC 3261, section 10.3; docs/bandwidth-api.md#digests)."""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from email.utils import formatdate
from typing import Any
from urllib.parse import unquote

from worker.sandbox.knobs import Values
from worker.sandbox.sip.bindings import BadContact, Bindings, OutOfOrder, read_contacts
from worker.sandbox.sip.challenge import Answer, BadAnswer, Nonces, algorithms, challenges, read_answer
from worker.sandbox.sip.message import Header, Request, answer
from worker.sandbox.store import Account
from worker.sandbox.stored import Credential, Realm

KEPT = 100_000
"""Lines of the log."""
_URI = re.compile(r"sips?:(?:([^@\s<>]{1,256})@)?([A-Za-z0-9.-]{1,255})(?::[0-9]{1,5})?(?:[;?][^\s<>]*)?")
_ADDRESS = re.compile(r"(?:[^<]*<)?\s*([^<>]+)")


@dataclass(slots=True)
class Line:
    """The log's facts about one request: never a password, a digest or an answer to a challenge."""

    number: int
    time: float
    """Arrival, seconds since 1970."""
    transport: str
    method: str
    call_id: str
    realm: str = ""
    user: str = ""
    """The user name in the phone's answer to a challenge; empty if there was none."""
    digest: str = ""
    """The stored digest that the answer was made with: ``hash1``, ``hash1b``; empty for neither."""
    contacts: int = 0
    """The number of Contacts; 0 for a mere query."""
    status: int = 0


class Verdict(Exception):
    """Raised to answer a request with another status than 200."""

    def __init__(self, status: int, *headers: Header) -> None:
        super().__init__(status)
        self.status = status
        self.headers = headers


class Registrar:
    """Answers REGISTER for all realms of the accounts. Only the event loop's thread uses it."""

    def __init__(
        self, accounts: Iterable[Account], values: Values, bindings: Bindings, nonces: Nonces
    ) -> None:
        self._accounts = list(accounts)
        self._values = values
        self._bindings = bindings
        self._nonces = nonces
        self._lines: deque[Line] = deque(maxlen=KEPT)
        self.requests = 0

    def log(self) -> list[dict[str, Any]]:
        """Return every request that arrived, in order."""
        return [asdict(line) for line in self._lines]

    def answer(self, request: Request, transport: str, source: tuple[str, int]) -> bytes | None:
        """Return the answer to send; None for no answer, as to every ACK, or if the knob asks for silence."""
        self.requests += 1
        line = Line(self.requests, time.time(), transport, request.method, request.first("call-id"))
        self._lines.append(line)
        if request.method == "ACK" or self._values.sip_silent:
            return None
        try:
            headers = self._register(request, line)
            line.status = 200
        except Verdict as verdict:
            headers, line.status = list(verdict.headers), verdict.status
        return answer(request, line.status, headers, source)

    def _register(self, request: Request, line: Line) -> list[Header]:
        """Return the headers of a 200. Raises Verdict."""
        if self._values.sip_status:
            raise Verdict(self._values.sip_status)
        if request.method != "REGISTER":
            raise Verdict(405, ("Allow", "REGISTER"))
        if request.missing or request.cseq < 0:
            raise Verdict(400)
        realm = self._realm(request.uri)
        line.realm = realm.host
        line.contacts = len(request.all("contact"))
        if self._values.sip_contact_needed and not line.contacts:
            raise Verdict(400)
        credential = self._authenticated(request, realm, line)
        if credential is None:
            return []
        if not _is_own(request.first("to"), credential, realm):
            raise Verdict(403)
        self._bind(request, credential)
        found = self._bindings.of(credential.id)
        return [
            *(("Contact", f"<{one.uri}>;expires={one.left}") for one in found),
            ("Date", formatdate(usegmt=True)),
        ]

    def _realm(self, uri: str) -> Realm:
        found = _URI.fullmatch(uri)
        if not found:
            raise Verdict(400)
        realms = (account.realm_of_host(found[2]) for account in self._accounts)
        realm = next((one for one in realms if one is not None and one.status == "ACTIVE"), None)
        if realm is None:
            raise Verdict(404)
        return realm

    def _authenticated(self, request: Request, realm: Realm, line: Line) -> Credential | None:
        """Return the authenticated credential, or None if a knob accepts any password of an unknown user."""
        given = self._given(request, realm)
        if given is None:
            raise self._challenge(realm)
        if not _asked_for(given, request):
            raise Verdict(400)
        line.user = given.username
        known = list(_candidates(realm, given.username))
        offered = {one.upper() for one in self._offered} & {"MD5", "MD5-SESS"}
        right = [one for one in known if given.algorithm in offered and given.is_of(one[1], request.method)]
        if self._values.sip_accepts_anything:
            return next((credential for credential, *_ in (*right, *known)), None)
        if not right:
            raise Verdict(403)
        if not self._nonces.use(given, self._values.sip_nonce_seconds, self._values.sip_nonce_uses):
            raise self._challenge(realm, stale=True)
        credential, _, line.digest = right[0]
        return credential

    def _given(self, request: Request, realm: Realm) -> Answer | None:
        """Return the answer to this realm's challenge, ignoring others (section 22.3)."""
        try:
            answers = [read_answer(header) for header in request.all("authorization")]
        except BadAnswer:
            raise Verdict(400) from None
        return next((one for one in answers if one.realm.lower() == realm.host.lower()), None)

    def _challenge(self, realm: Realm, stale: bool = False) -> Verdict:
        return Verdict(401, *challenges(realm.host, self._nonces.new(), self._offered, stale))

    @property
    def _offered(self) -> list[str]:
        return algorithms(self._values.sip_sha256, self._values.sip_md5_sess)

    def _bind(self, request: Request, credential: Credential) -> None:
        try:
            contacts = read_contacts(request)
            if contacts is None or contacts:
                self._bindings.change(credential.id, contacts, request)
        except BadContact:
            raise Verdict(400) from None
        except OutOfOrder:
            raise Verdict(500) from None


def _asked_for(given: Answer, request: Request) -> bool:
    """Return whether the answer was made for this request: its URI is an equivalent of the request's."""
    one, other = _URI.fullmatch(given.uri), _URI.fullmatch(request.uri)
    return bool(one and other and one[2].lower() == other[2].lower())


def _candidates(realm: Realm, name: str) -> Iterable[tuple[Credential, bytes, str]]:
    """Yield the credentials that may have answered, with the digest: ``user`` Hash1,
    ``user@realm`` Hash1b.
    """
    key, ending = name.lower(), f"@{realm.host.lower()}"
    credential = realm.names.get(key)
    if credential is not None:
        yield credential, credential.hash1, "hash1"
    credential = realm.names.get(key.removesuffix(ending)) if key.endswith(ending) else None
    if credential is not None and credential.hash1b is not None:
        yield credential, credential.hash1b, "hash1b"


def _is_own(to: str, credential: Credential, realm: Realm) -> bool:
    """Return whether To names the user: ``sip:user@realm``; for ``user@domain`` also ``sip:user@domain``."""
    address = _ADDRESS.match(to)
    found = _URI.fullmatch(address[1].strip()) if address else None
    if not found or not found[1]:
        return False
    user, host = unquote(found[1]).lower(), found[2].lower()
    if host == realm.host.lower():
        return user in (credential.key, credential.key.rpartition("@")[0])
    return f"{user}@{host}" == credential.key
