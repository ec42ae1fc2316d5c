"""Schedulers as processes: many at once, killed, told to end, with a broker and without one."""

from __future__ import annotations

import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import psutil
import psycopg
import pytest

from tests.program import Program
from tests.sandbox import Sandbox
from tests.scripted import Told, scripted
from tests.system.rosters import expected, made_once, roster_of, truth, users
from tests.system.runs import jobs, run, until

STAFF = users(60)
PACE = ("--batch-size", "5", "--concurrency", "2", "--chunk-size", "20")
SLOW = 0.15
"""Seconds before each answer of a service that a test catches in the middle of a job."""


def added(office: Program, *options: str, name: str = "nightly", seconds: float = 0) -> None:
    """Add a schedule that runs once, in so many seconds."""
    roster = roster_of(office.work / f"{name}.csv", STAFF)
    finished = office.run("schedule", "add", name, roster, "--at", "2099-01-01T00:00", *PACE, *options)
    assert finished.code == 0, finished.stderr
    with in_ledger(office) as execute:  # however long that took
        at = int(time.time() + seconds)
        times = f"at = {at}, next_slot = {at}, accounted = {at - 60}"
        execute(f"UPDATE schedules SET {times} WHERE name = '{name}'")  # noqa: S608  all ours


def started(office: Program, *options: str, **more: str) -> subprocess.Popen[str]:
    """Start a scheduler whose log is scheduler.log."""
    return office.start("scheduler", *options, log=office.home / "scheduler.log", **more)


def run_of(office: Program, name: str = "nightly") -> dict[str, Any]:
    """Return the newest run of a schedule; empty: there is none."""
    found = run(office, "schedule", "show", name)["runs"]
    return dict(found[0]) if found else {}


def ended(office: Program, name: str = "nightly", seconds: float = 60) -> dict[str, Any]:
    """Return the newest run of a schedule once it has ended."""
    end = time.monotonic() + seconds
    while (found := run_of(office, name)).get("state") != "ended":
        assert time.monotonic() < end, (found, (office.home / "scheduler.log").read_text())
        time.sleep(0.2)
    return found


def killed(process: subprocess.Popen[str]) -> None:
    """SIGKILL to a scheduler alone: the processes of its runs go on."""
    process.kill()
    process.wait()


def child(scheduler: subprocess.Popen[str]) -> psutil.Process:
    """Return the process of the scheduler's run, as soon as there is one."""
    return until(lambda: psutil.Process(scheduler.pid).children(), scheduler)[0]


@contextmanager
def in_ledger(office: Program) -> Iterator[Callable[[str], Any]]:
    """Execute statements on the ledger, whichever it is."""
    if url := office.environment.get("SIPROSTER_LEDGER"):
        with psycopg.connect(url) as connection:
            yield connection.execute
    else:
        path = office.home / ".local/state/siproster/ledger.sqlite"
        with closing(sqlite3.connect(path, timeout=30)) as connection:
            yield connection.execute
            connection.commit()


def due_now(office: Program) -> None:
    """Let the time pass that a run which was given back waits."""
    with in_ledger(office) as execute:
        execute("UPDATE schedule_runs SET not_before = 0 WHERE state = 'due'")


# Many at once


def test_three_schedulers(either: Program, sandbox: Sandbox) -> None:
    """Three schedulers see the same time come: one job, and one effect, on both ledgers."""
    added(either, seconds=4)
    schedulers = [started(either) for _ in range(3)]
    assert ended(either)["result"] == "in_place"
    time.sleep(2)  # the others look again
    assert len(jobs(either)) == 1
    assert len(run(either, "schedule", "show", "nightly")["runs"]) == 1
    assert truth(sandbox) == expected(sandbox, STAFF)
    assert made_once(sandbox)
    for one in schedulers:
        one.terminate()
    assert [one.wait(30) for one in schedulers] == [0, 0, 0]
    log = (either.home / "scheduler.log").read_text()
    assert log.count("the run of") == 1
    assert not any(user.password in log for user in STAFF)


