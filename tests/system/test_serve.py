"""Workers and scheduler as processes of their own, on a real Redis with a real PostgreSQL."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable

import psutil
import psycopg
import pytest
import redis

from tests.program import Program
from tests.sandbox import Sandbox
from tests.servers import Redis
from tests.system.rosters import expected, made_once, roster_of, truth, users
from tests.system.runs import until

SECONDS = 60.0
"""How long the end of a process may take before the test fails."""


@pytest.fixture
def fleet(office: Program, redis_url: str, postgres_url: str) -> Program:
    """The program as on every host of a deployment: broker, common ledger, common key."""
    key = office.run("keygen").stdout.strip()
    office.environment |= {
        "SIPROSTER_BROKER": redis_url,
        "SIPROSTER_LEDGER": postgres_url,
        "SIPROSTER_KEY": key,
    }
    return office


def told(process: subprocess.Popen[str], words: str) -> str:
    """Return a process's stderr up to the line with these words."""
    lines = []
    assert process.stderr is not None
    for line in process.stderr:
        lines.append(line)
        if words in line:
            return "".join(lines)
    raise AssertionError(f"it ended without saying {words!r}:\n{''.join(lines)}")


def ended(process: subprocess.Popen[str], how: signal.Signals) -> tuple[int, str]:
    """Send the signal to the process alone; its exit code, and what else it said."""
    process.send_signal(how)
    _, stderr = process.communicate(timeout=SECONDS)
    return process.returncode, stderr


def test_two_workers_and_a_scheduler_import_a_roster(fleet: Program, sandbox: Sandbox) -> None:
    """A detached import is done by workers elsewhere: every row in place, the truth equal to the roster."""
    workers = [fleet.start("worker", "--processes", "2") for _ in range(2)]
    scheduler = fleet.start("scheduler")
    said = [told(process, "key ") for process in workers] + [told(scheduler, "scheduler: ")]
    wanted = users(1200)
    roster = roster_of(fleet.work / "staff.csv", wanted)
    started = fleet.run("import", roster, "--yes", "--detach", "--chunk-size", "50", "--json")
    assert started.code == 0, started.stderr
    job = started.json["job"]
    until(lambda: fleet.run("status", job, "--json").json["state"] == "done")
    report = fleet.run("report", job, "--json")
    assert (report.code, report.json["counts"]) == (0, {"created": 1200})
    assert truth(sandbox) == expected(sandbox, wanted)
    assert made_once(sandbox)
    ends = [ended(process, signal.SIGTERM) for process in [*workers, scheduler]]
    assert [code for code, _ in ends] == [0, 0, 0]
    everything = "".join([*said, *(stderr for _, stderr in ends)])
    assert "postgres-canary" not in everything
    assert wanted[0].password not in everything


def test_both_modes_of_watching_see_the_same_end(fleet: Program, sandbox: Sandbox) -> None:
    """A command that waits for workers ends like one that works itself: summary, files, exit code."""
    worker = fleet.start("worker", "--processes", "1")
    told(worker, "key ")
    wanted = users(60)
    finished = fleet.run("import", roster_of(fleet.work / "staff.csv", wanted), "--yes", "--json")
    assert (finished.code, finished.json["counts"]) == (0, {"created": 60})
    assert truth(sandbox) == expected(sandbox, wanted)


def test_a_worker_says_what_it_works_on(fleet: Program, sandbox: Sandbox) -> None:
    """A worker prints queue, broker, account, its key's name, and the ledger without its password."""
    worker = fleet.start("worker", "--processes", "1")
    said = told(worker, "key ")
    assert "worker: 1 process, queue siproster." in said
    assert f"account  9900001 at {sandbox.url}" in said
    assert fleet.environment["SIPROSTER_BROKER"] in said
    assert "postgresql://siproster:<hidden>@127.0.0.1" in said
    assert fleet.environment["SIPROSTER_KEY"] not in said


def test_sigterm_lets_a_worker_finish_its_chunk(fleet: Program, sandbox: Sandbox) -> None:
    """On SIGTERM in the middle of a chunk, a worker ends that chunk, takes no other, and exits with 0."""
    sandbox.knobs(latency=0.3)
    worker = fleet.start("worker", "--processes", "1")
    told(worker, "key ")
    roster = roster_of(fleet.work / "staff.csv", users(80))
    pace = ("--chunk-size", "40", "--batch-size", "5", "--concurrency", "2")
    job = fleet.run("import", roster, "--yes", "--detach", *pace, "--json").json["job"]
    until(lambda: len(sandbox.credentials()) > 0)
    code, _ = ended(worker, signal.SIGTERM)
    assert code == 0
    assert len(sandbox.credentials()) == 40
    counts = fleet.run("status", job, "--json").json["counts"]
    assert counts == {"created": 40, "unprocessed": 40}


def test_no_process_outlives_its_worker(fleet: Program) -> None:
    """The pool's processes end with the worker that made them."""
    worker = fleet.start("worker", "--processes", "2")
    told(worker, "key ")
    until(lambda: len(psutil.Process(worker.pid).children()) >= 2)
    pool = psutil.Process(worker.pid).children()
    assert ended(worker, signal.SIGTERM)[0] == 0
    assert not any(process.is_running() for process in pool)


