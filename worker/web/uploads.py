"""Uploads, read from a request in a stream, within bounds, into the ledger: no part is ever in a clear file.

The form's first field is the CSRF token, so that nothing of a foreign form is kept; the file comes last.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TypeVar

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from worker.ledger import Receiving, Role, Upload
from worker.web.forms import refuse_longer
from worker.web.sessions import CSRF, check_csrf
from worker.web.site import MIB, Page, PageError, audit, person_of, see_other, site_of

T = TypeVar("T")

_TYPE = b"multipart/form-data"
_MOST_FIELDS = 16
_LONGEST_FIELD = 4096
_FORM_OVERHEAD = 64 * 1024
"""Bytes of a request's body around the file."""


@dataclass
class _Part:
    """One part of the body. ``file``: the name that the browser gave; None: a field."""

    name: str
    file: str | None
    data: bytearray
    ended: bool = False


class _Parts:
    """The parts of a body, as far as it was read. Raises PageError, FormParserError."""

    def __init__(self, boundary: bytes) -> None:
        self._parser = MultipartParser(boundary, {
            "on_part_begin": self._begin, "on_header_field": self._header_name,
            "on_header_value": self._header_value, "on_header_end": self._header_end,
            "on_headers_finished": self._headers_end, "on_part_data": self._data, "on_part_end": self._end,
            "on_end": self._all,
        })  # fmt: skip
        self._headers: dict[bytes, bytes] = {}
        self._name, self._value = b"", b""
        self.open: list[_Part] = []
        """Those that have begun and were not taken yet, in their order."""
        self.begun = 0
        self.complete = False

    def write(self, block: bytes) -> None:
        """Read the next bytes of the body."""
        self._parser.write(block)

    def _begin(self) -> None:
        self._headers.clear()
        self.begun += 1
        if self.begun > _MOST_FIELDS:
            raise _unusable("it has too many parts")

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        self._headers[self._name.lower()] = self._value
        self._name, self._value = b"", b""

    def _headers_end(self) -> None:
        kind, options = parse_options_header(self._headers.get(b"content-disposition"))
        if kind != b"form-data" or not options.get(b"name"):
            raise _unusable("one of its parts has no name")
        file = options.get(b"filename")
        self.open.append(
            _Part(
                options[b"name"].decode("utf-8", "replace"),
                None if file is None else _name(file),
                bytearray(),
            )
        )

    def _data(self, data: bytes, start: int, end: int) -> None:
        part = self.open[-1]
        part.data += data[start:end]
        if part.file is None and len(part.data) > _LONGEST_FIELD:
            raise _unusable("one of its fields is too long")

    def _end(self) -> None:
        self.open[-1].ended = True

    def _all(self) -> None:
        self.complete = True


async def receive_upload(request: Request, kind: str = "roster") -> tuple[Upload, Mapping[str, str]]:
    """Return the file of a request's form, received into the ledger, and the fields before it.

    Raises PageError; then, and if the client goes away, nothing of the file is left.
    """
    site = site_of(request)
    boundary = _boundary(request)
    with _upload_slot(request):
        try:
            refuse_longer(request, site.max_upload + _FORM_OVERHEAD)
        except PageError:
            raise _too_large(site.max_upload) from None
        parts = _Parts(boundary)
        blocks = _blocks(request)
        try:
            fields = await _fields(request, parts, blocks)
            await run_in_threadpool(_check_quota, request)
            file = parts.open[0]
            receiving = site.ledger.uploads.receive(
                site.seal, person_of(request).name, file.file or "roster", kind
            )
            async with _in_thread(receiving) as target:
                await _copy(parts, blocks, target, site.max_upload)
        except FormParserError:
            raise _unusable("it is not in the form that browsers send") from None
    if target.upload is None:
        raise _unusable("it is incomplete")
    return target.upload, fields


async def _fields(request: Request, parts: _Parts, blocks: AsyncIterator[bytes]) -> Mapping[str, str]:
    """Return the fields before the file, which has begun then. Raises PageError without the CSRF token."""
    fields: dict[str, str] = {}
    while True:
        while parts.open and (parts.open[0].ended or parts.open[0].file is not None):
            if parts.open[0].file is not None:
                check_csrf(request, fields.get(CSRF, ""))
                return fields
            part = parts.open.pop(0)
            fields[part.name] = part.data.decode("utf-8", "replace")
        block = await anext(blocks, None)
        if block is None:
            check_csrf(request, fields.get(CSRF, ""))
            raise PageError(400, "there is no file", "choose a file, then upload it")
        parts.write(block)


