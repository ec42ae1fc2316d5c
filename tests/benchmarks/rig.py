"""Servers and contestants of a benchmark; each contestant is started as its users start it."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import httpx

from tests.benchmarks import processes, users
from tests.benchmarks.processes import Finished, Tree, wait_until
from tests.benchmarks.server import Case
from tests.program import CLI, Program
from tests.servers import Postgres, Redis, Server, free_port

ROOT = Path(__file__).parents[2]
SCRIPT_FILE = Path(__file__).with_name("script.py")
WORKERS = 2

S = TypeVar("S", bound=Server)


@dataclass(frozen=True)
class Contestant:
    """A way to import a roster."""

    name: str
    broker: bool = False
    ledger: str = "sqlite"
    script: bool = False


SCRIPT = Contestant("script", script=True)
EMBEDDED = Contestant("embedded")
REDIS_SQLITE = Contestant("Redis, 2 workers, SQLite", broker=True)
REDIS_POSTGRES = Contestant("Redis, 2 workers, PostgreSQL", broker=True, ledger="postgresql")


@dataclass(frozen=True)
class Measured:
    """One command, with the time and resources that it took."""

    finished: Finished
    worker_cpu: float
    """CPU seconds of the workers meanwhile."""
    worker_megabytes: float
    """Peak of the largest worker process."""
    stores_cpu: float
    """CPU seconds of Redis and PostgreSQL meanwhile."""
    service_cpu: float
    """CPU seconds of the service's stand-in meanwhile."""
    service: dict[str, Any]
    """Counts of the stand-in (server.Counts)."""

    @property
    def cpu(self) -> float:
        """Return the CPU seconds of the command and its workers."""
        return self.finished.cpu + self.worker_cpu

    @property
    def summary(self) -> dict[str, Any]:
        """Return what the command printed as JSON."""
        summary: dict[str, Any] = json.loads(self.finished.stdout)
        return summary


class Durable(Postgres):
    """A PostgreSQL that waits for the disk, as one in production does."""

    @staticmethod
    def options(folder: Path, port: int) -> list[str]:
        """Return the tests' options with both writes to the disk turned on."""
        return [*Postgres.options(folder, port), "-c", "fsync=on", "-c", "full_page_writes=on"]


class StandIn(Server):
    """``tests.benchmarks.server`` as a process."""

    def __init__(self, folder: Path) -> None:
        port = free_port()
        command = [sys.executable, "-m", "tests.benchmarks.server", "--port", str(port)]
        self.url = f"http://127.0.0.1:{port}"
        self.control = httpx.Client(base_url=self.url, trust_env=False, timeout=300)
        super().__init__(command, folder, port, variables={"PYTHONPATH": str(ROOT)})
        self.wait_until(self.counts)

    def begin(self, case: Case) -> None:
        """Set it up for a case, with new counts."""
        self.control.put("/bench", json=asdict(case)).raise_for_status()

    def counts(self) -> dict[str, Any]:
        """Return what it has seen since then."""
        counts: dict[str, Any] = self.control.get("/bench").raise_for_status().json()
        return counts

    def environment(self) -> dict[str, str]:
        """Return the variables that point the program at it."""
        return {
            "BW_ACCOUNT_ID": users.ACCOUNT,
            "BW_CLIENT_ID": users.CLIENT,
            "BW_CLIENT_SECRET": users.SECRET,
            "BW_API_URL": self.url,
        }


