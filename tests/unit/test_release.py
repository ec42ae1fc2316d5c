"""``make release`` refuses what doesn't fit together; a real Git repository has the tags."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.release import problems, version_of

ROOT = Path(__file__).parents[2]
GIT = ("git", "-c", "user.name=dana", "-c", "user.email=dana@example.com")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository of one commit, with version 1.2.0 and its changelog."""
    (tmp_path / "worker").mkdir()
    (tmp_path / "worker/__init__.py").write_text('__version__ = "1.2.0"\n')
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n## [1.2.0]\n\n- new\n\n## [1.1.0]\n\n- old\n")
    git(tmp_path, "init", "--quiet")
    commit(tmp_path)
    return tmp_path


def git(folder: Path, *words: str) -> None:
    """Run Git in a repository."""
    subprocess.run([*GIT, *words], cwd=folder, check=True, capture_output=True)


def commit(folder: Path) -> None:
    """Commit everything."""
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "x")


def found(folder: Path, *, final: bool) -> str:
    """Return the problems of a release."""
    return "\n".join(problems(folder, final=final))


def test_a_tagged_commit_is_a_release(checkout: Path) -> None:
    """Before the tag only a final check refuses it; with the tag none does."""
    assert found(checkout, final=False) == ""
    assert "git tag -a v1.2.0" in found(checkout, final=True)
    git(checkout, "tag", "v1.2.0")
    assert found(checkout, final=True) == ""


def test_a_tag_of_another_version(checkout: Path) -> None:
    """Neither another version's tag at this commit, nor this version's at another one."""
    git(checkout, "tag", "v1.1.0")
    assert "tagged v1.1.0, but the version is 1.2.0" in found(checkout, final=False)
    git(checkout, "tag", "v1.2.0")
    (checkout / "more").write_text("x")
    commit(checkout)
    assert "raise __version__" in found(checkout, final=False)


@pytest.mark.parametrize(
    ("changelog", "problem"),
    [
        ("## [1.3.0]\n\n- new\n", "is 1.3.0, not 1.2.0"),
        ("## [1.2.0]\n\n## [1.1.0]\n\n- old\n", "section 1.2.0 of CHANGELOG.md is empty"),
        ("# Changelog\n", "is none, not 1.2.0"),
    ],
)
def test_a_changelog_that_does_not_fit(checkout: Path, changelog: str, problem: str) -> None:
    """The topmost section is the version's and says something."""
    (checkout / "CHANGELOG.md").write_text(changelog)
    assert problem in found(checkout, final=False)


def test_changes_that_are_not_committed(checkout: Path) -> None:
    """A release is built from a commit, not from what lies about; a check may be."""
    git(checkout, "tag", "v1.2.0")
    (checkout / "more").write_text("x")
    assert found(checkout, final=False) == ""
    assert "not committed" in found(checkout, final=True)


def test_the_project_itself_fits_together() -> None:
    """Version and changelog of this checkout agree."""
    assert version_of(ROOT)
    assert [one for one in problems(ROOT, final=False) if "CHANGELOG" in one] == []
