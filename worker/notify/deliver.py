"""Deliveries of due notifications, by any number of schedulers; each channel has a thread of its own.

At least once: a scheduler that dies between the receiver's answer and its record leaves a lease, after which
the notification is sent again, under the same id.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from worker.api.transport import Transport
from worker.channels import (
    AppriseChannel,
    Channel,
    CommandChannel,
    MailChannel,
    WebhookChannel,
    When,
)
from worker.errors import LedgerAway, LedgerError, SiprosterError, place_of
from worker.ledger import ChannelKey, ClaimedNotification, Ledger
from worker.notify import chat, command, mail, webhook
from worker.notify.message import Message, NotDelivered, UsersOf, for_channel

log = logging.getLogger(__name__)

DELAYS = (5.0, 300.0, 1800.0, 7200.0, 18_000.0, 36_000.0, 36_000.0, 36_000.0, 36_000.0)
"""Seconds before each further attempt: two days in all, as the Standard Webhooks specification advises."""

_LONGEST_DELAY = max(DELAYS)

_LEASE_SLACK = 60.0
"""Seconds of a lease beyond an attempt's deadline, since name resolution can exceed it."""

_GIVE_UP_AFTER = 3 * 86_400.0
"""Seconds after which a notification is given up in any case, such as one whose channel was removed."""

_SHOWN_FOR = 90 * 86_400.0
"""Seconds for which ended notifications are shown."""

_TIDY_EVERY = 3600.0

_NO_CHANNEL = "no scheduler could use this channel: its [notify.NAME] table is missing, or incomplete there"


class Sender:
    """Sends messages to channels of every kind. Shared by threads.

    ``clock``: epoch seconds. ``longest``: seconds that an attempt may take, whatever its channel allows.
    """

    def __init__(self, clock: Callable[[], float] = time.time, longest: float = math.inf) -> None:
        self._clock = clock
        self._longest = longest
        self._lock = threading.Lock()
        self._transport: Transport | None = None

    def send(self, channel: Channel, message: Message) -> None:
        """Make one attempt. Raises NotDelivered, whatever goes wrong."""
        try:
            self._send(channel, message)
        except NotDelivered:
            raise
        except SiprosterError as error:
            raise NotDelivered(error.message) from None
        except Exception as error:  # a fault of ours, or of a library, must not end the others' deliveries
            raise NotDelivered(place_of(error)) from None

    def close(self) -> None:
        """Close connections that are kept open."""
        if self._transport:
            self._transport.close()

    def _send(self, channel: Channel, message: Message) -> None:
        seconds = min(channel.deadline, self._longest)
        match channel:
            case WebhookChannel():
                webhook.deliver(channel, message, self._connections(seconds), self._clock())
            case CommandChannel():
                command.run(channel.argv, message.json, seconds)
            case MailChannel():
                mail.deliver(channel, message, self._clock(), seconds)
            case AppriseChannel():
                chat.deliver(channel, message, seconds)
            case _:
                raise NotDelivered(f"{channel.kind} is not a kind of channel", final=True)

    def _connections(self, seconds: float) -> Transport:
        with self._lock:
            if self._transport is None:
                self._transport = Transport(seconds)
            return self._transport


ChannelsOf = Callable[[], Mapping[ChannelKey, Channel]]
"""Return all channels that this process can use. Raises SiprosterError."""


@dataclass(frozen=True, slots=True)
class DeliveryTools:
    """The tools of deliveries, beside the ledger: present channels, a sender, and a reader of user names."""

    channels_of: ChannelsOf
    sender: Sender
    users_of: UsersOf | None = None


