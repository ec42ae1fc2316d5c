"""Workers and schedulers as their operators see them: metrics, health checks, logs, and who does what."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sqlite3
import stat
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import psycopg
from prometheus_client.parser import text_string_to_metric_families

from tests.program import Program
from tests.sandbox import Sandbox
from tests.servers import Redis
from tests.system.leaks import forms
from tests.system.rosters import roster_of, users
from tests.system.runs import until

ACCOUNT = "9900001"
SMALL = ("--chunk-size", "20", "--batch-size", "5", "--concurrency", "2")

Samples = Counter[tuple[str, frozenset[tuple[str, str]]]]
"""Values by name and labels."""


class Watched:
    """A worker, or scheduler, with ``--metrics`` and a log."""

    def __init__(self, program: Program, name: str, *words: str) -> None:
        self.log = program.home / f"{name}.log"
        self.process = program.start(*words, "--metrics", "0", log=self.log)
        until(lambda: "/metrics" in self.log.read_text("utf-8"))
        found = re.search(r"metrics  (http://127\.0\.0\.1:\d+)/metrics", self.log.read_text("utf-8"))
        assert found
        self.url = found[1]

    def get(self, path: str) -> tuple[int, str]:
        """The status and the body of an answer."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=20) as answer:  # noqa: S310  our own
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def json(self, path: str) -> tuple[int, Any]:
        """The status and the facts of an answer."""
        status, body = self.get(path)
        return status, json.loads(body)

    def samples(self) -> Samples:
        """Every sample of one scrape, as Prometheus' own parser reads it."""
        return Counter(
            {
                (sample.name, frozenset(sample.labels.items())): sample.value
                for family in text_string_to_metric_families(self.get("/metrics")[1])
                for sample in family.samples
            }
        )

    def pool(self) -> list[psutil.Process]:
        """The processes of a worker's pool: all of its children but the metrics server."""
        children = psutil.Process(self.process.pid).children()
        found = []
        for one in children:
            with contextlib.suppress(psutil.Error):  # it has ended
                if "worker.metrics" not in " ".join(one.cmdline()):
                    found.append(one)
        return found

    def folder(self) -> Path:
        """The folder that its processes count into."""
        (found,) = Path(os.environ.get("TMPDIR", "/tmp")).glob(f"siproster-metrics-{self.process.pid}-*")  # noqa: S108
        return found


def value(samples: Samples, name: str, **labels: str) -> float:
    """The sum of the samples of a metric with these labels."""
    wanted = set(labels.items())
    return sum(amount for (metric, found), amount in samples.items() if metric == name and wanted <= found)


def by(samples: Samples, name: str, label: str) -> dict[str, float]:
    """The sums of a metric by one of its labels."""
    values = {dict(labels)[label] for metric, labels in samples if metric == name}
    return {one: value(samples, name, **{label: one}) for one in values}


def requests(program: Program) -> tuple[int, int]:
    """The requests that the ledger counts: for all chunks, and for look-ups before."""
    with psycopg.connect(program.environment["SIPROSTER_LEDGER"]) as ledger:
        row = ledger.execute(
            "SELECT (SELECT sum(requests) FROM chunks), (SELECT sum(look_requests) FROM jobs)"
        ).fetchone()
    assert row
    return int(row[0]), int(row[1])


def has_ended(process: psutil.Process) -> bool:
    """Whether a process has ended, though its parent may not have noticed."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def lines(log: Path) -> list[dict[str, Any]]:
    """The lines of a JSON log."""
    return [json.loads(line) for line in log.read_text("utf-8").splitlines()]


def test_two_workers_count_what_the_job_says(hosts: Program, sandbox: Sandbox) -> None:
    """The counts of two workers' processes add up to the job's summary; every figure is the account's."""
    sandbox.knobs(latency=0.05)
    workers = [Watched(hosts, f"worker{n}", "worker", "--processes", "2") for n in range(2)]
    wanted = users(200)
    done = hosts.run("import", roster_of(hosts.work / "staff.csv", wanted), "--yes", *SMALL, "--json")
    assert (done.code, done.json["counts"]) == (0, {"created": 200}), done.stderr
    each = [worker.samples() for worker in workers]
    both = each[0] + each[1]
    assert by(both, "siproster_rows_total", "status") == {"created": 200}
    # The command's own requests, before there was anything to do, are the rest of the summary's.
    by_workers, by_command = requests(hosts)
    assert value(both, "siproster_requests_total") == by_workers == done.json["requests"] - by_command
    assert value(both, "siproster_requests_total", kind="write", code="201") == 40
    assert value(both, "siproster_retries_total") == done.json["retries"]
    assert value(both, "siproster_chunk_duration_seconds_count", account=ACCOUNT) == 10
    assert value(both, "siproster_wait_seconds_total", reason="answer") >= 40 * 0.05
    assert value(both, "siproster_lease_losses_total") == 0
    for samples in each:
        assert value(samples, "siproster_workers", account=ACCOUNT) == 2
        assert value(samples, "siproster_pool_processes") == 2
        assert (value(samples, "siproster_ledger_up"), value(samples, "siproster_broker_up")) == (1, 1)
        assert value(samples, "siproster_queue_chunks", account=ACCOUNT) == 0
    assert {dict(labels)["account"] for name, labels in both if name == "siproster_rows_total"} == {ACCOUNT}


