"""Schedules and their runs. Each slot is run once, by whichever scheduler claims it first."""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, text

from worker.errors import Conflict, NotFound
from worker.ledger.notifications import Notifications
from worker.ledger.schedule_columns import (
    Cause,
    End,
    NewRun,
    Run,
    RunState,
    Schedule,
    epoch_of,
    moment_of,
    run_of,
    schedule_of,
)
from worker.ledger.store import Store

RUN_LEASE = 60.0
"""Seconds for which a run is claimed without being renewed."""

_LONGEST_LEASE = RUN_LEASE + 60.0
"""Seconds: a claim that ends later was made before the clock was set back, and counts as over."""

_ADD = text("""
    INSERT INTO schedules (name, cron, zone, at, jitter, catch_up, again, source, options, profile, host,
        environment, account, channels, operator, machine, created, accounted, next_slot)
    VALUES (:name, :cron, :zone, :at, :jitter, :catch_up, :again, :source, :options, :profile, :host,
        :environment, :account, :channels, :operator, :machine, :now, :accounted, :next_slot)
    ON CONFLICT (name) DO NOTHING""")
_GET = text("SELECT * FROM schedules WHERE name = :name")
_ALL = text("SELECT * FROM schedules ORDER BY name")
_PAUSE = text("UPDATE schedules SET paused = :now WHERE name = :name AND paused IS NULL")
_RESUME = text("""
    UPDATE schedules SET paused = NULL, accounted = :accounted, next_slot = :next_slot
    WHERE name = :name AND paused IS NOT NULL""")
_REMOVE = (
    text("DELETE FROM schedule_runs WHERE schedule = :name"),
    text("DELETE FROM schedule_files WHERE schedule = :name"),
    text("DELETE FROM schedules WHERE name = :name"),
)
# The first scheduler that sees a slot accounts for it; the others then find another value in ``accounted``.
_ACCOUNT = text("""
    UPDATE schedules SET accounted = :after, next_slot = :next_slot
    WHERE name = :name AND accounted = :before AND paused IS NULL""")
_WITH_DUE_SLOTS = text("""
    SELECT * FROM schedules WHERE next_slot <= :now AND paused IS NULL ORDER BY next_slot, name""")
_ADD_RUN = text("""
    INSERT INTO schedule_runs (schedule, slot, cause, state, owner, generation, lease_until, attempts,
        not_before, missed, job, files, result, why, finished)
    VALUES (:schedule, :slot, :cause, :state, '', 0, 0, 0, :not_before, :missed, '', '[]', :result, :why,
        :finished)
    ON CONFLICT (schedule, slot) DO NOTHING""")
_RUN = text("SELECT * FROM schedule_runs WHERE schedule = :schedule AND slot = :slot")
_RUNS = text("SELECT * FROM schedule_runs WHERE schedule = :schedule ORDER BY slot DESC LIMIT :limit")
_UNFINISHED = text("""
    SELECT * FROM schedule_runs WHERE schedule = :schedule AND state <> 'ended' ORDER BY slot LIMIT 1""")
_OWNERS = text("SELECT DISTINCT owner FROM schedule_runs WHERE state = 'claimed'")
_IS_DUE = """
    ((state = 'due' AND not_before <= :now)
    OR (state = 'claimed' AND (lease_until < :now OR lease_until > :far)))"""
# A paused schedule begins nothing, and ends what it began.
_DUE = text(f"""
    SELECT r.* FROM schedule_runs r JOIN schedules s ON s.name = r.schedule
    WHERE {_IS_DUE} AND (s.paused IS NULL OR r.attempts > 0 OR r.cause = 'manual')
    ORDER BY r.not_before, r.schedule LIMIT :limit""")  # noqa: S608  all ours
_CLAIM = text(f"""
    UPDATE schedule_runs SET state = 'claimed', owner = :owner, generation = generation + 1,
        attempts = attempts + 1, lease_until = :until, started = coalesce(started, :now)
    WHERE schedule = :schedule AND slot = :slot AND {_IS_DUE} RETURNING *""")  # noqa: S608  all ours
_MINE = "WHERE schedule = :schedule AND slot = :slot AND generation = :generation AND state = 'claimed'"
_RENEW = text(f"UPDATE schedule_runs SET lease_until = :until, owner = :owner {_MINE}")  # noqa: S608
_SET_JOB = text(f"UPDATE schedule_runs SET job = :job, files = :files {_MINE}")  # noqa: S608
_RELEASE = text(f"""
    UPDATE schedule_runs SET state = 'due', owner = '', not_before = :not_before, why = :why,
        attempts = CASE WHEN :died THEN attempts ELSE 1 END {_MINE}""")  # noqa: S608
_END = text(f"""
    UPDATE schedule_runs SET state = 'ended', owner = '', result = :result, why = :why,
        job = CASE WHEN :job = '' THEN job ELSE :job END, finished = :now {_MINE}""")  # noqa: S608
