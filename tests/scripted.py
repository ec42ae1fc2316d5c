"""A small HTTP server that answers what a test says and remembers what it was asked."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Asked:
    """One request as it arrived."""

    method: str
    path: str
    """With its query, exactly as it was on the wire."""
    headers: Mapping[str, str]
    """By name in lower case."""
    body: bytes


@dataclass(frozen=True)
class Told:
    """One answer. ``drip``: seconds before each further byte of the body."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    drip: float = 0.0


class _Server(ThreadingHTTPServer):
    request_queue_size = 128  # with the usual 5, some of many connections at once are cut
    daemon_threads = True


class Scripted:
    """``answer`` is asked for each request; ``asked`` holds them all, in the order of their arrival."""

    def __init__(self, answer: Callable[[Asked], Told], tls: ssl.SSLContext | None = None) -> None:
        self.asked: list[Asked] = []
        self._ended = threading.Event()
        self._server = _Server(("127.0.0.1", 0), self._handler(answer))
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        """Stop listening and dripping."""
        self._ended.set()
        self._server.shutdown()
        self._server.server_close()

    def _handler(self, answer: Callable[[Asked], Told]) -> type[BaseHTTPRequestHandler]:
        scripted = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # head and body are two writes: 40 ms each time

            def handle_one_request(self) -> None:
                try:
                    super().handle_one_request()
                except ConnectionError:  # the client had enough: that is what the test wants
                    self.close_connection = True

            def serve(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                asked = Asked(self.command, self.path, headers, body)
                scripted.asked.append(asked)
                self.tell(answer(asked))

            do_GET = do_POST = do_PUT = do_DELETE = serve  # noqa: N815  the names that http.server looks for

            def tell(self, told: Told) -> None:
                self.send_response(told.status)
                for name, value in {**told.headers, "Content-Length": str(len(told.body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                if not told.drip:
                    self.wfile.write(told.body)
                    return
                for byte in told.body:
                    if scripted._ended.wait(told.drip):
                        return
                    self.wfile.write(bytes([byte]))

            def log_request(self, code: object = "-", size: object = "-") -> None:
                """Print nothing on stderr."""

        return Handler


@contextmanager
def scripted(answer: Callable[[Asked], Told], tls: ssl.SSLContext | None = None) -> Iterator[Scripted]:
    """A scripted server for the length of a block."""
    server = Scripted(answer, tls)
    try:
        yield server
    finally:
        server.close()


@contextmanager
def spoken(speak: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server's URL for the length of a block; ``speak`` does what it likes with each connection."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve(connection: socket.socket) -> None:
            with connection, suppress(OSError):  # the client had enough: that is what the test wants
                speak(connection)

        def accept() -> None:
            with suppress(OSError):  # the block is over
                while True:
                    connection, _ = listening.accept()
                    threading.Thread(target=serve, args=(connection,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)
