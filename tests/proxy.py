"""A SOCKS5 proxy that counts what goes through it (RFC 1928, CONNECT without a password)."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tests.scripted import spoken


@contextmanager
def socks_proxy(server: tuple[str, int]) -> Iterator[tuple[str, list[tuple[str, int]]]]:
    """Give the proxy's URL for the length of a block, and where it was asked to connect to.

    It connects to ``server`` whatever it is asked for.
    """
    asked: list[tuple[str, int]] = []

    def speak(client: socket.socket) -> None:
        client.recv(1 + 1 + 255)  # version and methods
        client.sendall(b"\x05\x00")
        asked.append(_wanted(client))
        with socket.create_connection(server) as way:
            client.sendall(b"\x05\x00\x00\x01" + b"\0" * 6)
            back = threading.Thread(target=_copy, args=(way, client), daemon=True)
            back.start()
            _copy(client, way)
            back.join()

    with spoken(speak) as url:
        yield url.replace("http:", "socks5:"), asked


def _wanted(client: socket.socket) -> tuple[str, int]:
    _version, _connect, _, kind = client.recv(4)
    if kind == 3:
        host = client.recv(client.recv(1)[0]).decode()
    else:
        host = socket.inet_ntop(socket.AF_INET, client.recv(4))
    return host, int(struct.unpack(">H", client.recv(2))[0])


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)
