"""Forms of POST requests, read within bounds. Uploads are in ``uploads.py``."""

from __future__ import annotations

import asyncio
from urllib.parse import parse_qsl

from starlette.datastructures import ImmutableMultiDict
from starlette.requests import Request

from worker.web.site import Bounds, PageError, site_of

Form = ImmutableMultiDict[str, str]

_TYPE = "application/x-www-form-urlencoded"


async def read_form(request: Request) -> Form:
    """Return the form of a request. Raises PageError for another kind of body, and beyond the bounds."""
    bounds = site_of(request).bounds
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _TYPE:
        raise PageError(415, "this page takes forms only", "use the form on the page")
    refuse_longer(request, bounds.form_bytes)
    try:
        body = await asyncio.wait_for(_body(request, bounds), bounds.form_seconds)
    except TimeoutError:
        raise PageError(408, "the form did not arrive in time", "nothing was done: send it again") from None
    try:
        pairs = parse_qsl(
            body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=bounds.form_fields
        )
    except UnicodeDecodeError:
        raise PageError(400, "the form is not UTF-8", "nothing was done: use the form on the page") from None
    except ValueError:
        raise _too_large() from None
    return Form([(name, value.replace("\r\n", "\n")) for name, value in pairs])


def refuse_longer(request: Request, most: int) -> None:
    """Raise PageError if the request announces a body of more than ``most`` bytes."""
    length = request.headers.get("content-length", "0")
    if len(length) > 18 or int(length) > most:  # h11 lets only digits through
        raise _too_large()


async def _body(request: Request, bounds: Bounds) -> bytes:
    body = bytearray()
    async for block in request.stream():
        body += block
        if len(body) > bounds.form_bytes:
            raise _too_large()
    return bytes(body)


def _too_large() -> PageError:
    return PageError(413, "the form is too large", "nothing was done: send less at once")