async def _copy(parts: _Parts, blocks: AsyncIterator[bytes], target: Receiving, most: int) -> None:
    """Copy the file that has begun. Raises PageError if it is too large, empty, or not the only one."""
    file, size = parts.open[0], 0
    while True:
        if size + len(file.data) > most:
            raise _too_large(most)
        if file.ended or len(file.data) >= MIB:
            size += len(file.data)
            await run_in_threadpool(target.write, bytes(file.data))
            file.data.clear()
        if len(parts.open) > 1:
            raise _unusable("something follows the file")
        if parts.complete:
            break
        block = await anext(blocks, None)
        if block is None:
            raise _unusable("it is incomplete")
        parts.write(block)
    if not size:
        raise PageError(400, "there is no file, or it is empty", "choose a file, then upload it")


async def _blocks(request: Request) -> AsyncIterator[bytes]:
    """Yield the body. Raises PageError for one that is too long, or comes too slowly and holds its place."""
    site, stream, waited, size = site_of(request), aiter(request.stream()), 0.0, 0
    while True:
        began = time.monotonic()
        try:
            block = await asyncio.wait_for(anext(stream), site.bounds.upload_pause)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise _too_slow() from None
        waited += time.monotonic() - began
        size += len(block)
        if size > site.max_upload + _FORM_OVERHEAD:
            raise _too_large(site.max_upload)
        if size < (waited - site.bounds.upload_pause) * site.bounds.upload_rate:
            raise _too_slow()
        yield block


def _check_quota(request: Request) -> None:
    """Raise PageError if so much is stored for the person that they could fill the disk."""
    site = site_of(request)
    most = site.bounds.stored_each * site.max_upload
    if site.ledger.uploads.stored(person_of(request).name) >= most:
        raise PageError(
            413, f"your uploads that are not imported yet take {most / MIB:,.0f} MB, which is the most",
            "import or discard some of them: the history lists them",
        )  # fmt: skip


@contextmanager
def _upload_slot(request: Request) -> Iterator[None]:
    """Count an upload while it is received. Raises PageError if there are too many at once."""
    uploads: Counter[str] = request.app.state.uploads
    bounds, name = site_of(request).bounds, person_of(request).name
    if uploads.total() >= bounds.uploads or uploads[name] >= bounds.uploads_each:
        raise PageError(
            503, "too many uploads at once", "wait until another one has ended, then upload it again",
            {"Retry-After": "10"},
        )  # fmt: skip
    uploads[name] += 1
    try:
        yield
    finally:
        uploads[name] -= 1


@asynccontextmanager
async def _in_thread(manager: AbstractContextManager[T]) -> AsyncIterator[T]:
    """Enter and leave a context manager in threads, since it writes to the ledger."""
    value = await run_in_threadpool(manager.__enter__)
    try:
        yield value
    except BaseException as error:
        await asyncio.shield(run_in_threadpool(manager.__exit__, type(error), error, error.__traceback__))
        raise
    await run_in_threadpool(manager.__exit__, None, None, None)


def _boundary(request: Request) -> bytes:
    kind, options = parse_options_header(request.headers.get("content-type"))
    boundary = options.get(b"boundary", b"")
    if kind != _TYPE or not 0 < len(boundary) <= 70:  # RFC 2046, 5.1.1
        raise PageError(415, "this page takes an uploaded file only", "use the form on the page")
    return boundary


def _name(raw: bytes) -> str:
    """Return a file's name as the browser shows it (HTML, 4.10.21.8); it never names a file here."""
    name = raw.decode("utf-8", "replace")
    for escaped, plain in (("%0A", "\n"), ("%0D", "\r"), ("%22", '"')):
        name = name.replace(escaped, plain)
    return name


def _unusable(why: str) -> PageError:
    return PageError(400, f"the upload can't be used: {why}", "use the form on the page, with one file")


def _too_large(most: int) -> PageError:
    return PageError(
        413, f"the file is too large: {most / MIB:,.0f} MB is the limit",
        "split it, or import it in a shell; `siproster serve --max-upload` sets the limit",
    )  # fmt: skip


def _too_slow() -> PageError:
    return PageError(408, "the upload was too slow and was stopped", "try again on a better connection")


async def upload(request: Request) -> Response:
    """Receive a roster, and go on to its columns."""
    received, _ = await receive_upload(request)
    await run_in_threadpool(audit, request, "upload", received.name, id=received.id)
    return see_other(f"/uploads/{received.id}")


ROUTES = [Page("/uploads", upload, ("POST",), Role.UPLOAD, reads_body=True)]
