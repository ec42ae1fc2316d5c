"""The program, set up by its user for the sandbox."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.program import CLI, Program
from tests.sandbox import Sandbox


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the wheel holds."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=CLI.parent, check=True, capture_output=True)
    (wheel,) = folder.glob("siproster-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


@pytest.fixture
def office(siproster: Program, sandbox: Sandbox) -> Program:
    """The program with the sandbox's account and nothing else set: embedded mode."""
    siproster.environment |= sandbox.environment()
    return siproster


@pytest.fixture
def hosts(office: Program, redis_url: str, postgres_url: str) -> Program:
    """The program as on several hosts: a broker, a common ledger and a common key; no worker yet."""
    key = office.run("keygen").stdout.strip()
    office.environment |= {
        "SIPROSTER_BROKER": redis_url,
        "SIPROSTER_LEDGER": postgres_url,
        "SIPROSTER_KEY": key,
    }
    return office


@pytest.fixture(params=["embedded", "workers"])
def either(request: pytest.FixtureRequest) -> Program:
    """The program in both modes, one after the other; with a broker there is one worker process."""
    program: Program
    if request.param == "embedded":
        program = request.getfixturevalue("office")
    else:
        program = request.getfixturevalue("hosts")
        program.start("worker", "--processes", "1", log=program.home / "worker.log")
    return program
