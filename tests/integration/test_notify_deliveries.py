"""Deliveries from the ledger, on SQLite and on PostgreSQL: outages, restarts, receivers that hang."""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from typing import Any

import pytest
from standardwebhooks import Webhook

from tests.scripted import Asked, Told, scripted, spoken
from tests.unit.jobs import Clock
from tests.unit.notifications import SECRET, run_ended, webhook
from worker.channels import Channel, When
from worker.errors import LedgerError, SealBroken, UsageError
from worker.ledger import ChannelKey, DeliveryState, Ledger
from worker.notify import DELAYS, Deliveries, DeliveryTools, Sender, UsersOf

DOWN, UP = Told(503), Told(204)
SLOT = 100.0
DAY = 86_400.0


@pytest.fixture
def sender() -> Iterator[Sender]:
    """A sender whose attempts take two seconds at most."""
    with closing(Sender(longest=2.0)) as sender:
        yield sender


def deliveries(
    ledger: Ledger, sender: Sender, *channels: Channel, users_of: UsersOf | None = None
) -> Deliveries:
    """The deliveries of a scheduler with these channels."""
    found = {ChannelKey("", channel.name): channel for channel in channels}
    return Deliveries(ledger, "desk:1", DeliveryTools(lambda: found, sender, users_of))


def end_run(ledger: Ledger, *channels: str, slot: float = SLOT, **given: Any) -> None:
    """End a run: add a notification for each channel."""
    with ledger.store.begin() as connection:
        for channel in channels:
            ledger.notifications.add(connection, "nightly", slot, "job-1", channel, run_ended(**given))


def tick(own: Deliveries) -> None:
    """One tick of a scheduler, and the end of all that it began."""
    own.deliver_due()
    assert own.wait(20)


def states(ledger: Ledger) -> dict[str, tuple[DeliveryState, int]]:
    """State and attempts of the run's notifications by channel."""
    return {one.channel: (one.state, one.attempts) for one in ledger.notifications.of_run("nightly", SLOT)}


