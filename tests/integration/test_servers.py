"""The servers that the other tests stand on."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import psycopg

from tests.sandbox import ACCOUNT, SECRET, USER, Sandbox
from tests.servers import Redis


def test_redis_keeps_its_data_over_a_kill(make_redis: Callable[[], Redis]) -> None:
    """A Redis that was killed comes back on its port with what it had acknowledged."""
    server = make_redis()
    with server.client() as client:
        client.set("kept", "yes")
    server.kill()
    server.restart()
    with server.client() as client:
        assert client.get("kept") == "yes"


def test_redis_refuses_to_evict(redis_server: Redis) -> None:
    """The Redis of the tests is set up as operators are told to: append-only file, no eviction."""
    with redis_server.client() as client:
        policy, log = client.config_get("maxmemory-policy"), client.config_get("appendonly")
    assert policy == {"maxmemory-policy": "noeviction"}
    assert log == {"appendonly": "yes"}


def test_postgres_asks_for_its_password(postgres_url: str) -> None:
    """The URL's password is needed, as in production: a ledger that lost it would not connect."""
    with psycopg.connect(postgres_url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    refused = ""
    try:
        psycopg.connect(postgres_url, password="another").close()
    except psycopg.OperationalError as error:
        refused = str(error)
    assert "password authentication failed" in refused


def test_sandbox_is_as_new_for_each_test(make_sandbox: Callable[..., Sandbox]) -> None:
    """Knobs and log of one test don't reach the next; what it is asked is in the log."""
    sandbox = make_sandbox("--realm", "branch")
    sandbox.knobs(account_locked=True)
    realms = f"{sandbox.url}/api/v2/accounts/{ACCOUNT}/realms"
    with httpx.Client(auth=(USER, SECRET), trust_env=False) as client:
        locked = client.get(realms)
        seen = [(line["method"], line["answered"]) for line in sandbox.log(path="/realms")]
        sandbox.reset()
        after = client.get(realms)
    assert (locked.status_code, seen) == (404, [("GET", 404)])
    assert after.status_code == 200
    assert "branch" in after.text
    assert len(sandbox.log()) == 1
    assert sandbox.credentials() == []
