"""Refusals in two formats: XML of the Registrar API, JSON of the Voice API."""

from __future__ import annotations

import json

from worker.sandbox import markup
from worker.sandbox.answers import JSON_ROOT, JSON_TYPE, Reply


def refusal(root: str, status: int, code: str, text: str) -> Reply:
    """Return a refusal: XML below ``root``; for JSON_ROOT ``type`` and
    ``description``, as in the Voice API.
    """
    if root != JSON_ROOT:
        return Reply(status, markup.status(root, code, text))
    return json_reply(status, {"type": code or "error", "description": text, "id": None})


def json_reply(status: int, content: dict[str, object], *headers: tuple[str, str]) -> Reply:
    """Return an answer in JSON."""
    return Reply(status, json.dumps(content).encode(), JSON_TYPE, headers)
