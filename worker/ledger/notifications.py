"""Notifications of ended runs, kept until they are delivered or given up."""

from __future__ import annotations

import json
import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, text

from worker.ledger.store import Store

LONGEST_WAIT = 12 * 3600.0
"""Seconds: no lease and no wait for the next attempt is longer. A time further ahead is of a clock that was
set back since, and counts as over."""

_ADD = text("""
    INSERT INTO notifications (id, schedule, slot, job, profile, channel, payload, state, owner, generation,
        lease_until, attempts, next_attempt_at, error, created)
    VALUES (:id, :schedule, :slot, :job, coalesce((SELECT profile FROM schedules WHERE name = :schedule), ''),
        :channel, :payload, 'waiting', '', 0, 0, 0, :now, '', :now)""")
_IS_DUE = """
    ((state = 'waiting' AND (next_attempt_at <= :now OR next_attempt_at > :far))
        OR (state = 'claimed' AND (lease_until < :now OR lease_until > :far)))"""
_DUE = text(f"SELECT DISTINCT profile, channel FROM notifications WHERE {_IS_DUE}")  # noqa: S608  all ours
# Twice: PostgreSQL checks the outer condition again after it has waited for another scheduler's claim.
_CLAIM = text(f"""
    UPDATE notifications SET state = 'claimed', owner = :owner, generation = generation + 1,
        lease_until = :until, attempts = attempts + 1
    WHERE {_IS_DUE} AND id = (
        SELECT id FROM notifications WHERE profile = :profile AND channel = :channel AND {_IS_DUE}
        ORDER BY next_attempt_at, id LIMIT 1)
    RETURNING id, generation, attempts, schedule, slot, job, payload""")  # noqa: S608  all ours
_MINE = "id = :id AND generation = :generation AND state = 'claimed'"
_RETRY = text(f"""
    UPDATE notifications SET state = 'waiting', owner = '', next_attempt_at = :at, error = :error
    WHERE {_MINE}""")  # noqa: S608  all ours
# The payload is no longer needed, and is most of what a fleet's notifications take up.
_END = text(f"""
    UPDATE notifications SET state = :state, owner = '', error = :error, finished = :now, payload = '{{}}'
    WHERE {_MINE}""")  # noqa: S608  all ours
_EXPIRE = text("""
    UPDATE notifications SET state = 'given_up', owner = '', finished = :now, generation = generation + 1,
        payload = '{}',
        error = CASE WHEN error = '' THEN :error ELSE error END
    WHERE created < :before AND (state = 'waiting' OR (state = 'claimed' AND lease_until < :now))
    RETURNING id, profile, channel, schedule, error""")
_FORGET = text("DELETE FROM notifications WHERE finished < :before")
_DELETE = text("DELETE FROM notifications WHERE schedule = :schedule")
_OF_RUN = text("""
    SELECT * FROM notifications WHERE schedule = :schedule AND slot = :slot ORDER BY created, channel""")


class DeliveryState(StrEnum):
    """The state of a notification. ``claimed``: a scheduler is delivering it, or died doing so."""

    WAITING = "waiting"
    CLAIMED = "claimed"
    DELIVERED = "delivered"
    GIVEN_UP = "given_up"
    NOT_WANTED = "not_wanted"
    """The channel tells of trouble alone, and there was none."""


@dataclass(frozen=True, slots=True)
class ChannelKey:
    """The address of a channel in the settings file: ``profile`` is empty for those of all profiles."""

    profile: str
    name: str


@dataclass(frozen=True, slots=True)
class ClaimedNotification:
    """A notification that belongs to this scheduler until its lease ends."""

    id: str
    """The same for each attempt."""
    generation: int
    attempts: int
    """Attempts so far, this one included."""
    schedule: str
    slot: float
    job: str
    payload: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Notification:
    """A notification and what became of it, for people. Times are epoch seconds."""

    id: str
    schedule: str
    slot: float
    job: str
    channel: str
    state: DeliveryState
    attempts: int
    next_attempt_at: float
    """The next attempt, if it is waiting."""
    error: str
    """The reason why the last attempt failed; empty if it didn't."""
    created: float
    finished: float | None


@dataclass(frozen=True, slots=True)
class Expired:
    """A notification that was given up because it is too old."""

    id: str
    channel: ChannelKey
    schedule: str
    error: str