def test_a_killed_process_takes_no_count_with_it(hosts: Program, sandbox: Sandbox) -> None:
    """A pool's process is killed between two jobs: the sums stay, its successor adds to them."""
    worker = Watched(hosts, "worker", "worker", "--processes", "1")
    files = worker.folder()
    assert stat.S_IMODE(files.stat().st_mode) == 0o700
    assert hosts.run("import", roster_of(hosts.work / "a.csv", users(40)), "--yes", *SMALL).code == 0
    before = worker.samples()
    assert by(before, "siproster_rows_total", "status") == {"created": 40}
    (killed,) = worker.pool()
    killed.kill()
    until(lambda: [one.pid != killed.pid for one in worker.pool()] == [True])
    more = [*users(40), *users(100)[40:]]
    assert hosts.run("import", roster_of(hosts.work / "b.csv", more), "--yes", *SMALL).code == 0
    after = worker.samples()
    assert by(after, "siproster_rows_total", "status") == {"created": 100}
    assert value(after, "siproster_requests_total") == requests(hosts)[0]
    assert len(list(files.glob("counter_*.db"))) == 1
    worker.process.send_signal(signal.SIGTERM)
    assert worker.process.wait(60) == 0
    assert not files.exists()


def test_a_killed_worker_leaves_nothing_behind(hosts: Program) -> None:
    """The metrics server of a worker that is killed ends by itself, and removes the folder."""
    worker = Watched(hosts, "worker", "worker", "--processes", "1")
    until(lambda: worker.json("/health")[0] == 200)
    folder = worker.folder()
    children = psutil.Process(worker.process.pid).children()
    (server,) = (one for one in children if "worker.metrics" in " ".join(one.cmdline()))
    worker.process.kill()
    until(lambda: not folder.exists())
    until(lambda: has_ended(server))


def test_a_lost_lease_is_counted(hosts: Program, sandbox: Sandbox) -> None:
    """A process that dies in the middle of a chunk: the one that takes it over counts the lost lease."""
    sandbox.knobs(latency=0.3)
    worker = Watched(hosts, "worker", "worker", "--processes", "1")
    roster = roster_of(hosts.work / "staff.csv", users(60))
    started = hosts.start("import", roster, "--yes", *SMALL, log=hosts.home / "import.log")
    until(lambda: len(sandbox.credentials()) > 0)
    worker.pool()[0].kill()
    assert started.wait(100) == 0
    assert value(worker.samples(), "siproster_lease_losses_total", how="expired") == 1


def test_health_and_readiness(hosts: Program, make_redis: Callable[[], Redis]) -> None:
    """Alive and ready; without a broker still alive, and not ready; other paths are told."""
    redis = make_redis()
    hosts.environment["SIPROSTER_BROKER"] = redis.url
    worker = Watched(hosts, "worker", "worker", "--processes", "2")
    scheduler = Watched(hosts, "scheduler", "scheduler")
    until(lambda: worker.json("/ready") == (200, {"ready": True, "ledger": "ok", "broker": "ok", "pool": 2}))
    until(lambda: scheduler.json("/ready") == (200, {"ready": True, "ledger": "ok", "broker": "ok"}))
    for one in (worker, scheduler):
        status, facts = one.json("/health")
        assert (status, facts["alive"]) == (200, True)
        assert one.get("/")[0] == 404
    redis.kill()
    for one in (worker, scheduler):
        until(lambda one=one: one.json("/ready")[0] == 503)  # type: ignore[misc]
        assert one.json("/ready")[1]["broker"] == "away"
        assert one.json("/health")[0] == 200
        assert value(one.samples(), "siproster_broker_up") == 0
    redis.restart()
    for one in (worker, scheduler):
        until(lambda one=one: one.json("/ready")[0] == 200)  # type: ignore[misc]


