"""A stand-in for the service that costs next to nothing, so that it is never what a benchmark measures.

    python -m tests.benchmarks.server --port 20100

It speaks HTTP/1.1 by itself on an ``asyncio.Protocol`` and answers the account family of
docs/bandwidth-api.md: the token, the realms, the list of credentials and the creation of many. Posted
credentials are echoed and forgotten. Stored ones come from a formula (``users``), so that an account of a
million needs no filling. Faults, rules and state are left to the sandbox.

``PUT /bench`` takes the settings of a case (``Case``, as JSON) and resets the counts; ``GET /bench`` returns
them (``Counts``).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import parse_qs, unquote

from tests.benchmarks import users

_BASE = f"/api/v2/accounts/{users.ACCOUNT}"
_HEAD = b'<?xml version="1.0" encoding="UTF-8"?>\n'
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
_ENTRY, _LAST = b"<SipCredential>", b"</SipCredentials>"
_REALM = f"<Realm>{users.HOST}</Realm>".encode()
_BURST_SECONDS = 0.25
"""How much of a limited rate may be used at once."""

_STATUS = {200: b"OK", 201: b"Created", 303: b"See Other", 400: b"Bad Request", 404: b"Not Found",
           429: b"Too Many Requests"}  # fmt: skip


@dataclass
class Case:
    """Settings of the service for one benchmark."""

    latency: float = 0.0
    """Seconds from a whole request to its answer."""
    stored: int = 0
    """Credentials on the account: users 0 to this number."""
    limit: float = 0.0
    """Lists of credentials posted in a second that are taken; the others get a 429. 0: no limit."""


@dataclass
class Counts:
    """Counts since the case began. Times are the server's own clock, in seconds."""

    requests: Counter[str] = field(default_factory=Counter)
    """By kind: ``post``, ``list``, ``one``, ``realms``, ``token``, ``refused`` (429)."""
    rows: int = 0
    first_post: float = 0.0
    last_answer: float = 0.0
    """When the answer to a post was last written."""
    in_flight: int = 0
    most_in_flight: int = 0
    by_second: Counter[int] = field(default_factory=Counter)
    """Posts taken in each second since the first one."""
    refused_by_second: Counter[int] = field(default_factory=Counter)
    """Posts answered with 429."""


