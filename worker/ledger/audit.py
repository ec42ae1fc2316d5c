"""The audit log: who ran which command, when, from where and with which options. Append-only."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text

from worker.ledger.store import Store

_ADD = text("""
    INSERT INTO audit (at, operator, machine, origin, version, command, options, host, account, subject)
    VALUES (:at, :operator, :machine, :origin, :version, :command, :options, :host, :account, :subject)""")
_NEWEST = text("""
    SELECT at, operator, machine, origin, version, command, options, host, account, subject
    FROM audit ORDER BY nr DESC LIMIT :limit OFFSET :offset""")


@dataclass(frozen=True, slots=True)
class Act:
    """One command that changed something, or began to. Contains no secret."""

    operator: str
    machine: str
    origin: str
    """The address from which the operator was logged in; empty: locally, or by a timer."""
    version: str
    command: str
    options: Mapping[str, Any]
    """The options as given on the command line."""
    host: str
    account: str
    subject: str
    """The job, realm or users concerned."""


class Audit:
    """The audit log of one ledger."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def add(self, act: Act) -> None:
        """Record a command before it runs. Bytes that are no text are written out: ``\\udcff``."""
        values = {
            "operator": act.operator, "machine": act.machine, "origin": act.origin, "version": act.version,
            "command": act.command, "options": json.dumps(act.options), "host": act.host,
            "account": act.account, "subject": act.subject,
        }  # fmt: skip
        texts = {name: _text(value) for name, value in values.items()}
        with self._store.begin() as connection:
            connection.execute(_ADD, {"at": self._store.now(connection), **texts})

    def newest(self, limit: int, offset: int = 0) -> list[tuple[dt.datetime, Act]]:
        """Return the last so many commands, newest first, each with its time, after ``offset`` others."""
        with self._store.read() as connection:
            rows = connection.execute(_NEWEST, {"limit": limit, "offset": offset}).all()
        return [
            (
                dt.datetime.fromtimestamp(row.at, dt.UTC),
                Act(
                    row.operator, row.machine, row.origin, row.version, row.command, json.loads(row.options),
                    row.host, row.account, row.subject,
                ),
            )
            for row in rows
        ]  # fmt: skip


def _text(value: str) -> str:
    """Return a text that any database accepts: variables and arguments may be no UTF-8 (PEP 383)."""
    return value.encode("utf-8", "backslashreplace").decode()
