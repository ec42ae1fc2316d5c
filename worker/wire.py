"""Rows to XML, XML to answers: bytes in, bytes out. Elements, their order: API description, sections 3 and 4.

What comes in is hostile until proven otherwise: nothing is fetched or expanded, a DOCTYPE is refused, the
size is bounded, and every text of the service is redacted before anybody sees it, since an error text (23026)
has been seen to repeat the digests that were sent.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from lxml import etree

from worker.model import Answer, Credential, Echo, EntryError, Family, Realm, Stored

SIZE_LIMIT = 64 * 1024 * 1024
"""Bytes of the largest body that is parsed: some fifty times a page of 5,000 credentials."""

PAGE_SIZE = 500
"""Entries of a list's page where the service does not say (API description, section 4)."""

_TEXT_LIMIT = 500
_HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'
_DIGEST = re.compile(r"[0-9A-Fa-f]{32,}")
_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0, production 2
_PAGE = re.compile(r"[?&]page=([^&;>\"\s]+)")
_SIZE = re.compile(r"[?&]size=(\d{1,6})(?!\d)")


class Malformed(ValueError):
    """A body that is not well-formed, too large or without what was asked for; its text is never repeated."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page of stored credentials; ``next``: the page and size to ask for, None on the last one."""

    entries: tuple[Stored, ...]
    next: tuple[str, int] | None


# Writing


def credentials_xml(batch: Sequence[Credential], family: Family) -> bytes:
    """The body that creates a batch. Raises ValueError for a character that XML can't hold.

    In the realm family the composite goes into ``UserName`` and the path names the realm. Built as text,
    since this runs once for every row and a tree costs more than twice as much.
    """
    entry = _realm_entry if family is Family.REALM else _account_entry
    return _document(f"<SipCredentials>{''.join(map(entry, batch))}</SipCredentials>")


def update_xml(credential: Credential, realm_id: str = "") -> bytes:
    """The body that sets a credential's digests and application; its name must not be in it (23004, 23030).

    The realm family wants ``realm_id`` although the path has it (23031); without it, this is the account
    family's. Raises ValueError for a character that XML can't hold.
    """
    digests, application = _digests(credential), _optional("HttpVoiceV2AppId", credential.application)
    if realm_id:
        inner = f"<RealmId>{_escaped(realm_id)}</RealmId>{digests}{application}"
    else:
        inner = f"{digests}{_optional('Realm', credential.realm)}{application}"
    return _document(f"<SipCredential>{inner}</SipCredential>")


def realm_xml(name: str, description: str, default: bool) -> bytes:
    """The body that creates or replaces a realm; ``Default`` always, since the service demands it (1003).

    Raises ValueError for a character that XML can't hold.
    """
    return _document(
        f"<Realm><Realm>{_escaped(name)}</Realm>{_optional('Description', description)}"
        f"<Default>{'true' if default else 'false'}</Default></Realm>"
    )


def _account_entry(credential: Credential) -> str:
    return (
        f"<SipCredential><UserName>{_escaped(credential.user)}</UserName>"
        f"{_optional('Domain', credential.domain)}{_digests(credential)}"
        f"<Realm>{_escaped(credential.realm)}</Realm>"
        f"{_optional('HttpVoiceV2AppId', credential.application)}</SipCredential>"
    )


def _realm_entry(credential: Credential) -> str:
    return (
        f"<SipCredential><UserName>{_escaped(credential.composite)}</UserName>{_digests(credential)}"
        f"{_optional('HttpVoiceV2AppId', credential.application)}</SipCredential>"
    )


def _digests(credential: Credential) -> str:
    return f"<Hash1>{_escaped(credential.hash1)}</Hash1>{_optional('Hash1b', credential.hash1b)}"


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


# Reading; each raises Malformed


def read_answer(body: bytes) -> Answer:
    """What a create answered: entries stored, entries refused. Both may be there in one answer."""
    root = _parse(body)
    valid = (entry for holder in root.iter("{*}ValidSipCredentials") for entry in holder)
    return Answer(tuple(map(_echo, valid)), tuple(map(_entry_error, root.iter("{*}Error"))))


def read_status(body: bytes) -> tuple[str, str]:
    """``ErrorCode`` and redacted ``Description`` of ``ResponseStatus``; empty where missing."""
    for status in _parse(body).iter("{*}ResponseStatus"):
        fields = _fields(status)
        return _said(fields, "ErrorCode"), _said(fields, "Description")
    return "", ""


def read_realms(body: bytes) -> list[Realm]:
    """Every realm of a list, in its order."""
    return [_realm(fields) for fields in _realm_fields(_parse(body))]


