"""A command that waits says what it waits for: soon, repeatedly, and until when."""

from __future__ import annotations

import os
import pty
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.program import Program
from tests.sandbox import ACCOUNT, Sandbox
from tests.scripted import Asked, Scripted, Told, scripted
from tests.servers import Redis
from tests.system.rosters import users, write
from tests.system.runs import end_of, run, until

APPLICATION = "7b2f8f6e-1111-2222-3333-abcdefabcdef"
NO_WORKER = f"no worker answers for account {ACCOUNT}: start one with `siproster worker`"

SAID = re.compile(
    r"waiting for the service: .{1,120}?; gives up in (5[6-9] s|60 s|9:5[6-9]|10:00)"
    r"|no answer from the service for [0-3] s; the request's deadline is 30 s"
    r"|429: the service asked for a pause; continues in (2[6-9]|30|31) s"
)
"""Texts of which one must appear within three seconds, by how long the wait has lasted or will last."""


@dataclass
class Gate:
    """Leads to the sandbox; requests that match ``away`` ("METHOD path") find the service away.

    ``how``: a status, or 0 for no answer at all. ``passing``: so many of them are let through before.
    ``after``: the first request that finds it away.
    """

    sandbox: str
    away: str
    how: int
    passing: int = 0
    after: str = ""
    open: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, asked: Asked) -> Told:
        named = f"{asked.method} {asked.path}"
        if self.after and re.search(self.after, named):
            self.after = ""
        if not self.open.is_set() and not self.after and re.search(self.away, named):
            with self._lock:
                self.passing -= 1
            if self.passing < 0:
                return self._told()
        kept = ("authorization", "content-type", "accept")
        headers = {name: value for name, value in asked.headers.items() if name in kept}
        url = f"{self.sandbox}{asked.path}"
        with httpx.Client(trust_env=False, timeout=30) as client:
            answer = client.request(asked.method, url, headers=headers, content=asked.body)
        return Told(answer.status_code, answer.content)

    def _told(self) -> Told:
        if not self.how:
            self.open.wait(60)
        return Told(self.how or 503, b"", {"Retry-After": "30"} if self.how == 429 else {})


@dataclass(frozen=True)
class Stage:
    """A command, and the request at which the service is away."""

    name: str
    command: str
    away: str
    how: int
    passing: int = 0
    after: str = ""


STAGES = [
    Stage("token", "realm list", "POST .*/oauth2/token", 503),
    Stage("realms", "realm list", "GET .*/realms", 0),
    Stage("realms of a plan", "plan ROSTER", "GET .*/realms", 503),
    Stage("list", "import ROSTER", "GET .*/sipcredentials", 0),
    Stage("users", "credential list", "GET .*/sipcredentials", 429),
    Stage("first post", "import ROSTER", "POST .*/sipcredentials", 503),
    Stage("middle", "import ROSTER --batch-size 2 --concurrency 1", "POST .*/sipcredentials", 0, 3),
    Stage("a slow-down", "import ROSTER --batch-size 2 --concurrency 1", "POST .*/sipcredentials", 429, 3),
    Stage("lost answers", "import ROSTER", "/sipcredentials", 500, 0, "POST .*/sipcredentials"),
    Stage("undo", "undo JOB --yes", "GET .*/sipcredentials", 503),
    Stage("verify", "verify ROSTER", "GET .*/realms", 503),
    Stage("call", f"call ext0 --from +19195551234 --application {APPLICATION} --answer-url https://x.example/",
          "GET .*/realms", 0),
]  # fmt: skip


class Run:
    """A command at one stage, on a terminal or with its words in a file."""

    def __init__(self, stage: Stage, home: Path, gate: Gate, url: str, *, terminal: bool) -> None:
        self.stage, self.gate, self.terminal = stage, gate, terminal
        self.program = Program(home)
        self.program.environment |= {
            "BW_ACCOUNT_ID": ACCOUNT, "BW_CLIENT_ID": "sandbox", "BW_CLIENT_SECRET": "sandbox",
            "BW_API_URL": url, "BW_VOICE_URL": url, "TERM": "xterm",
        }  # fmt: skip
        self.roster = home / "r.csv"
        self.job = ""
        self._text = ""

    def start(self) -> None:
        """Start it, and read all that it says."""
        meant = {"ROSTER": str(self.roster), "JOB": self.job}
        words = [meant.get(word, word) for word in self.stage.command.split()]
        ours, theirs = pty.openpty() if self.terminal else os.pipe()
        self.process = subprocess.Popen(
            [sys.executable, str(self.program.cli), *words], cwd=self.program.work,
            env=self.program.environment, stdin=theirs if self.terminal else subprocess.DEVNULL,
            stdout=theirs if self.terminal else subprocess.DEVNULL, stderr=theirs, text=True,
            start_new_session=True,
        )  # fmt: skip
        os.close(theirs)
        self.program.started.append(self.process)
        self.reader = threading.Thread(target=self._read, args=(ours,), daemon=True)
        self.reader.start()

    @property
    def text(self) -> str:
        """Return everything printed, without a terminal's escapes and line breaks."""
        return " ".join(re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self._text).split())

    @property
    def name(self) -> str:
        return f"{self.stage.name}, {'terminal' if self.terminal else 'file'}"

    def _read(self, descriptor: int) -> None:
        with suppress(OSError):  # a terminal's end
            while piece := os.read(descriptor, 65_536):
                self._text += piece.decode(errors="replace")
        os.close(descriptor)


