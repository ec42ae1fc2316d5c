"""Fixtures of the client of the API and of the ledger."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.integration.api_client import Naps, Permits, client
from tests.sandbox import Sandbox
from tests.unit.jobs import Clock
from worker.api import Api
from worker.ledger import Ledger


@pytest.fixture
def naps() -> Naps:
    """The sleep and clock of ``api``."""
    return Naps()


@pytest.fixture
def permits() -> Permits:
    """A permit for every write."""
    return Permits()


@pytest.fixture
def api(sandbox: Sandbox, naps: Naps) -> Iterator[Api]:
    """A client of the sandbox that never really sleeps."""
    with closing(client(sandbox.url, naps)) as api:
        yield api


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a ledger that doesn't exist yet: a file, then a database of the real server."""
    if request.param == "postgresql":
        return str(request.getfixturevalue("postgres_url"))
    return f"sqlite:///{tmp_path / 'state' / 'ledger.db'}"


@pytest.fixture
def clock() -> Clock:
    """The clock of ``ledger``."""
    return Clock()


@pytest.fixture
def ledger(ledger_url: str, clock: Clock) -> Iterator[Ledger]:
    """A new ledger, on SQLite and on PostgreSQL."""
    with closing(Ledger(ledger_url, clock)) as ledger:
        yield ledger


@pytest.fixture
def other_ledger(ledger: Ledger, ledger_url: str, clock: Clock) -> Iterator[Ledger]:
    """The same ledger over connections of its own, as another process has it."""
    with closing(Ledger(ledger_url, clock)) as other:
        yield other
