"""Names in a ledger, for completion: read quickly, without creating, migrating or waiting for anything."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import Connection, Engine, NullPool, create_engine, make_url, text

from worker.model import JobState

_SQLITE = "sqlite:///"

_LOCK_SECONDS = 0.3
"""Seconds that a locked SQLite file is waited for."""

_SERVER_SECONDS = 2
"""Seconds that PostgreSQL is waited for; libpq knows no shorter time."""

_JOBS = text("""
    SELECT id, state, roster, rows, started, saved, carried_out_by FROM jobs
    ORDER BY created DESC, id DESC LIMIT 200""")
_REALMS = text("SELECT DISTINCT host FROM realms WHERE host <> '' ORDER BY host LIMIT 1000")
_SCHEDULES = text("SELECT name FROM schedules ORDER BY name")


@dataclass(frozen=True, slots=True)
class KnownJob:
    """The part of a job that is needed to choose one."""

    id: str
    state: JobState
    roster: str
    rows: int
    begun: bool
    """Whether it may have sent anything."""
    plan: bool
    carried_out: bool


class KnownNames:
    """The names in the ledger of this URL. Its methods raise all kinds of errors if it can't be read."""

    def __init__(self, url: str) -> None:
        self._url = url

    def jobs(self) -> list[KnownJob]:
        """Return the newest jobs, the newest first."""
        with self._reading() as connection:
            rows = connection.execute(_JOBS).all()
        return [
            KnownJob(row.id, JobState(row.state), row.roster, row.rows, row.started is not None,
                     row.saved is not None, bool(row.carried_out_by)) for row in rows
        ]  # fmt: skip

    def realms(self) -> list[str]:
        """Return the host names of the realms that jobs have used."""
        with self._reading() as connection:
            return list(connection.execute(_REALMS).scalars())

    def schedules(self) -> list[str]:
        """Return the names of the schedules."""
        with self._reading() as connection:
            return list(connection.execute(_SCHEDULES).scalars())

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        engine = self._engine()
        try:
            with engine.connect() as connection:
                yield connection
        finally:
            engine.dispose()

    def _engine(self) -> Engine:
        if not self._url.startswith(_SQLITE):
            target = make_url(self._url).set(drivername="postgresql+psycopg")
            given = {"connect_timeout": _SERVER_SECONDS, "options": "-c statement_timeout=1000"}
            return create_engine(target, poolclass=NullPool, connect_args=given)
        path = Path(self._url.removeprefix(_SQLITE))

        def connect() -> sqlite3.Connection:
            return sqlite3.connect(f"file:{quote(str(path))}?mode=ro", timeout=_LOCK_SECONDS, uri=True)

        return create_engine("sqlite://", creator=connect, poolclass=NullPool)
