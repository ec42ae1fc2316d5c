"""Webhooks, signed as the Standard Webhooks specification says (github.com/standard-webhooks)."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import hmac
from collections.abc import Mapping
from contextlib import suppress
from email.utils import parsedate_to_datetime

from worker.api.transport import Interrupted, NotSent, Reply, Transport, skim
from worker.channels import WebhookChannel
from worker.errors import UsageError
from worker.notify.message import Message, NotDelivered

_GONE = 410


def deliver(channel: WebhookChannel, message: Message, transport: Transport, now: float) -> None:
    """Post the message; ``now``: epoch seconds, for the signature. Raises NotDelivered.

    No redirect is followed: the receiver's answer must not send the notification elsewhere.
    """
    headers = {"Content-Type": "application/json", **signed(channel, message, now)}
    try:
        reply = transport.send("POST", channel.url, headers, message.json, read=skim)
    except (NotSent, Interrupted) as error:
        raise NotDelivered(str(error)) from None
    except UsageError as error:
        raise NotDelivered(error.message) from None
    if not reply.ok:
        raise _refusal(reply, now)


def signed(channel: WebhookChannel, message: Message, now: float) -> dict[str, str]:
    """Return the headers of one attempt, with a signature for each of the channel's secrets."""
    timestamp = str(int(now))
    content = b".".join([message.id.encode(), timestamp.encode(), message.json])
    signatures = [hmac.new(key, content, hashlib.sha256).digest() for key in channel.secrets]
    return {
        "webhook-id": message.id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(f"v1,{base64.b64encode(one).decode()}" for one in signatures),
    }


def _refusal(reply: Reply, now: float) -> NotDelivered:
    if reply.status == _GONE:
        return NotDelivered("the receiver is gone for good (HTTP 410)", final=True)
    if 300 <= reply.status < 400:
        return NotDelivered(
            f"the receiver redirects (HTTP {reply.status}), and redirects are not followed: "
            "set url to the final address"
        )
    return NotDelivered(f"the receiver answered HTTP {reply.status}", after=_retry_after(reply.headers, now))


def _retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Return the seconds that the receiver asks to wait (RFC 9110, 10.2.3); None: it doesn't."""
    value = headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        return float(value[:9])
    with suppress(ValueError, OverflowError):
        moment = parsedate_to_datetime(value)
        return max(0.0, (moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)).timestamp() - now)
    return None
