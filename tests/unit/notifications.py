"""Payloads of ended runs as the scheduler makes them, and channels of each kind, for tests."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from worker.channels import WebhookChannel, When

KEY = b"canary-of-a-webhook-secret-1"
SECRET = f"whsec_{base64.b64encode(KEY).decode()}"


def run_ended(result: str = "not_in_place", **given: Any) -> dict[str, Any]:
    """A run of 600 rows, of which two failed, unless something else is given."""
    counts = given.pop("counts", {"created": 598, "failed": 2})
    troubled = {"exists", "invalid", "failed", "unknown", "unprocessed"}
    summary: Mapping[str, Any] | None = {
        "job": "20261129-acme-1", "roster": {"name": "acme.csv", "rows": sum(counts.values())},
        "counts": counts, "not_in_place": sum(n for status, n in counts.items() if status in troubled),
    }  # fmt: skip
    return {
        "type": "siproster.run.ended", "schedule": "nightly", "slot": "2026-11-29T02:00:00Z", "cause": "slot",
        "result": result, "trouble": result not in ("in_place", "nothing_new"), "why": "",
        "job": "20261129-acme-1", "summary": summary, "missed": 0, "next": "2026-11-30T02:00:00Z",
    } | given  # fmt: skip


def webhook(url: str, name: str = "ops", **given: Any) -> WebhookChannel:
    """A webhook that tells of every run."""
    values: dict[str, Any] = {"when": When.ALWAYS, "secrets": (KEY,), **given}
    return WebhookChannel(name=name, url=url, host=url, **values)
