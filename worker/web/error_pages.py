"""Pages about errors: what happened and what to do; about a bug, or a ledger that fails, only a number."""

from __future__ import annotations

import logging
import secrets

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from worker.errors import Conflict, LedgerAway, LedgerError, NotFound, SiprosterError, place_of
from worker.web.render import render
from worker.web.site import PageError

log = logging.getLogger(__name__)

_AWAY = "the ledger does not answer"
_AWAY_HINT = "nothing that was saved is lost: try again in a minute"
_UNUSABLE = "the ledger can't be used"
_UNUSABLE_HINT = (
    "nothing that was saved is lost; give this number to the person who runs siproster: "
    "the server's log has the reason under it"
)
_NOWHERE = "there is no page at this address"
_NOWHERE_HINT = "check the address, or go to the start page"
_FAULT = "something went wrong in siproster"
_FAULT_HINT = "no rows are lost, and jobs continue; give this number to the person who runs siproster"


def error_page(request: Request, error: Exception) -> Response:
    """Return the page for an error that a person can understand."""
    match error:
        case PageError(status=status, message=message, hint=hint, headers=headers):
            response = render(request, "error.html", status, message=message, hint=hint, number="")
            response.headers.update(headers)
            return response
        case HTTPException(status_code=404):
            return render(request, "error.html", 404, message=_NOWHERE, hint=_NOWHERE_HINT, number="")
        case HTTPException(status_code=status, detail=message):
            response = render(request, "error.html", status, message=message, hint="", number="")
            response.headers.update(error.headers or {})
            return response
        case LedgerAway(message=message):
            return _numbered(request, message, 503, _AWAY, _AWAY_HINT)
        case LedgerError(message=message):
            return _numbered(request, message, 503, _UNUSABLE, _UNUSABLE_HINT)
        case SiprosterError(message=message, hint=hint):
            return render(request, "error.html", _status(error), message=message, hint=hint, number="")
    raise error


def fault_page(request: Request, error: Exception) -> Response:
    """Return the page for a bug, whose place in the code is logged: no traceback, which may have secrets."""
    return _numbered(request, place_of(error), 500, _FAULT, _FAULT_HINT)


def _status(error: SiprosterError) -> int:
    match error:
        case NotFound():
            return 404
        case Conflict():
            return 409
        case _:
            return 400


def _numbered(request: Request, logged: str, status: int, message: str, hint: str) -> Response:
    """Log what happened, and return a page that names the line of the log."""
    number = secrets.token_hex(4)
    log.error("error %s: %s", number, logged)
    try:
        return render(request, "error.html", status, message=message, hint=hint, number=number)
    except Exception:  # the template itself, or what it needs
        return PlainTextResponse(f"{message}: error {number}\n", status)
