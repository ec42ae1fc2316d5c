"""The two hashes that Bandwidth stores instead of a password, and a phone's digest response. Pure functions.

A digest is password-equivalent (anybody who has it can register), so it is a secret like the password.
"""

from __future__ import annotations

from hashlib import md5


def digests(composite: str, realm: str, password: str) -> tuple[str, str]:
    """Return ``Hash1`` and ``Hash1b`` for one user, 32 lower-case hex digits each, over UTF-8 bytes.

    ``Hash1`` is MD5 of ``composite:realm:password``, the A1 of RFC 2617, section 3.2.2.2; ``Hash1b`` is the
    same for a phone that gives ``composite@realm`` as its user name. The guide's table writes ``:`` for
    that ``@`` and calls the digest ``Hash2``; its worked examples and the live service use ``@``.

    ``realm`` is the full host name exactly as the API returns it: nothing is re-cased or trimmed here.

    Raises ValueError, without the password in its message, if a text is not valid Unicode.
    """
    try:
        name, host = composite.encode(), realm.encode()
        ending = b":" + host + b":" + password.encode()
    except UnicodeEncodeError:
        raise ValueError("a user name, realm or password is not valid Unicode") from None
    return (
        md5(name + ending, usedforsecurity=False).hexdigest(),
        md5(name + b"@" + host + ending, usedforsecurity=False).hexdigest(),
    )


def session_digest(ha1: str, nonce: str, cnonce: str) -> str:
    """Return the digest that replaces ``ha1`` if the algorithm is ``MD5-sess``.

    The nonce is the challenge's, the cnonce that of the first answer to it (RFC 2617, section 3.2.2.2).
    """
    return _md5(f"{ha1}:{nonce}:{cnonce}")


def response(ha1: str, uri: str, nonce: str, cnonce: str = "", count: str = "") -> str:
    """Return the MD5 response (32 hex digits) to a challenge to REGISTER (RFC 2617, section 3.2.2).

    ``ha1`` is one of the two digests; ``uri`` and ``nonce`` go in as they stand in the header, in
    quotes. With ``cnonce`` and ``count`` (``nc``: which use of the nonce this is, 8 hex digits) it is
    the form for ``qop=auth``, without them the older form (no ``qop``).
    """
    ha2 = _md5(f"REGISTER:{uri}")
    use = f"{count}:{cnonce}:auth:" if cnonce else ""
    return _md5(f"{ha1}:{nonce}:{use}{ha2}")


def _md5(text: str) -> str:
    return md5(text.encode(), usedforsecurity=False).hexdigest()
