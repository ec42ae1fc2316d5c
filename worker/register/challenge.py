"""Digest challenges of a registrar, and the answers to them (RFC 2617, RFC 7616, RFC 8760)."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from worker.digest import response, session_digest
from worker.register.message import Reply, shown
from worker.register.result import Undecided

_LONGEST = 1024
"""Characters of a value that would be sent back."""

_ASKS = {401: ("www-authenticate", "Authorization"), 407: ("proxy-authenticate", "Proxy-Authorization")}
"""Status to the header that asks and the one that answers."""

_SESSION = "MD5-sess"
_ALGORITHMS = {"MD5": "MD5", "MD5-SESS": _SESSION}
"""Maps the algorithm of a challenge, in upper case, to the one that answers it."""

_WORD = r"[A-Za-z0-9\-.!%*_+`'~]{1,64}"
_piece = re.compile(
    rf'(?P<name>{_WORD})\s*=\s*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<plain>[^\s",]*))|(?P<scheme>{_WORD})'
).finditer


@dataclass(frozen=True, slots=True)
class Challenge:
    """A challenge that the stored digests can answer: Digest, MD5 or MD5-sess, for the realm's own name."""

    status: int
    realm: str
    nonce: str = field(repr=False)
    opaque: str | None
    with_qop: bool
    """``qop=auth``, else the older form without."""
    algorithm: str
    """``MD5``, ``MD5-sess``; empty: the server named none, which means MD5."""
    session: str = field(default_factory=lambda: secrets.token_hex(8), repr=False)
    """The cnonce of every answer with MD5-sess: the first one goes into the digest of them all."""

    def answer(self, name: str, ha1: str, uri: str, use: int = 1) -> tuple[str, str]:
        """Return name and value of the header that answers the challenge for the ``use``-th time.

        ``ha1``: the digest that ``name`` belongs to.
        """
        cnonce, count = (secrets.token_hex(8), f"{use:08x}") if self.with_qop else ("", "")
        if self.algorithm == _SESSION:
            cnonce = self.session
            ha1 = session_digest(ha1, self.nonce, cnonce)
        value = (
            f'Digest username="{name}", realm="{self.realm}", nonce="{self.nonce}", uri="{uri}", '
            f'response="{response(ha1, uri, self.nonce, cnonce, count)}"'
        )
        if self.algorithm:
            value += f", algorithm={self.algorithm}"
        if self.with_qop:
            value += f', qop=auth, nc={count}, cnonce="{cnonce}"'
        if self.opaque is not None:
            value += f', opaque="{self.opaque}"'
        return _ASKS[self.status][1], value


def asks(reply: Reply) -> bool:
    """Return whether an answer asks for credentials."""
    return reply.status in _ASKS


def challenge(reply: Reply, realm: str) -> Challenge:
    """Return the first challenge, in the headers' order, that the stored digests can answer.

    Raises Undecided, which says why there is none.
    """
    offered = list(_offered(reply))
    for one in offered:
        if not _obstacle(one, realm):
            qop, algorithm = "qop" in one, _ALGORITHMS.get(one.get("algorithm", "").upper(), "")
            return Challenge(reply.status, realm, one["nonce"], one.get("opaque"), qop, algorithm)
    obstacles = [_obstacle(one, realm) for one in offered]
    raise Undecided(f"{reply}: {obstacles[0] if obstacles else 'it does not say how to authenticate'}")


def stale(reply: Reply, realm: str) -> Challenge | None:
    """Return the new challenge if only the nonce is stale (RFC 2617, 3.2.1); None if refused."""
    if not any(one.get("stale", "").lower() == "true" for one in _offered(reply)):
        return None
    return challenge(reply, realm)


def _offered(reply: Reply) -> Iterator[Mapping[str, str]]:
    """Yield each challenge's parameters, by name in lower case; ``""`` is its scheme."""
    for text in reply.values(_ASKS[reply.status][0]) if asks(reply) else []:
        current: dict[str, str] = {}
        for piece in _piece(text):
            if piece["scheme"]:
                if current:
                    yield current
                current = {"": piece["scheme"].lower()}
            else:
                value = piece["quoted"] if piece["quoted"] is not None else piece["plain"]
                current.setdefault(piece["name"].lower(), value)
        if current:
            yield current


def _obstacle(one: Mapping[str, str], realm: str) -> str:
    """Return the reason why a challenge can't be answered, or an empty text."""
    algorithm = one.get("algorithm", "MD5").upper()
    if one.get("") != "digest":
        return f"the server wants {shown(one.get('', '')) or 'something'}, not Digest"
    if algorithm.startswith("SHA-"):
        return f"the server wants {shown(algorithm)}; the stored digest can't answer it"
    if algorithm not in _ALGORITHMS:
        return f"the server wants the algorithm {shown(algorithm)}; the stored digest is MD5"
    if _ALGORITHMS[algorithm] == _SESSION and "qop" not in one:
        # The digest needs a cnonce, which may not be sent without qop (RFC 2617, section 3.2.2).
        return "the server wants MD5-sess without qop, which leaves no way to send the cnonce"
    if one.get("realm") != realm:
        return f"the server asks for the realm {shown(one.get('realm', ''))!r}; the digests are for {realm!r}"
    if not one.get("nonce") or not all(_sendable(one.get(name, "")) for name in ("nonce", "opaque")):
        return "the server's challenge is damaged"
    if "qop" in one and "auth" not in re.split(r"[\s,]+", one["qop"].lower()):
        return f"the server wants qop={shown(one['qop'])}, which is not supported"
    return ""


def _sendable(value: str) -> bool:
    """Return whether a value can be sent back unchanged, in quotes."""
    return len(value) <= _LONGEST and value.isprintable() and not re.search(r'(?<!\\)"|\\$', value)
