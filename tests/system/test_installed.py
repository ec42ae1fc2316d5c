"""The package as it is installed, away from the checkout."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_wheel_holds_every_template_of_phones(installed: Path) -> None:
    """The templates are no Python files, and without them `phones` would know no vendor."""
    folder = Path("worker") / "phones" / "templates"

    def files(root: Path) -> set[Path]:
        return {path.relative_to(root) for path in (root / folder).rglob("*") if path.is_file()}

    assert files(installed) == files(ROOT)
    assert {path.relative_to(folder).parts[0] for path in files(installed)} >= {
        "yealink",
        "poly",
        "_cards.css",
    }


def test_the_wheel_holds_the_program_alone(installed: Path) -> None:
    """Program, rooms and samples; no test, and nothing that would clash in site-packages."""
    entries = {path.name for path in installed.iterdir() if path.suffix not in (".dist-info", ".data")}
    assert entries == {"cli.py", "worker"}
    samples = {path.name for path in (ROOT / "samples").iterdir()}
    assert {path.name for path in (installed / "worker" / "samples").iterdir()} == samples


def test_the_wheel_holds_the_man_page(installed: Path) -> None:
    """Where pip and pipx put it, `man siproster` finds it."""
    (data,) = installed.glob("*.data")
    pages = [path.relative_to(data) for path in data.rglob("*") if path.is_file()]
    assert pages == [Path("data/share/man/man1/siproster.1")]
    assert (data / pages[0]).read_text("utf-8") == (ROOT / "docs" / "siproster.1").read_text("utf-8")
