"""Steps of the page: what a child process does about an upload, a job or a schedule, one at a time each."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from sqlalchemy import RowMapping, text

from worker.ledger.store import Store
from worker.seal import Seal


class StepState(StrEnum):
    """The state of a step."""

    PENDING = "pending"
    """Asked for, and waits for the approval of another person."""
    RUNNING = "running"
    """A process works on it, or is about to."""
    ENDED = "ended"
    """It has ended; ``Step.error`` says whether it failed."""


# A step at work is never replaced: it has to be ended first, by its process's id.
_CLAIM = text("""
    INSERT INTO steps
        (subject, step, state, person, origin, authors, arguments, child, server, seen, started, error)
    VALUES (:subject, :step, :state, :person, :origin, :authors, :arguments, :server, :server, :now, :now, '')
    ON CONFLICT (subject) DO UPDATE SET step = excluded.step, state = excluded.state,
        person = excluded.person, origin = excluded.origin, authors = excluded.authors,
        arguments = excluded.arguments, child = excluded.child, server = excluded.server,
        seen = excluded.seen, started = excluded.started, ended = NULL, error = ''
    WHERE steps.state <> 'running'""")
_HAND_OVER = text("""
    UPDATE steps SET child = :child, seen = :now
    WHERE subject = :subject AND state = 'running' AND child = :server""")
_START = text("""
    UPDATE steps SET state = 'running', child = :server, server = :server, seen = :now, started = :now
    WHERE subject = :subject AND state = 'pending'
        AND step = :step AND authors = :authors AND arguments = :arguments""")
_WITHDRAW = text("DELETE FROM steps WHERE subject = :subject AND state = 'pending'")
_SEEN = text("UPDATE steps SET seen = :now WHERE subject = :subject AND state = 'running' AND child = :child")
_RESULT = text("SELECT result FROM steps WHERE subject = :subject")
_END = text("""
    UPDATE steps SET state = 'ended', child = '', server = '', ended = :now, error = :error,
        result = coalesce(:result, result)
    WHERE subject = :subject AND state = 'running' AND child = :child""")
_GET = text("SELECT * FROM steps WHERE subject = :subject")
_IN_STATE = text("SELECT * FROM steps WHERE state = :state ORDER BY started")


@dataclass(frozen=True, slots=True)
class Step:
    """A step that the page was asked for."""

    subject: str
    """``upload:ID``, ``job:ID``, ``cancel:ID`` or ``schedule:NAME``."""
    step: str
    """``inspect``, ``plan``, ``approve``; ``resume``, ``retry``, ``undo``, ``cancel``; ``run`` …"""
    person: str
    """The name of the person who asked for it."""
    origin: str = ""
    """The address that they asked from."""
    authors: tuple[str, ...] = ()
    """Those who may not approve it with four eyes."""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    """Facts that it is carried out by, such as the upload of its corrections."""
    state: StepState = StepState.RUNNING
    server: str = ""
    """The page's process (``process_id``) that records its end, perhaps a moment after ``child`` is gone."""
    child: str = ""
    """The process at work on it; until that has begun, the server's."""
    seen: float = 0.0
    """When its process was last seen alive, in epoch seconds."""
    started: dt.datetime | None = None
    ended: dt.datetime | None = None
    error: Mapping[str, Any] | None = None
    """Why it failed: ``code``, ``message``, ``hint``, ``exit``."""

    @property
    def begun(self) -> bool:
        """Return whether its process has begun: if not, it waits for its turn."""
        return self.child != self.server

    @property
    def mark(self) -> str:
        """Return a hash of what is asked for: who approves one step must not start another one."""
        return hashlib.sha256(json.dumps(_asked(self)).encode()).hexdigest()


