"""Digest authentication (RFC 2617): nonces, challenges, and checks of answers against the stored digest."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from collections import OrderedDict
from dataclasses import dataclass

MOST_NONCES = 100_000
MOST_PARAMETERS = 32

_PARAMETER = re.compile(
    r'\s*([A-Za-z0-9_-]{1,32})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]{1,512}))\s*(?:,|$)', re.DOTALL
)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_COUNT = re.compile(r"[0-9A-Fa-f]{8}").fullmatch
_RESPONSE = re.compile(r"[0-9a-f]{32}").fullmatch


class BadAnswer(ValueError):
    """Raised for an Authorization that can't be read, or is incomplete."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The contents of an Authorization header."""

    username: str
    realm: str
    nonce: str
    uri: str
    response: str
    algorithm: str
    qop: str
    """Empty: as before RFC 2617; else ``auth``, with the two below."""
    count: str
    client_nonce: str

    def is_of(self, digest: bytes, method: str) -> bool:
        """Return whether the response was made with this H(A1), or with the session that begins with it."""
        request = _md5(f"{method}:{self.uri}")
        middle = f"{self.count}:{self.client_nonce}:{self.qop}:" if self.qop else ""
        first = digest.hex()
        if self.algorithm == "MD5-SESS":
            first = _md5(f"{first}:{self.nonce}:{self.client_nonce}")
        right = _md5(f"{first}:{self.nonce}:{middle}{request}")
        return hmac.compare_digest(right, self.response)


@dataclass(slots=True)
class _Nonce:
    made: float
    count: int = 0
    uses: int = 0
    client_nonce: str = ""
    """That of the first answer, which a session's digest is made of (RFC 2617, section 3.2.2.2)."""


class Nonces:
    """The issued nonces; the oldest are forgotten, which makes them stale."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, _Nonce] = OrderedDict()

    def new(self) -> str:
        """Return a new, unpredictable nonce."""
        nonce = secrets.token_urlsafe(24)
        self._known[nonce] = _Nonce(time.monotonic())
        if len(self._known) > MOST_NONCES:
            self._known.popitem(last=False)
        return nonce

    def use(self, answer: Answer, seconds: float, uses: int) -> bool:
        """Return whether the answer's nonce may be used once more.

        It may not if it is too old, if its count was seen before, or if a session continues with another
        client nonce.
        """
        known = self._known.get(answer.nonce)
        if known is None or time.monotonic() - known.made >= seconds or known.uses >= uses:
            return False
        count = int(answer.count, 16) if answer.qop else known.count + 1
        other = known.uses and answer.client_nonce != known.client_nonce
        if count <= known.count or (other and answer.algorithm == "MD5-SESS"):
            return False
        known.count, known.client_nonce = count, answer.client_nonce
        known.uses += 1
        return True


def algorithms(sha256: str, md5_sess: str) -> list[str]:
    """Return the algorithms that are offered, in their order: MD5, and the others as their knobs have it."""
    knobs = {"SHA-256": sha256, "MD5-sess": md5_sess}
    others = [name for name, knob in knobs.items() if knob != "no"]
    return others if "only" in knobs.values() else [*others, "MD5"]


def challenges(realm: str, nonce: str, offered: list[str], stale: bool) -> list[tuple[str, str]]:
    """Return the WWW-Authenticate headers of a 401, one for each algorithm."""
    also = ", stale=true" if stale else ""
    return [
        ("WWW-Authenticate", f'Digest realm="{realm}", nonce="{nonce}", algorithm={one}, qop="auth"{also}')
        for one in offered
    ]


def read_answer(header: str) -> Answer:
    """Return the parsed Authorization header. Raises BadAnswer."""
    scheme, _, rest = header.strip().partition(" ")
    if scheme.lower() != "digest":
        raise BadAnswer("not a Digest")
    given = _parameters(rest)
    missing = [name for name in ("username", "realm", "nonce", "uri", "response") if not given.get(name)]
    if missing:
        raise BadAnswer(f"without {', '.join(missing)}")
    qop = given.get("qop", "").lower()
    if qop and (qop != "auth" or not _COUNT(given.get("nc", "")) or not given.get("cnonce")):
        raise BadAnswer("qop, nc or cnonce is wrong")
    response = given["response"].lower()
    algorithm = given.get("algorithm", "MD5").upper()
    if not _RESPONSE(response) and algorithm in ("MD5", "MD5-SESS"):
        raise BadAnswer("the response is no digest")
    if algorithm == "MD5-SESS" and not qop:
        raise BadAnswer("a session without qop, cnonce and nc")
    return Answer(
        username=given["username"],
        realm=given["realm"],
        nonce=given["nonce"],
        uri=given["uri"],
        response=response,
        algorithm=algorithm,
        qop=given.get("qop", ""),
        count=given.get("nc", ""),
        client_nonce=given.get("cnonce", ""),
    )


def _parameters(text: str) -> dict[str, str]:
    given: dict[str, str] = {}
    at = 0
    while at < len(text) and text[at:].strip():
        found = _PARAMETER.match(text, at)
        if not found or len(given) >= MOST_PARAMETERS or found[1].lower() in given:
            raise BadAnswer("not a list of parameters")
        quoted, plain = found[2], found[3]
        given[found[1].lower()] = plain if quoted is None else _ESCAPED.sub(r"\1", quoted)
        at = found.end()
    return given


def _md5(text: str) -> str:
    raw = text.encode("utf-8", "surrogateescape")
    return hashlib.md5(raw, usedforsecurity=False).hexdigest()
