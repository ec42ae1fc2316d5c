"""Measure the service's stand-in by itself: bare sockets, a body made once, answers not parsed."""

from __future__ import annotations

import re
import socket
import time
from contextlib import ExitStack

from tests.benchmarks import users

_CONNECTIONS = 8
_LENGTH = re.compile(rb"Content-Length: (\d+)")


def post(port: int, batch: int, seconds: float) -> tuple[int, float]:
    """Post the same list on 8 connections for so many seconds; return the posts and the seconds they took."""
    request = _request(batch)
    posts, began = 0, time.monotonic()
    with ExitStack() as opened:
        sockets = [
            opened.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(_CONNECTIONS)
        ]
        while time.monotonic() - began < seconds:
            for one in sockets:
                one.sendall(request)
            for one in sockets:
                _read_answer(one)
            posts += _CONNECTIONS
        return posts, time.monotonic() - began


def _request(batch: int) -> bytes:
    digests = users.digests("ext0", "secret")
    entry = (
        f"<SipCredential><UserName>ext0</UserName><Hash1>{digests[0]}</Hash1><Hash1b>{digests[1]}</Hash1b>"
        f"<Realm>{users.HOST}</Realm></SipCredential>"
    )
    body = f"<SipCredentials>{entry * batch}</SipCredentials>".encode()
    head = (
        f"POST /api/v2/accounts/{users.ACCOUNT}/sipcredentials HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _read_answer(one: socket.socket) -> None:
    answer = bytearray()
    missing = 1
    while missing > 0:
        part = one.recv(1 << 18)
        assert part, "the stand-in has closed the connection"
        answer += part
        end = answer.find(b"\r\n\r\n")
        if end >= 0 and (found := _LENGTH.search(answer, 0, end)):
            missing = end + 4 + int(found[1]) - len(answer)
    assert answer.startswith(b"HTTP/1.1 201 ")