def test_an_hour_of_outage(ledger: Ledger, sender: Sender, clock: Clock) -> None:
    """A receiver that is down for an hour gets the notification once it is back: once, and signed."""
    back = clock() + 3600

    def answer(_: Asked) -> Told:
        return UP if clock() >= back else DOWN

    end_run(ledger, "ops")
    with scripted(answer) as server:
        own = deliveries(ledger, sender, webhook(server.url))
        for _ in range(3 * 3600 // 60):
            tick(own)
            clock.advance(60)
    attempts = server.asked
    assert {one.headers["webhook-id"] for one in attempts} == {attempts[0].headers["webhook-id"]}
    assert [one.body for one in attempts] == [attempts[0].body] * 5  # at 0, 5 s, 5 min, 35 min, 2 h 35 min
    Webhook(SECRET).verify(attempts[-1].body, dict(attempts[-1].headers))
    assert states(ledger) == {"ops": (DeliveryState.DELIVERED, 5)}


def test_the_last_attempt(
    ledger: Ledger, sender: Sender, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """Two days of back-off, then it is given up, logged, and seen in the ledger with its reason."""
    end_run(ledger, "ops")
    with scripted(lambda _: DOWN) as server:
        own = deliveries(ledger, sender, webhook(server.url))
        for delay in DELAYS:
            tick(own)
            clock.advance(delay - 1)
            tick(own)  # too early: nothing is sent
            clock.advance(1)
        tick(own)
        clock.advance(DAY)
        tick(own)
        assert len(server.asked) == len(DELAYS) + 1
    (shown,) = ledger.notifications.of_run("nightly", SLOT)
    assert (shown.state, shown.attempts) == (DeliveryState.GIVEN_UP, 10)
    assert shown.error == "the receiver answered HTTP 503"
    assert "is given up after attempt 10: the receiver answered HTTP 503" in caplog.text
    assert 1.9 * DAY < sum(DELAYS) < 2.1 * DAY


def test_gone_is_given_up_at_once(ledger: Ledger, sender: Sender, clock: Clock) -> None:
    """410 Gone: no further attempt."""
    end_run(ledger, "ops")
    with scripted(lambda _: Told(410)) as server:
        own = deliveries(ledger, sender, webhook(server.url))
        tick(own)
        clock.advance(DAY)
        tick(own)
    assert len(server.asked) == 1
    assert states(ledger) == {"ops": (DeliveryState.GIVEN_UP, 1)}


@pytest.mark.parametrize(("asks", "waits"), [("3600", 3600.0), ("1", 5.0), ("99999999", 36_000.0)])
def test_retry_after_is_honoured(
    ledger: Ledger, sender: Sender, clock: Clock, asks: str, waits: float
) -> None:
    """The receiver may ask for a longer wait, up to ten hours, and not for a shorter one than ours."""
    end_run(ledger, "ops")
    with scripted(lambda _: Told(429, headers={"Retry-After": asks})) as server:
        own = deliveries(ledger, sender, webhook(server.url))
        tick(own)
        clock.advance(waits - 1)
        tick(own)
        assert len(server.asked) == 1
        clock.advance(1)
        tick(own)
        assert len(server.asked) == 2


def test_a_restarted_scheduler_goes_on(
    ledger: Ledger, other_ledger: Ledger, sender: Sender, clock: Clock
) -> None:
    """A scheduler that died in an attempt leaves a lease; another one sends it again, under the same id."""
    end_run(ledger, "ops")
    dead = ledger.notifications.claim_due(ChannelKey("", "ops"), "dead:1", 75.0)
    with scripted(lambda _: UP) as server:
        own = deliveries(other_ledger, sender, webhook(server.url))
        tick(own)
        assert server.asked == []
        clock.advance(76)
        tick(own)
    assert dead is not None
    assert [one.headers["webhook-id"] for one in server.asked] == [dead.id]
    assert states(ledger) == {"ops": (DeliveryState.DELIVERED, 2)}


def test_a_thousand_deliveries_by_two_schedulers(
    ledger: Ledger, other_ledger: Ledger, sender: Sender
) -> None:
    """Two schedulers deliver a thousand notifications, each once; none holds a secret or a user's name."""
    for number in range(100):
        end_run(ledger, *(f"ops{n}" for n in range(10)), slot=float(number), result="in_place")
    with scripted(lambda _: UP) as server:
        channels = [webhook(server.url, f"ops{n}") for n in range(10)]
        both = [deliveries(one, sender, *channels) for one in (ledger, other_ledger)]
        end = time.monotonic() + 60
        while len(server.asked) < 1000 and time.monotonic() < end:
            for own in both:
                own.deliver_due()
            time.sleep(0.05)
        assert all(own.wait(20) for own in both)
        for own in both:
            tick(own)
    times = Counter(one.headers["webhook-id"] for one in server.asked)
    assert (len(times), set(times.values())) == (1000, {1})
    sent = b"".join(one.body + str(one.headers).encode() for one in server.asked)
    assert b"canary" not in sent
    assert SECRET.encode() not in sent


def test_a_hanging_receiver_holds_nothing_up(ledger: Ledger) -> None:
    """A tick returns at once, and other channels deliver, while a receiver hangs."""
    released, hung = threading.Event(), list[socket.socket]()
    for slot in range(3):
        end_run(ledger, "hangs", "ops", slot=float(slot))

    def hang(connection: socket.socket) -> None:
        hung.append(connection)
        released.wait(60)

    with spoken(hang) as url, scripted(lambda _: UP) as server, closing(Sender(longest=30.0)) as sender:
        own = deliveries(ledger, sender, webhook(url, "hangs"), webhook(server.url))
        began = time.monotonic()
        own.deliver_due()
        own.deliver_due()
        assert time.monotonic() - began < 10
        end = time.monotonic() + 60
        while len(server.asked) < 3 and time.monotonic() < end:
            time.sleep(0.01)
        assert len(server.asked) == 3
        own.deliver_due()
        time.sleep(0.2)
        assert len(hung) == 1  # the other two wait for their turn
        assert not own.wait(0)
        own.close()
        released.set()
        assert own.wait(10)


def test_on_trouble_tells_of_trouble_alone(ledger: Ledger, sender: Sender) -> None:
    """A run that went well is not told, which the ledger shows as such; one that didn't is."""
    with scripted(lambda _: UP) as server:
        own = deliveries(ledger, sender, webhook(server.url, when=When.ON_TROUBLE))
        for number, result in enumerate(["in_place", "nothing_new", "stopped", "failed"]):
            end_run(ledger, "ops", slot=float(number), result=result)
        tick(own)
    assert sorted(json.loads(one.body)["result"] for one in server.asked) == ["failed", "stopped"]
    shown = [one for number in range(4) for one in ledger.notifications.of_run("nightly", float(number))]
    assert [one.state for one in shown] == ["not_wanted", "not_wanted", "delivered", "delivered"]


def test_users_are_told_where_asked_for(ledger: Ledger, sender: Sender) -> None:
    """Only a channel with users = true gets names, at most 50 of them, and the ledger stores none."""
    names = [f"canary-{number}" for number in range(60)]
    end_run(ledger, "ops", "names")
    with scripted(lambda _: UP) as plain, scripted(lambda _: UP) as named:
        tick(
            deliveries(
                ledger, sender, webhook(plain.url), webhook(named.url, "names", users=True),
                users_of=lambda job: names if job == run_ended()["job"] else [],
            )
        )  # fmt: skip
    assert b"canary" not in plain.asked[0].body
    told = json.loads(named.asked[0].body)
    assert (told["users"], told["users_left_out"]) == (names[:50], 10)
    with ledger.store.read() as connection:
        stored = connection.exec_driver_sql("SELECT * FROM notifications").all()
    assert "nightly" in str(stored)
    assert "canary" not in str(stored)


def test_without_names_the_rest_is_told(
    ledger: Ledger, sender: Sender, caplog: pytest.LogCaptureFixture
) -> None:
    """A job whose rows can't be read any more is told without names, and the log says why."""

    def broken(_job: str) -> list[str]:
        raise SealBroken("the rows don't open")

    end_run(ledger, "names")
    with scripted(lambda _: UP) as server:
        tick(deliveries(ledger, sender, webhook(server.url, "names", users=True), users_of=broken))
    assert "users" not in json.loads(server.asked[0].body)
    assert "channel names: no user names: the rows don't open" in caplog.text


def test_a_channel_that_nobody_has(
    ledger: Ledger, sender: Sender, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """It waits for a scheduler that has it, and is given up after three days, with the reason."""
    end_run(ledger, "gone")
    tick(deliveries(ledger, sender))
    assert states(ledger) == {"gone": (DeliveryState.WAITING, 0)}
    clock.advance(3 * DAY + 1)
    tick(deliveries(ledger, sender))
    (shown,) = ledger.notifications.of_run("nightly", SLOT)
    assert shown.state is DeliveryState.GIVEN_UP
    assert "no scheduler could use this channel" in shown.error
    assert "channel gone" in caplog.text


def test_ended_ones_are_kept_for_three_months(ledger: Ledger, sender: Sender, clock: Clock) -> None:
    """A year of nightly runs leaves at most three months of notifications."""
    with scripted(lambda _: UP) as server:
        for night in range(120):
            end_run(ledger, "ops", slot=float(night))
            tick(deliveries(ledger, sender, webhook(server.url)))
            clock.advance(DAY)
    kept = [night for night in range(120) if ledger.notifications.of_run("nightly", float(night))]
    assert 89 <= len(kept) <= 92


def test_settings_are_read_anew(ledger: Ledger, sender: Sender, caplog: pytest.LogCaptureFixture) -> None:
    """A channel that is added later delivers; a file that is wrong meanwhile is logged and loses nothing."""
    found: dict[ChannelKey, Channel] = {}
    wrong = [UsageError("siproster.toml is not TOML") for _ in range(2)]

    def channels_of() -> Mapping[ChannelKey, Channel]:
        if wrong:
            raise wrong.pop()
        return found

    end_run(ledger, "ops")
    own = Deliveries(ledger, "desk:1", DeliveryTools(channels_of, sender))
    tick(own)
    tick(own)
    assert caplog.text.count("notifications wait: siproster.toml is not TOML") == 1
    tick(own)
    assert states(ledger) == {"ops": (DeliveryState.WAITING, 0)}
    with scripted(lambda _: UP) as server:
        found[ChannelKey("", "ops")] = webhook(server.url)
        tick(own)
    assert states(ledger) == {"ops": (DeliveryState.DELIVERED, 1)}


def test_the_log_has_no_secret(ledger: Ledger, sender: Sender, caplog: pytest.LogCaptureFixture) -> None:
    """Neither the URL's path, nor the key, nor the receiver's answer is logged, at any level."""
    caplog.set_level(logging.DEBUG)
    answers: list[Callable[[], Told]] = [lambda: Told(500, b"canary"), lambda: Told(302), lambda: UP]
    for slot in range(3):
        end_run(ledger, "ops", slot=float(slot))
    with scripted(lambda _: answers.pop()()) as server:
        tick(deliveries(ledger, sender, webhook(f"{server.url}/canary-path")))
    assert len(server.asked) == 3
    logged = [one.getMessage() for one in caplog.records if one.name.startswith("worker")]
    assert len(logged) == 3
    assert "canary" not in "".join(logged)


def test_a_ledger_that_is_away_ends_the_tick(ledger: Ledger, sender: Sender) -> None:
    """A ledger that can't be read is an error for the scheduler, which tries again at the next tick."""
    own = deliveries(ledger, sender)
    own.deliver_due()
    with ledger.store.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE notifications RENAME TO away")
    with pytest.raises(LedgerError):
        own.deliver_due()
