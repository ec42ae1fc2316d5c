"""Rows to XML: the bodies of requests. Elements and their order: docs/bandwidth-api.md."""

from __future__ import annotations

import re
from collections.abc import Sequence

from worker.model import Credential, Family, Row

_HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'
_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0, production 2


def credentials_xml(batch: Sequence[Row | Credential], family: Family) -> bytes:
    """Return the body that creates a batch. Raises ValueError for a character that XML can't hold.

    In the realm family the composite goes into ``UserName`` and the path names the realm. Built as text,
    since this runs once for every row and a tree costs more than twice as much.
    """
    in_path = family is Family.REALM
    entries, tails = [], dict[tuple[str, str], str]()
    for one in batch:
        user = one.composite if in_path else one.user
        tail_key = (one.host, one.application)
        if tail_key not in tails:
            realm = "" if in_path else f"<Realm>{_escaped(one.host)}</Realm>"
            tails[tail_key] = f"{realm}{_optional('HttpVoiceV2AppId', one.application)}</SipCredential>"
        domain = f"<Domain>{_escaped(one.domain)}</Domain>" if one.domain and not in_path else ""
        entries.append(
            f"<SipCredential><UserName>{user if user.isalnum() else _escaped(user)}</UserName>{domain}"
            f"{_digests(one)}{tails[tail_key]}"
        )
    return _document(f"<SipCredentials>{''.join(entries)}</SipCredentials>")


def update_xml(credential: Credential, realm_id: str = "") -> bytes:
    """Return the body that sets a credential's digests and application, without its name (23004, 23030).

    The realm family wants ``realm_id`` although the path has it (23031); without it, this is the account
    family's. Raises ValueError for a character that XML can't hold.
    """
    digests, application = _digests(credential), _optional("HttpVoiceV2AppId", credential.application)
    if realm_id:
        inner = f"<RealmId>{_escaped(realm_id)}</RealmId>{digests}{application}"
    else:
        inner = f"{digests}{_optional('Realm', credential.host)}{application}"
    return _document(f"<SipCredential>{inner}</SipCredential>")


def realm_xml(name: str, description: str, default: bool) -> bytes:
    """Return the body that creates or replaces a realm; ``Default`` always, as the service demands (1003).

    Raises ValueError for a character that XML can't hold.
    """
    return _document(
        f"<Realm><Realm>{_escaped(name)}</Realm>{_optional('Description', description)}"
        f"<Default>{'true' if default else 'false'}</Default></Realm>"
    )


def _digests(credential: Row | Credential) -> str:
    hash1, hash1b = credential.hash1, credential.hash1b
    if hash1.isalnum() and hash1b.isalnum():  # nearly always
        return f"<Hash1>{hash1}</Hash1><Hash1b>{hash1b}</Hash1b>"
    return f"<Hash1>{_escaped(hash1)}</Hash1>{_optional('Hash1b', hash1b)}"


def _optional(tag: str, value: str) -> str:
    return f"<{tag}>{_escaped(value)}</{tag}>" if value else ""


def _escaped(value: str) -> str:
    # A bare carriage return would be read back as a line feed (XML 1.0, section 2.11).
    return value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\r", "&#13;")


def _document(text: str) -> bytes:
    # Printable text holds no illegal character, and asking that is twice as fast as the search.
    if not text.isprintable() and _ILLEGAL.search(text):
        raise ValueError("a value holds a character that XML can't hold, such as a control character")
    return (_HEAD + text).encode()
