"""The pictures in docs/images, made from the running program: ``make screenshots``.

The terminal is a real one, in tmux; report and page are shown by Debian's Chromium.
"""

from __future__ import annotations

import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright
from rich.console import Console
from rich.text import Text

from tests.browser.office import Office, Visitor
from tests.browser.tab import SCHEMES, Tab, launch
from tests.sandbox import Sandbox

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"
COLUMNS, LINES = 100, 30

_SVG = """\
<svg viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-size: {char_height}px; line-height: {line_height}px }}
.{unique_id}-title {{ font: bold 18px sans-serif }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/>
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""
"""A drawing of a terminal that fetches nothing: rich's own names fonts of the web."""


class Terminal:
    """A terminal of 100 columns, in which commands are typed."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self._tmux = ["tmux", "-S", str(folder / "tmux"), "-f", "/dev/null"]
        program = folder / "bin" / "siproster"
        program.parent.mkdir()
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{ROOT / "cli.py"}" "$@"\n', "utf-8")
        program.chmod(0o755)
        usual = {
            "HOME": str(folder), "PATH": f"{program.parent}:/usr/bin:/bin", "TERM": "xterm-256color",
            "LANG": "C.UTF-8", "TZ": "UTC", "PS1": "$ ",
        }  # fmt: skip
        words = [f"{name}={value}" for name, value in {**usual, **environment}.items()]
        self._run("new-session", "-d", "-x", str(COLUMNS), "-y", str(LINES), "-c", str(folder),
                  "env", "-i", *words, "bash", "--norc")  # fmt: skip

        self.wait_for(lambda shown: "$" in shown)

    def type(self, line: str) -> None:
        """Type a line."""
        self._run("send-keys", "-l", line)
        self._run("send-keys", "Enter")

    def shown(self) -> str:
        """Return what it shows, with its colours."""
        return self._run("capture-pane", "-e", "-p")

    def wait_for(self, what: Callable[[str], bool]) -> str:
        """Return what it shows once that is true of it."""
        for _ in range(600):
            if what(shown := self.shown()):
                return shown
            time.sleep(0.1)
        raise AssertionError(f"after a minute the terminal shows:\n{shown}")

    def close(self) -> None:
        """End it, and what runs in it."""
        self._run("kill-server")

    def _run(self, *words: str) -> str:
        return subprocess.run([*self._tmux, *words], check=True, capture_output=True, text=True).stdout


def draw(terminal: Terminal, path: Path) -> None:
    """Draw what a terminal shows, in a home folder of the usual length."""
    shown = terminal.shown().replace(str(terminal.folder), "/home/dana")
    shown = re.sub(r"\n\$ *$", "", shown.rstrip("\n")) + "\n"
    with Path("/dev/null").open("w") as nothing:
        console = Console(record=True, width=COLUMNS, file=nothing)
        console.print(Text.from_ansi(shown), soft_wrap=True)
    path.write_text(console.export_svg(title="siproster", code_format=_SVG, unique_id=path.stem), "utf-8")


def roster(path: Path, rows: int) -> None:
    """Write a roster with some rows that need a look."""
    draws = random.Random(7)
    alphabet = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"
    sites = ("Raleigh", "Durham", "Cary")
    lines = ["extension,secret,name,site"]
    for number in range(rows):
        secret = "".join(draws.choices(alphabet, k=18))
        if number in (140, 611):
            secret = ""
        lines.append(f"{2100 + number},{secret},User {2100 + number},{sites[number % 3]}")
    path.write_text("\n".join(lines) + "\n", "utf-8")


def terminal_pictures(folder: Path, sandbox: Sandbox) -> None:
    """Draw an import on its way, and its end."""
    roster(folder / "staff.csv", 1_500)
    (folder / "siproster.toml").write_text("rate = 4\nbatch-size = 50\n", "utf-8")
    sandbox.knobs(latency=0.4)
    with closing(Terminal(folder, sandbox.environment())) as terminal:
        terminal.type("siproster import staff.csv")
        terminal.wait_for(lambda shown: "rows/s" in shown)
        time.sleep(1.5)
        draw(terminal, IMAGES / "terminal-progress.svg")
        terminal.wait_for(lambda shown: "summary.json" in shown)
        draw(terminal, IMAGES / "terminal-results.svg")
    sandbox.knobs(latency=0)


def page_pictures(folder: Path, sandbox: Sandbox, browser: Browser) -> None:
    """Photograph the steps of the page, and the report of the job that it began."""
    roster(folder / "staff.csv", 180)
    sandbox.reset()
    office = Office(folder / "office", sandbox)
    try:
        with closing(Tab(browser, viewport={"width": 1200, "height": 900})) as tab:
            visitor = Visitor(office, tab)
            visitor.upload(folder / "staff.csv")
            visitor.plan()
            photograph(tab, "page-plan")
            visitor.approve()
            visitor.result()
            photograph(tab, "page-results")
            (report,) = office.program.work.glob("*/report.html")
            tab.page.goto(report.as_uri())
            photograph(tab, "report")
    finally:
        office.close()


def photograph(tab: Tab, name: str) -> None:
    """Take a picture of what a tab shows without scrolling, in light and dark."""
    for scheme in SCHEMES:
        tab.page.emulate_media(color_scheme=scheme)
        tab.page.screenshot(path=IMAGES / f"{name}-{scheme}.png")


@contextmanager
def prepared() -> Iterator[tuple[Path, Sandbox]]:
    """Yield a new folder, and a service of its own."""
    folder = Path(tempfile.mkdtemp(prefix="s", dir="/tmp"))
    sandbox = Sandbox(folder)
    try:
        yield folder, sandbox
    finally:
        sandbox.close()
        shutil.rmtree(folder)


def main() -> None:
    """Make every picture anew."""
    IMAGES.mkdir(exist_ok=True)
    with prepared() as (folder, sandbox):
        terminal_pictures(folder, sandbox)
    with (
        prepared() as (folder, sandbox),
        sync_playwright() as playwright,
        closing(launch(playwright)) as browser,
    ):
        page_pictures(folder, sandbox, browser)


if __name__ == "__main__":
    main()
