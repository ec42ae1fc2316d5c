"""The package as it is installed, away from the checkout."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.program import Program

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the wheel holds."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("siproster-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def test_the_wheel_holds_the_program_alone(installed: Path) -> None:
    """Program, rooms and samples; no test, and nothing that would clash in site-packages."""
    entries = {path.name for path in installed.iterdir() if path.suffix != ".dist-info"}
    assert entries == {"cli.py", "worker"}
    samples = {path.name for path in (ROOT / "samples").iterdir()}
    assert {path.name for path in (installed / "worker" / "samples").iterdir()} == samples


def test_the_demo_needs_no_checkout(installed: Path, tmp_path: Path) -> None:
    """`siproster demo` of an installed package imports its own copy of the sample roster."""
    program = Program(tmp_path / "home", cli=installed / "cli.py")
    finished = program.run("demo")
    program.close()
    assert finished.code == 0, finished.stderr
    assert "250" in finished.stdout + finished.stderr
