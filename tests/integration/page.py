"""The page on a real port, and visitors who send what they like."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from sqlalchemy import text as sql

from tests.unit.jobs import Clock
from worker.ledger import Ledger, Person, Role
from worker.seal import Seal
from worker.web.app import ROUTES, make_app
from worker.web.server import configured, listen
from worker.web.sign_in_throttle import SignInThrottle
from worker.web.site import Bounds, Page, Site
from worker.web.tokens import hash_of, person_token
from worker.web.work import Work

TOKENS = {role: person_token(role.value) for role in Role}
"""One person for each role, named as it."""


class PageServer:
    """A page in a thread of this process, for people of all roles. ``site``: fields of the site."""

    def __init__(
        self, folder: Path, pages: Sequence[Page] = ROUTES, bounds: Bounds | None = None, **site: Any
    ) -> None:
        self.clock = Clock(time.time())
        self.ledger = Ledger(f"sqlite:///{folder / 'ledger.db'}", self.clock)
        for role, token in TOKENS.items():
            if not self.ledger.people.find(role.value):
                self.ledger.people.add(Person(role.value, role), hash_of(token))
        self._visitors: list[Visitor] = []
        listener = listen("127.0.0.1", 0)
        self.port = listener.getsockname()[1]
        self.site = Site(
            ledger=self.ledger, seal=Seal([bytes(32)]), host="https://api.example.com", account="9900001",
            origin=f"http://127.0.0.1:{self.port}", local_person=Person("ada", Role.ADMIN),
            hosts=frozenset({f"localhost:{self.port}"}), results=folder, sign_in=True, max_upload=3 << 20,
            bounds=bounds or Bounds(tries=10_000),
        )  # fmt: skip
        self.site = replace(self.site, **site)
        app = make_app(self.site, pages)
        app.state.sign_in_throttle = SignInThrottle(self.site.bounds.tries, self.clock)
        self._app = app
        self.work: Work = app.state.work
        self._server = uvicorn.Server(configured(app, self.site.bounds))
        self._thread = threading.Thread(target=self._server.run, args=([listener],), daemon=True)
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)

    def begin_with(self, environment: Mapping[str, str]) -> None:
        """Give its child processes these variables."""
        self.environment = dict(environment)
        self.work = self._app.state.work = Work(self.site, environment=environment)

    @property
    def url(self) -> str:
        """Its address, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    def stop(self) -> None:
        """End it as SIGTERM does."""
        for visitor in self._visitors:
            visitor.close()
        self._server.should_exit = True
        self._thread.join()
        self.ledger.close()

    def visitor(self, role: Role | None = None) -> Visitor:
        """Somebody with a browser of their own, signed in as the person of that role."""
        visitor = Visitor(self.url)
        self._visitors.append(visitor)
        if role:
            assert visitor.sign_in(TOKENS[role]).status_code == 303
        return visitor

    def stored(self, table: str) -> int:
        """The number of rows of a table of the ledger."""
        with self.ledger.store.read() as connection:
            return int(connection.execute(sql(f"SELECT count(*) FROM {table}")).scalar_one())  # noqa: S608

    def connect(self) -> socket.socket:
        """A bare connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=60)

    def send(self, text: str | bytes) -> bytes:
        """Send these bytes on a connection of their own, and return the answer up to its end."""
        with self.connect() as connection:
            with suppress(ConnectionError):  # it may be answered, or closed, before all is sent
                connection.sendall(text.encode("latin-1") if isinstance(text, str) else text)
            return read_all(connection)


def until(done: Callable[[], bool], seconds: float = 60) -> None:
    """Wait until something is so."""
    ends = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < ends
        time.sleep(0.02)


class Visitor(httpx.Client):
    """A browser: it keeps cookies, and finds the CSRF token on a page."""

    def __init__(self, url: str) -> None:
        super().__init__(base_url=url, timeout=60)

    @property
    def csrf(self) -> str:
        """The token of this visitor's forms."""
        return csrf_in(self.get("/", follow_redirects=True).text)

    def sign_in(self, token: str, target: str = "/") -> httpx.Response:
        """Send the form for signing in."""
        return self.submit("/sign-in", token=token, next=target)

    def submit(self, path: str, headers: Mapping[str, str] | None = None, **fields: str) -> httpx.Response:
        """Send a form of this page."""
        return self.post(path, data={"csrf": self.csrf, **fields}, headers=headers)

    def upload(self, name: str, content: bytes, path: str = "/uploads") -> httpx.Response:
        """Upload a file as a browser does: the name with escaped quotes and line breaks only."""
        return self.post(path, **multipart(self.csrf, name.encode("utf-8", "surrogatepass"), content))


def multipart(csrf: str, name: bytes, content: bytes) -> Any:
    """The arguments of a request with a form of the CSRF token and a file."""
    for plain, escaped in ((b"\r", b"%0D"), (b"\n", b"%0A"), (b'"', b"%22")):
        name = name.replace(plain, escaped)
    body = (
        b'--B\r\nContent-Disposition: form-data; name="csrf"\r\n\r\n%b\r\n'
        b'--B\r\nContent-Disposition: form-data; name="roster"; filename="%b"\r\n'
        b"Content-Type: text/csv\r\n\r\n%b\r\n--B--\r\n"
    ) % (csrf.encode(), name, content)
    return {"content": body, "headers": {"Content-Type": "multipart/form-data; boundary=B"}}


def csrf_in(text: str) -> str:
    """The CSRF token of a page's forms; empty if it has none."""
    found = re.search('name="csrf" value="([0-9a-f]+)"', text)
    return found[1] if found else ""


def read_all(connection: socket.socket) -> bytes:
    """What the server sends until it closes the connection, or is silent for long."""
    connection.settimeout(60)
    found = b""
    try:
        while block := connection.recv(65536):
            found += block
    except (TimeoutError, ConnectionError):
        pass
    return found
