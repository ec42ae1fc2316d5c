"""Notifications in the ledger, on SQLite and on PostgreSQL: claims, fencing, back-off, retention."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from sqlalchemy import text

from tests.unit.jobs import Clock
from worker.errors import LedgerError
from worker.ledger import ChannelKey, ClaimedNotification, DeliveryState, Ledger

LEASE = 45.0
DESK = ChannelKey("", "desk")
HOUR = 3600.0


def add(ledger: Ledger, *channels: str, slot: float = 100.0, schedule: str = "nightly") -> list[str]:
    """Add a notification for each channel, in one transaction as the end of a run does."""
    with ledger.store.begin() as connection:
        return [
            ledger.notifications.add(connection, schedule, slot, "job-1", channel, {"slot": slot})
            for channel in channels
        ]


def claimed(ledger: Ledger, owner: str = "a:1", channel: ChannelKey = DESK) -> ClaimedNotification:
    """A claim that must be had."""
    claim = ledger.notifications.claim_due(channel, owner, LEASE)
    assert claim is not None
    return claim


def shown(ledger: Ledger, slot: float = 100.0) -> list[tuple[str, DeliveryState, int, str]]:
    """Channel, state, attempts and error of a run's notifications."""
    found = ledger.notifications.of_run("nightly", slot)
    return [(one.channel, one.state, one.attempts, one.error) for one in found]


def test_a_notification_is_delivered_once(ledger: Ledger, other_ledger: Ledger) -> None:
    """Due at once, claimed by one scheduler alone, delivered; then there is nothing left to claim."""
    added = add(ledger, "desk", "mail")
    assert set(ledger.notifications.due()) == {DESK, ChannelKey("", "mail")}
    claim = claimed(ledger)
    assert (claim.id, claim.attempts, claim.payload) == (added[0], 1, {"slot": 100.0})
    assert other_ledger.notifications.claim_due(DESK, "b:1", LEASE) is None
    assert list(ledger.notifications.due()) == [ChannelKey("", "mail")]
    assert ledger.notifications.delivered(claim)
    assert ledger.notifications.claim_due(DESK, "a:1", LEASE) is None
    assert shown(ledger) == [
        ("desk", DeliveryState.DELIVERED, 1, ""), ("mail", DeliveryState.WAITING, 0, ""),
    ]  # fmt: skip


def test_nothing_is_added_if_the_run_does_not_end(ledger: Ledger) -> None:
    """The notification belongs to the transaction that ends the run: rolled back, nobody is told."""

    def end_of_run() -> None:
        with ledger.store.begin() as connection:
            ledger.notifications.add(connection, "nightly", 100.0, "", "desk", {})
            raise LedgerError("the run's end failed")

    with pytest.raises(LedgerError):
        end_of_run()
    assert shown(ledger) == []


def test_the_payload_is_no_part_of_a_repr(ledger: Ledger) -> None:
    """A log line that shows a claim shows neither the summary nor names in it."""
    add(ledger, "desk")
    assert "payload" not in repr(claimed(ledger))


def test_a_failed_attempt_waits(ledger: Ledger, clock: Clock) -> None:
    """The next attempt is not due before its time, has the same id, and counts on."""
    (added,) = add(ledger, "desk")
    assert ledger.notifications.retry(claimed(ledger), 300.0, "connection refused")
    clock.advance(299)
    assert ledger.notifications.claim_due(DESK, "a:1", LEASE) is None
    assert list(ledger.notifications.due()) == []
    assert shown(ledger) == [("desk", DeliveryState.WAITING, 1, "connection refused")]
    clock.advance(1)
    again = claimed(ledger)
    assert (again.id, again.attempts) == (added, 2)


def test_a_dead_scheduler_loses_its_claim(ledger: Ledger, other_ledger: Ledger, clock: Clock) -> None:
    """After the lease another scheduler delivers; the first one, if it wakes up, changes nothing."""
    add(ledger, "desk")
    late = claimed(ledger)
    clock.advance(LEASE + 1)
    current = claimed(other_ledger, "b:1")
    assert (current.id, current.attempts) == (late.id, 2)
    assert not ledger.notifications.retry(late, 5.0, "timed out")
    assert not ledger.notifications.give_up(late, "timed out")
    assert not ledger.notifications.delivered(late)
    assert other_ledger.notifications.delivered(current)
    assert shown(ledger) == [("desk", DeliveryState.DELIVERED, 2, "")]


def test_a_clock_set_back_holds_nothing(ledger: Ledger, clock: Clock) -> None:
    """A next attempt that a set-back clock moved years ahead is due at once."""
    add(ledger, "desk")
    clock.advance(1000 * HOUR)
    assert ledger.notifications.retry(claimed(ledger), 10 * HOUR, "timed out")
    clock.advance(-900 * HOUR)
    assert claimed(ledger).attempts == 2


