"""A small deployment for one fault at a time: workers, a broker, a ledger, the stand-in for the API."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import redis
from celery import Celery
from sqlalchemy import text

from tests.program import Finished, Program, kill_group
from tests.sandbox import ACCOUNT, Sandbox
from tests.system.rosters import User, roster_of, truth
from tests.system.runs import until
from tests.unit.jobs import LAST_LINE
from worker.fleet import queue_name
from worker.importing.sweep import sweep_all
from worker.ledger import Ledger
from worker.model import Endpoint, JobState, Outcome
from worker.runtime import RuntimeConfig
from worker.tasks import TASK, CeleryQueue, make_app

POSTS = {"method": "POST", "path": "sipcredentials"}
"""Conditions of a fault that strikes only lists of credentials."""


@dataclass(frozen=True)
class Group:
    """A `siproster worker` in a process group of its own, and all that it has said."""

    process: subprocess.Popen[str]
    log: Path

    @property
    def pool(self) -> list[psutil.Process]:
        """The processes that work on chunks."""
        return psutil.Process(self.process.pid).children()

    def said(self, words: str) -> bool:
        """Whether its log has these words."""
        return words in self.log.read_text()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to every process of the group."""
        os.killpg(self.process.pid, number)

    def kill(self) -> None:
        """Send SIGKILL to the whole group."""
        kill_group(self.process)
        self.process.wait()


@dataclass
class Fleet:
    """All that works on one ledger. ``ledger`` is the test's own look into it."""

    program: Program
    sandbox: Sandbox
    ledger: Ledger
    groups: list[Group] = field(default_factory=list)

    def worker(self, processes: int = 1, **more: str) -> Group:
        """Start a worker group and wait until it is ready; ``more``: environment variables of its own."""
        log = self.program.home / f"worker-{len(self.groups)}.log"
        process = self.program.start("worker", "--processes", str(processes), log=log, **more)
        group = Group(process, log)
        self.groups.append(group)
        until(lambda: group.said("  key") and len(group.pool) >= processes, process)
        return group

    def begin(self, wanted: Iterable[User], *options: str) -> str:
        """Import these users, and leave it to the workers; the job's id."""
        begun = self.begun(wanted, *options)
        assert begun.code == 0, begun.stderr
        return str(begun.json["job"])

    def begun(self, wanted: Iterable[User], *options: str, failpoints: str = "") -> Finished:
        """Import these users with --detach, and return how the command ended."""
        roster = roster_of(self.program.work / "staff.csv", wanted)
        options = ("--yes", "--detach", "--json", *options)
        return self.program.run("import", roster, *options, SIPROSTER_FAILPOINTS=failpoints)

    def sweep(self) -> int:
        """Do what the scheduler does every few seconds; return how many chunks went on the queue."""
        return sweep_all(self.ledger, CeleryQueue(self.app(), self.ledger.identity))

    def finish(self, job: str) -> dict[str, int]:
        """Sweep until the job is over; return its rows' counts by status."""

        def over() -> bool:
            self.sweep()
            return not self.ledger.jobs.state(job).active

        until(over)
        assert self.ledger.jobs.state(job) is JobState.DONE
        return self.counts(job)

    def counts(self, job: str) -> dict[str, int]:
        """Return the job's row counts by status."""
        found = self.ledger.rows.counts(job, self.ledger.jobs.get(job).rows)
        return {status.value: rows for status, rows in found.items()}

    def outcomes(self, job: str) -> list[Outcome]:
        """Return each row's outcome so far, in the roster's order."""
        return list(self.ledger.rows.outcomes(job, 0, LAST_LINE).values())

    def query(self, statement: str, **values: object) -> list[Any]:
        """Run a statement on the ledger and return its rows; a test may let time pass with it."""
        with self.ledger.store.begin() as connection:
            result = connection.execute(text(statement), values)
            return list(result.all()) if result.returns_rows else []

    def chunks(self, job: str) -> Sequence[Mapping[str, Any]]:
        """The job's chunks, as the ledger has them."""
        with self.ledger.store.read() as connection:
            found = connection.execute(
                text("SELECT * FROM chunks WHERE job = :job ORDER BY seq"), {"job": job}
            )
            return [dict(row) for row in found.mappings()]

    def deliver(self, *message: object, times: int = 1, queue: str = "") -> None:
        """Put a message on the fleet's queue, or another one, in whatever state its chunk is."""
        app = self.app()
        with app.connection_for_write() as connection:
            for _ in range(times):
                app.send_task(TASK, message, queue=queue or self.queue, connection=connection)

    def waiting(self) -> int:
        """Messages that no worker has taken yet."""
        with redis.Redis.from_url(self.program.environment["SIPROSTER_BROKER"]) as broker:
            return int(broker.llen(self.queue))

    @property
    def queue(self) -> str:
        """The name of the queue that carries the fleet's chunks."""
        return queue_name(self.ledger.identity, self.sandbox.url, ACCOUNT)

    def app(self) -> Celery:
        """Celery, as a process of this deployment has it."""
        broker = self.program.environment["SIPROSTER_BROKER"]
        return make_app(RuntimeConfig(broker, "", [], [Endpoint(self.sandbox.url, ACCOUNT)]))


def posts(sandbox: Sandbox) -> list[dict[str, Any]]:
    """The lists of credentials that the service was sent."""
    return sandbox.log("POST", "sipcredentials")


def holds(sandbox: Sandbox, wanted: Iterable[User]) -> bool:
    """Whether the service holds exactly these users, each with the digests of its password."""
    hosts = {held["realm"] for held in sandbox.credentials()}
    (host,) = hosts or {"none"}
    return truth(sandbox) == {("office", user.name): user.digests(host) for user in wanted}
