"""The start page."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from worker.ledger import Role
from worker.web.render import render
from worker.web.site import Page


def start(request: Request) -> Response:
    """Return the start page."""
    return render(request, "start.html")


ROUTES = [Page("/", start, ("GET",), Role.UPLOAD, label="Start")]
