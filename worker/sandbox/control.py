"""Control paths ``/_sandbox/…``: knobs, logs, truth, calls, phones, reset and health.

They are no part of the API: open to all, never logged.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from worker.sandbox.rules import NUMBER
from worker.sandbox.state import State
from worker.sandbox.store import Account
from worker.sandbox.stored import Credential

LINES = "application/x-ndjson"
AT_ONCE = 1000
"""Lines that are written before others get their turn."""


class Control:
    """The control paths of one sandbox."""

    def __init__(self, state: State) -> None:
        self._state = state

    def routes(self) -> list[Route]:
        """Return the routes to mount."""
        return [
            Route("/_sandbox/health", self.health, methods=["GET"]),
            Route("/_sandbox/knobs", self.knobs, methods=["GET", "PUT"]),
            Route("/_sandbox/log", self.log, methods=["GET"]),
            Route("/_sandbox/credentials", self.credentials, methods=["GET"]),
            Route("/_sandbox/calls", self.calls, methods=["GET"]),
            Route("/_sandbox/bindings", self.bindings, methods=["GET"]),
            Route("/_sandbox/sip", self.sip, methods=["GET"]),
            Route("/_sandbox/reset", self.reset, methods=["POST"]),
        ]

    async def health(self, request: Request) -> Response:
        """Return the counts of requests and of credentials by account, and the registrar's port or null."""
        stored = {number: len(account) for number, account in self._state.accounts.items()}
        return JSONResponse(
            {
                "ok": True,
                "requests": self._state.journal.requests,
                "credentials": stored,
                "sip_port": self._state.sip_port,
            }
        )

    async def knobs(self, request: Request) -> Response:
        """GET all knobs; PUT some of them (JSON object), the others stay. 400 says what is wrong."""
        if request.method == "PUT":
            try:
                self._state.set_knobs(json.loads(await request.body()))
            except ValueError as error:
                return JSONResponse({"error": str(error)}, 400)
        return JSONResponse(self._state.knobs.shown())

    async def log(self, request: Request) -> Response:
        """Return the log as JSON lines; with ``?after=N`` only those that follow line N."""
        after = request.query_params.get("after", "0")
        if not NUMBER(after):
            return JSONResponse({"error": "after: a line's number"}, 400)
        return lines(self._state.journal.after(int(after)))

    async def credentials(self, request: Request) -> Response:
        """Return the stored credentials with digests, as JSON lines; ``?deleted=true`` adds deleted ones."""
        deleted = request.query_params.get("deleted") == "true"
        return lines(
            shown(account, credential, stored)
            for account in self._state.accounts.values()
            for credential, stored in account.credentials(deleted)
        )

    async def calls(self, request: Request) -> Response:
        """Return every call that was placed, in its present state, as JSON lines."""
        return lines(self._state.calls.all())

    async def bindings(self, request: Request) -> Response:
        """Return the phones that are registered now, as JSON lines."""
        return lines(
            {
                "account": account.id,
                "composite": credential.name,
                "realm": credential.realm.host,
                "contact": one.uri,
                "seconds": one.left,
            }
            for account in self._state.accounts.values()
            for credential, _ in account.credentials()
            for one in self._state.bindings.of(credential.id)
        )

    async def sip(self, request: Request) -> Response:
        """Return every request that the registrar got, as JSON lines, without passwords and digests."""
        return lines(self._state.registrar.log())

    async def reset(self, request: Request) -> Response:
        """Reset everything to the start: knobs, logs, tokens, realms, credentials, calls, phones."""
        self._state.reset()
        return JSONResponse({"ok": True})


def shown(account: Account, credential: Credential, stored: bool) -> dict[str, Any]:
    """Return a credential and its history as JSON."""
    return {
        "account": account.id,
        "id": str(credential.id),
        "composite": credential.name,
        "realm": credential.realm.host,
        "realm_id": credential.realm.id,
        "hash1": credential.hash1.hex(),
        "hash1b": credential.hash1b.hex() if credential.hash1b else None,
        "application": credential.application,
        "stored": stored,
        "created": credential.created,
        "updated": credential.updated,
        "deleted": credential.deleted,
    }


def lines(items: Iterable[dict[str, Any]]) -> Response:
    """Return a streamed answer with one JSON object a line."""
    return StreamingResponse(written(iter(items)), media_type=LINES)


async def written(items: Iterator[dict[str, Any]]) -> AsyncIterator[str]:
    """Yield the lines in portions; other requests are served in between."""
    while portion := [json.dumps(item) + "\n" for item in itertools.islice(items, AT_ONCE)]:
        yield "".join(portion)
        await asyncio.sleep(0)