_END_CLAIMS = text("UPDATE schedule_runs SET lease_until = 0 WHERE state = 'claimed' AND owner = :owner")
_ADD_FILE = text("""
    INSERT INTO schedule_files (schedule, sha256, name, job, at)
    VALUES (:schedule, :sha256, :name, :job, :at)
    ON CONFLICT (schedule, sha256) DO UPDATE
        SET name = excluded.name, job = excluded.job, at = excluded.at""")
_FILE = text("""
    SELECT job FROM schedule_files WHERE schedule = :schedule AND sha256 = :sha256
        AND (NOT :last OR at = (SELECT max(at) FROM schedule_files WHERE schedule = :schedule))""")


class Schedules:
    """The schedules of one ledger."""

    def __init__(self, store: Store, notifications: Notifications) -> None:
        self._store = store
        self._notifications = notifications

    def add(self, schedule: Schedule) -> None:
        """Add a schedule. Raises Conflict if there is one of that name."""
        values = {
            "name": schedule.name, "cron": schedule.cron, "zone": schedule.zone, "at": epoch_of(schedule.at),
            "jitter": schedule.jitter, "catch_up": schedule.catch_up, "again": int(schedule.again),
            "source": schedule.source, "options": json.dumps(asdict(schedule.options)),
            "profile": schedule.profile, "host": schedule.host, "environment": schedule.environment,
            "account": schedule.account, "channels": json.dumps(schedule.channels),
            "operator": schedule.operator, "machine": schedule.machine,
            "accounted": epoch_of(schedule.accounted), "next_slot": epoch_of(schedule.next_slot),
        }  # fmt: skip
        with self._store.begin() as connection:
            values["now"] = self._store.now(connection)
            if connection.execute(_ADD, values).rowcount != 1:
                hint = f"remove it first with: siproster schedule remove {schedule.name}"
                raise Conflict(f"there is a schedule {schedule.name!r} already", hint)

    def get(self, name: str) -> Schedule:
        """Return a schedule. Raises NotFound if there is none of that name."""
        with self._store.read() as connection:
            row = connection.execute(_GET, {"name": name}).mappings().one_or_none()
        if row is None:
            raise NotFound(f"there is no schedule {name!r}", "list them with: siproster schedule list")
        return schedule_of(row)

    def all(self) -> list[Schedule]:
        """Return all schedules by name."""
        with self._store.read() as connection:
            return [schedule_of(row) for row in connection.execute(_ALL).mappings()]

    def with_due_slots(self) -> list[Schedule]:
        """Return the schedules with a slot that has come, except paused ones, the longest due first."""
        with self._store.read() as connection:
            rows = connection.execute(_WITH_DUE_SLOTS, {"now": self._store.now(connection)}).mappings()
            return [schedule_of(row) for row in rows]

    def now(self) -> dt.datetime:
        """Return the time by the clock that all schedulers of the ledger share, in whole seconds."""
        with self._store.read() as connection:
            return moment_of(math.floor(self._store.now(connection)))

    def pause(self, name: str) -> bool:
        """Begin no run until ``resume``; return False if it was paused before."""
        with self._store.begin() as connection:
            now = self._store.now(connection)
            return connection.execute(_PAUSE, {"name": name, "now": now}).rowcount == 1

    def resume(self, name: str, accounted: dt.datetime, next_slot: dt.datetime | None) -> bool:
        """Run the slots after ``accounted`` again; return False if the schedule was not paused."""
        values = {"name": name, "accounted": epoch_of(accounted), "next_slot": epoch_of(next_slot)}
        with self._store.begin() as connection:
            return connection.execute(_RESUME, values).rowcount == 1

    def remove(self, name: str) -> None:
        """Remove a schedule with the record of its runs; its jobs stay."""
        with self._store.begin() as connection:
            for statement in _REMOVE:
                connection.execute(statement, {"name": name})
            self._notifications.delete(connection, name)

    def account_for(self, schedule: Schedule, run: NewRun, end: End | None = None) -> bool:
        """Account for all slots up to the run's, and add the run, ended if ``end`` is given.

        Return False if another scheduler has done it before.
        """
        values = {
            "name": schedule.name, "before": epoch_of(schedule.accounted), "after": epoch_of(run.slot),
            "next_slot": epoch_of(run.next_slot),
        }  # fmt: skip
        with self._store.begin() as connection:
            if connection.execute(_ACCOUNT, values).rowcount != 1:
                return False
            return self._add_run(connection, schedule.name, run, end)

    def add_manual(self, name: str) -> Run:
        """Add a run that is due at once."""
        with self._store.begin() as connection:
            slot = moment_of(self._store.now(connection))
            self._add_run(connection, name, NewRun(slot, slot, cause=Cause.MANUAL))
        return self.run(name, slot)

    def run(self, name: str, slot: dt.datetime) -> Run:
        """Return a run. Raises NotFound."""
        with self._store.read() as connection:
            row = (
                connection.execute(_RUN, {"schedule": name, "slot": epoch_of(slot)}).mappings().one_or_none()
            )
        if row is None:
            raise NotFound(
                f"schedule {name!r} has no run of {slot.isoformat()}",
                f"see its runs with: siproster schedule show {name}",
            )
        return run_of(row)

    def runs(self, name: str, limit: int) -> list[Run]:
        """Return the newest runs of a schedule, newest first."""
        with self._store.read() as connection:
            rows = connection.execute(_RUNS, {"schedule": name, "limit": limit}).mappings()
            return [run_of(row) for row in rows]

    def going_on(self, name: str) -> Run | None:
        """Return the schedule's run that has not ended; None if there is none."""
        with self._store.read() as connection:
            row = connection.execute(_UNFINISHED, {"schedule": name}).mappings().one_or_none()
            return run_of(row) if row else None

    def owners(self) -> list[str]:
        """Return the processes that carry out runs."""
        with self._store.read() as connection:
            return list(connection.execute(_OWNERS).scalars())

    def due(self, limit: int) -> list[Run]:
        """Return runs that nobody carries out and that may be claimed now, the longest due first."""
        with self._store.read() as connection:
            now = self._store.now(connection)
            values = {"now": now, "far": now + _LONGEST_LEASE, "limit": limit}
            return [run_of(row) for row in connection.execute(_DUE, values).mappings()]

    def claim(self, run: Run, owner: str) -> Run | None:
        """Claim a run that is due, and return it as claimed; None if another process has it."""
        with self._store.begin() as connection:
            now = self._store.now(connection)
            values = {
                "schedule": run.schedule, "slot": epoch_of(run.slot), "owner": owner, "now": now,
                "until": now + RUN_LEASE, "far": now + _LONGEST_LEASE,
            }  # fmt: skip
            row = connection.execute(_CLAIM, values).mappings().one_or_none()
            return run_of(row) if row else None

    def renew(self, run: Run, owner: str) -> bool:
        """Renew a claim, and hand it to ``owner``; return False if it was lost."""
        return self._mine(_RENEW, run, owner=owner, until=RUN_LEASE)

    def set_job(self, run: Run, job: str, files: Sequence[tuple[str, str]] = ()) -> bool:
        """Record the job of a claimed run, and the files that it imports; return False if the claim was lost.

        ``files``: hash (SHA-256) and name of each.
        """
        return self._mine(_SET_JOB, run, job=job, files=json.dumps(files))

    def release(self, run: Run, delay: float, why: str, *, died: bool = False) -> bool:
        """Release a claimed run, due again after ``delay`` seconds; return False if the claim was lost.

        ``died``: whether its process died. Then the attempt counts; otherwise the count starts again.
        """
        return self._mine(_RELEASE, run, not_before=delay, why=why, died=died)

    def end(self, run: Run, end: End) -> bool:
        """End a claimed run, and add its notifications; return False if the claim was lost.

        If the end names a job, its files are recorded as imported.
        """
        with self._store.begin() as connection:
            now = self._store.now(connection)
            values = {**_key(run), "result": end.result, "why": end.why, "job": end.job, "now": now}
            if connection.execute(_END, values).rowcount != 1:
                return False
            self._notify(connection, run.schedule, run.slot, end)
            if end.job:
                self._record_files(connection, run, end.job)
            return True

    def end_claims(self, owner: str) -> None:
        """End the claims of a process that is known to be dead."""
        with self._store.begin() as connection:
            connection.execute(_END_CLAIMS, {"owner": owner})

    def job_with(self, name: str, sha256: str, *, last: bool = False) -> str | None:
        """Return the job that imported this version, ``last`` if it was the last one; None if no job did."""
        with self._store.read() as connection:
            values = {"schedule": name, "sha256": sha256, "last": last}
            return connection.execute(_FILE, values).scalar_one_or_none()

    def _mine(self, statement: Any, run: Run, **values: Any) -> bool:
        """Execute a statement on a claimed run; times are seconds from now."""
        with self._store.begin() as connection:
            now = self._store.now(connection)
            for name in ("until", "not_before"):
                if name in values:
                    values[name] += now
            return bool(connection.execute(statement, {**_key(run), **values}).rowcount == 1)

    def _add_run(self, connection: Connection, name: str, run: NewRun, end: End | None = None) -> bool:
        values = {
            "schedule": name, "slot": epoch_of(run.slot), "cause": run.cause, "missed": run.missed,
            "not_before": epoch_of(run.not_before), "state": RunState.ENDED if end else RunState.DUE,
            "result": end.result if end else "", "why": end.why if end else "",
            "finished": self._store.now(connection) if end else None,
        }  # fmt: skip
        if connection.execute(_ADD_RUN, values).rowcount != 1:
            return False
        if end:
            self._notify(connection, name, run.slot, end)
        return True

    def _notify(self, connection: Connection, name: str, slot: dt.datetime, end: End) -> None:
        for channel in end.channels:
            self._notifications.add(connection, name, slot.timestamp(), end.job, channel, end.payload)

    def _record_files(self, connection: Connection, run: Run, job: str) -> None:
        ended = run_of(connection.execute(_RUN, _key(run)).mappings().one())
        now = self._store.now(connection)
        for sha256, name in ended.files:
            values = {"schedule": run.schedule, "sha256": sha256, "name": name, "job": job, "at": now}
            connection.execute(_ADD_FILE, values)


def _key(run: Run) -> dict[str, Any]:
    return {"schedule": run.schedule, "slot": epoch_of(run.slot), "generation": run.generation}
