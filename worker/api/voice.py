"""Calls on the Voice API, in JSON: placed once, read repeatedly (docs/bandwidth-api.md#calling)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from worker.api import response_xml
from worker.api.client import Client
from worker.api.faults import CHECK_URL, stop
from worker.api.transport import Reply
from worker.errors import (
    AccountNotFound,
    AnswerLost,
    AuthenticationRefused,
    Refused,
    SiprosterError,
    TryLater,
)

VOICE_PATH = "/api/v2"
"""The path on the Voice API's host; SIPROSTER_API_PATH concerns the other API only."""

JSON = {"Content-Type": "application/json; charset=utf-8", "Accept": "application/json"}

_TEXT_LIMIT = 500
_LONGEST_ID = 200


@dataclass(frozen=True, slots=True)
class Order:
    """A call to place."""

    number: str
    """The caller's number, one of the account's own: E.164."""
    to: str
    """A SIP URI."""
    application: str
    answer_url: str
    """The URL that Bandwidth asks what to do, once the call is answered."""


@dataclass(frozen=True, slots=True)
class CallState:
    """A call's state as the service reports it. Texts that it does not report are empty."""

    state: str
    """``queued``, ``initiated``, ``answered``, ``disconnected``; the documentation says: others may come."""
    cause: str
    """The reason why it ended: ``disconnectCause``."""
    error: str
    """``errorMessage``, redacted."""
    answered_at: str
    ended_at: str

    @property
    def over(self) -> bool:
        """Return whether the call has ended."""
        return self.state == "disconnected" or bool(self.cause or self.ended_at)

    @property
    def was_answered(self) -> bool:
        """Return whether the call was answered; ``hangup`` is the cause of a call that ended normally."""
        return bool(self.answered_at) or self.state == "answered" or self.cause == "hangup"


class Calls:
    """The calls of one account."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def place(self, order: Order) -> str:
        """Place a call and return its id. Raises Refused, StopJob, TryLater, and AnswerLost.

        After AnswerLost the phone may ring. A call is never placed a second time automatically, since that
        would ring, and cost, twice; so a 503, too, counts as a lost answer here.
        """
        content = {
            "from": order.number,
            "to": order.to,
            "applicationId": order.application,
            "answerUrl": order.answer_url,
        }
        try:
            return self._client.ask(
                "POST",
                ("calls",),
                _read_id,
                body=json.dumps(content).encode(),
                permit=lambda _: None,
                once=True,
            )
        except AnswerLost as error:
            raise AnswerLost(
                f"the call may have been placed: {error.message}",
                "look at the phone and at Bandwidth's dashboard before you call again: "
                "it may ring, and cost, twice",
            ) from None
        except TryLater as error:
            hint = "no call was placed: try again later; check the network and BW_VOICE_URL"
            raise type(error)(error.message, hint, error.retry_after) from None

    def read(self, call_id: str) -> CallState | None:
        """Return the call's current state; None if it can't be read, as a new one can't for a while (404)."""
        return self._client.ask("GET", ("calls", call_id), _read_state)


def _read_id(reply: Reply) -> str:
    if not reply.ok:
        raise _fault(reply)
    call_id = _content(reply).get("callId")
    if not isinstance(call_id, str) or not 0 < len(call_id) <= _LONGEST_ID or not call_id.isprintable():
        raise response_xml.Malformed("no callId")
    return call_id


def _read_state(reply: Reply) -> CallState | None:
    if reply.status == 404:
        return None
    if not reply.ok:
        raise _fault(reply)
    content = _content(reply)
    if not _text(content, "state"):
        raise response_xml.Malformed("no state")
    names = ("state", "disconnectCause", "errorMessage", "answerTime", "endTime")
    return CallState(*(_text(content, name) for name in names))


def _fault(reply: Reply) -> SiprosterError:
    """Return the exception for an answer that refuses."""
    try:
        content = _content(reply)
    except response_xml.Malformed:
        content = {}
    code, text = _text(content, "type"), _text(content, "description") or f"HTTP {reply.status}"
    if reply.status in (401, 403):
        return AuthenticationRefused(
            f"the Voice API refused these credentials (HTTP {reply.status}: {text})",
            "they need the role for Voice, and the account the feature; check BW_VOICE_URL, too",
        )
    if reply.status == 404:
        return AccountNotFound(
            f"the Voice API doesn't know the account (HTTP 404: {text})", f"check BW_ACCOUNT_ID; {CHECK_URL}"
        )
    return stop(reply, "", "") or Refused(code, text, "docs/calls.md says what a call needs")


def _content(reply: Reply) -> dict[str, Any]:
    """Return the JSON object of an answer. Raises Malformed."""
    try:
        content = json.loads(reply.body)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise response_xml.Malformed("not a JSON object")
    return content


def _text(content: dict[str, Any], name: str) -> str:
    """Return a text member, safe to show; empty if it is missing."""
    value = content.get(name)
    if not isinstance(value, str):
        return ""
    shown = "".join(character if character.isprintable() else " " for character in value)
    return response_xml.redact(" ".join(shown.split()))[:_TEXT_LIMIT]
