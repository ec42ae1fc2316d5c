"""REGISTER requests and their answers on the wire (RFC 3261, sections 7, 10 and 20).

Answers are not trusted: their size is bounded, and anything may be in them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote

from worker import __version__

LONGEST: Final = 65_535
"""Bytes of an answer's head, or of its body: what a datagram can hold."""
_MOST_HEADERS = 256
_MOST_LINES = 1024
_SHOWN = 80
"""Characters of a registrar's own text that are shown."""

_SAFE_IN_USER = "-_.!~*'()&=+$,;?/"
"""Stands unescaped in a SIP URI's user part, beside letters and digits (section 25.1)."""
_COMPACT = {"v": "via", "m": "contact", "l": "content-length", "t": "to", "f": "from", "i": "call-id"}
"""Section 7.3.3; the other short forms are of no interest here."""

_status_line = re.compile(r"SIP/2\.0[ \t]+([1-6][0-9][0-9])(?:[ \t]+(.*))?").fullmatch
_field = re.compile(r"([A-Za-z0-9\-.!%*_+`'~]{1,64})[ \t]*:(.*)").fullmatch
_branch = re.compile(r";\s*branch\s*=\s*([^\s;,\"]+)", re.IGNORECASE).search
_cseq = re.compile(r"(\d{1,10})\s+([A-Za-z]+)", re.ASCII).fullmatch
_hex = re.compile(r"[0-9A-Fa-f]{32,}").sub
_part = re.compile(r'"(?:[^"\\]|\\.)*"?|<[^>]*>?|,|[^",<]+').findall
"""A list's text in pieces: commas between its values are pieces of their own."""


@dataclass(frozen=True, slots=True)
class Request:
    """One REGISTER request. Without a contact it only asks for the present bindings (section 10.2.3)."""

    user: str
    host: str
    call_id: str
    tag: str
    cseq: int
    contact: str = ""
    """The user part of a Contact of our own; empty: none."""
    expires: int = 0
    """Seconds that the contact is bound for; 0 removes it."""
    credentials: tuple[str, str] = field(default=("", ""), repr=False)
    """Name and value of the header that answers a challenge."""

    @property
    def uri(self) -> str:
        """Return the Request-URI: the realm, whichever server is asked."""
        return f"sip:{self.host}"

    def encoded(self, transport: str, local: str, branch: str) -> bytes:
        """Return the request as bytes, sent from ``local`` (``host:port``) by ``udp``, ``tcp`` or ``tls``."""
        user = quote(self.user, safe=_SAFE_IN_USER)
        identity = f"<sip:{user}@{self.host}>"
        lines = [
            f"REGISTER {self.uri} SIP/2.0",
            f"Via: SIP/2.0/{transport.upper()} {local};branch={branch};rport",
            "Max-Forwards: 70",
            f"From: {identity};tag={self.tag}",
            f"To: {identity}",
            f"Call-ID: {self.call_id}",
            f"CSeq: {self.cseq} REGISTER",
            f"User-Agent: siproster/{__version__}",
        ]
        if self.contact:
            uri = f"<sip:{self.contact}@{local};transport={transport}>"
            lines += [f"Contact: {uri};expires={self.expires}", f"Expires: {self.expires}"]
        if self.credentials[0]:
            lines.append(": ".join(self.credentials))
        return "\r\n".join([*lines, "Content-Length: 0", "", ""]).encode()


@dataclass(frozen=True, slots=True)
class Reply:
    """A response. Header names are in lower case and in their long form."""

    status: int
    reason: str
    """Fit to be shown: short, printable, without anything that may be a digest."""
    branch: str
    cseq: tuple[int, str]
    headers: tuple[tuple[str, str], ...] = field(repr=False)

    def __str__(self) -> str:
        return f"{self.status} {self.reason}".rstrip()

    def values(self, name: str) -> list[str]:
        """Return the values of all headers of this name, in their order."""
        return [value for other, value in self.headers if other == name]


def parse(head: bytes) -> Reply | None:
    """Return the response in these bytes, or None if they can't be matched to a request.

    A response has exactly one Via when it reaches the client (section 8.1.3.3).
    """
    first, *lines = head[:LONGEST].decode("utf-8", "replace").replace("\r\n", "\n").split("\n")
    status = _status_line(first)
    headers = tuple(_headers(lines)) if status else ()
    vias = [value for name, text in headers if name == "via" for value in values_in(text)]
    cseqs = [text for name, text in headers if name == "cseq"]
    if status is None or len(vias) != 1 or len(cseqs) != 1 or len(headers) > _MOST_HEADERS:
        return None
    branch, cseq = _branch(vias[0]), _cseq(cseqs[0])
    if branch is None or cseq is None:
        return None
    number = (int(cseq[1]), cseq[2].upper())
    return Reply(int(status[1]), shown(status[2] or ""), branch[1].lower(), number, headers)


def body_length(head: bytes) -> int:
    """Return the length in bytes of the body after a head (section 18.3). Raises ValueError."""
    lines = head[:LONGEST].decode("utf-8", "replace").replace("\r\n", "\n").split("\n")
    told = {text for name, text in _headers(lines[1:]) if name == "content-length"} or {"0"}
    (text,) = told  # two different lengths are a ValueError, too
    if not re.fullmatch(r"[0-9]{1,5}", text) or int(text) > LONGEST:
        raise ValueError("no length that a body can have")
    return int(text)


def contacts(reply: Reply) -> list[str]:
    """Return the bindings that a response lists."""
    return [value for text in reply.values("contact") for value in values_in(text) if value != "*"]


def values_in(text: str) -> list[str]:
    """Return a header's values, split at commas outside quotes and angle brackets."""
    values = [""]
    for part in _part(text):
        if part == ",":
            values.append("")
        else:
            values[-1] += part
    return [value.strip() for value in values if value.strip()]


def shown(text: str) -> str:
    """Return a registrar's own words, safe for a report."""
    plain = "".join(letter if letter.isprintable() else " " for letter in text[: 4 * _SHOWN])
    return _hex("…", plain).strip()[:_SHOWN]


def _headers(lines: list[str]) -> Iterator[tuple[str, str]]:
    """Yield name and value of each header up to the empty line, joining continuation lines."""
    folded: list[str] = []
    for line in lines[:_MOST_LINES]:
        if not line:
            break
        if line[0] in " \t" and folded:
            folded[-1] += " " + line.strip()
        elif len(folded) > _MOST_HEADERS:
            break
        else:
            folded.append(line)
    for line in folded:
        if found := _field(line):
            name = found[1].lower()
            yield _COMPACT.get(name, name), found[2].strip()
