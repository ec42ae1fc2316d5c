"""What newcomers and maintainers are told exists: make targets, paths, templates and hooks."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
PAGES = ("CONTRIBUTING.md", "SECURITY.md", "docs/releasing.md")
TEMPLATES = sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml"))
KINDS = {"markdown", "input", "textarea", "checkboxes"}


@pytest.mark.parametrize("page", PAGES)
def test_targets_and_paths_exist(page: str) -> None:
    """Each `make TARGET` is in the Makefile, and each path in backticks is in the repository."""
    text = (ROOT / page).read_text("utf-8")
    called = {word for words in re.findall(r"`make ([a-z -]+)", text) for word in words.split()}
    assert called - set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE)) == set()
    paths = re.findall(r"`((?:worker|tests|docs|samples)/[\w./-]+|[\w-]+\.(?:toml|txt))`", text)
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_every_target_says_what_it_is_for() -> None:
    """The Makefile's head comment has each target that may be called."""
    phony = re.search(r"^\.PHONY: (.*)$", MAKEFILE.replace("\\\n", ""), re.MULTILINE)
    assert phony
    head = MAKEFILE.partition("\n\n")[0]
    assert [name for name in phony[1].split() if f"make {name}" not in head] == ["format", "clean"]


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_each_issue_template_is_a_form(path: Path) -> None:
    """A form has a name, a description, and fields of known kinds, each with a label and its own id."""
    form: dict[str, Any] = yaml.safe_load(path.read_text("utf-8"))
    if path.stem == "config":
        assert form == {"blank_issues_enabled": True}
        return
    assert form.keys() == {"name", "description", "labels", "body"}
    fields = [one for one in form["body"] if one["type"] != "markdown"]
    assert {one["type"] for one in form["body"]} <= KINDS
    assert all(one["attributes"]["label"] for one in fields)
    assert len({one["id"] for one in fields}) == len(fields)


def test_hooks_fetch_nothing() -> None:
    """Each hook is a tool of .venv that the project pins itself."""
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))
    (local,) = config["repos"]
    assert local["repo"] == "local"
    for hook in local["hooks"]:
        assert hook["language"] == "system"
        assert re.match(r"\.venv/bin/(ruff|dmypy) ", hook["entry"])