def test_the_scheduler_has_figures_of_schedules(hosts: Program) -> None:
    """Schedules with their runs and their next time; the backlog of an account that no worker serves."""
    roster = roster_of(hosts.work / "staff.csv", users(5))
    made = hosts.run("schedule", "add", "nightly", "--every", "0 2 * * *", "--tz", "UTC", roster)
    assert made.code == 0, made.stderr
    job = hosts.run("import", roster, "--yes", "--detach", "--json").json["job"]
    scheduler = Watched(hosts, "scheduler", "scheduler")
    until(lambda: value(scheduler.samples(), "siproster_queue_age_seconds", account=ACCOUNT) > 0)
    samples = scheduler.samples()
    assert value(samples, "siproster_queue_chunks", account=ACCOUNT) == 1
    assert value(samples, "siproster_queue_rows", account=ACCOUNT) == 5
    assert value(samples, "siproster_workers", account=ACCOUNT) == 0
    assert ("siproster_workers", frozenset({("account", ACCOUNT)})) in samples
    assert value(samples, "siproster_schedulers") == 1
    assert value(samples, "siproster_jobs", account=ACCOUNT, state="running") == 1
    assert value(samples, "siproster_schedule_paused", schedule="nightly") == 0
    assert value(samples, "siproster_schedule_next_run_timestamp_seconds", schedule="nightly") % 86400 == 7200
    assert hosts.run("cancel", job).code == 0