@contextmanager
def runs(sandbox: Sandbox, folder: Path) -> Iterator[list[Run]]:
    """Every stage in both ways, each with a gate, a home and a ledger of its own."""
    with ExitStack() as stack:
        made = []
        for number, stage in enumerate(STAGES):
            for terminal in (False, True):
                gate = Gate(sandbox.url, stage.away, stage.how, stage.passing, stage.after)
                server: Scripted = stack.enter_context(scripted(gate))
                stack.callback(gate.open.set)
                home = folder / f"{number}{terminal:d}"
                made.append(Run(stage, home, gate, server.url, terminal=terminal))
                stack.callback(made[-1].program.close)
                rows = [{"user": u.name, "pass": u.password} for u in users(20, len(made) * 100)]
                write(made[-1].roster, rows)
        yield made


def test_the_service_is_away_at_every_stage(sandbox: Sandbox, tmp_path: Path) -> None:
    """Within three seconds each command says what it waits for and until when; Ctrl-C is no outage.

    All stages at once, since each of them only waits. Afterwards one goes on, and one is interrupted.
    """
    with runs(sandbox, tmp_path) as made:
        prepare_undo(made)
        for one in made:
            one.start()
        end = time.monotonic() + 60
        while silent := [one for one in made if not SAID.search(one.text)]:
            assert time.monotonic() < end, {one.name: one.text for one in silent}
            time.sleep(0.1)
        beside = [one.name for one in made if re.search(rf"({SAID.pattern}).{{0,40}} \d:\d\d:\d\d", one.text)]
        assert beside == []  # no time left of before stands beside a wait
        by_name = {one.name: one for one in made}
        goes_on(by_name["first post, file"])
        is_interrupted(by_name["middle, file"])


def prepare_undo(made: list[Run]) -> None:
    """Import something to undo, while the service is there."""
    for one in made:
        if one.stage.name == "undo":
            one.gate.open.set()
            one.job = run(one.program, "import", one.roster)["job"]
            one.gate.open.clear()


def goes_on(one: Run) -> None:
    """Assert that, with the service back, a line says so, and the job ends well."""
    one.gate.open.set()
    assert one.process.wait(60) == 0, one.text
    one.reader.join(60)
    assert re.search(r"the service (answers|takes requests) again after \d+ s", one.text), one.text


def is_interrupted(one: Run) -> None:
    """Assert that Ctrl-C during a wait is an interruption, and no service is blamed."""
    job = re.search(r"job (\S+)", one.text)
    assert job is not None
    one.process.send_signal(signal.SIGINT)
    one.gate.open.set()
    assert one.process.wait(60) == 130, one.text
    status = run(one.program, "status", job[1])
    assert status["state"] == "paused"
    assert status["why"].startswith("interrupted: ")


def test_patience_ends_whatever_other_batches_do(office: Program, sandbox: Sandbox, tmp_path: Path) -> None:
    """If one batch is put off for an hour while others succeed, the job pauses when patience is over."""
    roster = write(tmp_path / "r.csv", [{"user": u.name, "pass": u.password} for u in users(6)])

    def answer(asked: Asked) -> Told:
        told = gate(asked)
        slow = asked.method == "POST" and b"<UserName>ext5<" in asked.body
        return Told(429, b"", {"Retry-After": "3600"}) if slow else told

    gate = Gate(sandbox.url, "nothing", 503)
    with scripted(answer) as server:
        options = ("--patience", "3", "--batch-size", "1", "--chunk-size", "1", "--concurrency", "1")
        office.environment["BW_API_URL"] = server.url
        ended = run(office, "import", roster, *options, code=7)
    assert ended["state"] == "paused"
    assert ended["why"].startswith("throttled: ")
    assert ended["counts"]["unprocessed"] >= 1