class Notifications:
    """The notifications of one ledger."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def add(
        self, connection: Connection, schedule: str, slot: float, job: str, channel: str,
        payload: Mapping[str, Any],
    ) -> str:  # fmt: skip
        """Add a notification, due at once, in the caller's transaction. Return its id.

        ``channel`` is looked up in the schedule's profile, which the ledger knows.
        """
        added = f"msg_{uuid.uuid4().hex}"
        connection.execute(_ADD, {
            "id": added, "schedule": schedule, "slot": slot, "job": job, "channel": channel,
            "payload": json.dumps(payload), "now": self._store.now(connection),
        })  # fmt: skip
        return added

    def due(self) -> Collection[ChannelKey]:
        """Return the channels that have something to deliver now."""
        with self._store.read() as connection:
            rows = connection.execute(_DUE, _times(self._store.now(connection))).all()
        return [ChannelKey(row.profile, row.channel) for row in rows]

    def claim_due(self, channel: ChannelKey, owner: str, lease: float) -> ClaimedNotification | None:
        """Claim the channel's next notification for ``lease`` seconds; None if there is none to be had."""
        with self._store.begin() as connection:
            now = self._store.now(connection)
            values = {**_times(now), "profile": channel.profile, "channel": channel.name, "owner": owner,
                      "until": now + lease}  # fmt: skip
            row = connection.execute(_CLAIM, values).one_or_none()
        if row is None:
            return None
        return ClaimedNotification(
            row.id, row.generation, row.attempts, row.schedule, row.slot, row.job, json.loads(row.payload)
        )

    def delivered(self, claim: ClaimedNotification) -> bool:
        """Record that it was delivered. Return False if another scheduler has claimed it since."""
        return self._end(claim, DeliveryState.DELIVERED, "")

    def skip(self, claim: ClaimedNotification) -> bool:
        """Record that the channel doesn't want it. Return False if another scheduler has claimed it since."""
        return self._end(claim, DeliveryState.NOT_WANTED, "")

    def give_up(self, claim: ClaimedNotification, error: str) -> bool:
        """Record that no further attempt is made. Return False if another scheduler has claimed it since."""
        return self._end(claim, DeliveryState.GIVEN_UP, error)

    def retry(self, claim: ClaimedNotification, delay: float, error: str) -> bool:
        """Record a failed attempt; the next one is in ``delay`` seconds, 12 hours at most.

        Return False if another scheduler has claimed it since.
        """
        with self._store.begin() as connection:
            at = self._store.now(connection) + min(delay, LONGEST_WAIT)
            return connection.execute(_RETRY, {**_key(claim), "at": at, "error": error}).rowcount == 1

    def expire(self, age: float, error: str) -> list[Expired]:
        """Give up those that were not delivered within ``age`` seconds; ``error``: for those never tried."""
        with self._store.begin() as connection:
            now = self._store.now(connection)
            rows = connection.execute(_EXPIRE, {"now": now, "before": now - age, "error": error}).all()
        return [
            Expired(row.id, ChannelKey(row.profile, row.channel), row.schedule, row.error) for row in rows
        ]

    def forget(self, age: float) -> int:
        """Delete those that were delivered or given up more than ``age`` seconds ago; return how many."""
        with self._store.begin() as connection:
            return connection.execute(_FORGET, {"before": self._store.now(connection) - age}).rowcount

    def delete(self, connection: Connection, schedule: str) -> None:
        """Delete all those of a schedule, also what waits, in the caller's transaction."""
        connection.execute(_DELETE, {"schedule": schedule})

    def of_run(self, schedule: str, slot: float) -> list[Notification]:
        """Return the notifications of one run of a schedule."""
        with self._store.read() as connection:
            rows = connection.execute(_OF_RUN, {"schedule": schedule, "slot": slot}).all()
        return [_notification(row) for row in rows]

    def _end(self, claim: ClaimedNotification, state: DeliveryState, error: str) -> bool:
        with self._store.begin() as connection:
            values = {**_key(claim), "state": state, "error": error, "now": self._store.now(connection)}
            return connection.execute(_END, values).rowcount == 1


def _times(now: float) -> dict[str, float]:
    return {"now": now, "far": now + LONGEST_WAIT + 60}


def _key(claim: ClaimedNotification) -> dict[str, str | int]:
    return {"id": claim.id, "generation": claim.generation}


def _notification(row: Row[Any]) -> Notification:
    return Notification(
        row.id, row.schedule, row.slot, row.job, row.channel, DeliveryState(row.state), row.attempts,
        row.next_attempt_at, row.error, row.created, row.finished,
    )  # fmt: skip
