"""Fixtures of the faults that strike one at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.chaos.fleet import Fleet
from tests.program import Program
from tests.sandbox import Sandbox
from worker.ledger import Ledger
from worker.seal import new_key


@pytest.fixture
def office(siproster: Program, sandbox: Sandbox) -> Program:
    """The program with the sandbox's account and nothing else set: embedded mode."""
    siproster.environment |= sandbox.environment()
    return siproster


@pytest.fixture(params=["postgresql"])
def fleet(
    request: pytest.FixtureRequest, office: Program, sandbox: Sandbox, redis_url: str
) -> Iterator[Fleet]:
    """A deployment without workers yet, on PostgreSQL; a test may ask for SQLite too (``both``)."""
    url = f"sqlite:///{office.home}/ledger.db"
    if request.param == "postgresql":
        url = str(request.getfixturevalue("postgres_url"))
    office.environment |= {"SIPROSTER_BROKER": redis_url, "SIPROSTER_LEDGER": url, "SIPROSTER_KEY": new_key()}
    with closing(Ledger(url)) as ledger:
        yield Fleet(office, sandbox, ledger)
        office.close()
