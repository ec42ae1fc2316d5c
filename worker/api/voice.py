"""Calls on the Voice API, in JSON: placed once, read often (docs/bandwidth-api.md#calling)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from worker import wire
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
"""Below the Voice API's host, whatever SIPROSTER_API_PATH says of the other one."""

JSON = {"Content-Type": "application/json; charset=utf-8", "Accept": "application/json"}

_TEXT_LIMIT = 500
_LONGEST_ID = 200


@dataclass(frozen=True, slots=True)
class Order:
    """A call to be placed."""

    number: str
    """Of the account's numbers, the one that calls: E.164."""
    to: str
    """A SIP URI."""
    application: str
    answer_url: str
    """Where Bandwidth asks what the call is to do, once it is answered."""


@dataclass(frozen=True, slots=True)
class CallState:
    """A call as the service tells it. Texts are empty where it told none."""

    state: str
    """``queued``, ``initiated``, ``answered``, ``disconnected``; the documentation says: others may come."""
    cause: str
    """Why it ended: ``disconnectCause``."""
    error: str
    """``errorMessage``, redacted."""
    answered_at: str
    ended_at: str

    @property
    def over(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.state == "disconnected" or bool(self.cause or self.ended_at)

    @property
    def was_answered(self) -> bool:
        """Whether somebody took it; ``hangup`` is the cause of a call that ended normally."""
        return bool(self.answered_at) or self.state == "answered" or self.cause == "hangup"


class Calls:
    """The calls of one account."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def place(self, order: Order) -> str:
        """Place a call; its id. Raises Refused, StopJob, TryLater, and AnswerLost.

        AnswerLost: it may ring. It is never placed a second time by itself, since that would ring, and
        cost, twice; so a 503, too, counts as a lost answer here.
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
        """The call as it stands; None: it can't be read, which a new one can't for a while, either (404)."""
        return self._client.ask("GET", ("calls", call_id), _read_state)


def _read_id(reply: Reply) -> str:
    if not reply.ok:
        raise _fault(reply)
    call_id = _content(reply).get("callId")
    if not isinstance(call_id, str) or not 0 < len(call_id) <= _LONGEST_ID or not call_id.isprintable():
        raise wire.Malformed("no callId")
    return call_id


def _read_state(reply: Reply) -> CallState | None:
    if reply.status == 404:
        return None
    if not reply.ok:
        raise _fault(reply)
    content = _content(reply)
    if not _text(content, "state"):
        raise wire.Malformed("no state")
    names = ("state", "disconnectCause", "errorMessage", "answerTime", "endTime")
    return CallState(*(_text(content, name) for name in names))


def _fault(reply: Reply) -> SiprosterError:
    """The exception for an answer that refuses."""
    try:
        content = _content(reply)
    except wire.Malformed:
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
    """The answer's object. Raises Malformed."""
    try:
        content = json.loads(reply.body)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise wire.Malformed("not a JSON object")
    return content


def _text(content: dict[str, Any], name: str) -> str:
    """A member that is a text, fit for any eye; empty where there is none."""
    value = content.get(name)
    if not isinstance(value, str):
        return ""
    shown = "".join(character if character.isprintable() else " " for character in value)
    return wire.redact(" ".join(shown.split()))[:_TEXT_LIMIT]
