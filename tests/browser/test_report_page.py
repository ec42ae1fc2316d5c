"""report.html in a real Chromium: searched, sorted, filtered, printed; nothing but its own script runs."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import closing

import pytest
from playwright.sync_api import Browser, Locator, expect

from tests.browser.tab import Tab
from tests.unit.jobs import Clock
from tests.unit.report_pages import HOSTILE, SEAL, processed_job, row_of
from worker import report_page
from worker.ledger import Ledger, Registration
from worker.model import Status
from worker.report_page.text import visible

ROWS = 250
SITES = ("Berlin", "Raleigh", "München")


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the address of a page with 250 good and bad rows and some hostile ones, partly verified."""
    folder = tmp_path_factory.mktemp("report")
    clock = Clock()
    fates = {
        7: (Status.FAILED, "23019"),
        8: (Status.INVALID, "password_missing"),
        9: (Status.SKIPPED, "trunk"),
    }
    rows = []
    for line in range(2, 2 + ROWS):
        status, code = fates.get(line, (Status.CREATED, ""))
        cells = (str(1000 + line), f"Zoë Person {line}", SITES[line % 3], f"+49301{line:05}")
        rows.append(row_of(line, status, *cells, code=code))
    rows += [
        row_of(line, Status.FAILED, *[text] * 4, code=text.replace(";", ""), error=text, user=text)
        for line, text in enumerate(HOSTILE, 2 + ROWS)
    ]
    with closing(Ledger(f"sqlite:///{folder}/ledger.db", clock)) as ledger:
        job = processed_job(ledger, rows, clock=clock)
        tried = {2: Registration("registers", 1, ""), 3: Registration("wrong_password", 0, "401")}
        ledger.registrations.record(job.id, {"at": "2027-01-15T08:00:00Z"}, tried)
        return report_page.write(ledger, SEAL, ledger.jobs.get(job.id), folder).as_uri()


def users(tab: Tab) -> Locator:
    """Return the section of all users."""
    return tab.page.locator("#users")


def names(section: Locator) -> list[str]:
    """Return the first cell of each row that is shown."""
    return section.locator("tbody th").all_inner_texts()


def test_it_is_accessible_and_fits(make_tab: Callable[..., Tab], url: str) -> None:
    """On a desk and on a phone, light and dark; nothing is loaded and no policy is violated."""
    tab = make_tab()
    requested: list[str] = []
    tab.page.on("request", lambda request: requested.append(request.url))
    tab.page.goto(url)
    tab.check_fits()
    tab.page.get_by_label("Search all users").fill("zoe person 24")  # axe-core looks at every cell
    tab.check_accessible()
    assert [one for one in requested if not one.startswith("data:")] == [url]


def test_a_caller_is_found(make_tab: Callable[..., Tab], url: str) -> None:
    """By extension or name, without regard to accents; what to tell is beside it, and hits are announced."""
    tab = make_tab()
    tab.page.goto(url)
    section, find = users(tab), tab.page.get_by_label("Search all users")
    expect(section.get_by_role("status")).to_have_text(f"{ROWS + len(HOSTILE)} of {ROWS + len(HOSTILE)} rows")
    find.fill("1008")
    expect(section.get_by_role("status")).to_have_text(f"1 of {ROWS + len(HOSTILE)} rows")
    assert names(section) == ["user8"]
    assert "our list has no password for you" in section.locator("tbody").inner_text()
    find.fill("zoe person 3")
    assert {"user3", "user30", "user39"} <= set(names(section))
    find.fill("nobody of this name")
    expect(section.locator(".pager")).to_contain_text("nothing found")


