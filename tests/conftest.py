"""Fixtures: real servers, the program as users run it. Nothing is patched."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from tests.kamailio import Kamailio
from tests.mariadb import MariaDb
from tests.program import Program
from tests.sandbox import Sandbox
from tests.servers import Postgres, Redis


def pytest_configure() -> None:
    """Let a SIGTERM unwind pytest, so that no server outlives it; measure no property's time.

    Files that tests make are for their owner to write alone, as settings files must be.
    """
    os.umask(0o022)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    hypothesis.settings.register_profile("siproster", hypothesis.settings(deadline=None))
    hypothesis.settings.load_profile("siproster")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest, which have a time limit of their own: no process ends long after the others."""
    items.sort(key=lambda item: item.get_closest_marker("timeout") is None)


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    """One Redis for the whole run; don't kill it. ``redis_url`` gives it empty."""
    server = Redis(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@pytest.fixture
def redis_url(redis_server: Redis) -> str:
    """The URL of an empty Redis."""
    with redis_server.client() as client:
        client.flushall()
    return redis_server.url


@pytest.fixture
def make_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Redis]]:
    """A Redis of the test's own, to kill, freeze and fill."""
    servers: list[Redis] = []

    def make() -> Redis:
        servers.append(Redis(tmp_path_factory.mktemp("redis")))
        return servers[-1]

    yield make
    for server in servers:
        server.stop(signal.SIGKILL)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    """One PostgreSQL for the whole run."""
    server = Postgres()
    yield server
    server.remove()


@pytest.fixture
def postgres_url(postgres_server: Postgres) -> str:
    """The URL of an empty database that nobody is connected to."""
    return postgres_server.empty_database()


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[MariaDb]:
    """One MariaDB for the whole run; don't kill it."""
    server = MariaDb()
    yield server
    server.remove()


@pytest.fixture
def make_mariadb() -> Iterator[Callable[[], MariaDb]]:
    """A MariaDB of the test's own, to kill."""
    servers: list[MariaDb] = []

    def make() -> MariaDb:
        servers.append(MariaDb())
        return servers[-1]

    yield make
    for server in servers:
        server.remove()


@pytest.fixture(scope="session")
def sandbox_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """One sandbox for the whole run; ``sandbox`` gives it as new."""
    server = Sandbox(tmp_path_factory.mktemp("sandbox"))
    yield server
    server.close()


@pytest.fixture
def sandbox(sandbox_server: Sandbox) -> Sandbox:
    """The stand-in for the API, as it is at its start."""
    sandbox_server.reset()
    return sandbox_server


@pytest.fixture
def make_sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Sandbox]]:
    """A sandbox of the test's own, with options of its command line."""
    servers: list[Sandbox] = []

    def make(*options: str) -> Sandbox:
        servers.append(Sandbox(tmp_path_factory.mktemp("sandbox"), *options))
        return servers[-1]

    yield make
    for server in servers:
        server.close()


@pytest.fixture
def make_kamailio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Kamailio]]:
    """A SIP registrar of the test's own, with the options of its class; it holds nobody."""
    servers: list[Kamailio] = []

    def make(**options: Any) -> Kamailio:
        servers.append(Kamailio(tmp_path_factory.mktemp("kamailio"), **options))
        return servers[-1]

    yield make
    for server in servers:
        server.stop()


@pytest.fixture
def kamailio(make_kamailio: Callable[..., Kamailio]) -> Kamailio:
    """A SIP registrar that holds nobody yet, for UDP and TCP."""
    return make_kamailio()


@pytest.fixture
def siproster(tmp_path: Path) -> Iterator[Program]:
    """The program, with a home and a working folder of its own and an empty environment."""
    program = Program(tmp_path / "home")
    yield program
    program.close()
