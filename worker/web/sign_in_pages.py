"""Signing in and out."""

from __future__ import annotations

import hmac
import logging
import math
import re

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from worker.ledger import PersonRecord, Role
from worker.web.render import render
from worker.web.sessions import Visit, drop_session, session_cookie, set_session
from worker.web.sign_in_throttle import SignInThrottle
from worker.web.site import PUBLIC, Page, PageError, address_of, audit, see_other, site_of
from worker.web.tokens import hash_of, new_token

log = logging.getLogger(__name__)

_LONGEST_TOKEN = 200

_is_path_here = re.compile(r"/(?![/\\])[\x21-\x5b\x5d-\x7e]*").fullmatch
"""A path of this site: browsers take ``//host`` and ``/\\host`` for other hosts, and skip tabs."""


def show(request: Request) -> Response:
    """Return the page for signing in, unless the visitor has."""
    target = _target(request.query_params.get("next", "/"))
    visit: Visit = request.state.visit
    if visit.person:
        return RedirectResponse(target, 303)
    return render(request, "sign_in.html", target=target, refused=False)


def sign_in(request: Request) -> Response:
    """Begin a session for the person whose token was sent."""
    site, throttle, address = site_of(request), _throttle(request), address_of(request)
    if not site.sign_in:
        return see_other("/")
    if wait := throttle.wait(address):
        log.warning("sign-ins from %s are refused for %.0f s after too many tries", address, wait)
        seconds = str(math.ceil(wait))
        raise PageError(
            429, "too many refused sign-ins from your address", f"try again in {seconds} seconds",
            {"Retry-After": seconds},
        )  # fmt: skip
    token = request.state.form.get("token", "").strip()
    known = site.ledger.people.find(token.rpartition(".")[0]) if len(token) <= _LONGEST_TOKEN else None
    session = new_token()
    if not _is_token_of(known, token) or known is None or not _begin(request, known, session):
        return _refused(request, known)
    throttle.accepted(address)
    request.state.person = known.person
    audit(request, "sign-in")
    response = see_other(_target(request.state.form.get("next", "/")))
    set_session(site, session, response)
    return response


def sign_out(request: Request) -> Response:
    """End the session."""
    site = site_of(request)
    if site.sign_in:
        audit(request, "sign-out")
        site.ledger.page_sessions.end(hash_of(request.cookies.get(session_cookie(site), "")))
    response = see_other("/sign-in")
    drop_session(site, response)
    return response


def _is_token_of(known: PersonRecord | None, token: str) -> bool:
    """Return whether the token is the person's; an unknown name takes as long."""
    stored = known.token_hash if known else hash_of("")
    return hmac.compare_digest(hash_of(token), stored)


def _begin(request: Request, known: PersonRecord, session: str) -> bool:
    site = site_of(request)
    sessions = site.ledger.page_sessions
    sessions.delete_expired(site.bounds.idle_seconds)
    before = request.cookies.get(session_cookie(site), "")
    if before:
        sessions.end(hash_of(before))
    return sessions.begin(hash_of(session), known, site.bounds.session_seconds)


def _refused(request: Request, known: PersonRecord | None) -> Response:
    """Answer a wrong token. Its text is not recorded: it may be a password, or another page's token."""
    _throttle(request).refused(address_of(request))
    name = known.person.name if known else ""
    log.warning("a sign-in from %s was refused%s", address_of(request), f": {name}" if name else "")
    audit(request, "sign-in refused", name)
    return render(
        request, "sign_in.html", 401, target=_target(request.state.form.get("next", "/")), refused=True
    )


def _throttle(request: Request) -> SignInThrottle:
    throttle: SignInThrottle = request.app.state.sign_in_throttle
    return throttle


def _target(path: str) -> str:
    """Return where to go after signing in: a path of this site, else its start."""
    return path if _is_path_here(path) and not path.startswith("/sign-") else "/"


ROUTES = [
    Page("/sign-in", show, ("GET",), PUBLIC),
    Page("/sign-in", sign_in, ("POST",), PUBLIC),
    Page("/sign-out", sign_out, ("POST",), Role.UPLOAD),
]
