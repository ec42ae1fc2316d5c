"""The systemd units: systemd knows each setting, the program knows each word, and little else is allowed."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.unit.test_compose import accepted
from worker.commands.run_processes import STOP_SECONDS
from worker.tasks import CONFIG
from worker.web.server import GRACE

FOLDER = Path(__file__).parents[2] / "samples" / "systemd"
UNITS = sorted(FOLDER.glob("*.service"))
PROGRAM = "/opt/siproster/bin/siproster"


def analyzed(folder: Path, unit: str, name: str, *command: str) -> tuple[int, str]:
    """Exit code and output of systemd-analyze for a unit whose program exists."""
    path = folder / name
    path.write_text(unit.replace(PROGRAM, "/bin/true"), "utf-8")
    words = ["systemd-analyze", *command, str(path)]
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return done.returncode, done.stdout


def value(unit: Path, name: str) -> str:
    """The value of one setting."""
    (line,) = [line for line in unit.read_text("utf-8").splitlines() if line.startswith(f"{name}=")]
    return line.partition("=")[2]


def test_there_is_a_worker_a_scheduler_and_the_page() -> None:
    """A host can run two workers and two schedulers, which are templates, and one page."""
    names = ["siproster-scheduler@.service", "siproster-serve.service", "siproster-worker@.service"]
    assert [unit.name for unit in UNITS] == names


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_systemd_accepts_the_unit(tmp_path: Path, unit: Path) -> None:
    """Without a word, and as a service with little to attack."""
    text = unit.read_text("utf-8")
    assert analyzed(tmp_path, text, unit.name, "verify", "--man=no") == (0, "")
    code, said = analyzed(tmp_path, text, unit.name, "security", "--offline=true", "--threshold=20")
    assert code == 0, said


def test_what_systemd_does_not_accept_would_be_seen(tmp_path: Path) -> None:
    """The checks above fail for a misspelt setting, and for a unit without its restrictions."""
    text = UNITS[0].read_text("utf-8")
    code, said = analyzed(
        tmp_path, text.replace("PrivateTmp", "PrivateTemp"), UNITS[0].name, "verify", "--man=no"
    )
    assert "'PrivateTemp' in section" in said
    plain = "\n".join(
        line for line in text.splitlines() if not line.startswith(("System", "Private", "Protect"))
    )
    code, _ = analyzed(tmp_path, plain, UNITS[0].name, "security", "--offline=true", "--threshold=20")
    assert code == 1


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_the_program_accepts_its_command(unit: Path) -> None:
    """The command is one of the program's, with its options."""
    program, *words = value(unit, "ExecStart").split()
    assert program == PROGRAM
    assert accepted(words).params["config"] == Path("/etc/siproster.toml")


def test_what_is_in_flight_may_end() -> None:
    """systemd kills a process only after it could have ended; SIGTERM doesn't reach the pool's processes."""
    scheduler, page, worker = UNITS
    assert int(value(worker, "TimeoutStopSec")) > CONFIG["worker_soft_shutdown_timeout"]
    assert int(value(scheduler, "TimeoutStopSec")) > STOP_SECONDS
    assert int(value(page, "TimeoutStopSec")) > GRACE
    assert {value(unit, "KillMode") for unit in (scheduler, worker)} == {"mixed"}


def test_imports_outlive_the_page() -> None:
    """A restart of the page stops none of the imports that were begun there."""
    assert value(FOLDER / "siproster-serve.service", "KillMode") == "process"