def test_two_schedulers_share_the_work(ledger: Ledger, other_ledger: Ledger) -> None:
    """Two schedulers with three threads each claim 60 notifications at once: none is claimed twice."""
    for slot in range(60):
        add(ledger, "desk", slot=float(slot))
    found: list[str] = []

    def work(own: Ledger, owner: str) -> None:
        misses = 0
        while misses < 5:  # PostgreSQL: another's claim may come in between, which is no end
            claim = own.notifications.claim_due(DESK, owner, LEASE)
            if claim is None:
                misses += 1
                continue
            found.append(claim.id)
            assert own.notifications.delivered(claim)

    threads = [
        threading.Thread(target=work, args=(own, f"{name}:{number}"))
        for name, own in (("a", ledger), ("b", other_ledger))
        for number in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(found), len(set(found))) == (60, 60)


def test_the_profile_is_the_schedules(ledger: Ledger) -> None:
    """A schedule's channels are those of its profile, whichever scheduler delivers."""
    add_schedule(ledger, "nightly", profile="uk")
    add(ledger, "desk")
    add(ledger, "desk", schedule="other")
    assert set(ledger.notifications.due()) == {ChannelKey("uk", "desk"), DESK}
    assert claimed(ledger, channel=ChannelKey("uk", "desk")).schedule == "nightly"
    assert claimed(ledger).schedule == "other"


def test_old_ones_are_given_up(ledger: Ledger, clock: Clock) -> None:
    """Too old: given up, with the last error, or why nobody tried; a claim that runs is left alone."""
    add(ledger, "gone", "desk")
    ledger.notifications.retry(claimed(ledger), 5.0, "timed out")
    clock.advance(10)
    add(ledger, "new")
    running = claimed(ledger)
    clock.advance(30)
    assert [one.channel.name for one in ledger.notifications.expire(35.0, "no such channel")] == ["gone"]
    clock.advance(LEASE)
    expired = ledger.notifications.expire(80.0, "no such channel")
    assert [(one.channel.name, one.error) for one in expired] == [("desk", "timed out")]
    assert not ledger.notifications.delivered(running)
    assert shown(ledger) == [
        ("desk", DeliveryState.GIVEN_UP, 2, "timed out"),
        ("gone", DeliveryState.GIVEN_UP, 0, "no such channel"),
        ("new", DeliveryState.WAITING, 0, ""),
    ]  # fmt: skip


def test_ended_ones_are_forgotten(ledger: Ledger, clock: Clock) -> None:
    """Notifications that ended long ago are deleted; those that wait are not, whatever their age."""
    add(ledger, "desk", "mail", "waits")
    ledger.notifications.delivered(claimed(ledger))
    clock.advance(100)
    ledger.notifications.give_up(claimed(ledger, channel=ChannelKey("", "mail")), "410 Gone")
    clock.advance(50)
    assert ledger.notifications.forget(100.0) == 1
    assert [one[:2] for one in shown(ledger)] == [
        ("mail", DeliveryState.GIVEN_UP), ("waits", DeliveryState.WAITING),
    ]  # fmt: skip


def test_the_payload_goes_when_it_is_not_needed(ledger: Ledger) -> None:
    """An ended notification has no payload any more; one that is tried again has its own."""
    add(ledger, "desk", "mail")
    ledger.notifications.retry(claimed(ledger), 0.0, "timed out")
    assert claimed(ledger).payload == {"slot": 100.0}
    ledger.notifications.delivered(claimed(ledger, channel=ChannelKey("", "mail")))
    with ledger.store.read() as connection:
        rows = connection.exec_driver_sql("SELECT channel, payload FROM notifications ORDER BY channel").all()
    assert [tuple(row) for row in rows] == [("desk", '{"slot": 100.0}'), ("mail", "{}")]


def test_a_removed_schedules_are_deleted(ledger: Ledger) -> None:
    """A removed schedule's are deleted, those of all runs, and no other's."""
    runs = [("nightly", 100.0), ("nightly", 200.0), ("other", 100.0)]
    for schedule, slot in runs:
        add(ledger, "desk", schedule=schedule, slot=slot)
    with ledger.store.begin() as connection:
        ledger.notifications.delete(connection, "nightly")
    assert [run for run in runs if ledger.notifications.of_run(*run)] == [("other", 100.0)]


def add_schedule(ledger: Ledger, name: str, **given: Any) -> None:
    """A row in ``schedules``, as ``schedule add`` writes it."""
    texts = ("cron", "zone", "catch_up", "source", "options", "profile", "host", "environment", "account",
             "channels", "operator", "machine")  # fmt: skip
    values = {"name": name, **dict.fromkeys(texts, ""), **given}
    columns = [*values, "jitter", "again", "created", "accounted"]
    insert = f"INSERT INTO schedules ({', '.join(columns)}) VALUES (:{', :'.join(columns)})"  # noqa: S608
    with ledger.store.begin() as connection:
        connection.execute(text(insert), {**dict.fromkeys(columns, 0), **values})
