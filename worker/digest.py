"""The two hashes that Bandwidth stores in place of a password, and what a phone answers with. Pure.

A digest is password-equivalent (whoever has it can register), so it is a secret like the password.
"""

from __future__ import annotations

from hashlib import md5


def digests(composite: str, realm: str, password: str) -> tuple[str, str]:
    """``Hash1`` and ``Hash1b`` for one user, 32 lower-case hex digits each, over UTF-8 bytes.

    ``Hash1`` is MD5 of ``composite:realm:password``, the A1 of RFC 2617, section 3.2.2.2; ``Hash1b`` is the
    same for a phone that says ``composite@realm`` as its user name. The guide's table writes ``:`` for
    that ``@`` and calls the digest ``Hash2``; its worked examples and the live service use ``@``.

    ``realm`` is the full host name exactly as the API returns it: nothing is re-cased or trimmed here.

    Raises ValueError, which says nothing of the password, where a text is not valid Unicode.
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
    """Return the digest that stands in the place of ``ha1`` where the algorithm is ``MD5-sess``.

    The nonce is the challenge's, the cnonce that of the first answer to it (RFC 2617, section 3.2.2.2).
    """
    return _md5(f"{ha1}:{nonce}:{cnonce}")


def response(ha1: str, uri: str, nonce: str, cnonce: str = "", count: str = "") -> str:
    """What answers a registrar's challenge to REGISTER (RFC 2617, section 3.2.2): 32 hex digits, MD5.

    ``ha1`` is one of the two digests; ``uri`` and ``nonce`` go in as they stand in the header, in
    quotes. With ``cnonce`` and ``count`` (``nc``: which use of the nonce this is, 8 hex digits) it is
    the form for ``qop=auth``, without them the older form (no ``qop``).
    """
    ha2 = _md5(f"REGISTER:{uri}")
    use = f"{count}:{cnonce}:auth:" if cnonce else ""
    return _md5(f"{ha1}:{nonce}:{use}{ha2}")


def _md5(text: str) -> str:
    return md5(text.encode(), usedforsecurity=False).hexdigest()
