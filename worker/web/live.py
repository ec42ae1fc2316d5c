"""Live pages: what changes while somebody looks, as server-sent events."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from worker.model import Status
from worker.progress import ProgressFacts
from worker.reasons import plural
from worker.web.job_view import progress_numbers
from worker.web.sessions import visit_of
from worker.web.site import PageError, person_of, site_of
from worker.web.words import duration, sentence

EVERY = 0.5
"""Seconds between two looks at the ledger."""

LONGEST = 120.0
"""Seconds after which a browser has to ask again: one that has vanished holds nothing for longer."""

MEDIA_TYPE = "text/event-stream"

News = tuple[str, str]
"""The name of an event and its text; ``over``: the address of the page that shows the end."""

_RELOAD: News = ("reload", "{}")
"""The reader may not see the page any more: loaded again, it says why, or asks for a sign-in."""


def texts_of(facts: ProgressFacts) -> Mapping[str, Any]:
    """Return a job's progress as its page shows it, by the names in the template."""
    numbers = {
        one.fact: f"{one.rows:,}"
        for one in progress_numbers({Status(status): rows for status, rows in facts.counts.items()})
    }
    return {
        **numbers,
        "settled": facts.settled,
        "rows": facts.rows,
        "sentence": f"{facts.settled:,} of {plural(facts.rows, 'row')} done",
        "pace": _pace(facts),
        "waits": sentence(facts.waits),
    }


def _pace(facts: ProgressFacts) -> str:
    if not facts.rate:
        return ""
    left = f", {duration(facts.seconds_left)} left" if facts.seconds_left else ""
    return f"{facts.rate:,.0f} rows per second{left}"


def news_of(facts: Mapping[str, Any]) -> News:
    """Return facts as an event."""
    return "facts", json.dumps(facts)


def stream(request: Request, look: Callable[[], News]) -> StreamingResponse:
    """Return a response that looks again and again, and ends with the event ``over``.

    It also ends soon after the person has signed out, was removed, or got another role. Raises PageError if
    the person has too many of them open.
    """
    streams: Counter[str] = request.app.state.streams
    name = person_of(request).name
    if streams[name] >= site_of(request).bounds.streams_each:
        raise PageError(
            503, "too many live pages at once", "close some of their tabs, then reload this one",
            {"Retry-After": "10"},
        )  # fmt: skip

    def news() -> News:
        return look() if visit_of(request).person == person_of(request) else _RELOAD

    async def events() -> AsyncIterator[str]:
        streams[name] += 1
        try:
            async for event in _events(news):
                yield event
        finally:
            streams[name] -= 1

    # No proxy may hold the events back.
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(events(), media_type=MEDIA_TYPE, headers=headers)


def reload_answer() -> Response:
    """Return the stream for a page that is to be loaded again: scripts can't follow a redirect to a page."""
    return Response(_event(_RELOAD), media_type=MEDIA_TYPE)


def _event(news: News) -> str:
    name, text = news
    return f"event: {name}\ndata: {text}\n\n"


async def _events(look: Callable[[], News]) -> AsyncIterator[str]:
    ends = time.monotonic() + LONGEST
    while time.monotonic() < ends:
        news = await run_in_threadpool(look)
        yield _event(news)
        if news[0] != "facts":
            return
        await asyncio.sleep(EVERY)
