"""Shared by all pages: the site, its bounds, and how a page is declared."""

from __future__ import annotations

import platform
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from worker import __version__
from worker.ledger import Act, Ledger, Person, Role
from worker.ledger.schedule_columns import Schedule
from worker.model import Job
from worker.seal import Seal

MIB = 1 << 20

PUBLIC = None
"""The role of a page that needs no sign-in."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """The most that one client may use, in seconds and bytes."""

    header_seconds: float = 15.0
    """For a request's headers, from the connection's beginning or the answer before."""
    form_bytes: int = 2 * MIB
    form_fields: int = 20_000
    form_seconds: float = 30.0
    upload_pause: float = 20.0
    """Longest pause within an upload."""
    upload_rate: int = 4096
    """Slowest upload, in bytes per second, averaged since its beginning; the first pause is free."""
    uploads: int = 8
    """Uploads at once."""
    uploads_each: int = 2
    """Uploads of one person at once."""
    stored_each: int = 20
    """Uploads of the largest size that may be stored for one person."""
    streams_each: int = 40
    """Live pages of one person at once."""
    connections: int = 500
    tries: int = 5
    """Refused sign-ins of an address until the next one has to wait."""
    idle_seconds: float = 2 * 3600
    """After that long without a request a session ends."""
    session_seconds: float = 12 * 3600


@dataclass(frozen=True, slots=True)
class Site:
    """One running page: what it works on, and who may reach it how."""

    ledger: Ledger
    seal: Seal
    host: str
    """The service's: scheme and host."""
    account: str
    origin: str
    """Scheme, host and port under which people reach the page: ``https://voice.example.com``."""
    local_person: Person
    """Who everybody is without sign-in."""
    results: Path = field(default_factory=Path.cwd)
    """The folder in which each job has one for its result files."""
    arguments: tuple[str, ...] = ()
    """``--config``, ``--profile`` and ``--account`` for child processes."""
    hosts: frozenset[str] = frozenset()
    """Host names and ``HOST:PORT`` of requests that are answered, beside that of ``origin``."""
    any_address: bool = False
    """Whether IP addresses are answered too, whichever they are."""
    sign_in: bool = False
    four_eyes: bool = False
    secure: bool = False
    """Whether browsers use TLS."""
    proxied: bool = False
    """Whether a proxy in front says who the client is."""
    max_upload: int = 200 * MIB
    bounds: Bounds = field(default_factory=Bounds)

    def serves(self, one: Job | Schedule) -> bool:
        """Return whether a job or a schedule is of this site's account; a ledger may have several."""
        return (one.host, one.account) == (self.host, self.account)


Handler = Callable[[Request], Response | Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Page:
    """One route. ``role`` has no default: each page says who may use it."""

    path: str
    handler: Handler
    methods: tuple[str, ...]
    role: Role | None
    reads_body: bool = False
    """Whether the handler reads the body itself, and checks its CSRF token: a stream."""
    label: str = ""
    """The page's name in the navigation; empty: it isn't there."""


class PageError(Exception):
    """A request that is answered with an error page. ``hint`` says what to do."""

    def __init__(
        self, status: int, message: str, hint: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.hint = hint
        self.headers = headers or {}


def site_of(request: Request) -> Site:
    """Return the site that a request is for."""
    site: Site = request.app.state.site
    return site


def person_of(request: Request) -> Person:
    """Return the person who makes the request; pages that aren't public always have one."""
    person: Person = request.state.person
    return person


def address_of(request: Request) -> str:
    """Return the client's IP address, as the proxy reports it if there is one; empty if it isn't known."""
    address: str = getattr(request.state, "address", "")
    return address


def offset_of(request: Request) -> int:
    """Return the number of entries before the first one to be shown, from the address; 0 if it has none."""
    text = request.query_params.get("offset", "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else 0


def see_other(path: str) -> Response:
    """Return a redirect after a POST; ``path`` is on this site."""
    return RedirectResponse(path, status_code=303)


def audit(request: Request, command: str, subject: str = "", **options: Any) -> None:
    """Record what a person does on the page, before it is done. No option may be a secret."""
    site = site_of(request)
    person = getattr(request.state, "person", None)
    act = Act(
        operator=f"{person.name} (page)" if person else "nobody (page)", machine=platform.node(),
        origin=address_of(request), version=__version__, command=f"page {command}", options=options,
        host=site.host, account=site.account, subject=subject,
    )  # fmt: skip
    site.ledger.audit.add(act)
