"""Guard every request: bounds and checks before its page, headers and the log behind it."""

from __future__ import annotations

import inspect
import ipaddress
import logging
import time
from collections.abc import Awaitable, Callable
from urllib.parse import urlencode, urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from worker.errors import SiprosterError
from worker.web import live
from worker.web.error_pages import error_page, fault_page
from worker.web.forms import read_form
from worker.web.sessions import CSRF, check_csrf, set_visitor, visit_of
from worker.web.site import Page, PageError, Site, site_of

log = logging.getLogger(__name__)

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not no-referrer: then browsers would send "Origin: null" with the page's own forms (Fetch, 3.2).
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
    "X-Robots-Tag": "noindex, nofollow",
}
"""On every answer, unless the page sets its own."""

_LONGEST_PATH = 300


class Guard:
    """The outermost layer: checks the host, sets the headers, catches what no page has caught, and logs."""

    def __init__(self, app: ASGIApp, site: Site) -> None:
        self._app = app
        self._site = site

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.monotonic(), 0

        async def with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        request = Request(scope, receive)
        request.state.address = _address(request, self._site)
        try:
            refusal = _refusal(request, self._site)
            await (refusal or self._app)(scope, receive, with_headers)
        except ClientDisconnect:
            pass
        except Exception as error:  # no traceback: values in it may be secret
            answer = fault_page(request, error)
            if not status:
                await answer(scope, receive, with_headers)
        finally:
            _log(request, status, time.monotonic() - began)


Endpoint = Callable[[Request], Awaitable[Response]]


def endpoint(page: Page) -> Endpoint:
    """Return the page's handler behind its checks: who it is, what they may, and where the form is from."""

    async def respond(request: Request) -> Response:
        try:
            response = await _checked(page, request)
        except (PageError, SiprosterError) as error:
            response = error_page(request, error)
        if visit := getattr(request.state, "visit", None):
            set_visitor(site_of(request), visit, response)
        return response

    return respond


async def _checked(page: Page, request: Request) -> Response:
    visit = await run_in_threadpool(visit_of, request)
    request.state.visit, request.state.person = visit, visit.person
    _refuse_foreign(request)
    if request.method != "POST" and _has_body(request):
        raise PageError(400, f"a {request.method} request has no body")
    if page.role and not visit.person:
        return _to_sign_in(request)
    if page.role and visit.person and not visit.person.role.includes(page.role):
        raise PageError(
            403, f"this needs the role {page.role}; yours is {visit.person.role}", "ask an administrator"
        )
    if request.method == "POST" and not page.reads_body:
        request.state.form = await read_form(request)
        check_csrf(request, request.state.form.get(CSRF, ""))
    return await _handled(page, request)


async def _handled(page: Page, request: Request) -> Response:
    if inspect.iscoroutinefunction(page.handler):
        response: Response = await page.handler(request)
        return response
    return await run_in_threadpool(page.handler, request)  # type: ignore[arg-type]


def _refusal(request: Request, site: Site) -> Response | None:
    """Return the answer to a request that is no page's business, or None."""
    host = request.headers.get("host", "").lower()
    if len(request.headers.getlist("host")) != 1 or not _is_own(host, site):
        # Somebody may have pointed their own name at this address, to have a browser read the page for them.
        return PlainTextResponse(f"this page is at {site.origin}/\n", 421)
    if {"content-length", "transfer-encoding"} <= set(request.headers.keys()):
        # A proxy in front may go by the other one, and take the rest for a request (RFC 9112, 11.2).
        return PlainTextResponse("two lengths\n", 400, {"Connection": "close"})
    if site.proxied and site.secure and request.headers.get("x-forwarded-proto", "https") != "https":
        if request.method in ("GET", "HEAD"):
            return RedirectResponse(site.origin + request.url.path, 307)
        return PlainTextResponse(f"use TLS: {site.origin}/\n", 400)
    return None


def _is_own(host: str, site: Site) -> bool:
    if host == urlsplit(site.origin).netloc.lower() or host in site.hosts:
        return True
    try:
        ipaddress.ip_address(urlsplit(f"//{host}").hostname or "")
    except ValueError:
        return False
    return site.any_address and "@" not in host


def _address(request: Request, site: Site) -> str:
    """Return the client's address: that which the proxy in front has added last, if there is one."""
    peer = request.client.host if request.client else ""
    if not site.proxied:
        return peer
    last = ",".join(request.headers.getlist("x-forwarded-for")).rpartition(",")[2].strip()
    try:
        return str(ipaddress.ip_address(last))
    except ValueError:
        return peer


def _refuse_foreign(request: Request) -> None:
    """Raise PageError for a form from another site, or another port of this one; and for embedded pages.

    Links from elsewhere are followed. Programs that are no browsers send none of these headers.
    """
    headers = request.headers
    site = headers.get("sec-fetch-site", "same-origin")
    if request.method == "POST":
        own = site == "same-origin" and headers.get("origin", "").lower() in ("", _own_origin(request))
    else:
        opened = (headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest")) == ("navigate", "document")
        own = opened or site in ("same-origin", "none")
    if not own:
        raise PageError(
            403, "this was not sent from this page", "nothing was done: open the page itself, and repeat it"
        )


def _own_origin(request: Request) -> str:
    """Return the origin under which the page was opened; its host was checked before."""
    site = site_of(request)
    return f"{urlsplit(site.origin).scheme}://{request.headers['host']}".lower()


def _has_body(request: Request) -> bool:
    return "transfer-encoding" in request.headers or request.headers.get("content-length", "0") != "0"


def _to_sign_in(request: Request) -> Response:
    if request.headers.get("accept") == live.MEDIA_TYPE:
        return live.reload_answer()
    if request.method in ("GET", "HEAD"):
        target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse(f"/sign-in?{urlencode({'next': target})}", 303)
    raise PageError(401, "you are not signed in, or your session has ended", "sign in, then repeat it")


def _log(request: Request, status: int, seconds: float) -> None:
    """Log a request without its query; status 0: the client went away.

    The path is logged as it was sent: decoded, it could pass for other lines.
    """
    person = getattr(request.state, "person", None)
    log.info(
        "%s %s %s %s %d %.3f s", request.state.address, person.name if person else "-", request.method,
        request.scope["raw_path"].decode("ascii", "replace")[:_LONGEST_PATH], status, seconds,
    )  # fmt: skip
