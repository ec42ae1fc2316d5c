"""Credentials are never sent to a server that only a file in the working folder names."""

from __future__ import annotations

import http.server
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from tests.program import Program
from tests.sandbox import Sandbox
from tests.servers import Redis
from tests.system.accounts import on_account
from tests.tls import HOST, fronted


@contextmanager
def stranger() -> Iterator[tuple[str, list[str]]]:
    """Somebody else's server: its address, and what it was asked."""
    asked: list[str] = []

    class Stranger(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(f"{self.path} {self.headers}")
            self.send_error(404)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the library's name)
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Stranger) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()
        thread.join()


def core_limits(pid: int) -> set[tuple[int, int]]:
    """Return the core dump limits of a process and of all its children: soft and hard limit, in bytes."""
    process = psutil.Process(pid)
    family = [process, *process.children(recursive=True)]
    assert len(family) > 1
    return {one.rlimit(psutil.RLIMIT_CORE) for one in family}


def test_a_found_file_leads_no_credentials_astray(office: Program) -> None:
    """A server named by a found file gets no credentials, and a FIFO isn't read; --config takes either."""
    path = office.work / "siproster.toml"
    del office.environment["BW_API_URL"], office.environment["BW_VOICE_URL"]
    with stranger() as (url, asked):
        path.write_text(f'BW_API_URL = "{url}"')
        path.chmod(0o600)
        refused = office.run("realm", "list")
        assert (refused.code, asked) == (6, [])
        assert "BW_API_URL comes from siproster.toml" in refused.stderr
        assert "--config siproster.toml" in refused.stderr
        named = office.run("realm", "list", "--config", "siproster.toml")
        assert f"signing in at {url} (BW_API_URL, from siproster.toml)" in named.stderr
        assert len(asked) == 1
    path.unlink()
    os.mkfifo(path, 0o600)
    hangs = office.run("realm", "list", seconds=30)
    assert (hangs.code, "is not a regular file" in hangs.stderr) == (6, True), hangs.stderr


def test_workers_and_commands_share_a_redis_behind_tls(
    hosts: Program, sandbox: Sandbox, redis_server: Redis, tmp_path: Path
) -> None:
    """With SSL_CERT_FILE an import works over TLS; without it, doctor says what is missing, and exit code 5.

    The worker and its pool's processes, which open the seal, leave no core dump.
    """
    (tmp_path / "staff.csv").write_text("username,password\nbob,Tb7xQ2mK9rL4vN8s\n")
    with fronted(tmp_path, redis_server.port) as front:
        hosts.environment["SIPROSTER_BROKER"] = f"rediss://{HOST}:{front.port}/0"
        untrusted = hosts.run("doctor", "--json")
        (broker,) = [check for check in untrusted.json["checks"] if check["name"] == "broker"]
        assert (untrusted.code, broker["state"], "SSL_CERT_FILE" in broker["hint"]) == (5, "trouble", True)
        hosts.environment["SSL_CERT_FILE"] = str(front.certificate)
        worker = hosts.start("worker", "--processes", "1", log=hosts.home / "worker.log")
        assert hosts.run("import", tmp_path / "staff.csv").code == 0
        assert core_limits(worker.pid) == {(0, 0)}
        log = (hosts.home / "worker.log").read_text()
    assert "insecure" not in log
    assert on_account(sandbox) == {"bob"}


def test_a_host_that_is_not_bandwidths_is_told_once(
    office: Program, sandbox: Sandbox, tmp_path: Path
) -> None:
    """Another host than Bandwidth's is reported by commands that sign in, and by no others."""
    (tmp_path / "staff.csv").write_text("username,password\nbob,Tb7xQ2mK9rL4vN8s\n")
    line = f"signing in at {sandbox.url} (BW_API_URL, from environment)"
    assert office.run("import", tmp_path / "staff.csv").stderr.count(line) == 1
    assert "signing in" not in office.run("jobs").stderr
