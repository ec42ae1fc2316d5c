"""Checks a release, builds it, and tries what was built: ``make release-check``, ``make release``.

``python -m tests.release [--final]``; ``--final`` refuses a tree with changes and a commit without the tag.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import venv
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
DIST = ROOT / "dist"
ENGINES = ("docker", "podman", "buildah")


class Refused(Exception):
    """The release is not as it should be."""


def version_of(root: Path) -> str:
    """Return the version that the program gives itself."""
    found = re.search(
        r'^__version__ = "(.+)"$', (root / "worker/__init__.py").read_text("utf-8"), re.MULTILINE
    )
    if not found:
        raise Refused("worker/__init__.py has no __version__")
    return found[1]


def problems(root: Path, *, final: bool) -> Iterator[str]:
    """Yield what is wrong with version, changelog and tag. ``final``: nothing may be missing any more."""
    version = version_of(root)
    topmost = re.search(
        r"^## \[(.+?)\](.*?)(?=^## |\Z)", _read(root, "CHANGELOG.md"), re.MULTILINE | re.DOTALL
    )
    if not topmost or topmost[1] != version:
        yield f"the topmost section of CHANGELOG.md is {topmost[1] if topmost else 'none'}, not {version}"
    elif not re.search(r"^- ", topmost[2], re.MULTILINE):
        yield f"the section {version} of CHANGELOG.md is empty"
    tag = f"v{version}"
    here = _git(root, "tag", "--points-at", "HEAD").split()
    if others := [one for one in here if re.match(r"v\d", one) and one != tag]:
        yield f"this commit is tagged {', '.join(others)}, but the version is {version}"
    elif tag not in here and _git(root, "tag", "--list", tag):
        yield f"the tag {tag} is on another commit: {version} was released; raise __version__"
    elif tag not in here and final:
        yield f"this commit isn't tagged: git tag -a {tag}"
    if final and (changed := _git(root, "status", "--porcelain")):
        yield f"there are changes that are not committed:\n{changed}"


def build(root: Path, dist: Path) -> tuple[Path, Path]:
    """Build the sdist, and the wheel from what is in it, so that it lacks nothing. Return both paths."""
    shutil.rmtree(dist, ignore_errors=True)
    _run(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", dist, cwd=root)
    (sdist,) = dist.glob("*.tar.gz")
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(sdist) as archive:
            archive.extractall(folder, filter="data")
        (source,) = Path(folder).iterdir()
        _run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", dist, cwd=source)
    (wheel,) = dist.glob("*.whl")
    return sdist, wheel


def try_wheel(wheel: Path, version: str) -> None:
    """Install the wheel into a virtual environment of its own, and run it away from the checkout."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        venv.create(place / "venv", with_pip=True)
        pip = (place / "venv/bin/python", "-m", "pip", "--disable-pip-version-check", "--quiet")
        _run(*pip, "install", "--constraint", ROOT / "constraints.txt", wheel, cwd=place)
        _run(*pip, "check", cwd=place)
        try_program([str(place / "venv/bin/siproster")], version, place)


def try_program(program: Sequence[str], version: str, folder: Path) -> None:
    """Run ``--version`` and the whole demo with nothing of this environment set. Raises Refused."""
    told = _run(*program, "--version", cwd=folder).strip()
    if told != f"siproster, version {version}":
        raise Refused(f"{program[0]} --version says: {told}")
    _run(*program, "demo", cwd=folder)
    print(f"  --version and demo: good ({program[0]})")


def try_image(version: str) -> None:
    """Build the image and run it, with the first engine that works here; else say that it wasn't tried."""
    engine = next(filter(_works, ENGINES), None)
    if engine is None:
        print(f"  NOT BUILT OR TRIED: the image, since none of {', '.join(ENGINES)} works here")
        return
    image = f"siproster:{version}"
    _run(engine, *(["bud"] if engine == "buildah" else ["build"]), "--tag", image, ROOT, cwd=ROOT)
    if engine == "buildah":
        container = _run(engine, "from", image, cwd=ROOT).strip()
        program = [engine, "run", container, "--", "siproster"]
    else:
        program = [engine, "run", "--rm", image]
    try_program(program, version, ROOT)


def _works(engine: str) -> bool:
    """Return whether an engine is installed and answers."""
    found = shutil.which(engine)
    return bool(found) and subprocess.run([engine, "info"], capture_output=True, check=False).returncode == 0


def _run(*command: str | Path, cwd: Path) -> str:
    """Return a command's stdout. Raises Refused with all that it printed, if it fails."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(cwd), "LANG": "C.UTF-8"}
    passed = {
        name: value for name, value in os.environ.items() if re.match("PIP_|DOCKER_|https?_proxy", name)
    }
    ended = subprocess.run(
        [*map(str, command)], cwd=cwd, env=environment | passed, capture_output=True, text=True, check=False
    )
    if ended.returncode:
        said = f"{ended.stdout}{ended.stderr}".strip()
        raise Refused(f"{' '.join(map(str, command))} ended with {ended.returncode}:\n{said}")
    return ended.stdout


def _git(root: Path, *words: str) -> str:
    return subprocess.run(
        ["git", *words], cwd=root, capture_output=True, text=True, check=True
    ).stdout.rstrip()


def _read(root: Path, name: str) -> str:
    return (root / name).read_text("utf-8")


def main() -> None:
    """Check, build and try; exit with 1 and the reason if anything is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--final", action="store_true", help="for a release: tagged, and without changes")
    final = parser.parse_args().final
    try:
        if found := list(problems(ROOT, final=final)):
            raise Refused("\n".join(found))
        version = version_of(ROOT)
        print(f"siproster {version}: version, changelog and tag agree")
        sdist, wheel = build(ROOT, DIST)
        print(f"built {sdist.relative_to(ROOT)} and, from it, {wheel.relative_to(ROOT)}")
        try_wheel(wheel, version)
        try_image(version)
    except Refused as refused:
        sys.exit(f"not released: {refused}")


if __name__ == "__main__":
    main()