def read_realm(body: bytes) -> Realm:
    """The one realm of the answer."""
    for fields in _realm_fields(_parse(body)):
        return _realm(fields)
    raise Malformed("the answer names no realm")


def read_description(body: bytes) -> str:
    """The realm's description letter by letter, to be written back; what is shown is ``read_realm``'s."""
    return next((fields.get("Description", "") for fields in _realm_fields(_parse(body))), "")


def read_credentials(body: bytes) -> Page:
    """One page of a list of credentials."""
    root = _parse(body)
    entries = tuple(_stored(_fields(entry)) for entry in root.iter("{*}SipCredential"))
    return Page(entries, _next_page(root))


def read_credential(body: bytes) -> Stored:
    """The one credential of the answer."""
    for entry in _parse(body).iter("{*}SipCredential"):
        return _stored(_fields(entry))
    raise Malformed("the answer names no credential")


def read_page(url: str) -> tuple[str, int] | None:
    """Page and size out of a URL's query; None without a page. The rest leads elsewhere and is never used.

    ``+`` stays ``+``: it is a legal character of a user name, and no name holds a space.
    """
    page, size = _PAGE.search(url), _SIZE.search(url)
    return (unquote(page[1]), int(size[1]) if size else PAGE_SIZE) if page else None


def redact(text: str) -> str:
    """``text`` without anything that may be a digest: runs of 32 or more hex digits, in any case."""
    return _DIGEST.sub("<redacted>", text)


def _parse(body: bytes) -> etree._Element:
    if len(body) > SIZE_LIMIT:
        raise Malformed("the answer is too large")
    # A parser of its own for each body: a shared one would make threads wait for each other.
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, huge_tree=False, remove_comments=True, remove_pis=True
    )
    try:
        root = etree.fromstring(body, parser)
    except etree.XMLSyntaxError:
        raise Malformed("the answer is not well-formed XML") from None
    if root.getroottree().docinfo.internalDTD is not None:
        raise Malformed("the answer has a DOCTYPE")
    return root


def _fields(element: etree._Element) -> dict[str, str]:
    """The element's children by name, whatever their namespace and order."""
    return {str(child.tag).rpartition("}")[2]: (child.text or "").strip() for child in element}


def _said(fields: dict[str, str], name: str) -> str:
    return redact(" ".join(fields.get(name, "").split()))[:_TEXT_LIMIT]


def _composite(fields: dict[str, str]) -> str:
    # Reads give UserName and Domain, or user@domain in UserName (API description, section 4).
    user, domain = fields.get("UserName", ""), fields.get("Domain", "")
    if not domain or user.casefold().endswith("@" + domain.casefold()):
        return user
    return f"{user}@{domain}" if user else ""


def _echo(entry: etree._Element) -> Echo:
    fields = _fields(entry)
    return Echo(
        fields.get("Id", ""), _composite(fields), fields.get("Realm", ""), fields.get("Hash1", "").lower()
    )


def _entry_error(error: etree._Element) -> EntryError:
    fields = _fields(error)
    echoed = next((_fields(entry) for entry in error.iter("{*}SipCredential")), {})
    return EntryError(
        _said(fields, "ErrorCode"),
        _said(fields, "Description"),
        _composite(echoed),
        echoed.get("Hash1", "").lower(),
    )


def _stored(fields: dict[str, str]) -> Stored:
    return Stored(
        fields.get("Id", ""),
        _composite(fields),
        fields.get("Realm", ""),
        fields.get("Hash1", "").lower() or None,
        fields.get("Hash1b", "").lower() or None,
        fields.get("HttpVoiceV2AppId", ""),
    )


def _realm_fields(root: etree._Element) -> Iterator[dict[str, str]]:
    # The host name's element is called Realm as well; it has no children, so a realm is the one that has.
    return (_fields(realm) for realm in root.iter("{*}Realm") if len(realm))


def _realm(fields: dict[str, str]) -> Realm:
    if not fields.get("Realm"):
        raise Malformed("the answer names a realm without its host name")
    count = fields.get("SipCredentialCount", "")
    return Realm(
        fields.get("Id", ""),
        fields["Realm"],
        _said(fields, "Status"),
        fields.get("Default", "").lower() == "true",
        _said(fields, "Description"),
        int(count) if count.isascii() and count.isdigit() and len(count) < 10 else None,
    )


def _next_page(root: etree._Element) -> tuple[str, int] | None:
    links = (_fields(links) for links in root.iter("{*}Links"))
    return next((page for link in links if (page := read_page(link.get("next", "")))), None)
