"""Notifications of ended runs: webhooks, commands, e-mail and chats, delivered from the ledger."""

from __future__ import annotations

from worker.notify.deliver import DELAYS, ChannelsOf, Deliveries, DeliveryTools, Sender, wanted
from worker.notify.message import Message, NotDelivered, UsersOf, for_channel
from worker.notify.text import TEST, body, subject

__all__ = [
    "DELAYS",
    "TEST",
    "ChannelsOf",
    "Deliveries",
    "DeliveryTools",
    "Message",
    "NotDelivered",
    "Sender",
    "UsersOf",
    "body",
    "for_channel",
    "subject",
    "wanted",
]