def test_missed_slots(office: Program, sandbox: Sandbox) -> None:
    """After a night without a scheduler the latest slot alone is run, and tells how many were missed."""
    roster = roster_of(office.work / "staff.csv", STAFF)
    assert office.run("schedule", "add", "hourly", roster, "--every", "0 * * * *", "--jitter", "60").code == 0
    with in_ledger(office) as execute:
        execute("UPDATE schedules SET accounted = accounted - 6 * 3600, next_slot = next_slot - 6 * 3600")
    assert office.run("scheduler", "--once").code == 0
    due_now(office)  # the jitter has passed
    assert office.run("scheduler", "--once").code == 0
    found = run_of(office, "hourly")
    assert (found["result"], found["missed"], found["cause"]) == ("in_place", 5, "slot")
    assert truth(sandbox) == expected(sandbox, STAFF)


# Killed


@pytest.mark.parametrize("point", ["planned_page", "planned", "answered", "ending"])
def test_a_run_that_is_killed(office: Program, sandbox: Sandbox, point: str) -> None:
    """The run's process and then its scheduler are killed: another one takes over, each row once."""
    added(office)
    first = started(office, SIPROSTER_FAILPOINTS=f"{point}=kill")
    process = child(first)
    until(lambda: process.status() == psutil.STATUS_ZOMBIE or not process.is_running(), first)
    killed(first)
    due_now(office)
    started(office)
    assert ended(office)["result"] == "in_place"
    assert truth(sandbox) == expected(sandbox, STAFF)
    assert made_once(sandbox)


def test_a_process_that_dies_each_time(office: Program, sandbox: Sandbox) -> None:
    """After some attempts the run has failed: it isn't tried for ever. The next run imports the roster."""
    added(office)
    scheduler = started(office, SIPROSTER_FAILPOINTS="planned_page=kill")
    until(lambda: run_of(office).get("state") == "claimed", scheduler)
    until(lambda: run_of(office)["state"] == "due", scheduler)
    assert "ended with signal 9" in run_of(office)["why"]
    with in_ledger(office) as execute:  # three more deaths
        execute("UPDATE schedule_runs SET not_before = 0, attempts = attempts + 3")
    failed = ended(office)
    assert (failed["result"], "ended with signal 9" in failed["why"]) == ("failed", True)
    assert not sandbox.credentials()
    killed(scheduler)
    again = office.run("schedule", "run", "nightly")
    assert again.code == 0, again.stderr
    assert truth(sandbox) == expected(sandbox, STAFF)


def test_a_scheduler_that_is_killed(office: Program, sandbox: Sandbox) -> None:
    """Its run's process goes on to the end, and no other scheduler disturbs it."""
    added(office)
    sandbox.knobs(latency=SLOW)
    first = started(office)
    until(lambda: bool(sandbox.credentials()), first)
    process = child(first)
    killed(first)
    started(office)
    assert ended(office)["result"] == "in_place"
    assert not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    assert len(jobs(office)) == 1
    assert truth(sandbox) == expected(sandbox, STAFF)
    assert made_once(sandbox)


def test_both_killed(either: Program, sandbox: Sandbox) -> None:
    """Scheduler and process are killed while rows are sent: a later scheduler goes on with the job."""
    added(either)
    sandbox.knobs(latency=SLOW)
    first = started(either)
    until(lambda: bool(sandbox.credentials()), first)
    process = child(first)
    killed(first)
    process.kill()
    sandbox.knobs(latency=0)
    started(either)
    assert ended(either)["result"] == "in_place"
    assert len(jobs(either)) == 1
    assert truth(sandbox) == expected(sandbox, STAFF)
    assert made_once(sandbox)


# Told to end


