"""``schedule test-notify``: sends a test notification to each channel of a schedule now."""

from __future__ import annotations

import datetime as dt
import os
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import click

from worker.channels import Channel
from worker.commands.context import Context, settings_options
from worker.commands.facts import print_json
from worker.commands.options import json_option
from worker.commands.screen import print_on_stdout
from worker.errors import UsageError
from worker.notify import TEST, Message, NotDelivered, Sender
from worker.settings import load

_AT_ONCE = 8
"""Channels that are tested at the same time."""


@dataclass(frozen=True, slots=True)
class Tested:
    """The result of a channel's test notification; ``error`` is empty if it was delivered."""

    name: str
    kind: str
    address: str
    seconds: float
    error: str
    hint: str = ""


@click.command("test-notify")
@click.argument("name", metavar="NAME")
@json_option
@settings_options
def test_notify(name: str, as_json: bool, **given: Any) -> int:
    """Send a test notification to each channel of a schedule now.

    Nothing is tried again, and nothing is recorded. Exits with 5 if a channel could not be reached.
    """
    context = Context(given)
    schedule = context.ledger.schedules.get(name)
    if not schedule.channels:
        raise UsageError(
            f"schedule {name} notifies nobody",
            "add it again with --notify CHANNEL; docs/notifications.md tells how to set up a channel",
        )
    context.audit(name)
    # The schedule's own profile decides, as in the scheduler.
    settings = load({}, os.environ, given["config"], schedule.profile)
    results = try_channels(name, schedule.channels, settings.channel)
    if as_json:
        print_json([_facts(one) for one in results])
    else:
        for one in results:
            _print(one)
    return 5 if any(one.error for one in results) else 0


def try_channels(
    schedule: str, names: Sequence[str], channel_of: Callable[[str], Channel], sender: Sender | None = None
) -> list[Tested]:
    """Send a test notification to each channel, and return the results in the order of ``names``.

    ``channel_of`` returns a channel by its name, or raises UsageError.
    """
    with closing(sender or Sender()) as sending, ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(lambda name: _tested(schedule, name, channel_of, sending), names))


def _tested(schedule: str, name: str, channel_of: Callable[[str], Channel], sender: Sender) -> Tested:
    try:
        channel = channel_of(name)
    except UsageError as error:
        return Tested(name, "", "", 0.0, error.message, error.hint)
    now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    payload = {"type": TEST, "schedule": schedule, "channel": name, "time": now}
    began, reason = time.monotonic(), ""
    try:
        sender.send(channel, Message(f"msg_{uuid.uuid4().hex}", payload))
    except NotDelivered as failed:
        reason = failed.reason
    return Tested(name, channel.kind, channel.address, time.monotonic() - began, reason)


def _print(one: Tested) -> None:
    where = f" ({one.kind}: {one.address})" if one.kind else ""
    if one.error:
        print_on_stdout(f"✗ {one.name}{where}: {one.error}", "red")
        if one.hint:
            print_on_stdout(f"  → {one.hint}", "red")
    else:
        print_on_stdout(f"✓ {one.name}{where}: delivered in {one.seconds:.1f} s", "green")


def _facts(one: Tested) -> dict[str, Any]:
    return {
        "channel": one.name,
        "kind": one.kind or None,
        "delivered": not one.error,
        "seconds": round(one.seconds, 3),
        "error": one.error,
        "hint": one.hint,
    }