# Workers that are not there


def test_that_there_is_no_worker_is_said(hosts: Program, tmp_path: Path) -> None:
    """Without a worker, --detach, status, doctor and Ctrl-C say so; with one, they no longer do."""
    roster = write(tmp_path / "r.csv", [{"user": u.name, "pass": u.password} for u in users(4)])
    detached = hosts.run("import", roster, "--detach", "--json")
    assert detached.code == 0
    assert NO_WORKER in detached.stderr
    job = detached.json["job"]
    assert run(hosts, "status", job)["waits"] == NO_WORKER
    assert "no worker answers" in hosts.run("doctor").stdout
    watching = hosts.start("resume", job)
    assert watching.stderr is not None
    until(lambda: NO_WORKER in str(watching.stderr and watching.stderr.readline()), watching)
    watching.send_signal(signal.SIGINT)
    interrupted = end_of(watching)
    assert interrupted.code == 130
    assert f"job {job} is waiting for a worker" in interrupted.stderr
    worker = hosts.start("worker", "--processes", "1", log=hosts.home / "worker.log")
    assert hosts.run("status", job, "--follow").code == 0
    assert "1 answers" in hosts.run("doctor").stdout
    worker.send_signal(signal.SIGTERM)
    worker.wait(60)
    assert "no worker answers" in hosts.run("doctor").stdout


# Servers of our own that go and come back


class Relay:
    """A connection to a server that can be cut: connections end, and new ones are refused."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._pairs: list[socket.socket] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self._accept()

    def _accept(self) -> None:
        threading.Thread(target=self._serve, args=(self._listening,), daemon=True).start()

    def _serve(self, listening: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _ = listening.accept()
                server = socket.create_connection(("127.0.0.1", self._to))
                self._pairs += [client, server]
                for source, target in ((client, server), (server, client)):
                    threading.Thread(target=self._pump, args=(source, target), daemon=True).start()

    @staticmethod
    def _pump(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while piece := source.recv(65_536):
                target.sendall(piece)
        for one in (source, target):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def cut(self) -> None:
        """Cut the connection."""
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for one in self._pairs:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        self._pairs = []

    def mend(self) -> None:
        """Restore the connection, at the same address."""
        self._listening = socket.create_server(("127.0.0.1", self.port))
        self._accept()


def test_outages_of_the_ledger_and_of_redis_are_said_once(
    hosts: Program, sandbox: Sandbox, make_redis: Callable[[], Redis], tmp_path: Path
) -> None:
    """A worker logs when each goes and when it is back; the command says it, too, and goes on."""
    ledger, broker = hosts.environment["SIPROSTER_LEDGER"], make_redis()
    port = re.search(r":(\d+)/", ledger)
    assert port is not None
    relay = Relay(int(port[1]))
    hosts.environment |= {
        "SIPROSTER_LEDGER": ledger.replace(f":{port[1]}/", f":{relay.port}/"), "SIPROSTER_BROKER": broker.url
    }  # fmt: skip
    log = hosts.home / "worker.log"
    worker = hosts.start("worker", "--processes", "1", log=log)
    sandbox.knobs(latency=0.4)
    roster = write(tmp_path / "r.csv", [{"user": u.name, "pass": u.password} for u in users(60)])
    options = ("--batch-size", "1", "--concurrency", "1", "--chunk-size", "5")
    words = hosts.home / "words"
    importing = hosts.start("import", roster, *options, log=words)
    until(lambda: sandbox.credentials(), importing)
    relay.cut()
    until(lambda: "waiting for the ledger: " in words.read_text(), importing)
    until(lambda: "the ledger does not answer" in log.read_text(), worker)
    relay.mend()
    until(lambda: "the ledger answers again after " in words.read_text(), importing)
    until(lambda: "the ledger answers again after " in log.read_text(), worker)
    gone = ": the worker waits for it"
    back = re.compile(r"worker\.presence: Redis answers again after ")
    broker.kill()
    until(lambda: gone in log.read_text(), worker)
    broker.restart()
    until(lambda: back.search(log.read_text()), worker)
    importing.send_signal(signal.SIGINT)
    importing.wait(60)
    lines = log.read_text().splitlines()
    assert len([line for line in lines if gone in line]) == 1
    assert len([line for line in lines if "the ledger does not answer" in line]) == 1
    noise = ("Traceback", "Connection to broker lost", "Cannot connect to", "rejected")
    assert [line for line in lines if any(word in line for word in noise)] == []
