"""XML to plain data: the bodies of responses. Elements: docs/bandwidth-api.md.

Input is hostile until proven otherwise: nothing is fetched or expanded, a DOCTYPE is refused, size and
number of elements are bounded, and an answer with another root element than requested is refused, since
a portal's XHTML page must not look like an empty account.

Every text of the service is redacted before it is shown, since an error text (23026) has been seen to
repeat the digests that were sent. Values are restricted to valid ones, for they end up in ledger, results and
tables:

- ``Id``: no source says that one looks like a digest, so an id with 32 hex digits in a row counts as
  missing, and so does one that is too long or unprintable. The entry stays; the account family needs no id.
- ``Realm``, ``HttpVoiceV2AppId`` (a UUID has hyphens): an invalid one makes the answer Malformed.
- ``UserName``: by the rules it may be 32 hex digits. It is shown as it is, unless it is a digest of its own
  entry or a longer run: then the answer is Malformed, or, if it answers a create, the name is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar
from urllib.parse import unquote

from lxml import etree

from worker.model import Answer, Credential, Echo, EntryError, Realm, Row, Stored

T = TypeVar("T")

SIZE_LIMIT = 16 * 1024 * 1024
"""Bytes of the largest body that is parsed: about ten times a page of 5,000 credentials."""

PAGE_SIZE = 500
"""Entries of a list's page where the service does not say (docs/bandwidth-api.md#credentials)."""

_TEXT_LIMIT = 500
_MOST_TAGS = 1_000_000
"""Most tags of one body, closing ones included: an element takes far more memory than its text."""
_LONGEST_VALUE = 255  # the longest host name there is (RFC 1035, section 2.3.4)
_LONGEST_ID = _LONGEST_DIGEST = 64
_PLAIN_NAME = 32  # a shorter one can't hold a digest
_ENCODINGS = frozenset({"UTF-8", "UTF8", "US-ASCII", "ASCII", "ISO-8859-1"})
"""Accepted encodings; in all of them a tag's bytes are ASCII, on which the cheap look into a body relies."""
_CREDENTIAL, _REALM = "SipCredential", "Realm"
_STORED = ("Id", "UserName", _REALM, "Hash1", "Hash1b", "HttpVoiceV2AppId")
"""Elements of an entry, in the order of the fields of ``Stored``."""
_DIGEST = re.compile(r"[0-9A-Fa-f]{32,}")
_PAGE = re.compile(r"[?&]page=([^&;>\"\s]+)")
_SIZE = re.compile(r"[?&]size=(\d{1,6})(?!\d)")


class Malformed(ValueError):
    """Raised for a body that is malformed, too large or no answer to the request; never retried."""


@dataclass(frozen=True, slots=True)
class ListPage:
    """One page of stored credentials; ``next``: the page and size to ask for, None on the last one."""

    entries: tuple[Stored, ...]
    next: tuple[str, int] | None
    moved: bool = False
    """No page at all: the service redirected to ``next``."""


# Each reader raises Malformed.


def read_answer(body: bytes, batch: Sequence[Row | Credential] = (), realm_id: str = "") -> Answer:
    """Read the answer to a create: entries stored, entries refused. Both may be in one answer.

    ``batch``: the list that was sent; of an answer that repeats it, only the ids are returned. ``realm_id``:
    the id of the realm in the path; empty if the path has none. Invalid names and invalid ids of entries are
    left out.
    """
    root = _root(body)
    holders, errors = list(root.iter("{*}ValidSipCredentials")), list(root.iter("{*}Error"))
    if len(holders) == 1 and batch and not errors:
        ids = _repeated_ids(holders[0], batch, realm_id)
        if ids is not None:
            return Answer(ids=ids)
    accepted = [_echo(entry) for holder in holders for entry in holder]
    return Answer(tuple(accepted), tuple(map(_entry_error, errors)))


def read_status(body: bytes) -> tuple[str, str]:
    """Read ``ErrorCode`` and redacted ``Description`` of ``ResponseStatus``; empty if missing.

    Accepts any XML, whatever the other elements of a refusal are called.
    """
    status = _status(_parse(body))
    if status is None:
        return "", ""
    fields = _fields(status)
    return _redacted_text(fields, "ErrorCode"), _redacted_text(fields, "Description")


def read_done(body: bytes) -> None:
    """Check that a change was answered with XML of the service."""
    _root(body)


def read_refusal(body: bytes) -> None:
    """Check that the body is the service's own refusal, with a ``ResponseStatus``."""
    if _status(_parse(body)) is None:
        raise Malformed("the refusal is none of the service's")


