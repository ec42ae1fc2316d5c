"""Authentication: an OAuth 2.0 token that is renewed in time, or a user name and password."""

from __future__ import annotations

import base64
import json
import math
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from worker.api.faults import CHECK_URL
from worker.api.token_claims import Claims, read_claims
from worker.api.transport import Reply
from worker.errors import AuthenticationRefused, SiprosterError

TOKEN_PATH = "/api/v1/oauth2/token"  # noqa: S105  a path
DEFAULT_LIFE = 3600.0
"""Seconds that a token lives if the answer doesn't say (docs/bandwidth-api.md#hosts-and-authentication)."""

EARLY = 60.0
"""Seconds before its end that a token is renewed; half its life if it lives less than twice that."""

_TOKEN = re.compile(r"[\x21-\x7e]{1,16384}")
_OAUTH_ERROR = re.compile(r"[a-z_]{1,40}")


class Auth(Protocol):
    """A source of the ``Authorization`` header."""

    def header(self) -> str:
        """Return the header's current value."""

    def renew(self, refused: str) -> bool:
        """Discard a value that was answered 401; return whether a new one is worth another attempt."""

    def claims(self) -> Claims | None:
        """Return the token's claims, as far as they are known by now."""


def basic(name: str, secret: str) -> str:
    """Return an HTTP Basic header, in UTF-8 (RFC 7617)."""
    return "Basic " + base64.b64encode(f"{name}:{secret}".encode()).decode()


class Password:
    """A user name and password, as in Bandwidth's guide. Bandwidth ends this method in 2026."""

    def __init__(self, name: str, password: str) -> None:
        self._header = basic(name, password)

    def header(self) -> str:
        return self._header

    def renew(self, refused: str) -> bool:
        return False

    def claims(self) -> Claims | None:
        return None


@dataclass(frozen=True, slots=True)
class Token:
    """A token from the token endpoint, and its lifetime in seconds."""

    text: str = field(repr=False)
    life: float


class Bearer:
    """One token for all threads of the process. ``fetch`` asks the token endpoint; its errors propagate."""

    def __init__(self, fetch: Callable[[], Reply], clock: Callable[[], float] = time.monotonic) -> None:
        self._fetch = fetch
        self._clock = clock
        self._lock = threading.Lock()
        self._header = ""
        self._renew_at = 0.0
        self._failure: tuple[float, SiprosterError] | None = None

    def header(self) -> str:
        arrived = self._clock()
        with self._lock:
            if not self._header or self._clock() >= self._renew_at:
                self._renew(arrived)
            return self._header

    def renew(self, refused: str) -> bool:
        with self._lock:
            # Another thread may have renewed it since; keep the new one then.
            if self._header == refused:
                self._header = ""
        return True

    def claims(self) -> Claims | None:
        with self._lock:
            return read_claims(self._header.removeprefix("Bearer "))

    def _renew(self, arrived: float) -> None:
        # A thread that waited for another one's failed attempt shares its failure: eight threads that each
        # spent a whole budget, one after the other, would take minutes.
        if self._failure and self._failure[0] > arrived:
            raise self._failure[1]
        try:
            token = read_token(self._fetch())
        except SiprosterError as error:
            self._failure = (self._clock(), error)
            raise
        self._header = f"Bearer {token.text}"
        self._renew_at = self._clock() + token.life - min(EARLY, token.life / 2)


def read_token(reply: Reply) -> Token:
    """Return the token in an answer. Raises AuthenticationRefused, which says what to check."""
    content = _json(reply.body)
    if not reply.ok:
        raise AuthenticationRefused(
            f"no token for this client: HTTP {reply.status}{_oauth_error(content)}",
            "correct BW_CLIENT_ID, BW_CLIENT_SECRET or BW_ENVIRONMENT; `siproster doctor` shows their "
            f"sources and tries them; if they are right, {CHECK_URL}",
        )
    token = content.get("access_token")
    if not isinstance(token, str) or not _TOKEN.fullmatch(token):
        raise AuthenticationRefused(
            f"the token endpoint's answer (HTTP {reply.status}) holds no token: "
            "this looks like a proxy or a wrong host",
            CHECK_URL,
        )
    return Token(token, _life(content.get("expires_in")))


def _json(body: bytes) -> dict[str, object]:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _life(expires_in: object) -> float:
    try:
        life = float(expires_in) if isinstance(expires_in, int | float | str) else DEFAULT_LIFE
    except (ValueError, OverflowError):
        return DEFAULT_LIFE
    return life if 0 < life < math.inf else DEFAULT_LIFE


def _oauth_error(content: dict[str, object]) -> str:
    # RFC 6749, section 5.2: only the error's code, since the rest of the answer is arbitrary text.
    error = content.get("error")
    return f", {error}" if isinstance(error, str) and _OAUTH_ERROR.fullmatch(error) else ""
