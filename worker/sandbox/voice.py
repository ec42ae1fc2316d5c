"""The Voice resources: calls and their outcomes (docs/bandwidth-api.md#calling). JSON both ways.

A call's whole course is decided when it is placed; its state follows from the clock.
"""

from __future__ import annotations

import json
import re
import secrets
import time
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote, urlsplit

from worker.sandbox.answers import Call, Refusal, Reply
from worker.sandbox.knobs import NEVER_ANSWERED, Values
from worker.sandbox.refusals import json_reply
from worker.sandbox.rules import UUID
from worker.sandbox.store import Account
from worker.sandbox.stored import Credential

NUMBER = re.compile(r"\+[1-9][0-9]{6,14}").fullmatch
"""E.164."""
SIP = re.compile(r"sips?:([^@\s<>\"]{1,128})@([A-Za-z0-9.-]{1,253})(:[0-9]{1,5})?(;[^\s]{0,256})?").fullmatch
LONGEST_URL = 2048
CALL_TIMEOUT = 30.0
FOR_EVER = float("inf")
KEPT = 10_000
"""Calls that are remembered."""

Registered = Callable[[Credential], bool]
"""A function that returns True if a credential's phone is registered now."""


@dataclass(frozen=True, slots=True)
class Placed:
    """One call. Times are seconds since 1970; ``FOR_EVER`` means never."""

    id: str
    account: str
    sent: dict[str, Any]
    """The body of the request."""
    enqueued: float
    readable: float
    answered: float
    ended: float
    cause: str = ""
    error: str = ""

    def state(self, now: float) -> str:
        """Return one of the four states that Bandwidth documents."""
        if now >= self.ended:
            return "disconnected"
        if now >= self.answered:
            return "answered"
        waits = self.answered == self.ended == FOR_EVER
        return "queued" if waits else "initiated"


class Calls:
    """The calls of all accounts, in the order of their placing; the oldest are forgotten."""

    def __init__(self) -> None:
        self._placed: dict[str, Placed] = {}
        self._recent: dict[str, deque[float]] = {}

    def create(self, account: Account, knobs: Values, call: Call, registered: Registered) -> Reply:
        """Answer POST /calls: 201 with the call's id, 429 above the rate, 400 for an invalid call."""
        sent = read_order(call, knobs)
        if self._too_many(account, knobs):
            raise Refusal(429, "rate-limit", "Too many calls: the account's calls per second are used up.")
        placed = place(account, knobs, sent, registered)
        self._placed[placed.id] = placed
        while len(self._placed) > KEPT:
            del self._placed[next(iter(self._placed))]
        call.entries = call.committed = 1
        where = f"{call.path}/{placed.id}"
        return json_reply(201, receipt(placed, where), ("Location", where))

    def show(self, account: Account, knobs: Values, call: Call) -> Reply:
        """Answer GET /calls/{callId}: 404 also while it isn't readable yet."""
        placed = self._placed.get(call.params["call"])
        if placed is None or placed.account != account.id or time.time() < placed.readable:
            raise Refusal(404, "not-found", f"Call {call.params['call']} was not found.")
        return json_reply(200, shown(placed))

    def all(self) -> list[dict[str, Any]]:
        """Return every call in its present state."""
        return [shown(placed) for placed in self._placed.values()]

    def _too_many(self, account: Account, knobs: Values) -> bool:
        now = time.monotonic()
        recent = self._recent.setdefault(account.id, deque())
        while recent and recent[0] <= now - 1:
            recent.popleft()
        if len(recent) >= knobs.calls_per_second:
            return True
        recent.append(now)
        return False


def read_order(call: Call, knobs: Values) -> dict[str, Any]:
    """Return the body, checked as Bandwidth would. Raises Refusal with the field that is wrong."""
    try:
        sent = json.loads(call.body)
    except (ValueError, RecursionError):
        raise invalid("the body is not JSON") from None
    if not isinstance(sent, dict):
        raise invalid("the body is not an object")
    check(sent, "from", bool(NUMBER(text(sent, "from"))), "must be an E164 telephone number")
    to = text(sent, "to")
    check(sent, "to", bool(NUMBER(to) or SIP(to)), "must be an E164 telephone number or a SIP URI")
    application = text(sent, "applicationId")
    known = knobs.applications is None or application.lower() in map(str.lower, knobs.applications)
    check(sent, "applicationId", bool(UUID(application)) and known, "must be an application of the account")
    check(sent, "answerUrl", is_url(text(sent, "answerUrl")), "must be a valid URL")
    return sent