class Service:
    """Answers requests: method, target and body in, status and body out."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.case = Case()
        self.counts = Counts()
        self._next_id = 1_000_000_000
        self._tokens = 0.0
        self._refilled = 0.0

    def answer(self, method: bytes, target: str, body: bytes) -> tuple[int, bytes]:
        """Return the status and the body of the answer."""
        path, _, query = target.partition("?")
        if path == f"{_BASE}/sipcredentials":
            return self._create(body) if method == b"POST" else self._list(query)
        if path.startswith(f"{_BASE}/sipcredentials/"):
            return self._one(unquote(path.rpartition("/")[2]))
        if path.startswith(f"{_BASE}/realms"):
            return self._realms(path)
        if path == "/api/v1/oauth2/token":
            self.counts.requests["token"] += 1
            return 200, b'{"access_token":"bench","token_type":"Bearer","expires_in":3600}'
        if path == "/bench":
            return (
                self._configure(body) if method == b"PUT" else (200, json.dumps(vars(self.counts)).encode())
            )
        return 404, _status("", "There is nothing here.")

    def answered(self) -> None:
        """Note that the answer to a post was written."""
        self.counts.in_flight -= 1
        self.counts.last_answer = self._clock()

    def _create(self, body: bytes) -> tuple[int, bytes]:
        now, counts = self._clock(), self.counts
        counts.first_post = counts.first_post or now
        second = int(now - counts.first_post)
        counts.in_flight += 1
        counts.most_in_flight = max(counts.most_in_flight, counts.in_flight)
        if self.case.limit and not self._allows(now):
            counts.requests["refused"] += 1
            counts.refused_by_second[second] += 1
            return 429, b""
        counts.requests["post"] += 1
        counts.by_second[second] += 1
        entries = body[: body.rfind(_LAST)].split(_ENTRY)[1:]
        if not entries:
            return 400, _status("23006", "The list of SIP credentials is empty.")
        counts.rows += len(entries)
        realm = b"" if body.count(_REALM) == len(entries) else _REALM
        first, self._next_id = self._next_id, self._next_id + len(entries)
        made = b"<SipCredential><Id>%d</Id><RealmId>1</RealmId>"
        echoed = b"".join([made % at + realm + entry for at, entry in enumerate(entries, first)])
        return 201, (
            _HEAD + b"<SipCredentialsResponse><ValidSipCredentials>" + echoed
            + b"</ValidSipCredentials></SipCredentialsResponse>"
        )  # fmt: skip

    def _allows(self, now: float) -> bool:
        most = max(1.0, self.case.limit * _BURST_SECONDS)
        self._tokens = min(most, self._tokens + (now - self._refilled) * self.case.limit)
        self._refilled = now
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True

    def _list(self, query: str) -> tuple[int, bytes]:
        self.counts.requests["list"] += 1
        if not self.case.stored:
            return 404, _status("23008", "No SIP credentials are found on the account.")
        asked = parse_qs(query)
        page, size = asked.get("page", ["1"])[0], asked.get("size", ["500"])[0]
        start = 0 if page == "1" else users.number_of(page)
        if start is None or start >= self.case.stored or not size.isdecimal():
            return 400, _status("23012", "There is no such page.")
        return 200, _page(self.case.stored, start, int(size))

    def _one(self, user: str) -> tuple[int, bytes]:
        self.counts.requests["one"] += 1
        number = users.number_of(user)
        if number is None or number >= self.case.stored:
            return 404, _status("23007", "The SIP credential is not found on the account.")
        return 200, _document("SipCredentialResponse", _entry(number))

    def _realms(self, path: str) -> tuple[int, bytes]:
        self.counts.requests["realms"] += 1
        realm = (
            f"<Realm><Id>{users.REALM_ID}</Id><Realm>{users.HOST}</Realm><Default>true</Default>"
            f"<SipCredentialCount>{self.case.stored}</SipCredentialCount><Status>ACTIVE</Status></Realm>"
        )
        if path == f"{_BASE}/realms":
            return 200, _document("RealmsResponse", f"<Realms>{realm}</Realms>")
        if path.rpartition("/")[2].casefold() in (users.REALM_ID, users.HOST, users.HOST.partition("-")[0]):
            return 200, _document("RealmResponse", realm)
        return 404, _status("33001", "The realm is not found.")

    def _configure(self, body: bytes) -> tuple[int, bytes]:
        self.case = Case(**json.loads(body))
        self.counts = Counts()
        self._tokens, self._refilled = 0.0, self._clock()
        for start in range(0, self.case.stored, 500):  # now, so that no case pays for it
            _page(self.case.stored, start, 500)
        return 200, b"{}"


def _document(root: str, inner: str) -> bytes:
    return _HEAD + f"<{root}>{inner}</{root}>".encode()


def _status(code: str, text: str) -> bytes:
    inner = f"<ErrorCode>{code}</ErrorCode><Description>{text}</Description>"
    return _document("SipCredentialsResponse", f"<ResponseStatus>{inner}</ResponseStatus>")


def _entry(number: int) -> str:
    name = users.name(number)
    hash1, hash1b = users.digests(name, users.password(number))
    return (
        f"<SipCredential><Id>{number + 1}</Id><UserName>{name}</UserName><Hash1>{hash1}</Hash1>"
        f"<Hash1b>{hash1b}</Hash1b><RealmId>{users.REALM_ID}</RealmId><Realm>{users.HOST}</Realm></SipCredential>"
    )


@lru_cache(maxsize=4096)
def _page(stored: int, start: int, size: int) -> bytes:
    """Return the page that begins with this user. Its link leads to another host, as the service's do."""
    end = min(start + size, stored)
    url = f"http://dashboard.bandwidth.com/iris/accounts/{users.ACCOUNT}/sipcredentials"
    following = f'Link=&lt;{url}?page={users.name(end)}&amp;size={size}&gt;;rel="next";'
    links = f"<Links><next>{following if end < stored else ''}</next></Links>"
    entries = "".join(map(_entry, range(start, end)))
    return _document("SipCredentialsResponse", f"{links}<SipCredentials>{entries}</SipCredentials>")


class Connection(asyncio.Protocol):
    """One kept-alive connection: bytes in, whole answers out, one after the other."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport that answers go to."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer every request that is whole."""
        self._buffer += data
        while self._answer_one():
            pass

    def _answer_one(self) -> bool:
        buffer = self._buffer
        end = buffer.find(b"\r\n\r\n")
        if end < 0:
            return False
        found = _LENGTH.search(buffer, 0, end + 2)
        whole = end + 4 + (int(found[1]) if found else 0)
        if len(buffer) < whole:
            return False
        method, target, _ = bytes(buffer[: buffer.find(b"\r\n")]).split(b" ", 2)
        body = bytes(buffer[end + 4 : whole])
        del buffer[:whole]
        path = target.decode("ascii")
        status, content = self._service.answer(method, path, body)
        media = b"application/json" if content[:1] == b"{" else b"application/xml; charset=utf-8"
        head = b"HTTP/1.1 %d %b\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n"
        answer = head % (status, _STATUS[status], media, len(content)) + content
        counted = method == b"POST" and path.endswith("/sipcredentials")
        if self._service.case.latency and path != "/bench":
            asyncio.get_running_loop().call_later(self._service.case.latency, self._write, answer, counted)
        else:
            self._write(answer, counted)
        return True

    def _write(self, answer: bytes, counted: bool) -> None:
        if counted:
            self._service.answered()
        if self._transport and not self._transport.is_closing():
            self._transport.write(answer)


async def serve(port: int) -> None:
    """Serve on the loopback interface until the process is ended."""
    service = Service()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(service), "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(description="A stand-in for the service that costs next to nothing.")
    parser.add_argument("--port", type=int, required=True)
    asyncio.run(serve(parser.parse_args().port))


if __name__ == "__main__":
    main()