def test_rows_are_filtered_and_sorted_by_keyboard(make_tab: Callable[..., Tab], url: str) -> None:
    """Heads are buttons which say how they sort; numbers in names sort as numbers."""
    tab = make_tab()
    tab.page.goto(url)
    section = users(tab)
    tab.page.get_by_label("Search all users").focus()
    tab.page.keyboard.type("person")
    section.get_by_label("In place").select_option("yes")
    section.get_by_role("button", name="User").focus()
    tab.page.keyboard.press("Enter")
    expect(section.get_by_role("columnheader", name="User")).to_have_attribute("aria-sort", "ascending")
    assert names(section)[:6] == ["user2", "user3", "user4", "user5", "user6", "user10"]
    tab.page.keyboard.press("Enter")
    expect(section.get_by_role("columnheader", name="User")).to_have_attribute("aria-sort", "descending")
    assert names(section)[0] == f"user{ROWS + 1}"
    section.get_by_role("button", name="Next").click()
    assert len(names(section)) == 100
    assert section.locator(".pager span").inner_text() == "101 to 200 of 247"
    section.get_by_label("Registering").select_option("no: wrong password")
    assert names(section) == ["user3"]
    section.locator(".scroll").focus()  # so that the keyboard scrolls the table
    assert tab.page.evaluate("document.activeElement.className") == "scroll"


def test_the_table_keeps_its_place(make_tab: Callable[..., Tab], url: str) -> None:
    """What comes after the table doesn't move when the search finds less."""
    tab = make_tab()
    tab.page.goto(url)
    top = "document.querySelector('#sign-off').getBoundingClientRect().top + scrollY"
    before = tab.page.evaluate(top)
    tab.page.get_by_label("Search all users").fill("nobody of this name")
    assert tab.page.evaluate(top) == before


def test_hostile_rows_are_texts(make_tab: Callable[..., Tab], url: str) -> None:
    """Each hostile text is shown as it is, with signs for what is invisible; none is run."""
    tab = make_tab()
    tab.page.goto(url)
    section = tab.page.locator("#attention")
    section.get_by_label("Status").select_option("failed")
    assert section.locator("tbody th").all_text_contents()[1:] == [visible(text) for text in HOSTILE]
    assert tab.page.locator("img, iframe, script:not([type]) ~ script:not([type])").count() == 0


def test_a_foreign_script_would_not_run(browser: Browser, url: str) -> None:
    """The page's policy stops a script that isn't the page's own, and every request."""
    tab = Tab(browser)
    tab.page.goto(url)
    tab.page.evaluate("""() => {
        const script = document.createElement("script");
        script.textContent = "window.ran = true";
        document.body.append(script);
        const image = document.createElement("img");
        image.src = "http://127.0.0.1:9/";
        document.body.append(image);
    }""")
    tab.page.wait_for_function("window.violations.length >= 2")
    assert tab.page.evaluate("window.ran") is None
    tab.close()


def test_without_javascript_the_facts_are_there(make_tab: Callable[..., Tab], url: str) -> None:
    """Verdict, reasons and sign-off need no script; the tables say which files have the rows."""
    tab = make_tab(java_script_enabled=False)
    tab.page.goto(url)
    expect(tab.page.get_by_role("heading", level=1)).to_have_text(
        f"247 of {ROWS - 1 + len(HOSTILE)} users are in place."
    )
    expect(tab.page.get_by_text("results.csv has the same rows")).to_be_visible()
    expect(tab.page.get_by_label("Search all users")).to_be_hidden()
    expect(tab.page.locator("article").first).to_be_visible()


def printed_pages(tab: Tab) -> int:
    """Return how many pages of paper the page takes."""
    return len(re.findall(rb"/Type /Page\b", tab.page.pdf(prefer_css_page_size=True)))


def test_it_prints(make_tab: Callable[..., Tab], url: str) -> None:
    """On paper there are the facts and a sheet on a page of its own for each site, and no controls."""
    tab = make_tab()
    tab.page.goto(url)
    sheets = tab.page.locator("article").count()
    assert sheets == len(SITES) + len(HOSTILE)
    pages = printed_pages(tab)
    assert pages >= sheets + 2
    # The signature stays with the most rows that a sheet lists.
    tab.page.evaluate("""() => {
        const ofRaleigh = one => one.querySelector("h3").textContent === "Raleigh";
        const body = [...document.querySelectorAll("article")].find(ofRaleigh).querySelector("tbody");
        while (body.rows.length < 25) body.append(body.rows[0].cloneNode(true));
    }""")
    assert printed_pages(tab) == pages
    tab.page.emulate_media(media="print")
    for control in ("#users input", "#attention table", ".pager button", "#print"):
        expect(tab.page.locator(control).first).to_be_hidden()
    assert tab.page.locator("article").first.evaluate("one => getComputedStyle(one).breakBefore") == "page"
    expect(tab.page.locator(".signature").first).to_be_visible()
