"""The servers that the other tests stand on."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import psutil
import psycopg
import pytest

from tests.kamailio import needed
from tests.program import Program
from tests.sandbox import ACCOUNT, SECRET, USER, Sandbox
from tests.servers import Redis, missing

ROOT = Path(__file__).parents[2]


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
    """The Redis of the tests is configured as operators are advised: append-only file, no eviction."""
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


@pytest.mark.parametrize(("ci", "ends"), [("true", pytest.fail.Exception), ("", pytest.skip.Exception)])
def test_a_missing_server_fails_only_in_ci(
    monkeypatch: pytest.MonkeyPatch, ci: str, ends: type[BaseException]
) -> None:
    """CI can't pass without its servers; on a person's machine the test is skipped, with the reason."""
    monkeypatch.setenv("CI", ci)
    with pytest.raises(ends, match="redis-server is neither on the PATH nor in an installed wheel"):
        missing("redis-server")


def test_a_terminated_run_leaves_no_server(tmp_path: Path) -> None:
    """pytest ended by SIGTERM, as by `timeout`, ends the servers that it started."""
    test = tmp_path / "test_hangs.py"
    test.write_text(
        "import time\n"
        "def test_hangs(redis_server, postgres_server):\n"
        "    pids = redis_server.process.pid, postgres_server.process.pid\n"
        "    print(*pids, flush=True)\n"
        "    time.sleep(60)\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-s", "-p", "tests.conftest", str(test)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        pids = [int(word) for word in run.stdout.readline().split()]
        run.terminate()
        run.communicate(timeout=30)
    assert len(pids) == 2
    assert [pid for pid in pids if psutil.pid_exists(pid)] == []


def test_a_command_that_inherits_its_modules_is_as_any_other(siproster: Program) -> None:
    """The same exit code and output as of one that is started alone, and nothing of the command before it."""
    siproster.run("jobs")  # a new ledger is told only once
    for words in (["--version"], ["jobs", "--json"], ["improt"], ["status", "no-such-job"]):
        assert siproster.run(*words) == siproster.run(*words, stdin="\n"), words
    assert "77" in siproster.run("doctor", BW_ACCOUNT_ID="77").stdout
    assert siproster.run("doctor") == siproster.run("doctor", stdin="\n")


@pytest.mark.parametrize("name", ["LC_ALL", "PYTHONWARNINGS", "CELERY_APP", "HOME"])
def test_a_command_imports_its_modules_where_they_may_read_its_environment(
    siproster: Program, name: str
) -> None:
    """A command inherits no modules if it is given variables other than settings, or odd values."""
    usual = siproster.environment
    assert siproster.only_settings(usual | {"BW_API_URL": "http://127.0.0.1", "SIPROSTER_BROKER": ""})
    assert not siproster.only_settings(usual | {name: "odd"})


def test_a_command_that_runs_too_long_is_killed(siproster: Program) -> None:
    """The error of a command that ran too long contains everything that it printed."""
    with pytest.raises(AssertionError, match=r"still ran after 1\.5 s:\n.*http://127\.0\.0\.1"):
        siproster.run("sandbox", "--port", "0", seconds=1.5)


def test_a_missing_program_says_how_to_get_it() -> None:
    """A registrar or a phone that isn't installed fails its test, and is not passed over."""
    with pytest.raises(pytest.fail.Exception, match="no-such-phone is not installed: run make ci-packages"):
        needed("no-such-phone")
