"""SIP messages as text: a request is read within bounds, an answer is written (RFC 3261, section 7)."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

LONGEST_HEAD = 16_384
"""Bytes of request line and headers."""
LONGEST_BODY = 65_536
MOST_HEADERS = 128

COMPACT = {"v": "via", "f": "from", "t": "to", "m": "contact", "i": "call-id", "l": "content-length"}
"""Short forms of header names (section 7.3.3), those that matter here."""
NEEDED = ("via", "from", "to", "call-id", "cseq")
REASONS = {
    200: "OK", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found",
    405: "Method Not Allowed", 480: "Temporarily Unavailable", 486: "Busy Here", 500: "Server Internal Error",
    503: "Service Unavailable",
}  # fmt: skip

_START = re.compile(r"([A-Z]{1,32}) (\S{1,1024}) SIP/2\.0").fullmatch
_NAME = re.compile(r"[A-Za-z0-9!%*_+`'~.-]{1,64}").fullmatch
_CSEQ = re.compile(r"([0-9]{1,10})\s+([A-Z]{1,32})").fullmatch
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_TAG = re.compile(r";\s*tag\s*=", re.IGNORECASE)
_BRANCH = re.compile(r";\s*branch\s*=\s*([^;,\s]{1,256})", re.IGNORECASE)
_RPORT = re.compile(r";\s*rport\s*(?=;|$)", re.IGNORECASE)
_LENGTH = re.compile(r"[0-9]{1,6}").fullmatch

Header = tuple[str, str]


class Malformed(ValueError):
    """Raised for bytes that are no SIP request: nothing can be answered, as the sender is not known."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request. Header names are in lower case and in their long form."""

    method: str
    uri: str
    headers: tuple[Header, ...]

    def all(self, name: str) -> list[str]:
        """Return every value of a header, in order; lists in one line are not split."""
        return [value for known, value in self.headers if known == name]

    def first(self, name: str) -> str:
        """Return a header's first value; empty if there is none."""
        return next(iter(self.all(name)), "")

    @property
    def missing(self) -> list[str]:
        """Return the required headers (section 8.1.1) that this request lacks."""
        return [name for name in NEEDED if not self.first(name)]

    @property
    def cseq(self) -> int:
        """Return the sequence number; -1 if the header is wrong or names another method."""
        found = _CSEQ(self.first("cseq"))
        return int(found[1]) if found and found[2] == self.method else -1

    @property
    def branch(self) -> str:
        """Return the transaction's branch; empty if a client from before RFC 3261 left it out."""
        found = _BRANCH.search(self.first("via"))
        return found[1] if found else ""


def read_head(head: bytes) -> Request:
    """Parse a request from its bytes up to the empty line. Raises Malformed."""
    if len(head) > LONGEST_HEAD:
        raise Malformed("too long")
    # Names are written back as received, byte for byte.
    lines = head.decode("utf-8", "surrogateescape").replace("\r\n", "\n").split("\n")
    found = _START(lines[0])
    if not found:
        raise Malformed("no request line")
    headers = tuple(_headers(lines[1:]))
    if not any(name == "via" for name, _ in headers):
        raise Malformed("no Via")
    return Request(found[1], found[2], headers)


def body_length(request: Request) -> int:
    """Return Content-Length; 0 if there is none. Raises Malformed if it is invalid or too large."""
    text = request.first("content-length") or "0"
    if not _LENGTH(text) or int(text) > LONGEST_BODY:
        raise Malformed("Content-Length")
    return int(text)


def answer(
    request: Request, status: int, headers: Sequence[Header] = (), source: tuple[str, int] = ("", 0)
) -> bytes:
    """Return an answer: the request's identifying headers (section 8.2.6), To's tag, ``headers``."""
    vias = request.all("via")
    kept = [("Via", _received(vias[0], source)), *(("Via", via) for via in vias[1:])]
    to = request.first("to")
    if to and not _TAG.search(to):
        to += f";tag={secrets.token_hex(6)}"
    kept += [("From", request.first("from")), ("To", to), ("Call-ID", request.first("call-id")),
             ("CSeq", request.first("cseq"))]  # fmt: skip
    lines = [f"SIP/2.0 {status} {REASONS.get(status, 'Refused')}"]
    lines += [f"{name}: {value}" for name, value in (*kept, *headers) if value]
    lines += ["Server: sandbox", "Content-Length: 0", "", ""]
    return "\r\n".join(lines).encode("utf-8", "surrogateescape")


def parts_of_list(value: str) -> list[str]:
    """Return a header's comma-separated values, ignoring commas in quotes and in ``<>``."""
    parts, begin, quoted, inside = [], 0, False, False
    for at, character in enumerate(value):
        if character == '"' and (at == 0 or value[at - 1] != "\\"):
            quoted = not quoted
        elif character in "<>" and not quoted:
            inside = character == "<"
        elif character == "," and not quoted and not inside:
            parts.append(value[begin:at])
            begin = at + 1
    return [part.strip() for part in (*parts, value[begin:])]


def _headers(lines: Sequence[str]) -> Iterator[Header]:
    for line in _unfolded(lines):
        name, colon, value = line.partition(":")
        name = name.strip().lower()
        if not colon or not _NAME(name) or _CONTROL.search(value):
            raise Malformed("no header")
        yield COMPACT.get(name, name), value.strip()


def _unfolded(lines: Sequence[str]) -> list[str]:
    """Return the lines with continuation lines joined to the one before (section 7.3.1)."""
    whole: list[str] = []
    for line in lines:
        if not line:
            continue
        if line[0] in " \t" and whole:
            whole[-1] += " " + line.strip()
        else:
            whole.append(line)
        if len(whole) > MOST_HEADERS:
            raise Malformed("too many headers")
    return whole


def _received(via: str, source: tuple[str, int]) -> str:
    """Return the Via with the sender's address: ``received`` and, on request, ``rport`` (RFC 3581)."""
    host, port = source
    if not host:
        return via
    asked = _RPORT.search(via)
    if asked:
        via = f"{via[: asked.start()]};rport={port}{via[asked.end() :]}"
    return f"{via};received={host}"