class Steps:
    """The steps of one ledger."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def claim(self, step: Step) -> bool:
        """Enter a step for its subject; return whether nothing else was at work on that."""
        values = {
            **_asked(step), "state": step.state, "person": step.person, "origin": step.origin,
            "server": step.server,
        }  # fmt: skip
        with self._store.begin() as connection:
            return connection.execute(_CLAIM, {**values, "now": self._store.now(connection)}).rowcount == 1

    def hand_over(self, subject: str, server: str, child: str) -> bool:
        """Record the process of a step at work; return whether it was still the server's own."""
        with self._store.begin() as connection:
            values = {"subject": subject, "server": server, "child": child}
            now = self._store.now(connection)
            return connection.execute(_HAND_OVER, {**values, "now": now}).rowcount == 1

    def start(self, step: Step, server: str) -> bool:
        """Begin a pending step, which was approved; return whether it was pending, and the same."""
        with self._store.begin() as connection:
            values = {**_asked(step), "server": server, "now": self._store.now(connection)}
            return connection.execute(_START, values).rowcount == 1

    def withdraw(self, subject: str) -> bool:
        """Remove a pending step; return whether it was pending."""
        with self._store.begin() as connection:
            return connection.execute(_WITHDRAW, {"subject": subject}).rowcount == 1

    def heartbeat(self, subject: str, child: str) -> None:
        """Record that the step's process is alive."""
        with self._store.begin() as connection:
            values = {"subject": subject, "child": child, "now": self._store.now(connection)}
            connection.execute(_SEEN, values)

    def end(
        self, seal: Seal, subject: str, child: str, *,
        error: Mapping[str, Any] | None = None, results: Mapping[str, Any] | None = None,
    ) -> bool:  # fmt: skip
        """End a step at work, unless it was ended already; return whether this call did it.

        ``results``: what is known now, by kind of step; earlier ones of the subject stay.
        """
        with self._store.begin() as connection:
            sealed = None
            if results is not None:
                before = connection.execute(_RESULT, {"subject": subject}).scalar_one_or_none()
                known = seal.open(bytes(before), f"step/{subject}") if before is not None else {}
                sealed = seal.close_over({**known, **results}, f"step/{subject}")
            values = {
                "subject": subject, "child": child, "now": self._store.now(connection), "result": sealed,
                "error": json.dumps(dict(error)) if error else "",
            }  # fmt: skip
            return connection.execute(_END, values).rowcount == 1

    def get(self, subject: str) -> Step | None:
        """Return the last step of a subject; None: there was none."""
        with self._store.read() as connection:
            row = connection.execute(_GET, {"subject": subject}).mappings().one_or_none()
        return _step(row) if row else None

    def in_state(self, state: StepState) -> list[Step]:
        """Return all steps in a state, the longest in it first."""
        with self._store.read() as connection:
            return [_step(row) for row in connection.execute(_IN_STATE, {"state": state}).mappings()]

    def results(self, seal: Seal, subject: str) -> Mapping[str, Any]:
        """Return the JSON that the subject's steps have printed, by kind of step."""
        with self._store.read() as connection:
            sealed = connection.execute(_RESULT, {"subject": subject}).scalar_one_or_none()
        found: Mapping[str, Any] = seal.open(bytes(sealed), f"step/{subject}") if sealed is not None else {}
        return found

    def now(self) -> float:
        """Return epoch seconds by the ledger's clock."""
        with self._store.read() as connection:
            return self._store.now(connection)


def _asked(step: Step) -> dict[str, str]:
    """Return what is asked for."""
    return {
        "subject": step.subject, "step": step.step, "authors": json.dumps(step.authors),
        "arguments": json.dumps(dict(step.arguments)),
    }  # fmt: skip


def _step(row: RowMapping) -> Step:
    return Step(
        row["subject"], row["step"], row["person"], row["origin"], tuple(json.loads(row["authors"])),
        json.loads(row["arguments"]), StepState(row["state"]), row["server"], row["child"],
        row["seen"],
        dt.datetime.fromtimestamp(row["started"], dt.UTC),
        None if row["ended"] is None else dt.datetime.fromtimestamp(row["ended"], dt.UTC),
        json.loads(row["error"]) if row["error"] else None,
    )  # fmt: skip
