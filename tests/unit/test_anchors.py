"""Links and references lead to a page and a heading that exist: ``docs/bandwidth-api.md#digests``."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.documents import pages

ROOT = Path(__file__).parents[2]
PAGES = {name: ROOT / name for name in pages()}
CODE = sorted([ROOT / "cli.py", *(ROOT / "worker").rglob("*.py"), *(ROOT / "tests").rglob("*.py")])
REFERENCE = re.compile(r"\b((?:docs/[a-z/-]+|README)\.md)#([\w-]+)")
LINK = re.compile(r"\]\((?!https?:)([\w./-]*)#?([\w-]*)\)")


def anchor(heading: str) -> str:
    """Return the anchor that a page shown on a Git host gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page; lines of code blocks are no headings."""
    text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    return {anchor(heading) for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}


def dangling(text: str, pages: dict[str, Path]) -> list[str]:
    """Return the references in a text that lead to no heading."""
    found = REFERENCE.findall(text)
    return [f"{page}#{name}" for page, name in found if page not in pages or name not in anchors(pages[page])]


def test_references_in_the_code_lead_to_a_heading() -> None:
    """A section that is renamed must be renamed in the comments that send their reader there."""
    texts = {str(path.relative_to(ROOT)): path.read_text("utf-8") for path in CODE if path != Path(__file__)}
    assert {name: found for name, text in texts.items() if (found := dangling(text, PAGES))} == {}


@pytest.mark.parametrize("name", PAGES)
def test_links_in_the_documentation_lead_somewhere(name: str) -> None:
    """Links lead to a file or folder of the repository and, if they name a section, to a heading there."""
    page = PAGES[name]
    text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    links = [(page.parent / path if path else page, at) for path, at in LINK.findall(text)]
    assert [str(path) for path, _ in links if not path.exists()] == []
    assert [f"{path}#{at}" for path, at in links if at and at not in anchors(path)] == []


def test_the_sections_that_comments_refer_to_are_there() -> None:
    """The sections that comments refer to exist in the documentation."""
    needed = {"hosts-and-authentication", "digests", "realms", "credentials", "after-the-import"}
    assert needed <= anchors(PAGES["docs/bandwidth-api.md"])


def test_a_reference_to_nothing_is_found(tmp_path: Path) -> None:
    """A reference to a missing page or section is found; a heading within a code block is none."""
    page = tmp_path / "page.md"
    page.write_text("# A page\n\n## One, `two`\n\n```sh\n## three\n```\n")
    text = "docs/page.md#one-two docs/page.md#three docs/other.md#one-two"
    assert dangling(text, {"docs/page.md": page}) == ["docs/page.md#three", "docs/other.md#one-two"]
