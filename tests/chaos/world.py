"""The world of a chaos run: every process is real, and every one of them may be killed."""

from __future__ import annotations

import base64
import contextlib
import os
import platform
import signal
import subprocess
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Any, LiteralString

import psutil
import psycopg
from celery import Celery

from tests.chaos.watchers import MonitorWatch, ProcessWatch
from tests.program import Program, kill_group
from tests.sandbox import ACCOUNT, Sandbox
from tests.servers import Postgres, Redis
from worker.fleet import queue_name
from worker.tasks import TASK

CLIENT_SECRET = "Kanarienschluessel2b9c"
"""The API client's secret: a canary of its own."""


_OWNED: LiteralString = r"regexp_replace(owner, '\.[0-9]+$', '') = ANY(%s)"
"""A lease of one of these processes: ``machine:pid``, on Linux with ``.start`` behind it."""


class Service:
    """A process of the program that a supervisor keeps running, in a process group of its own."""

    def __init__(self, start: Callable[[str], subprocess.Popen[str]]) -> None:
        self._start = start
        self.process = start("")
        self.frozen = False
        self.down = False
        """Whether it was killed on purpose and is to stay away for a while."""

    def start(self, failpoints: str = "") -> None:
        """A new process in the place of a dead one."""
        self.process = self._start(failpoints)
        self.frozen = self.down = False

    def pool(self) -> list[int]:
        """The processes of a worker's pool; empty while it starts."""
        try:
            return [child.pid for child in psutil.Process(self.process.pid).children()]
        except psutil.NoSuchProcess:
            return []

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to every process of the group."""
        os.killpg(self.process.pid, number)
        self.frozen = number is signal.SIGSTOP


class World:
    """The servers and processes of a campaign: sandbox, Redis, PostgreSQL, worker groups, a scheduler, users.

    ``folder`` keeps all evidence: logs, results, Redis's files, what MONITOR and the process list showed.
    """

    def __init__(self, folder: Path, groups: int) -> None:
        self.folder = folder
        for name in ("logs", "redis", "sandbox", "rosters"):
            (folder / name).mkdir(parents=True)
        self.key = base64.urlsafe_b64encode(os.urandom(32)).decode()
        self._servers = ExitStack()
        with ExitStack() as opened:  # should one of them not start, the others end
            self._open(opened)
            self._servers = opened.pop_all()
        self.scheduler = Service(lambda _: self.start("scheduler.log", "scheduler", **self.broker))
        self.groups: list[Service] = []
        for _ in range(groups):
            self.add_worker()

    def _open(self, opened: ExitStack) -> None:
        self.postgres = Postgres()
        opened.callback(self.postgres.remove)
        self.sandbox = Sandbox(self.folder / "sandbox", "--client-secret", CLIENT_SECRET)
        opened.callback(self.sandbox.close)
        self.redis = Redis(self.folder / "redis")
        opened.callback(self.redis.stop, signal.SIGKILL)
        ledger = self.postgres.create_database("chaos")
        self._connection = opened.enter_context(psycopg.connect(ledger, autocommit=True))
        self._connection.execute("SET lock_timeout = '500ms'")
        self._celery = opened.enter_context(
            closing(Celery("chaos", broker=self.redis.url, set_as_current=False))
        )
        service = self.sandbox.environment() | {"BW_CLIENT_SECRET": CLIENT_SECRET}
        self.program = Program(self.folder / "home", service, inherits=False)  # ps is watched
        opened.callback(self.program.close)
        for watch in (
            MonitorWatch(self.redis.port, self.folder / "monitor.txt"),
            ProcessWatch(self.folder / "processes.txt"),
        ):
            opened.callback(watch.close)
        self.broker = {
            "SIPROSTER_BROKER": self.redis.url,
            "SIPROSTER_LEDGER": ledger,
            "SIPROSTER_KEY": self.key,
        }

    # -- processes

    def start(self, log: str, *arguments: str | Path, **more: str) -> subprocess.Popen[str]:
        """The program in the background; all that it prints goes to ``logs``."""
        return self.program.start(*arguments, log=self.folder / "logs" / log, **more)

    def _start_worker(self, number: int, failpoints: str) -> subprocess.Popen[str]:
        more = {"SIPROSTER_FAILPOINTS": failpoints} if failpoints else {}
        log = f"worker-{number}.log"
        return self.start(log, "worker", "--processes", "2", **self.broker, **more)

    def add_worker(self) -> None:
        """Add one more worker group."""
        self.groups.append(Service(partial(self._start_worker, len(self.groups))))

    def supervise(self) -> int:
        """Start what ended by itself, as an operating system does; how many."""
        ended = [
            service
            for service in (self.scheduler, *self.groups)
            if not service.down and service.process.poll() is not None
        ]
        for service in ended:
            self.end(service.process)
            service.start()
        return len(ended)

    def kill(self, service: Service) -> None:
        """SIGKILL to the whole group of a service, which stays away until it is started."""
        self.end(service.process)
        service.down = True

    def end(self, process: subprocess.Popen[str]) -> None:
        """SIGKILL to its whole group. It is forgotten, since its number may soon be somebody else's."""
        kill_group(process)
        process.wait()
        if process.stdin:
            process.stdin.close()
        if process in self.program.started:
            self.program.started.remove(process)

    # -- the ledger of the workers, read from outside

    def query(self, statement: LiteralString, *values: object) -> list[tuple[Any, ...]]:
        """Rows of the workers' ledger."""
        return self._connection.execute(statement, values).fetchall()

    def owners(self, group: Service) -> list[str]:
        """The group's processes, as leases name them, without when they began."""
        return [f"{platform.node()}:{pid}" for pid in group.pool()]

    def claims(self, group: Service) -> int:
        """Chunks that the group works on at this moment."""
        held = "SELECT count(*) FROM chunks WHERE state = 'claimed' AND " + _OWNED  # noqa: S608
        return int(self.query(held, self.owners(group))[0][0])

    def end_leases(self, group: Service) -> int:
        """End the leases of a frozen group as if their time were over; return how many it had.

        It had 0 if it was frozen in the middle of a transaction: the ledger still holds its locks.
        """
        ended = "UPDATE chunks SET lease_until = 0 WHERE state = 'claimed' AND " + _OWNED + " RETURNING seq"  # noqa: S608
        with contextlib.suppress(psycopg.errors.LockNotAvailable):
            return len(self.query(ended, self.owners(group)))
        return 0

    def chunks(self, job: str) -> list[int]:
        """The numbers of the job's chunks."""
        return [row[0] for row in self.query("SELECT seq FROM chunks WHERE job = %s", job)]

    def deliver(self, job: str, seqs: Sequence[int], times: int) -> None:
        """Put chunks of a job on the queue, whatever the ledger says about them."""
        identity = self.query("SELECT value FROM meta WHERE name = 'identity'")[0][0]
        queue = queue_name(identity, self.sandbox.url, ACCOUNT)
        for seq in [seq for seq in seqs for _ in range(times)]:
            self._celery.send_task(TASK, (identity, f"{job}/{seq}"), queue=queue, retry=False)

    def close(self) -> None:
        """End everything; the evidence stays."""
        self._servers.close()
