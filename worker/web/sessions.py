"""Identify the visitor of a request: cookies, tokens, and the CSRF token that follows from a cookie.

There are two cookies. A session's is a random token whose hash is in the ledger; only signing in sets it. A
visitor's is sealed with the ledger's key and gives no rights: it is what forms are bound to without sign-in,
and on the page for signing in. Both outlive a restart of the server.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from worker.errors import SealBroken
from worker.ledger import Person
from worker.web.site import PageError, Site, site_of
from worker.web.tokens import hash_of

CSRF = "csrf"
"""The name of the field with the CSRF token."""

_CONTEXT = "page visitor"
_LONGEST_COOKIE = 400


@dataclass(frozen=True, slots=True)
class Visit:
    """The sender of a request. ``cookie``: what forms are bound to; ``fresh``: it has yet to be set."""

    cookie: str
    person: Person | None
    fresh: bool = False

    def __repr__(self) -> str:
        return f"<Visit {self.person}>"

    @property
    def csrf(self) -> str:
        """Return the token that the visitor's forms contain; it doesn't reveal the cookie."""
        return hmac.new(self.cookie.encode(), b"siproster csrf", hashlib.sha256).hexdigest()


def visit_of(request: Request) -> Visit:
    """Return who makes the request, by its cookies."""
    site = site_of(request)
    session = request.cookies.get(session_cookie(site), "")
    if site.sign_in and 0 < len(session) <= _LONGEST_COOKIE:
        person = site.ledger.page_sessions.person(hash_of(session), site.bounds.idle_seconds)
        if person:
            return Visit(session, person)
    person = None if site.sign_in else site.local_person
    visitor = request.cookies.get(_visitor_cookie(site), "")
    if _is_ours(site, visitor):
        return Visit(visitor, person)
    sealed = site.seal.close_over(secrets.token_urlsafe(16), _CONTEXT)
    return Visit(base64.urlsafe_b64encode(sealed).decode().rstrip("="), person, fresh=True)


def set_visitor(site: Site, visit: Visit, response: Response) -> None:
    """Set the cookie of a visitor who has none. It gives no rights, so a link from elsewhere may send it."""
    if visit.fresh:
        response.set_cookie(
            _visitor_cookie(site), visit.cookie, path="/", secure=site.secure, httponly=True, samesite="lax"
        )


def set_session(site: Site, token: str, response: Response) -> None:
    """Set the cookie of somebody who has just signed in; browsers drop it when they close."""
    response.set_cookie(
        session_cookie(site), token, path="/", secure=site.secure, httponly=True, samesite="strict"
    )


def drop_session(site: Site, response: Response) -> None:
    """Delete the session's cookie."""
    response.delete_cookie(
        session_cookie(site), path="/", secure=site.secure, httponly=True, samesite="strict"
    )


def check_csrf(request: Request, given: str) -> None:
    """Raise PageError unless ``given`` is the token of this visitor's forms."""
    visit: Visit = request.state.visit
    if not hmac.compare_digest(given.encode("utf-8", "replace"), visit.csrf.encode()):
        raise PageError(
            403,
            "this form is out of date, or was not sent from this page",
            "nothing was done: go back, load the page again, and repeat it",
        )


def session_cookie(site: Site) -> str:
    """Return the name of the session's cookie."""
    return _cookie(site, "session")


def _visitor_cookie(site: Site) -> str:
    return _cookie(site, "visitor")


def _cookie(site: Site, what: str) -> str:
    """Return a cookie's name, with the port: browsers send cookies to all ports of a host.

    With ``__Host-`` neither another host of the domain nor a page without TLS can set it (RFC 6265bis).
    """
    port = urlsplit(site.origin).port
    return f"{'__Host-' * site.secure}siproster-{what}" + (f"-{port}" if port else "")


def _is_ours(site: Site, cookie: str) -> bool:
    if not 0 < len(cookie) <= _LONGEST_COOKIE:
        return False
    try:
        padded = cookie + "=" * (-len(cookie) % 4)
        site.seal.open(base64.b64decode(padded, altchars=b"-_", validate=True), _CONTEXT)
    except (SealBroken, binascii.Error, ValueError):
        return False
    return True
