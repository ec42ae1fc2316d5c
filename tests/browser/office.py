"""`siproster serve` as a company runs it, with its people, and what they do on its pages."""

from __future__ import annotations

import signal
import subprocess
import urllib.request
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, expect

from tests.browser.tab import Tab
from tests.program import Program
from tests.sandbox import Sandbox
from tests.servers import free_port
from tests.system.runs import until

SETTINGS = """
batch-size = 5
concurrency = 1
"""
"""Small requests, one after the other: then a service that takes its time makes a job that can be watched."""


class Office:
    """The program with a ledger of its own, and its page, which can be killed and started again."""

    def __init__(
        self, folder: Path, sandbox: Sandbox, *options: str, people: tuple[tuple[str, str], ...] = ()
    ) -> None:
        """Start it. ``people``: names and roles of those who may sign in."""
        self.program = Program(folder, dict(sandbox.environment()))
        (self.program.work / "siproster.toml").write_text(SETTINGS)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.options = options
        self.tokens = {name: self.add_person(name, role) for name, role in people}
        self.process = self.start()

    def start(self) -> subprocess.Popen[str]:
        """Start the page and wait until it answers."""
        log = self.program.home / "serve.log"
        self.process = self.program.start("serve", "--port", str(self.port), *self.options, log=log)
        until(self.answers, self.process)
        return self.process

    def answers(self) -> bool:
        """Return whether the page answers."""
        try:
            with urllib.request.urlopen(f"{self.url}/static/page.css", timeout=5):  # noqa: S310
                return True
        except OSError:
            return False

    def kill(self) -> None:
        """End the page's process without warning. What it has started goes on."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def restart(self) -> None:
        """Kill the page and start it again at the same address."""
        self.kill()
        self.start()

    def add_person(self, name: str, role: str) -> str:
        """Add somebody who may sign in, and return their token."""
        printed = self.program.run("people", "add", name, "--role", role)
        assert printed.code == 0, printed.stderr
        return printed.stdout.strip()

    def job(self, job: str) -> dict[str, Any]:
        """Return what the shell says about a job."""
        found: dict[str, Any] = self.program.run("status", job, "--json").json
        return found

    def close(self) -> None:
        """End the page, and the jobs that it has started, which would outlive it."""
        for job in self.program.run("jobs", "--json").json:
            if job["state"] in ("running", "paused", "planning") and not job["saved"]:
                self.program.run("cancel", job["job"])
        self.program.close()


class Visitor:
    """Somebody who uses the pages of an office in a tab."""

    def __init__(self, office: Office, tab: Tab) -> None:
        self.office = office
        self.tab = tab
        self.page: Page = tab.page

    def open(self, path: str = "/") -> None:
        """Go to a page of the office."""
        self.page.goto(self.office.url + path)

    def sign_in(self, token: str) -> None:
        """Sign in."""
        self.open()
        self.page.get_by_label("Your token").fill(token)
        self.click("Sign in")

    def click(self, button: str) -> None:
        """Click a button, or a link that looks like one, and wait for the page that it leads to."""
        main = self.page.get_by_role("main")
        with self._another_page():
            main.get_by_role("button", name=button).or_(main.get_by_role("link", name=button)).first.click()

    def confirm(self, button: str) -> None:
        """Open the question in front of a button, and click that as ``click`` does."""
        main = self.page.get_by_role("main")
        question = main.locator("details", has=self.page.get_by_text(button, exact=True))
        question.locator("summary").click()
        with self._another_page():
            question.get_by_role("button", name=button, exact=True).click()

    def _another_page(self) -> AbstractContextManager[object]:
        """Wait for the next page at the end of the block, or the test would look at the old one."""
        return self.page.expect_navigation(wait_until="domcontentloaded")

    def upload(self, roster: Path) -> None:
        """Upload a roster and wait until the page says how it was understood."""
        self.open()
        self.page.get_by_label("choose one").set_input_files(roster)
        self.click("Upload")
        self.sees("How the file was understood")

    def drop(self, name: str, text: str) -> None:
        """Drop a file on the start page, as from a folder of the desktop."""
        files = self.page.evaluate_handle(
            """([name, text]) => {
                const dropped = new DataTransfer();
                dropped.items.add(new File([text], name));
                return dropped;
            }""",
            [name, text],
        )
        self.page.locator("[data-drop]").dispatch_event("drop", {"dataTransfer": files})

    def plan(self) -> None:
        """Have all rows checked, and wait for the plan."""
        self.click("Check the rows")
        self.sees("Plan for")

    def approve(self) -> None:
        """Approve the plan that is shown, and wait for the job's page."""
        plan = self.page.url  # of a plan of the shell, it is a job's page, too
        self.click("Approve and import")
        self.page.wait_for_url(lambda url: "/jobs/" in url and "/started" not in url and url != plan)

    def sees(self, heading: str) -> None:
        """Wait for a heading that begins with these words."""
        expect(self.page.get_by_role("heading", name=heading).first).to_be_visible()

    @property
    def job_id(self) -> str:
        """Return the job whose page is shown."""
        return self.page.url.partition("/jobs/")[2].partition("/")[0]

    def result(self) -> None:
        """Wait until the job whose page is shown has ended."""
        expect(self.page.locator("[data-events]")).to_have_count(0)

    def number(self, name: str) -> int:
        """Return a number of the page by its name."""
        box = self.page.locator(".counts > div", has=self.page.get_by_text(name, exact=True))
        return int(box.locator("dd").inner_text().replace(",", "")) if box.count() else 0
