"""Authentication: OAuth client credentials, bearer tokens, and HTTP Basic as in the guide."""

from __future__ import annotations

import base64
import binascii
import json
import secrets
import time
from collections.abc import Callable
from urllib.parse import parse_qs, unquote_plus

from worker.sandbox.answers import JSON_TYPE, Call, Reply
from worker.sandbox.knobs import Values
from worker.sandbox.options import Options


class Tokens:
    """Issues tokens and knows when they expire."""

    def __init__(self, options: Options, clock: Callable[[], float] = time.monotonic) -> None:
        self._options = options
        self._clock = clock
        self._ends: dict[str, float] = {}

    def issue(self, knobs: Values, call: Call) -> Reply:
        """Answer POST /oauth2/token: exchange client credentials for a token."""
        if not self._is_client(basic(call)):
            return answer(401, {"error": "invalid_client"})
        if parse_qs(call.body.decode("utf-8", "replace")).get("grant_type") != ["client_credentials"]:
            return answer(400, {"error": "unsupported_grant_type"})
        token = _token(knobs.token_claims)
        self._ends[token] = self._clock() + knobs.expires_in
        lifetime = {"expires_in": knobs.expires_in} if knobs.send_expires_in else {}
        return answer(200, {"access_token": token, "token_type": "Bearer", **lifetime})

    def allow(self, knobs: Values, call: Call) -> bool:
        """Return whether the request carries a live token, or the Basic user's name and password."""
        scheme, _, rest = call.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return self._clock() < self._ends.get(rest.strip(), 0.0)
        known = (self._options.username, self._options.password)
        return knobs.basic_allowed and basic(call) == known

    def _is_client(self, given: tuple[str, str] | None) -> bool:
        # RFC 6749, section 2.3.1 form-encodes id and secret before Basic; many clients don't.
        known = (self._options.client_id, self._options.client_secret)
        return given is not None and known in (given, tuple(map(unquote_plus, given)))


def _token(claims: dict[str, object] | None) -> str:
    """Return a random token; with claims it is a JWT, whose signature is random, too."""
    if claims is None:
        return secrets.token_urlsafe(24)
    parts = (json.dumps(part).encode() for part in ({"alg": "RS256", "typ": "JWT"}, claims))
    encoded = [base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts]
    return ".".join([*encoded, secrets.token_urlsafe(24)])


def basic(call: Call) -> tuple[str, str] | None:
    """Return name and password of an ``Authorization: Basic``, or None if it is missing or malformed."""
    scheme, _, rest = call.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, _, password = base64.b64decode(rest, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return name, password


def answer(status: int, content: dict[str, object]) -> Reply:
    """Return an answer in JSON, as the token endpoint gives it."""
    return Reply(status, json.dumps(content).encode(), JSON_TYPE, (("Cache-Control", "no-store"),))
