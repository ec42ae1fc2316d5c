"""Fixtures of the client of the API."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.integration.api_client import Naps, Permits, client
from tests.sandbox import Sandbox
from worker.api import Api


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
