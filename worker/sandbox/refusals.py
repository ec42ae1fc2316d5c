"""What a refusal looks like in the two languages: XML of the Registrar API, JSON of the Voice API."""

from __future__ import annotations

import json

from worker.sandbox import markup
from worker.sandbox.answers import JSON_ROOT, JSON_TYPE, Reply


def refusal(root: str, status: int, code: str, text: str) -> Reply:
    """XML below ``root``; where that is JSON_ROOT ``type`` and ``description``, as the Voice API says it."""
    if root != JSON_ROOT:
        return Reply(status, markup.status(root, code, text))
    return json_reply(status, {"type": code or "error", "description": text, "id": None})


def json_reply(status: int, content: dict[str, object], *headers: tuple[str, str]) -> Reply:
    """An answer in JSON."""
    return Reply(status, json.dumps(content).encode(), JSON_TYPE, headers)