class Deliveries:
    """The deliveries of one scheduler. ``owner``: its process, for the ledger."""

    def __init__(self, ledger: Ledger, owner: str, tools: DeliveryTools) -> None:
        self._ledger = ledger
        self._owner = owner
        self._tools = tools
        self._threads: dict[ChannelKey, threading.Thread] = {}
        self._closing = threading.Event()
        self._tidied: float | None = None
        self._logged_error = ""
        """Why the settings can't be used, as it was logged."""

    def deliver_due(self) -> None:
        """Start to deliver what is due and return at once; called at each tick, by one thread.

        Each channel has one thread at most, so that a receiver that hangs delays its own notifications alone.
        Raises LedgerError if the ledger can't be read.
        """
        self._tidy()
        self._threads = {key: one for key, one in self._threads.items() if one.is_alive()}
        idle = [key for key in self._ledger.notifications.due() if key not in self._threads]
        if not idle:
            return
        channels = self._channels()
        for key in idle:
            if channel := channels.get(key):
                thread = threading.Thread(target=self._deliver_all, args=(key, channel), daemon=True)
                self._threads[key] = thread
                thread.start()

    def _channels(self) -> Mapping[ChannelKey, Channel]:
        """Return the channels as set now; none while the settings can't be used, which is logged once."""
        try:
            channels = self._tools.channels_of()
        except SiprosterError as error:
            if error.message != self._logged_error:
                log.error("notifications wait: %s", error.message)
            self._logged_error = error.message
            return {}
        self._logged_error = ""
        return channels

    def wait(self, seconds: float) -> bool:
        """Wait until the deliveries that were started have ended; return False if that takes longer."""
        end = time.monotonic() + seconds
        for thread in self._threads.values():
            thread.join(max(0.0, end - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads.values())

    def close(self) -> None:
        """Start no further delivery. Another scheduler repeats one that hangs, when its lease has expired."""
        self._closing.set()

    def _deliver_all(self, key: ChannelKey, channel: Channel) -> None:
        try:
            lease = channel.deadline + _LEASE_SLACK
            while not self._closing.is_set():
                claim = self._ledger.notifications.claim_due(key, self._owner, lease)
                if claim is None:
                    return
                self._deliver(channel, claim)
        except LedgerError as error:
            log.error("channel %s: %s; the next tick tries again", key.name, error.message)
        except Exception as error:  # logged without a traceback, which could show secrets
            log.error("channel %s: %s", key.name, place_of(error))

    def _deliver(self, channel: Channel, claim: ClaimedNotification) -> None:
        notifications = self._ledger.notifications
        if not wanted(channel, claim.payload):
            notifications.skip(claim)
            return
        what = f"channel {channel.name}: {claim.id} of schedule {claim.schedule}"
        try:
            self._tools.sender.send(channel, self._message(channel, claim))
        except NotDelivered as failed:
            delay = delay_after(claim.attempts, failed)
            if delay is None:
                notifications.give_up(claim, failed.reason)
                log.error("%s is given up after attempt %d: %s", what, claim.attempts, failed.reason)
            else:
                notifications.retry(claim, delay, failed.reason)
                log.warning("%s: %s; the next attempt is in %.0f s", what, failed.reason, delay)
        else:
            notifications.delivered(claim)
            log.info("%s is delivered", what)

    def _message(self, channel: Channel, claim: ClaimedNotification) -> Message:
        try:
            return for_channel(channel, claim.id, claim.payload, self._tools.users_of)
        except LedgerAway:
            raise
        except Exception as error:  # the job was purged, or its key is not here: the rest still counts
            why = error.message if isinstance(error, SiprosterError) else place_of(error)
            log.warning("channel %s: no user names: %s", channel.name, why)
            return Message(claim.id, claim.payload)

    def _tidy(self) -> None:
        """Give up or delete notifications that are too old, once an hour."""
        now = time.monotonic()
        if self._tidied is not None and now - self._tidied < _TIDY_EVERY:
            return
        for one in self._ledger.notifications.expire(_GIVE_UP_AFTER, _NO_CHANNEL):
            log.error(
                "channel %s: %s of schedule %s is given up: %s",
                one.channel.name, one.id, one.schedule, one.error,
            )  # fmt: skip
        self._ledger.notifications.forget(_SHOWN_FOR)
        self._tidied = now


def wanted(channel: Channel, payload: Mapping[str, object]) -> bool:
    """Return whether the channel wants this notification: always, or only if there is trouble."""
    return channel.when is When.ALWAYS or bool(payload.get("trouble"))


def delay_after(attempts: int, failed: NotDelivered) -> float | None:
    """Return the seconds until the next attempt, after ``attempts`` failed ones; None if it is given up.

    A receiver may ask for a longer wait, up to ten hours, but not for a shorter one, which would use up the
    limited number of attempts too soon.
    """
    if failed.final or attempts > len(DELAYS):
        return None
    return max(DELAYS[attempts - 1], min(failed.after or 0.0, _LONGEST_DELAY))