def read_realms(body: bytes) -> list[Realm]:
    """Read every realm of a list, in its order."""
    root = _root(body, _REALM)
    return _some(root, [_realm(fields) for fields in _realm_fields(root)])


def read_realm(body: bytes) -> Realm:
    """Read the one realm of the answer."""
    for fields in _realm_fields(_root(body, _REALM)):
        return _realm(fields)
    raise Malformed("the answer names no realm")


def read_description(body: bytes) -> str:
    """Read the realm's description verbatim, to be written back; ``read_realm`` returns the one to show."""
    return next((fields.get("Description", "") for fields in _realm_fields(_root(body, _REALM))), "")


def read_credentials(body: bytes) -> ListPage:
    """Read one page of a list of credentials."""
    root = _root(body, _CREDENTIAL)
    listed = list(root.iter("{*}SipCredential"))
    entries = _plain_entries(root, len(listed))
    if entries is None:
        entries = _some(root, [_stored(_fields(entry)) for entry in listed])
    return ListPage(tuple(entries), _next_page(root))


def read_credential(body: bytes) -> Stored:
    """Read the one credential of the answer."""
    for entry in _root(body, _CREDENTIAL).iter("{*}SipCredential"):
        return _stored(_fields(entry))
    raise Malformed("the answer names no credential")


def read_page(url: str) -> tuple[str, int] | None:
    """Return page and size from a URL's query; None without a valid page.

    The rest leads elsewhere and is never used. ``+`` stays ``+``: it is a legal character of a user name,
    and no name holds a space.
    """
    page, size = _PAGE.search(url), _SIZE.search(url)
    name = unquote(page[1]) if page else ""
    return (name, int(size[1]) if size else PAGE_SIZE) if 0 < len(name) <= _LONGEST_VALUE else None


def redact(text: str) -> str:
    """Return ``text`` without possible digests: runs of 32 or more hex digits, in any case."""
    return _DIGEST.sub("<redacted>", text)


def _parse(body: bytes) -> etree._Element:
    if len(body) > SIZE_LIMIT or (len(body) > _MOST_TAGS and body.count(b"<") > _MOST_TAGS):
        raise Malformed("the answer is too large")
    if b"\0" in body:  # UTF-16 or UTF-32, perhaps undeclared
        raise Malformed("the answer is in an encoding that the service doesn't use")
    # A new parser for each body: a shared one would make threads wait for each other.
    parser = etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
        collect_ids=False,
    )
    try:
        root = etree.fromstring(body, parser)
    except etree.XMLSyntaxError:
        raise Malformed("the answer is not well-formed XML") from None
    document = root.getroottree().docinfo
    if document.internalDTD is not None:
        raise Malformed("the answer has a DOCTYPE")
    if (document.encoding or "UTF-8").upper() not in _ENCODINGS:
        raise Malformed("the answer is in an encoding that the service doesn't use")
    return root


def _root(body: bytes, kind: str = "") -> etree._Element:
    """Return the root of an answer of the service; with a ``kind``, of one that lists entries of it.

    Roots are called SipCredentialsResponse, RealmResponse and the like, but no source promises that they
    always are: so its name begins with the kind, or it is another ``…Response`` that holds one.
    """
    root = _parse(body)
    name = _local(str(root.tag))
    if not name.startswith(kind or (_CREDENTIAL, _REALM)) and not (
        name.endswith("Response") and (not kind or root.find(f".//{{*}}{kind}") is not None)
    ):
        raise Malformed("it is no answer to what was asked")
    if kind and root.find("{*}Errors") is not None:
        raise Malformed("the answer tells errors in the place of entries")
    return root


def _status(root: etree._Element) -> etree._Element | None:
    return next(root.iter("{*}ResponseStatus"), None)


def _some(root: etree._Element, entries: list[T]) -> list[T]:
    """Return the entries of a list. Raises Malformed if there are none but a status."""
    if not entries and _status(root) is not None:
        raise Malformed("the answer tells a status in the place of entries")
    return entries


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]


def _fields(element: etree._Element) -> dict[str, str]:
    """Return the element's children by name, whatever their namespace and order."""
    # A tag is text here, whatever its type: the parser drops comments and instructions.
    fields: dict[Any, str] = {child.tag: child.text or "" for child in element}
    names, texts = "".join(fields), "".join(fields.values())
    # Cheaper than checking each of eight names and texts, since nearly all are plain.
    if "{" in names or " " in texts or not texts.isprintable():
        return {_local(tag): text.strip() for tag, text in fields.items()}
    return fields