def test_a_run_without_a_broker_counts_in_its_scheduler(office: Program) -> None:
    """A scheduler that does the work itself: its metrics have rows and result, its log the chunks."""
    office.environment["SIPROSTER_LEDGER"] = f"sqlite:///{office.home}/ledger.db"
    roster = roster_of(office.work / "staff.csv", users(30))
    added = ("schedule", "add", "once", "--at", "2099-01-01 00:00", "--tz", "UTC", roster)
    assert office.run(*added).code == 0
    scheduler = Watched(office, "scheduler", "scheduler", "--log-format", "json")
    with sqlite3.connect(office.home / "ledger.db") as ledger:
        # The next second: it must come after the schedule was added.
        ledger.execute("UPDATE schedules SET at = :soon, next_slot = :soon", {"soon": time.time() // 1 + 1})
    until(lambda: value(scheduler.samples(), "siproster_schedule_last_run_timestamp_seconds") > 0)
    samples = scheduler.samples()
    assert by(samples, "siproster_schedule_last_result", "result") == {"in_place": 1}
    assert by(samples, "siproster_rows_total", "status") == {"created": 30}
    said = lines(scheduler.log)
    chunk = next(line for line in said if "chunk" in line)
    assert (chunk["schedule"], chunk["level"]) == ("once", "info")


def test_json_logs_say_what_each_line_is_about(hosts: Program, sandbox: Sandbox) -> None:
    """Every line is an object; those about a chunk name job, chunk and account, also from other threads."""
    worker = Watched(hosts, "worker", "worker", "--processes", "1", "--log-format", "json")
    sandbox.knobs(refuse={"next": 2, "path": "/sipcredentials", "status": 503, "text": "busy"})
    done = hosts.run("import", roster_of(hosts.work / "staff.csv", users(40)), "--yes", *SMALL, "--json")
    job = done.json["job"]
    until(lambda: "has ended" in worker.log.read_text("utf-8"))
    said = lines(worker.log)
    assert all({"time", "level", "logger", "message"} <= line.keys() for line in said)
    about = [line for line in said if line.get("job") == job]
    assert {line["chunk"] for line in about} == {0, 1}
    assert {line["account"] for line in about} == {ACCOUNT}
    retried = [line for line in about if line["logger"] == "worker.api.attempts"]  # in the threads that send
    assert len(retried) == 2 == done.json["retries"]
    messages = [line["message"] for line in about]
    assert f"chunk {job}/0 begins: 20 rows" in messages
    assert any(re.fullmatch(rf"chunk {job}/0 ended after [\d.]+ s: 20 created", one) for one in messages)
    assert messages[-1] == f"job {job} has ended: every row has an outcome"


def test_workers_are_listed_with_what_they_do(hosts: Program, sandbox: Sandbox) -> None:
    """`workers` shows who is alive, for which account, on which chunk and for how long, as JSON and text."""
    sandbox.knobs(latency=0.5)
    worker = Watched(hosts, "worker", "worker", "--processes", "2")
    scheduler = Watched(hosts, "scheduler", "scheduler")
    roster = roster_of(hosts.work / "staff.csv", users(200))
    job = hosts.run("import", roster, "--yes", "--detach", *SMALL, "--json").json["job"]
    found: dict[str, Any] = {}

    def both_are_at_work() -> bool:
        found.update(hosts.run("workers", "--json").json)
        return bool(found["schedulers"]) and [len(one["working_on"]) for one in found["workers"]] == [2]

    until(both_are_at_work)
    (one,) = found["workers"]
    assert (one["pid"], one["processes"]) == (worker.process.pid, 2)
    assert one["accounts"] == [{"account": ACCOUNT, "host": sandbox.url}]
    assert {work["job"] for work in one["working_on"]} == {job}
    assert {work["pid"] for work in one["working_on"]} <= {process.pid for process in worker.pool()}
    assert all(work["rows"] == 20 and 0 <= work["seconds"] < 60 for work in one["working_on"])
    assert [facts["pid"] for facts in found["schedulers"]] == [scheduler.process.pid]
    told = hosts.run("workers").stdout
    assert f":{worker.process.pid}  version" in told
    assert f"job {job}, chunk " in told


def test_workers_without_a_broker(office: Program) -> None:
    """Without a broker there is nobody to ask: exit code 6, and what to do."""
    refused = office.run("workers")
    assert refused.code == 6
    assert "SIPROSTER_BROKER" in refused.stderr


def test_an_address_in_use_is_refused(hosts: Program) -> None:
    """A worker whose port is taken says so, and doesn't start."""
    worker = Watched(hosts, "worker", "worker", "--processes", "1")
    refused = hosts.run("worker", "--metrics", worker.url.rpartition(":")[2])
    assert (refused.code, "--metrics" in refused.stderr) == (6, True)
    assert hosts.run("worker", "--metrics", "no:port").code == 6


def test_no_secret_is_counted_or_logged(hosts: Program, sandbox: Sandbox) -> None:
    """Neither passwords nor users nor credentials are in metrics, health checks, logs or the count files."""
    debug = ("--log-format", "json", "--debug")
    worker = Watched(hosts, "worker", "worker", "--processes", "1", *debug)
    scheduler = Watched(hosts, "scheduler", "scheduler", *debug)
    wanted = users(30)
    sandbox.knobs(refuse={"next": 3, "path": "/sipcredentials", "status": 503, "text": "busy"})
    assert hosts.run("import", roster_of(hosts.work / "staff.csv", wanted), "--yes", *SMALL).code == 0
    shown = [one.get(path)[1] for one in (worker, scheduler) for path in ("/metrics", "/health", "/ready")]
    listed = hosts.run("workers", "--json").stdout
    counted = [path.read_bytes() for path in worker.folder().iterdir()]
    found = b"\n".join([*map(str.encode, (*shown, listed)), *counted])
    logs = worker.log.read_bytes() + scheduler.log.read_bytes()
    keys = ("SIPROSTER_KEY", "BW_CLIENT_SECRET")
    secrets = {form for user in wanted for form in forms(user.password)}
    secrets |= {hosts.environment[key].encode() for key in keys} | {b"postgres-canary"}
    assert [one for one in secrets if one in found + logs] == []
    assert [user.name for user in wanted if user.name.encode() in found] == []


def test_a_hanging_ledger_holds_up_no_scrape(hosts: Program) -> None:
    """While PostgreSQL accepts nothing, a scrape answers within seconds, and says that the ledger is away."""
    worker = Watched(hosts, "worker", "worker", "--processes", "1")
    until(lambda: value(worker.samples(), "siproster_ledger_up") == 1)
    with psycopg.connect(hosts.environment["SIPROSTER_LEDGER"], autocommit=False) as ledger:
        ledger.execute("LOCK TABLE jobs IN ACCESS EXCLUSIVE MODE")
        until(lambda: value(worker.samples(), "siproster_ledger_up") == 0)
        began = time.monotonic()
        assert value(worker.samples(), "siproster_ledger_up") == 0
        assert time.monotonic() - began < 5
    until(lambda: value(worker.samples(), "siproster_ledger_up") == 1)
