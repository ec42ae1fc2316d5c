"""One fleet of workers for several accounts: fair between them, whatever one of them is held up by."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.program import Program
from tests.sandbox import Sandbox
from tests.system.rosters import roster_of, users
from tests.system.runs import until

EAST, WEST = "9900001", "9900002"
SLOWLY = ("--batch-size", "1", "--chunk-size", "10", "--concurrency", "2", "--yes", "--detach", "--json")
REFUSED = {"probability": 1, "method": "POST", "path": f"/accounts/{EAST}/"}


@pytest.fixture
def service(make_sandbox: Callable[..., Sandbox]) -> Sandbox:
    """A service with two accounts, which takes a moment for each request."""
    service = make_sandbox("--account", EAST, "--account", WEST)
    service.knobs(latency=0.03)
    return service


@pytest.fixture
def fleet(siproster: Program, service: Sandbox, redis_url: str, postgres_url: str) -> Program:
    """The program with a profile for each of two accounts, and two workers that serve both."""
    settings_file(siproster, service, redis_url, postgres_url)
    for number in range(2):
        log = siproster.home / f"worker-{number}.log"
        siproster.start("worker", "--processes", "1", "--all-profiles", log=log)
        until(partial(started, log))
    siproster.start("scheduler", "--profile", "east", log=siproster.home / "scheduler.log")
    return siproster


def settings_file(program: Program, service: Sandbox, broker: str, ledger: str) -> Path:
    """The program's siproster.toml, with the profiles east and west."""
    common = {
        "SIPROSTER_BROKER": broker,
        "SIPROSTER_LEDGER": ledger,
        "SIPROSTER_KEY": program.run("keygen").stdout.strip(),
    }
    text = toml(common)
    for name, account in (("east", EAST), ("west", WEST)):
        text += f"[profile.{name}]\n" + toml(service.environment() | {"BW_ACCOUNT_ID": account})
    file = program.work / "siproster.toml"
    file.write_text(text, "utf-8")
    file.chmod(0o600)
    return file


def toml(values: dict[str, str]) -> str:
    """Settings as lines of the file."""
    return "".join(f'{name} = "{value}"\n' for name, value in values.items())


def started(log: Path) -> bool:
    """Whether a worker has said all that it says before its pool starts."""
    return "key " in said(log)


def said(log: Path) -> str:
    """What a process has printed so far."""
    return log.read_text("utf-8") if log.exists() else ""


def begun(fleet: Program, profile: str, rows: int, first: int = 0) -> str:
    """Start a detached import of so many users; return its job."""
    roster = roster_of(fleet.work / f"{profile}-{time.monotonic_ns()}.csv", users(rows, first=first))
    started = fleet.run("import", roster, "--profile", profile, *SLOWLY)
    assert started.code == 0, started.stderr
    return str(started.json["job"])


def status(fleet: Program, job: str, profile: str) -> dict[str, Any]:
    """The job's summary."""
    summary: dict[str, Any] = fleet.run("status", job, "--profile", profile, "--json").json
    return summary


def span_of(fleet: Program, service: Sandbox, job: str) -> float:
    """Seconds from the first to the last of west's requests that create, once its job is done."""
    until(lambda: status(fleet, job, "west")["state"] == "done")
    assert status(fleet, job, "west")["counts"] == {"created": 200}
    times = [line["time"] for line in service.log("POST", f"/accounts/{WEST}/")][-200:]
    return float(times[-1] - times[0])


@pytest.mark.parametrize(
    "answer", [{"answer": "none"}, {"answer": "seconds", "seconds": 25}], ids=["429 for ever", "cool-down"]
)
def test_an_account_at_a_standstill_takes_nothing_from_another(
    fleet: Program, service: Sandbox, answer: dict[str, Any]
) -> None:
    """East stands still with twenty chunks on the queue: west is served as fast as it was alone.

    The two times are of the same machine in the same minute; without giving way one is ten times the other.
    """
    alone = span_of(fleet, service, begun(fleet, "west", 200))
    service.knobs(too_many_requests=REFUSED | answer)
    east = begun(fleet, "east", 200)
    until(lambda: service.log("POST", f"/accounts/{EAST}/"))
    beside = span_of(fleet, service, begun(fleet, "west", 200, first=200))
    assert status(fleet, east, "east")["counts"] == {"unprocessed": 200}
    assert beside < 4 * alone, (alone, beside)  # a busy machine alone makes it 2
    service.knobs(too_many_requests=None)
    for log in fleet.home.glob("*.log"):
        assert "Traceback" not in said(log)


def test_an_account_whose_credentials_are_refused_ends_no_fleet(
    service: Sandbox, siproster: Program, redis_url: str, postgres_url: str
) -> None:
    """The worker serves the others and names it; with no other account it ends with the refusal."""
    file = settings_file(siproster, service, redis_url, postgres_url)
    file.write_text(file.read_text("utf-8") + '[profile.north]\nBW_ACCOUNT_ID = "1"\nBW_CLIENT_ID = "x"\n'
                    f'BW_CLIENT_SECRET = "canary-5d"\nBW_API_URL = "{service.url}"\n', "utf-8")  # fmt: skip
    log = siproster.home / "worker.log"
    siproster.start("worker", "--processes", "1", "--all-profiles", log=log)
    until(partial(started, log))
    assert f"account 1 at {service.url} is not served: " in said(log)
    assert "2 queues" in said(log)
    alone = siproster.run("worker", "--profile", "north")
    assert alone.code == 2, alone.stderr
    assert "canary-5d" not in said(log) + alone.stderr