def test_sigterm(either: Program, sandbox: Sandbox) -> None:
    """On SIGTERM requests in flight finish and the run is given back; a later scheduler goes on with it."""
    added(either)
    sandbox.knobs(latency=SLOW)
    first = started(either)
    until(lambda: bool(sandbox.credentials()), first)
    first.terminate()
    assert first.wait(60) == 0
    left = run_of(either)
    assert (left["state"], left["result"]) == ("due", None)
    sandbox.knobs(latency=0)
    started(either)
    assert ended(either)["result"] == "in_place"
    assert truth(sandbox) == expected(sandbox, STAFF)
    assert made_once(sandbox)


def test_a_source_that_hangs(office: Program, sandbox: Sandbox) -> None:
    """A roster that is never sent in full holds no other run up, and the scheduler ends at once."""
    with scripted(lambda _: Told(200, b"username,password\n" * 100, drip=0.5)) as source:
        words = ("schedule", "add", "slow", f"{source.url}/staff.csv", "--every", "0 0 1 1 *")
        assert office.run(*words).code == 0
        with in_ledger(office) as execute:
            execute("UPDATE schedules SET accounted = accounted - 366 * 86400, next_slot = 1")
        added(office)
        scheduler = started(office)
        assert ended(office)["result"] == "in_place"
        until(lambda: bool(source.asked), scheduler)
        assert run_of(office, "slow")["state"] == "claimed"
        scheduler.terminate()
        assert scheduler.wait(20) == 0
    assert run_of(office, "slow")["state"] == "due"
    assert truth(sandbox) == expected(sandbox, STAFF)


def test_overlap(office: Program, sandbox: Sandbox) -> None:
    """A time that comes while the run before goes on is told, and not run."""
    roster = roster_of(office.work / "staff.csv", STAFF)
    assert office.run("schedule", "add", "nightly", roster, "--every", "0 * * * *", *PACE).code == 0
    sandbox.knobs(latency=SLOW)
    first = office.start("schedule", "run", "nightly")
    until(lambda: bool(sandbox.credentials()), first)
    with in_ledger(office) as execute:
        execute("UPDATE schedules SET accounted = accounted - 3600, next_slot = next_slot - 3600")
    assert office.run("scheduler", "--once").code == 0
    (told,) = [one for one in run(office, "schedule", "show", "nightly")["runs"] if one["cause"] == "slot"]
    assert (told["result"], "has not ended" in told["why"]) == ("overlap", True)
    first.communicate(timeout=60)
    assert jobs(office)[0]["state"] == "done"
    assert made_once(sandbox)


# Settings


def test_the_profile_of_a_schedule(office: Program, sandbox: Sandbox) -> None:
    """The run uses the profile's account; without that profile it has failed, and isn't tried for ever."""
    settings = office.work / "siproster.toml"
    profile = "\n".join(f'{name} = "{value}"' for name, value in sandbox.environment().items())
    settings.write_text(f"[profile.east]\n{profile}\n")
    settings.chmod(0o600)
    for name in sandbox.environment():
        del office.environment[name]
    added(office, "--profile", "east")
    assert office.run("schedule", "list", "--json").code == 0
    started(office)
    assert ended(office)["result"] == "in_place"
    assert truth(sandbox) == expected(sandbox, STAFF)
    added(office, "--profile", "east", name="second")
    settings.write_text("")
    failed = ended(office, "second")
    assert (failed["result"], "exit code 6" in failed["why"]) == ("failed", True)
    assert "profile" in (office.home / "scheduler.log").read_text()


def test_arguments_of_a_run(office: Program, sandbox: Sandbox) -> None:
    """The process list shows a run's schedule and time, and nothing of its roster or settings."""
    added(office)
    sandbox.knobs(latency=SLOW)
    scheduler = started(office)
    until(lambda: bool(sandbox.credentials()), scheduler)
    words = child(scheduler).cmdline()[2:]
    assert words[:4] == ["schedule", "run", "nightly", "--slot"]
    assert len(words) == 5
    assert ended(office)["result"] == "in_place"
