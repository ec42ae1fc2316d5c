"""A phone of plain sockets: REGISTER by hand, digests of its own; nothing of the program."""

from __future__ import annotations

import hashlib
import itertools
import re
import socket
from dataclasses import dataclass, field

_numbers = itertools.count(1)


def md5(*parts: str) -> str:
    """The digest of the parts, joined by colons, over UTF-8."""
    return hashlib.md5(":".join(parts).encode(), usedforsecurity=False).hexdigest()


@dataclass(frozen=True)
class Answer:
    """One answer, its header names in lower case."""

    status: int
    headers: tuple[tuple[str, str], ...]

    def all(self, name: str) -> list[str]:
        """Every value of a header."""
        return [value for known, value in self.headers if known == name]

    def challenge(self, algorithm: str = "MD5") -> dict[str, str]:
        """The parameters of the challenge with this algorithm."""
        found = [dict(re.findall(r'(\w+)="?([^",]+)', one)) for one in self.all("www-authenticate")]
        return next(one for one in found if one["algorithm"] == algorithm)

    @property
    def contacts(self) -> dict[str, int]:
        """URI to seconds of each Contact."""
        pairs = (re.fullmatch(r"<(.*)>;expires=(\d+)", value) for value in self.all("contact"))
        return {found[1]: int(found[2]) for found in pairs if found}


def read(data: bytes) -> Answer:
    """An answer from its bytes."""
    first, *lines = data.decode().partition("\r\n\r\n")[0].split("\r\n")
    headers = tuple((name.lower(), value.strip()) for name, _, value in (one.partition(":") for one in lines))
    return Answer(int(first.split()[1]), headers)


class Wire:
    """A connection to the registrar: ``udp`` or ``tcp``."""

    def __init__(self, port: int, transport: str = "udp") -> None:
        self.transport = transport
        kind = socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM
        self.socket = socket.socket(socket.AF_INET, kind)
        self.socket.settimeout(10)
        self.socket.connect(("127.0.0.1", port))
        self._rest = b""

    def send(self, data: bytes) -> None:
        """Send all of it, as one datagram or into the stream."""
        self.socket.sendall(data)

    def receive(self, seconds: float = 10) -> Answer:
        """The next answer. Raises TimeoutError, EOFError where the connection has ended."""
        self.socket.settimeout(seconds)
        while b"\r\n\r\n" not in self._rest:
            piece = self.socket.recv(65536)
            if not piece:
                raise EOFError
            self._rest += piece
        first, _, self._rest = self._rest.partition(b"\r\n\r\n")
        return read(first)

    def close(self) -> None:
        """End it."""
        self.socket.close()


@dataclass
class Phone:
    """One user's phone. ``name``: what it answers a challenge with; ``to``: its own address."""

    wire: Wire
    realm: str
    name: str
    password: str
    to: str = ""
    call_id: str = field(default_factory=lambda: f"call-{next(_numbers)}")
    cseq: int = 0
    count: int = 0

    def request(self, *headers: str, method: str = "REGISTER", uri: str = "", branch: str = "") -> bytes:
        """A request with everything that it needs, and further headers."""
        self.cseq += 1
        host, port = self.wire.socket.getsockname()
        to = self.to or f"sip:{self.name.replace('@', '%40')}@{self.realm}"
        lines = [
            f"{method} {uri or f'sip:{self.realm}'} SIP/2.0",
            f"Via: SIP/2.0/{self.wire.transport.upper()} {host}:{port};"
            f"branch={branch or f'z9hG4bK-{next(_numbers)}'};rport",
            "Max-Forwards: 70",
            f"From: <{to}>;tag=1",
            f"To: <{to}>",
            f"Call-ID: {self.call_id}",
            f"CSeq: {self.cseq} {method}",
            *headers,
            "Content-Length: 0",
        ]
        return "\r\n".join([*lines, "", ""]).encode()

    def ask(self, *headers: str, uri: str = "") -> Answer:
        """Send one request and return its answer."""
        self.wire.send(self.request(*headers, uri=uri))
        return self.wire.receive()

    def authorization(
        self, challenge: dict[str, str], *, qop: bool = True, uri: str = "", own: str = "0a4f113b"
    ) -> str:
        """The header that answers a challenge; ``own``: the client's nonce."""
        uri = uri or f"sip:{self.realm}"
        self.count += 1
        count, algorithm = f"{self.count:08x}", challenge["algorithm"]
        middle = [count, own, "auth"] if qop else []
        secret = md5(self.name, self.realm, self.password)
        if algorithm == "MD5-sess":
            secret = md5(secret, challenge["nonce"], own)
        response = md5(secret, challenge["nonce"], *middle, md5("REGISTER", uri))
        also = f', qop=auth, nc={count}, cnonce="{own}"' if qop else ""
        return (
            f'Authorization: Digest username="{self.name}", realm="{self.realm}", '
            f'nonce="{challenge["nonce"]}", uri="{uri}", response="{response}", algorithm={algorithm}{also}'
        )

    def register(self, *headers: str, qop: bool = True) -> Answer:
        """Register: ask, answer the challenge, and return the last answer."""
        asked = self.ask(*headers)
        assert asked.status == 401, asked
        return self.ask(self.authorization(asked.challenge(), qop=qop), *headers)