@dataclass
class Rig:
    """All servers of a run, each started when it is first needed. ``close`` ends them."""

    folder: Path
    _homes: int = 0
    _opened: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    @cached_property
    def service(self) -> StandIn:
        """The service's stand-in."""
        return self._server(StandIn(self._subfolder("service")))

    @cached_property
    def redis(self) -> Redis:
        """The broker."""
        return self._server(Redis(self._subfolder("redis")))

    @cached_property
    def postgres(self) -> Durable:
        """The ledger's server."""
        server = Durable()
        self._opened.callback(server.remove)
        return server

    def roster(self, rows: int) -> Path:
        """Return a roster of the first so many users, written once."""
        path = self.folder / f"staff-{rows}.csv"
        return path if path.exists() else users.write_new(path, rows)

    def mixed_roster(self, stored: int, rows: int) -> Path:
        """Return a roster of users most of whom are among those stored (users.write_mixed), written once."""
        path = self.folder / f"mixed-{stored}-{rows}.csv"
        return path if path.exists() else users.write_mixed(path, stored, rows)

    def home(self, contestant: Contestant, *, account: bool = True) -> Program:
        """Return the program in a new home with a new, empty ledger; ``account``: with one set."""
        self._homes += 1
        variables = self.service.environment() if account else {}
        variables["SIPROSTER_KEY"] = base64.urlsafe_b64encode(os.urandom(32)).decode()
        if contestant.broker:
            with self.redis.client() as client:
                client.flushall()
            variables["SIPROSTER_BROKER"] = self.redis.url
        if contestant.ledger == "postgresql":
            variables["SIPROSTER_LEDGER"] = self.postgres.create_database(f"bench_{self._homes}")
        else:
            variables["SIPROSTER_LEDGER"] = f"sqlite:///{self.folder}/home-{self._homes}/ledger.db"
        return Program(self.folder / f"home-{self._homes}", variables)

    def measure(self, contestant: Contestant, roster: Path, case: Case, *options: str) -> Measured:
        """Import a roster in a new home. ``options``: the import's, or the script's."""
        program = self.home(contestant)
        self.service.begin(case)
        command = [sys.executable, str(CLI), "import", str(roster), "--json", "--yes"]
        if contestant.script:
            command = [sys.executable, str(SCRIPT_FILE), self.service.url, str(roster)]
        with self._workers(program, contestant) as workers:
            return self.observe(program, [*command, *options], workers)

    def observe(self, program: Program, command: list[str], workers: Tree | None = None) -> Measured:
        """Run one command in a home, and say what it and all others took meanwhile."""
        beside = [workers] if workers else []
        watched = [self._tree(name) for name in ("redis", "postgres", "service")]
        before = [tree.cpu() for tree in [*beside, *watched]]
        finished = processes.run(command, program.work, program.environment, beside)
        after = [tree.cpu() for tree in [*beside, *watched]]
        assert finished.code in (0, 10), f"{command} ended with {finished.code}:\n{finished.stderr}"
        took = [end - start for start, end in zip(before, after, strict=True)]
        *mine, redis, postgres, service = took
        peak = max(workers.peaks.values(), default=0.0) if workers else 0.0
        stores = redis + postgres if workers else 0.0  # of no use to the others, and never quite idle
        return Measured(finished, sum(mine), peak, stores, service, self.service.counts())

    def service_cpu(self) -> float:
        """Return the CPU seconds of the service's stand-in so far."""
        return Tree(self.service.process.pid).cpu()

    def close(self) -> None:
        """End every server."""
        self._opened.close()

    @contextlib.contextmanager
    def _workers(self, program: Program, contestant: Contestant) -> Iterator[Tree | None]:
        """Two worker processes that wait for work, so that each case has them fresh."""
        if not contestant.broker:
            yield None
            return
        log = program.home / "worker.log"
        process = program.start("worker", "--processes", str(WORKERS), "--log-level", "error", log=log)
        tree = Tree(process.pid)
        try:
            with self.redis.client() as client:
                wait_until(
                    lambda: len(tree.processes()) > WORKERS and client.info("clients")["blocked_clients"] > 0,
                    f"the workers wait for work: {log}",
                )
            yield tree
        finally:
            program.close()  # at once: an idle worker takes seconds to leave in its own time
            if contestant.ledger == "postgresql":
                self.postgres.drop_database(program.environment["SIPROSTER_LEDGER"].rpartition("/")[2])

    def _tree(self, name: str) -> Tree:
        """Return a server's processes; an empty tree where it was never started."""
        return Tree(getattr(self, name).process.pid if name in self.__dict__ else None)

    def _server(self, server: S) -> S:
        self._opened.callback(server.stop)
        return server

    def _subfolder(self, name: str) -> Path:
        path = self.folder / name
        path.mkdir()
        return path