def _redacted_text(fields: dict[str, str], name: str) -> str:
    text = " ".join(fields.get(name, "").split())
    # Before the redaction: an invisible character must not split a digest, nor control a terminal.
    return redact(text if text.isprintable() else "".join(filter(str.isprintable, text)))[:_TEXT_LIMIT]


def _fits(text: str, longest: int) -> bool:
    return len(text) <= longest and text.isprintable() and not _DIGEST.search(text)


def _is_value(text: str) -> bool:
    """Return whether the text can be a realm's host name or an application's id."""
    return len(text) <= _LONGEST_VALUE and _is_short_value(text)


@lru_cache(maxsize=256)  # a page has few different ones; only short ones are cached
def _is_short_value(text: str) -> bool:
    return _fits(text, _LONGEST_VALUE)


def _value(text: str) -> str:
    if not _is_value(text):
        raise Malformed("the answer holds a realm or an application that can't be one")
    return text


def _id(fields: dict[str, str]) -> str:
    return _valid_id(fields.get("Id", ""))


def _valid_id(text: str) -> str:
    return text if (text.isdigit() and len(text) < _PLAIN_NAME) or _fits(text, _LONGEST_ID) else ""


def _valid_ids(texts: tuple[str, ...]) -> tuple[str, ...]:
    if "".join(texts).isdigit() and max(map(len, texts)) < _PLAIN_NAME:  # nearly always
        return texts
    return tuple(map(_valid_id, texts))


def _digest(fields: dict[str, str], name: str) -> str:
    text = fields.get(name, "").lower()
    return text if len(text) <= _LONGEST_DIGEST else ""


def _can_be_called(name: str, *digests: str) -> bool:
    """Return whether an entry with these digests can have this name: see the top of this file."""
    if len(name) < _PLAIN_NAME:  # nearly every one
        return name.isprintable()
    runs = _DIGEST.findall(name.lower())
    fits = len(name) <= _LONGEST_VALUE and name.isprintable()
    return fits and all(len(run) == 32 and run not in digests for run in runs)


def _composite(fields: dict[str, str]) -> str:
    # Reads give UserName and Domain, or user@domain in UserName (docs/bandwidth-api.md#credentials).
    user, domain = fields.get("UserName", ""), fields.get("Domain", "")
    if not domain or ("@" in user and user.casefold().endswith("@" + domain.casefold())):
        return user
    return f"{user}@{domain}" if user else ""


def _name(fields: dict[str, str], *digests: str) -> str:
    """Return the composite; empty if it is not valid."""
    name = _composite(fields)
    return name if _can_be_called(name, *digests) else ""


def _echo(entry: etree._Element) -> Echo:
    fields = _fields(entry)
    hash1, hash1b = _digest(fields, "Hash1"), _digest(fields, "Hash1b")
    user = fields.get("UserName", "")
    is_plain = len(user) < _PLAIN_NAME and user.isprintable() and "Domain" not in fields  # nearly always
    return Echo(
        _id(fields),
        user if is_plain else _name(fields, hash1, hash1b),
        _valid_value(fields, "Realm"),
        hash1 if "Hash1" in fields else None,
        hash1b if "Hash1b" in fields else None,
        _valid_value(fields, "HttpVoiceV2AppId"),
        _valid_value(fields, "RealmId"),
    )


def _columns(holder: etree._Element) -> dict[str, tuple[str, ...]]:
    """Return the texts of a list's entries by element; empty unless all entries have the same elements.

    Whole columns cost a fraction of what an object for each entry costs. An empty element's text is None.
    """
    tags: tuple[Any, ...] = tuple([element.tag for element in holder.iter()])
    texts: tuple[Any, ...] = tuple([element.text for element in holder.iter()])
    width = 1 + (len(holder[0]) if len(holder) else 0)
    fields = tags[2 : 1 + width]
    if tags[1:] != (_CREDENTIAL, *fields) * len(holder) or len(set(fields)) < len(fields):
        return {}
    return {tag: texts[at::width] for at, tag in enumerate(fields, start=2)}


