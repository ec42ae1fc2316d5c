"""A real Chromium, started once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.browser.office import Office, Visitor
from tests.browser.tab import Tab, launch
from tests.sandbox import Sandbox


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One Chromium for the whole run; tabs have sessions of their own."""
    with sync_playwright() as playwright:
        chromium = launch(playwright)
        yield chromium
        chromium.close()


@pytest.fixture
def make_tab(browser: Browser) -> Iterator[Callable[..., Tab]]:
    """Open a tab with options of Playwright's ``new_context``. At the end, none may have recorded a fault."""
    tabs: list[Tab] = []

    def make(**options: Any) -> Tab:
        tabs.append(Tab(browser, **options))
        return tabs[-1]

    yield make
    for tab in tabs:
        tab.check_quiet()
        tab.close()


@pytest.fixture(scope="session")
def open_office(sandbox_server: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """One page without sign-in for the whole run."""
    office = Office(tmp_path_factory.mktemp("office"), sandbox_server)
    yield office
    office.close()


@pytest.fixture
def make_office(
    sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Office]]:
    """A page of the test's own, with options of `serve`; people are those of ``people``, with their roles."""
    offices: list[Office] = []

    def make(*options: str, people: tuple[tuple[str, str], ...] = ()) -> Office:
        offices.append(Office(tmp_path_factory.mktemp("office"), sandbox, *options, people=people))
        return offices[-1]

    yield make
    for office in offices:
        office.close()


@pytest.fixture
def visitor(open_office: Office, sandbox: Sandbox, make_tab: Callable[..., Tab]) -> Visitor:
    """Somebody at the open page, whose service is as new."""
    tab = make_tab(viewport={"width": 1280, "height": 900}, timezone_id="Asia/Kathmandu")
    return Visitor(open_office, tab)
