"""One notification as it is sent, and the exception for one that could not be delivered."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from worker.channels import Channel
from worker.notify import text

MOST_USERS = 50
"""The number of user names that one notification tells."""

UsersOf = Callable[[str], Sequence[str]]
"""Return the names of the users of a job who are not in place, in the roster's order."""


class NotDelivered(Exception):
    """The attempt failed; the text says why, in plain words and without a secret.

    ``final``: no further attempt can succeed. ``after``: seconds to wait, if the receiver said so.
    """

    def __init__(self, reason: str, *, final: bool = False, after: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.final = final
        self.after = after


@dataclass(frozen=True)
class Message:
    """A notification for one channel. ``id`` is the same for each attempt; ``payload`` may name users."""

    id: str
    payload: Mapping[str, Any] = field(repr=False)

    @cached_property
    def json(self) -> bytes:
        """Return the payload with the id, as ASCII: it is signed and sent byte for byte."""
        return json.dumps({"id": self.id, **self.payload}).encode()

    @property
    def subject(self) -> str:
        """Return one line for people."""
        return text.subject(self.payload)

    @property
    def body(self) -> str:
        """Return the text for people."""
        return text.body(self.payload)


def for_channel(
    channel: Channel, notification: str, payload: Mapping[str, Any], users_of: UsersOf | None
) -> Message:
    """Return the message for a channel, with the users who are not in place if the channel tells them."""
    job = payload.get("job")
    if not (channel.users and job and users_of and payload.get("type") != text.TEST):
        return Message(notification, payload)
    users = users_of(str(job))
    told = {"users": list(users[:MOST_USERS]), "users_left_out": max(0, len(users) - MOST_USERS)}
    return Message(notification, {**payload, **told})