def _plain_entries(root: etree._Element, number: int) -> list[Stored] | None:
    """Return the entries of a page, ``number`` in all; None if one of them needs a look of its own."""
    holder = root.find("SipCredentials")
    columns = _columns(holder) if holder is not None and len(holder) == number else {}
    if not columns or "Domain" in columns:
        return None
    nothing = ("",) * number
    values = [columns.get(tag, nothing) for tag in _STORED]
    if any(None in column for column in values):
        return None
    longest = [max(map(len, column)) for column in values]
    text = "".join(map("".join, values))
    is_plain = (
        " " not in text
        and text.isprintable()
        and longest[0] < _PLAIN_NAME
        and longest[1] < _PLAIN_NAME
        and max(longest[3:5]) <= _LONGEST_DIGEST
    )
    if not is_plain:
        return None
    for value in {*values[2], *values[5]}:
        _value(value)
    return [
        Stored(id_, name, realm, hash1.lower() or None, hash1b.lower() or None, application)
        for id_, name, realm, hash1, hash1b, application in zip(*values, strict=True)
    ]


def _repeated_ids(
    holder: etree._Element, batch: Sequence[Row | Credential], realm_id: str
) -> tuple[str, ...] | None:
    """Return the ids of entries that repeat a batch letter by letter and in its order; None if they don't.

    Nearly every answer does. Then nothing in it can contradict itself, since the names of a batch differ, and
    whole columns are compared in place of entries.
    """
    columns = _columns(holder) if len(holder) == len(batch) else {}
    names = columns.get("UserName", ())
    if "Domain" in columns:
        names = tuple([f"{user}@{domain}" for user, domain in zip(names, columns["Domain"], strict=True)])
    nothing = ("",) * len(batch)
    ids = columns.get("Id", nothing)
    is_repeated = (
        names == tuple([one.composite for one in batch])
        and columns.get("Hash1") == tuple([one.hash1 for one in batch])
        and columns.get("Hash1b") == tuple([one.hash1b for one in batch])
        and columns.get(_REALM) == tuple([one.host for one in batch])
        and columns.get("HttpVoiceV2AppId", nothing) == tuple([one.application for one in batch])
        and not (realm_id and set(columns.get("RealmId", ())) - {realm_id})
        and None not in ids
        and max(map(len, names)) < _PLAIN_NAME
    )
    return _valid_ids(ids) if is_repeated else None


def _valid_value(fields: dict[str, str], tag: str) -> str | None:
    """Return the element's value, empty if it is not valid; None if it was left out."""
    text = fields.get(tag)
    if not text or (len(text) <= _LONGEST_VALUE and _is_short_value(text)):
        return text
    return ""


def _entry_error(error: etree._Element) -> EntryError:
    fields = _fields(error)
    echoed = next((_fields(entry) for entry in error.iter("{*}SipCredential")), {})
    hash1 = _digest(echoed, "Hash1")
    name = _name(echoed, hash1, _digest(echoed, "Hash1b"))
    return EntryError(_redacted_text(fields, "ErrorCode"), _redacted_text(fields, "Description"), name, hash1)


def _stored(fields: dict[str, str]) -> Stored:
    get = fields.get
    hash1, hash1b = get("Hash1", "").lower(), get("Hash1b", "").lower()
    name = _composite(fields) if "Domain" in fields else get("UserName", "")
    # Inline checks for the common case of a million entries; the functions handle the rare ones.
    if not (len(name) < _PLAIN_NAME and name.isprintable()) and not _can_be_called(name, hash1, hash1b):
        raise Malformed("the answer holds a name that can't be one")
    realm, application = _value(get("Realm", "")), _value(get("HttpVoiceV2AppId", ""))
    return Stored(_id(fields), name, realm, _shown_digest(hash1), _shown_digest(hash1b), application)


def _shown_digest(text: str) -> str | None:
    return text if text and len(text) <= _LONGEST_DIGEST else None


def _realm_fields(root: etree._Element) -> Iterator[dict[str, str]]:
    # The host name's element is called Realm as well, but only a realm has children.
    return (_fields(realm) for realm in root.iter("{*}Realm") if len(realm))


def _realm(fields: dict[str, str]) -> Realm:
    if not fields.get("Realm"):
        raise Malformed("the answer names a realm without its host name")
    count = fields.get("SipCredentialCount", "")
    return Realm(
        _id(fields),
        _value(fields["Realm"]),
        _redacted_text(fields, "Status"),
        fields.get("Default", "").lower() == "true",
        _redacted_text(fields, "Description"),
        int(count) if count.isascii() and count.isdigit() and len(count) < 10 else None,
    )


def _next_page(root: etree._Element) -> tuple[str, int] | None:
    """Return page and size of the next page; None on the last one.

    Raises Malformed for a link without a page, since the rest of the list would be lost.
    """
    links = (_fields(links).get("next", "") for links in root.iter("{*}Links"))
    link = next(filter(None, links), "")
    page = read_page(link)
    if link and page is None:
        raise Malformed("the answer has a next page and doesn't say which")
    return page
