"""Requests and answers of a resource, before HTTP and faults affect them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from worker.sandbox.knobs import Rule

XML_TYPE = "application/xml; charset=utf-8"
JSON_TYPE = "application/json"
JSON_ROOT = ""
"""In the place of a root element's name: the resource speaks JSON, as the Voice API does."""


@dataclass(slots=True)
class Call:
    """One request. A handler counts its work in ``entries``, ``committed`` and ``refused``."""

    method: str
    path: str
    query: Mapping[str, str]
    params: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    faults: Mapping[str, Rule] = field(default_factory=dict)
    """The faults drawn for this request, by kind."""
    entries: int = 0
    committed: int = 0
    refused: int = 0


@dataclass(slots=True)
class Reply:
    """One answer. ``sent`` is the share of it that reaches the client: 1 all, 0 not even a status."""

    status: int
    body: bytes = b""
    media: str = XML_TYPE
    headers: tuple[tuple[str, str], ...] = ()
    sent: float = 1.0


class Refusal(Exception):
    """Refuses the whole request. ``code`` may be empty: the service leaves it out at times."""

    def __init__(self, status: int, code: str, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.code = code
        self.text = text