def text(sent: dict[str, Any], name: str) -> str:
    """Return a text member; empty if it is not a text."""
    value = sent.get(name)
    return value if isinstance(value, str) else ""


def check(sent: dict[str, Any], name: str, good: bool, rule: str) -> None:
    """Raise Refusal if a member is missing or invalid."""
    if sent.get(name) in (None, ""):
        raise invalid(f"{name} is required")
    if not good:
        raise invalid(f"Invalid {name}: {rule}")


def invalid(description: str) -> Refusal:
    """Return a 400, as in Bandwidth's documentation of the Voice API's errors."""
    return Refusal(400, "validation", description)


def is_url(url: str) -> bool:
    """Return whether the text is a complete http or https URL."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and len(url) <= LONGEST_URL


def place(account: Account, knobs: Values, sent: dict[str, Any], registered: Registered) -> Placed:
    """Return the call with its future course."""
    now = time.time()
    ends, error = fate(account, knobs, sent["to"], registered)
    answered = ended = FOR_EVER
    if ends in ("hangup", "answered"):
        answered = now + knobs.call_rings
    if ends == "hangup":
        ended = answered + knobs.call_talks
    elif ends in NEVER_ANSWERED:
        ended = now + knobs.call_rings
    call_id = f"c-{secrets.token_hex(4)}-{uuid.uuid4()}"
    return Placed(
        call_id, account.id, sent, now, now + knobs.call_hidden, answered, ended,
        ends if ended < FOR_EVER else "", error,
    )  # fmt: skip


def fate(account: Account, knobs: Values, to: str, registered: Registered) -> tuple[str, str]:
    """Return the end of a call (see ``call_ends``), and the errorMessage if it ends in an error."""
    found = SIP(to)
    if found:
        credential = user_of(account, unquote(found[1]), found[2])
        if credential is None:
            return "rejected", f"The callee rejected the call: 404 Not Found ({to})"
        if not registered(credential):
            return "error", f"No phone is registered for {to}: 480 Temporarily Unavailable"
    ends = knobs.call_ends
    return ends, f"The call ended: {ends}" if ends in NEVER_ANSWERED else ""


def user_of(account: Account, user: str, host: str) -> Credential | None:
    """Return the user that a SIP URI means, or None; the guide also writes a ``+`` before the name."""
    realm = account.realm_of_host(host)
    if realm is None:
        return None
    key = user.lower()
    return realm.names.get(key) or realm.names.get(key.removeprefix("+"))


def receipt(placed: Placed, where: str) -> dict[str, object]:
    """Return the answer to a POST."""
    return {
        "accountId": placed.account,
        "callId": placed.id,
        **{name: placed.sent[name] for name in ("applicationId", "to", "from", "answerUrl")},
        "enqueuedTime": moment(placed.enqueued),
        "callUrl": where,
        "callTimeout": CALL_TIMEOUT,
        "answerMethod": "POST",
    }


def shown(placed: Placed) -> dict[str, object]:
    """Return a call as a GET shows it now."""
    now = time.time()
    over = now >= placed.ended
    times = {"enqueuedTime": placed.enqueued, "startTime": placed.enqueued, "answerTime": placed.answered,
             "endTime": placed.ended}  # fmt: skip
    return {
        "callId": placed.id,
        "accountId": placed.account,
        **{name: placed.sent[name] for name in ("applicationId", "to", "from")},
        "direction": "outbound",
        "state": placed.state(now),
        **{name: moment(at) if at <= now else None for name, at in times.items()},
        "disconnectCause": placed.cause if over else None,
        "errorMessage": (placed.error or None) if over else None,
        "errorId": placed.id.removeprefix("c-") if over and placed.error else None,
        "lastUpdate": moment(max(at for at in times.values() if at <= now)),
    }


def moment(seconds: float) -> str:
    """Return a time in ISO 8601, UTC, to the millisecond."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
