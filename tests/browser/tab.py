"""A tab of a real Chromium, and what must never happen in one, whatever page it shows."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, ConsoleMessage, Page, Playwright, expect

from tests.servers import missing

AXE = Path(__file__).parents[2] / ".venv/npm/node_modules/axe-core/axe.min.js"
"""Fetched by `make .venv/everything`."""

expect.set_options(timeout=60_000)  # programs start slowly on a busy machine

SCHEMES: tuple[Any, ...] = ("light", "dark")
WIDTHS = (360, 800, 1600)
"""Pixels."""

_LISTEN = """
window.violations = [];
addEventListener("securitypolicyviolation", event =>
    window.violations.push(`${event.violatedDirective}: ${event.blockedURI} ${event.sample}`));
"""

_RUN_AXE = """
async () => (await axe.run(document, {resultTypes: ["violations"]})).violations
    .filter(one => ["serious", "critical"].includes(one.impact))
    .map(one => `${one.id}: ${one.help}: ${one.nodes.map(node => node.html).slice(0, 3).join(" | ")}`)
"""


def launch(playwright: Playwright) -> Browser:
    """Return Debian's Chromium, which runs until it is closed."""
    program = shutil.which("chromium")
    if program is None:
        missing("chromium")
    # Its own sandbox needs what a container doesn't have, and can't be used by root.
    return playwright.chromium.launch(executable_path=program, args=["--no-sandbox"], timeout=180_000)


class Tab:
    """A page of a browser session of its own, which records everything that a page must not do."""

    def __init__(self, browser: Browser, **options: Any) -> None:
        """Open it. ``options``: those of Playwright's ``new_context``, such as viewport."""
        # Colours are measured, so they must not be on their way.
        self.context = browser.new_context(reduced_motion="reduce", **options)
        self.context.set_default_timeout(60_000)
        self.context.add_init_script(_LISTEN)
        self.page: Page = self.context.new_page()
        self.faults: list[str] = []
        """Dialogs, errors of scripts, and complaints on the console."""
        self.page.on("dialog", self._dialog)
        self.page.on("pageerror", lambda error: self.faults.append(f"error: {error}"))
        self.page.on("console", self._console)

    def _dialog(self, dialog: Any) -> None:
        self.faults.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _console(self, message: ConsoleMessage) -> None:
        # A page with an error status is reported there as well.
        if message.type == "error" and not message.text.startswith("Failed to load resource"):
            self.faults.append(f"console: {message.text}")

    def check_quiet(self) -> None:
        """Fail if a dialog was opened, a script failed, or the page's policy had to stop something."""
        found = [*self.faults, *self.page.evaluate("window.violations")]
        assert found == [], f"{self.page.url}:\n" + "\n".join(found)

    def check_accessible(self) -> None:
        """Fail if axe-core finds a serious or critical fault in the page, in either colour scheme."""
        if not AXE.exists():
            missing("axe-core")
        self.page.wait_for_load_state()  # with its style sheets
        self.page.evaluate(AXE.read_text("utf-8"))  # not subject to the page's policy
        for scheme in SCHEMES:
            self.page.emulate_media(color_scheme=scheme)
            found = self.page.evaluate(_RUN_AXE)
            assert found == [], f"{self.page.url}, {scheme}:\n" + "\n".join(found)

    def check_fits(self) -> None:
        """Fail if the page has to be scrolled sideways in a window from a small phone to a wide screen."""
        self.page.wait_for_load_state()  # with its style sheets
        before = self.page.viewport_size
        for width in WIDTHS:
            self.page.set_viewport_size({"width": width, "height": 800})
            self.page.wait_for_function("width => innerWidth === width", arg=width)
            wide = self.page.evaluate("document.documentElement.scrollWidth")
            assert wide <= width, f"{self.page.url} is {wide} pixels wide in a window of {width}"
        if before:
            self.page.set_viewport_size(before)

    def close(self) -> None:
        """Close it with its session."""
        self.context.close()