def test_without_a_broker_no_worker_starts(office: Program) -> None:
    """Exit code 6, and what to set."""
    refused = office.run("worker")
    assert refused.code == 6
    assert "SIPROSTER_BROKER is not set" in refused.stderr


@pytest.mark.parametrize("command", ["worker", "scheduler"])
def test_a_broker_that_does_not_answer(fleet: Program, command: str) -> None:
    """Exit code 5 instead of a process that waits for ever."""
    refused = fleet.run(command, SIPROSTER_BROKER="redis://127.0.0.1:1/0")
    assert refused.code == 5
    assert "broker" in refused.stderr


def test_a_wrong_key_does_not_start(fleet: Program) -> None:
    """A worker whose key can't open a waiting job's rows refuses to start, and names job and setting."""
    roster = roster_of(fleet.work / "staff.csv", users(3))
    job = fleet.run("import", roster, "--yes", "--detach", "--json").json["job"]
    refused = fleet.run("worker", SIPROSTER_KEY=fleet.run("keygen").stdout.strip())
    assert refused.code == 6
    assert job in refused.stderr
    assert "SIPROSTER_KEY" in refused.stderr


def test_a_postgresql_ledger_needs_a_key(fleet: Program) -> None:
    """Without a key that all workers share, none starts."""
    refused = fleet.run("worker", SIPROSTER_KEY="")
    assert refused.code == 6
    assert "siproster keygen" in refused.stderr


def test_refused_credentials_do_not_start(fleet: Program) -> None:
    """A worker whose token is refused ends with exit code 2, before it takes a chunk."""
    refused = fleet.run("worker", BW_CLIENT_SECRET="wrong-canary")
    assert refused.code == 2
    assert "wrong-canary" not in refused.stderr


def test_a_ledger_that_can_not_be_opened(fleet: Program) -> None:
    """Exit code 1 with the reason, without the ledger's password."""
    refused = fleet.run("worker", SIPROSTER_LEDGER="postgresql://siproster:canary@127.0.0.1:1/none")
    assert refused.code == 1
    assert "the ledger failed" in refused.stderr
    assert "canary" not in refused.stderr


def test_a_worker_waits_for_a_service_that_is_away(fleet: Program, sandbox: Sandbox) -> None:
    """A worker starts with a warning if the service is down, so that a deployment comes up in any order."""
    sandbox.knobs(unavailable={"probability": 1.0})
    worker = fleet.start("worker", "--processes", "1")
    said = told(worker, "key ")
    assert "the worker starts anyway" in said


def test_the_scheduler_outlives_a_redis_and_rebuilds_its_queue(
    fleet: Program, sandbox: Sandbox, make_redis: Callable[[], Redis]
) -> None:
    """The scheduler outlives a Redis that dies, queues again what was lost, and the job ends."""
    redis = make_redis()
    fleet.environment["SIPROSTER_BROKER"] = redis.url
    wanted = users(30)
    roster = roster_of(fleet.work / "staff.csv", wanted)
    job = fleet.run("import", roster, "--yes", "--detach", "--json").json["job"]
    scheduler = fleet.start("scheduler")
    told(scheduler, "scheduler: ")
    redis.stop(signal.SIGKILL)
    told(scheduler, "the broker does not take messages")
    redis.restart()
    with redis.client() as client:
        client.flushall()  # its append-only file kept the messages
    with psycopg.connect(fleet.environment["SIPROSTER_LEDGER"]) as ledger:
        ledger.execute("UPDATE chunks SET enqueued_at = enqueued_at - 60")  # as time would
    told(scheduler, "requeued")
    fleet.start("worker", "--processes", "1")
    until(lambda: fleet.run("status", job, "--json").json["state"] == "done")
    assert truth(sandbox) == expected(sandbox, wanted)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_the_scheduler_ends_at_once(fleet: Program, how: signal.Signals) -> None:
    """On a signal the scheduler exits with 0 at once, even between two sweeps."""
    scheduler = fleet.start("scheduler")
    told(scheduler, "scheduler: ")
    time.sleep(0.5)  # the sweep is over, the rest has begun
    code, said = ended(scheduler, how)
    assert (code, "Traceback" in said) == (0, False)


def test_once_is_for_cron(fleet: Program) -> None:
    """`scheduler --once` puts the chunks of a lost queue back on it, says so, and returns."""
    roster = roster_of(fleet.work / "staff.csv", users(3))
    fleet.run("import", roster, "--yes", "--detach", "--json")
    with psycopg.connect(fleet.environment["SIPROSTER_LEDGER"]) as ledger:
        ledger.execute("UPDATE chunks SET enqueued_at = enqueued_at - 60")  # as time would
    redis.Redis.from_url(fleet.environment["SIPROSTER_BROKER"]).flushall()
    swept = fleet.run("scheduler", "--once")
    assert swept.code == 0
    assert "1 chunk requeued" in swept.stderr
