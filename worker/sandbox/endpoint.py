"""The path of a request through the sandbox: log, faults and work, in this order."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from urllib.parse import parse_qsl

from starlette.types import Receive, Scope, Send

from worker.sandbox import faults
from worker.sandbox.answers import Call, Refusal, Reply
from worker.sandbox.journal import Line
from worker.sandbox.refusals import refusal
from worker.sandbox.state import State

Handler = Callable[[Call], Reply]


class Endpoint:
    """The ASGI endpoint of one resource: a handler for each method, and the root of its refusals."""

    def __init__(self, state: State, root: str, handlers: Mapping[str, Handler]) -> None:
        self._state = state
        self._root = root
        self._handlers = handlers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or don't, as the faults will have it."""
        started = time.perf_counter()
        query = scope["query_string"].decode("latin-1")
        line = self._state.journal.open(scope["method"], scope["path"], query)
        call = await read_call(scope, receive, query)
        call.faults = faults.draw(self._state.knobs, self._state.chance, call)
        line.faults = tuple(call.faults)
        reply = await self._decide(call, line)
        line.sent = "whole" if reply.sent == 1 else "half" if reply.sent else "nothing"
        line.answered = reply.status if reply.sent else None
        line.seconds = time.perf_counter() - started
        await self._deliver(reply, call, scope, receive, send)

    async def _decide(self, call: Call, line: Line) -> Reply:
        if self._state.knobs.values.latency:
            await asyncio.sleep(self._state.knobs.values.latency)
        before, after = faults.due(call, commit=False), faults.due(call, commit=True)
        await asyncio.sleep(faults.stall_seconds(before))
        reply = faults.replace(before, self._root)
        if reply is None:
            reply = faults.distort(call, self._work(call))
            line.entries, line.committed, line.refused = call.entries, call.committed, call.refused
        line.status = reply.status or None
        if not after:
            return reply
        await asyncio.sleep(faults.stall_seconds(after))
        return faults.replace(after, self._root) or reply

    def _work(self, call: Call) -> Reply:
        handler = self._handlers.get(call.method)
        try:
            if handler is None:
                raise Refusal(405, "", "The method is not allowed here.")
            return handler(call)
        except Refusal as refused:
            code = "" if refused.code in self._state.knobs.values.omit_codes else refused.code
            return refusal(self._root, refused.status, code, refused.text)

    async def _deliver(self, reply: Reply, call: Call, scope: Scope, receive: Receive, send: Send) -> None:
        if reply.sent:
            await send_reply(reply, send)
        if reply.sent < 1:
            reset = "drop" in call.faults and call.faults["drop"].given.get("reset", False)
            await self._state.connections.hang_up(scope, receive, reset)


async def read_call(scope: Scope, receive: Receive, query: str) -> Call:
    """Return the request as handlers see it, its body complete."""
    parts, more = [], True
    while more:
        message = await receive()
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    return Call(
        method=scope["method"],
        path=scope["path"],
        query=dict(parse_qsl(query, keep_blank_values=True)),
        params=scope.get("path_params", {}),
        headers={name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]},
        body=b"".join(parts),
    )


async def send_reply(reply: Reply, send: Send) -> None:
    """Send the answer, or its first half under the headers of the whole."""
    headers = [("Content-Length", str(len(reply.body))), *reply.headers]
    if reply.body:
        headers.append(("Content-Type", reply.media))
    encoded = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    await send({"type": "http.response.start", "status": reply.status, "headers": encoded})
    whole = reply.sent == 1
    body = reply.body if whole else reply.body[: len(reply.body) // 2]
    await send({"type": "http.response.body", "body": body, "more_body": not whole})
