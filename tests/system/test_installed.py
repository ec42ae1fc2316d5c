"""The package as it is installed, away from the checkout."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_wheel_holds_the_program_alone(installed: Path) -> None:
    """Program, rooms and samples; no test, and nothing that would clash in site-packages."""
    entries = {path.name for path in installed.iterdir() if path.suffix != ".dist-info"}
    assert entries == {"cli.py", "worker"}
    samples = {path.name for path in (ROOT / "samples").iterdir()}
    assert {path.name for path in (installed / "worker" / "samples").iterdir()} == samples
