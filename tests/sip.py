"""A SIP registrar that does what a test says and remembers what it was asked, over UDP, TCP and TLS."""

from __future__ import annotations

import contextlib
import hashlib
import re
import secrets
import socket
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import cast

from tests.servers import free_port

CREDENTIALS = ("authorization", "proxy-authorization")


@dataclass(frozen=True)
class Asked:
    """One request as it arrived."""

    raw: bytes

    @property
    def line(self) -> str:
        """``REGISTER sip:… SIP/2.0``."""
        return self.raw.decode().partition("\r\n")[0]

    @property
    def headers(self) -> dict[str, str]:
        """Return the headers by name in lower case; none is sent twice."""
        head = self.raw.decode().partition("\r\n\r\n")[0]
        pairs = [line.split(": ", 1) for line in head.split("\r\n")[1:]]
        assert len({name.lower() for name, _ in pairs}) == len(pairs), head
        return {name.lower(): value for name, value in pairs}

    @property
    def credentials(self) -> dict[str, str]:
        """Return the parameters that answer a challenge; empty if the request has none."""
        text = next((self.headers[name] for name in CREDENTIALS if name in self.headers), "")
        return {name: quoted or plain for name, quoted, plain in PARAMETER(text)}

    def answered(self, status: str, *headers: str, body: str = "", **replaced: str) -> bytes:
        """An answer to it; ``replaced``: other values of the headers that are copied, ``""`` for none."""
        copied = {
            name: replaced.get(name.lower().replace("-", "_"), self.headers[name.lower()])
            for name in ("Via", "From", "To", "Call-ID", "CSeq")
        }
        lines = [f"{name}: {value}" for name, value in copied.items() if value]
        told = ["SIP/2.0 " + status, *lines, *headers, f"Content-Length: {len(body.encode())}", "", body]
        return "\r\n".join(told).encode()


PARAMETER = re.compile(r'(\w+)=(?:"([^"]*)"|([^\s,"]+))').findall

Answer = Callable[[Asked], Sequence[bytes]]
"""A request to what is sent back: nothing, or one message or more."""


class ScriptedRegistrar:
    """On one loopback port, UDP and TCP (or TLS).

    ``messages``: all that came, in its order. ``asked``: the requests, without those that were sent
    again; an answer that was given once is given to them, too (RFC 3261, section 17.2.2).
    """

    def __init__(self, answer: Answer, tls: tuple[str, str] | None = None) -> None:
        """``tls``: files of a certificate and its key; then TCP is TLS."""
        self.messages: list[bytes] = []
        self.asked: list[Asked] = []
        self._given: dict[bytes, Sequence[bytes]] = {}
        self.connections = 0
        self._answer = answer
        self._lock = threading.Lock()
        self._context = None
        if tls:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(*tls)
        self.port = free_port()
        address = ("127.0.0.1", self.port)
        self._servers: list[_Datagrams | _Streams] = [
            _Datagrams(address, _Datagram),
            _Streams(address, _Stream),
        ]
        for server in self._servers:
            server.registrar = self
            threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def place(self) -> str:
        """Return the address for ``--registrar``."""
        return f"127.0.0.1:{self.port}"

    def answers(self, raw: bytes) -> Sequence[bytes]:
        """One message after the other: what a test keeps is changed by one thread at a time."""
        with self._lock:
            self.messages.append(raw)
            asked = Asked(raw)
            if raw not in self._given:
                self.asked.append(asked)
            if not self._given.get(raw):
                self._given[raw] = self._answer(asked)
            return self._given[raw]

    def secured(self, connection: socket.socket) -> socket.socket:
        """The connection as it is talked on."""
        self.connections += 1
        return self._context.wrap_socket(connection, server_side=True) if self._context else connection

    def close(self) -> None:
        """Stop listening."""
        for server in self._servers:
            server.shutdown()
            server.server_close()


class _Datagrams(socketserver.UDPServer):
    registrar: ScriptedRegistrar


class _Streams(socketserver.ThreadingTCPServer):
    daemon_threads = True
    registrar: ScriptedRegistrar


class _Datagram(socketserver.DatagramRequestHandler):
    def handle(self) -> None:
        raw, connection = self.request
        for answer in cast(_Datagrams, self.server).registrar.answers(raw):
            connection.sendto(answer, self.client_address)

    def finish(self) -> None:
        """Do nothing: ``handle`` has sent everything."""


class _Stream(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        registrar = cast(_Streams, self.server).registrar
        with contextlib.suppress(OSError), registrar.secured(self.request) as connection:
            kept = b""
            while block := connection.recv(65536):
                *whole, kept = (kept + block).split(b"\r\n\r\n")
                for raw in whole:  # a REGISTER has no body
                    for answer in registrar.answers(raw + b"\r\n\r\n"):
                        if not answer:
                            return
                        connection.sendall(answer)


@contextmanager
def scripted_registrar(answer: Answer, tls: tuple[str, str] | None = None) -> Iterator[ScriptedRegistrar]:
    """One for the length of a block. Over TCP an empty answer closes the connection."""
    registrar = ScriptedRegistrar(answer, tls)
    try:
        yield registrar
    finally:
        registrar.close()


def md5(text: str) -> str:
    """Hex digits."""
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


@dataclass
class Users:
    """A registrar with users, as RFC 3261 and RFC 2617 have it. An instance is an ``Answer``."""

    realm: str
    passwords: dict[str, str]
    """A digest's user name to its password."""
    qop: str = ', qop="auth"'
    stale: int = 0
    """How many times a fresh nonce is called stale."""
    bindings: dict[str, set[str]] = field(default_factory=dict)
    """An address (the To header's URI) to the contacts that are bound."""
    nonces: set[str] = field(default_factory=set)

    def __call__(self, asked: Asked) -> Sequence[bytes]:
        given = asked.credentials
        if not given:
            return [asked.answered("401 Unauthorized", self.challenge())]
        if self.stale or given["nonce"] not in self.nonces:
            self.stale = max(0, self.stale - 1)
            return [asked.answered("401 Unauthorized", self.challenge() + ", stale=true")]
        if given["response"] != self.expected(given):
            return [asked.answered("403 Forbidden")]
        return [asked.answered("200 OK", *self.bind(asked))]

    def challenge(self) -> str:
        """A header with a new nonce."""
        nonce = secrets.token_hex(8)
        self.nonces.add(nonce)
        return f'WWW-Authenticate: Digest realm="{self.realm}", nonce="{nonce}"{self.qop}'

    def expected(self, given: dict[str, str]) -> str:
        """The response that proves the password (RFC 2617, section 3.2.2.1)."""
        password = self.passwords.get(given["username"], secrets.token_hex())
        ha1 = md5(f"{given['username']}:{self.realm}:{password}")
        use = f"{given['nc']}:{given['cnonce']}:{given['qop']}:" if "qop" in given else ""
        return md5(f"{ha1}:{given['nonce']}:{use}{md5(f'REGISTER:sip:{self.realm}')}")

    def bind(self, asked: Asked) -> list[str]:
        """Bind or unbind as Contact says; return the headers that list what is bound now."""
        bound = self.bindings.setdefault(asked.headers["to"], set())
        if contact := asked.headers.get("contact"):
            uri = contact.partition(";expires=")[0]
            bound.discard(uri) if asked.headers["expires"] == "0" else bound.add(uri)
        return [f"Contact: {uri};expires=60" for uri in sorted(bound)]
