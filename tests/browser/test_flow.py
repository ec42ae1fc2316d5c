"""The whole way of a roster through the page, in a real browser, on a real server and a real sandbox."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import expect

from tests.browser import rosters
from tests.browser.office import Office, Visitor
from tests.browser.tab import Tab
from tests.sandbox import Sandbox
from tests.system.runs import until

GONE = {"probability": 1.0, "method": "POST", "skip": 3}
"""The service takes three batches of five, and then answers no more."""


def names(sandbox: Sandbox) -> list[str]:
    """Return the users that the service has."""
    return sorted(one["composite"] for one in sandbox.credentials())


def test_a_clean_roster(visitor: Visitor, sandbox: Sandbox, tmp_path: Path) -> None:
    """Uploaded, understood, planned, approved, imported, downloaded, undone; every page is accessible."""
    page, tab = visitor.page, visitor.tab
    visitor.open()
    tab.check_accessible()
    tab.check_fits()
    with page.expect_download() as download:
        page.get_by_role("link", name="roster.csv").click()
    assert download.value.path().read_text() == "username,password,domain,realm,application_id,name\n"
    visitor.upload(rosters.clean(tmp_path / "clean.csv"))
    expect(page.get_by_label("User name", exact=True).locator("option:checked")).to_have_text(
        "As suggested: extension"
    )
    expect(page.get_by_role("row", name="voicemail pin")).to_contain_text("Not the phone's")
    assert "Pw-" not in page.content()
    tab.check_accessible()
    visitor.plan()
    expect(page.get_by_text("No existing user will be changed.")).to_be_visible()
    assert (visitor.number("Rows"), visitor.number("To create")) == (12, 12)
    tab.check_accessible()
    visitor.approve()
    visitor.result()
    visitor.sees("All 12 users are in place")
    assert names(sandbox) == [str(number) for number in range(2000, 2012)]
    with page.expect_download() as download:
        page.get_by_role("link", name="results.csv").click()
    with download.value.path().open(newline="") as file:
        assert {row["bw__status"] for row in csv.DictReader(file)} == {"created"}
    tab.check_accessible()
    visitor.click("Undo…")
    expect(page.get_by_text("12 users that this job created would be deleted")).to_be_visible()
    tab.check_accessible()
    visitor.click("Undo this job")
    visitor.result()
    visitor.sees("This job was undone")
    assert names(sandbox) == []
    page.get_by_role("link", name="History").click()
    expect(page.get_by_role("row", name="clean.csv").first).to_contain_text("Undone")
    expect(page.locator("time").first).to_contain_text("GMT+5:45")  # the reader's zone
    tab.check_accessible()
    tab.check_fits()


def test_a_dirty_roster(visitor: Visitor, sandbox: Sandbox, tmp_path: Path) -> None:
    """Rows are corrected in the plan, and those that failed are corrected and run again afterwards."""
    page = visitor.page
    visitor.open()
    visitor.drop("dirty.csv", rosters.dirty(tmp_path / "dirty.csv").read_text())
    visitor.sees("How the file was understood")
    visitor.tab.check_fits()
    visitor.plan()
    visitor.tab.check_fits()
    assert (visitor.number("To create"), visitor.number("Invalid")) == (3, 3)
    expect(page.locator("#rows ~ form tbody tr")).to_have_count(3)
    page.get_by_label("Show only rows with errors").uncheck()
    expect(page.locator("#rows ~ form tbody tr")).to_have_count(6)
    page.get_by_role("link", name="1: show these rows, duplicate_in_file").click()
    expect(page.locator("#rows ~ form tbody th")).to_have_text(["6"])
    page.get_by_role("link", name="Show all").click()
    page.get_by_label("Show only rows with errors").uncheck()
    page.get_by_label("Search").fill("zora")
    visitor.click("Show")
    expect(page.locator("#rows ~ form tbody tr")).to_have_count(1)
    page.get_by_label("extension of line 6").fill("3004")
    visitor.click("Keep the corrections")
    visitor.sees("Plan for")
    assert (visitor.number("To create"), visitor.number("Invalid")) == (4, 2)
    visitor.tab.check_accessible()
    secret = page.get_by_label("password of line 7")
    assert (secret.get_attribute("type"), secret.input_value()) == ("password", "")
    secret.fill("Pw-typed-7777")
    visitor.click("Keep the corrections")
    visitor.sees("Plan for")
    assert "Pw-typed" not in page.content()
    visitor.approve()
    visitor.result()
    visitor.sees("1 row is not in place, of 6")
    assert names(sandbox) == ["3000", "3001", "3002", "3004", "3005"]
    first = visitor.job_id
    visitor.tab.check_fits()
    visitor.click("Run the failed rows again")
    visitor.tab.check_accessible()
    visitor.tab.check_fits()
    page.get_by_label("extension of line 5").fill("3003")
    visitor.click("Run them again")
    page.wait_for_url(lambda url: "/jobs/" in url and first not in url)
    visitor.result()
    visitor.sees("The one user is in place")
    assert names(sandbox) == ["3000", "3001", "3002", "3003", "3004", "3005"]


def test_a_password_is_corrected_in_the_column_that_was_chosen(visitor: Visitor, tmp_path: Path) -> None:
    """The column chosen on the way to the plan is the one that has a field for the password in its table."""
    visitor.upload(rosters.two_passwords(tmp_path / "two.csv"))
    visitor.sees("The file can't be read as it is")
    visitor.page.get_by_label("Password", exact=True).select_option("secret")
    visitor.plan()
    assert (visitor.number("To create"), visitor.number("Invalid")) == (1, 1)
    visitor.page.get_by_label("secret of line 3").fill("Pw-typed-3101")
    visitor.click("Keep the corrections")
    visitor.sees("Plan for")
    assert (visitor.number("To create"), visitor.number("Invalid")) == (2, 0)


def test_a_hostile_roster(visitor: Visitor, sandbox: Sandbox, tmp_path: Path) -> None:
    """No script in a name, a column or a cell of a file, or in a text of the service, runs on any page."""
    text = rosters.SCRIPTS[0] + rosters.SCRIPTS[1]
    sandbox.knobs(refuse={"probability": 1.0, "method": "POST", "status": 400, "code": "23005", "text": text})
    page, tab = visitor.page, visitor.tab
    visitor.upload(rosters.hostile(tmp_path))
    expect(page.get_by_role("heading", level=1)).to_contain_text("<img src=x onerror=alert(0)>.csv")
    tab.check_quiet()
    visitor.plan()
    expect(page.get_by_text(rosters.SCRIPTS[0]).first).to_be_visible()
    tab.check_quiet()
    visitor.approve()
    visitor.result()
    page.get_by_label("Show only rows with errors").uncheck()
    expect(page.get_by_role("row", name="4000")).to_contain_text("<script>alert(1)</script>")
    tab.check_quiet()
    for path in (f"/jobs/{visitor.job_id}/files/report.html", f"/jobs/{visitor.job_id}/retry", "/jobs", "/"):
        visitor.open(path)
        expect(page.get_by_text("alert(").first).to_be_visible()
        tab.check_quiet()


def test_a_file_that_needs_a_decision(visitor: Visitor, sandbox: Sandbox, tmp_path: Path) -> None:
    """A column of PINs is refused with the reason, and taken once the option that decides is chosen."""
    roster = tmp_path / "pins.csv"
    roster.write_text(
        "extension,password\n" + "".join(f"{n},{n * 7 % 9000 + 1000}\n" for n in range(5000, 5020))
    )
    visitor.upload(roster)
    visitor.sees("The file can't be read as it is")
    visitor.tab.check_accessible()
    visitor.page.get_by_label("Weak passwords").select_option("warn")
    visitor.page.get_by_label("Line with the column names").fill("999")
    visitor.click("Check the rows")
    visitor.sees("That did not work")
    visitor.page.get_by_label("Line with the column names").fill("")
    sandbox.knobs(latency=1.5)
    visitor.page.route("**/events", lambda route: route.abort())  # the page has to stay while axe looks at it
    visitor.click("Check the rows")
    visitor.sees("Checking every row")
    sandbox.knobs(latency=0)
    visitor.tab.check_accessible()
    visitor.page.unroute("**/events")
    visitor.sees("Plan for")
    assert visitor.number("To create") == 20
    visitor.confirm("Discard the plan")
    expect(visitor.page.get_by_role("heading", name="Upload a roster")).to_be_visible()


def test_two_people(
    make_office: Callable[..., Office], make_tab: Callable[..., Tab], sandbox: Sandbox, tmp_path: Path
) -> None:
    """With four eyes, those who uploaded or corrected a roster can't approve it; others see and do so."""
    office = make_office("--four-eyes", people=(("uma", "upload"), ("abel", "approve"), ("zoe", "approve")))
    uma, abel, zoe = (Visitor(office, make_tab()) for _ in range(3))
    uma.open()
    uma.tab.check_accessible()
    for visitor, name in ((uma, "uma"), (abel, "abel"), (zoe, "zoe")):
        visitor.sign_in(office.tokens[name])
    job = approve_with_four_eyes(office, (uma, abel, zoe), rosters.dirty(tmp_path / "staff.csv"))
    undo_with_four_eyes((uma, abel, zoe), job)
    secret = see_only_what_is_ones_own(office, (uma, zoe), tmp_path)
    abel.open(f"/jobs/{secret}")
    sandbox.knobs(unavailable={"probability": 1.0, "method": "POST"})
    abel.approve()
    zoe.open(f"/jobs/{abel.job_id}")
    # A live page ends with its reader's session.
    assert office.program.run("people", "remove", "abel", "--yes").code == 0
    expect(abel.page.get_by_label("Your token")).to_be_visible()
    sandbox.knobs(unavailable=None)
    zoe.result()
    zoe.sees("All 12 users are in place")


def approve_with_four_eyes(office: Office, people: tuple[Visitor, Visitor, Visitor], roster: Path) -> str:
    """One uploads, the second corrects, so that only the third can approve; return the job."""
    uma, abel, zoe = people
    uma.upload(roster)
    uma.plan()
    expect(
        uma.page.get_by_text("Your role is upload, so somebody else has to approve it: abel or zoe.")
    ).to_be_visible()
    expect(uma.page.get_by_role("button", name="Approve")).to_have_count(0)
    path = uma.page.url.removeprefix(office.url)
    zoe.open(path)
    abel.open(path)
    abel.page.get_by_label("extension of line 5").fill("3003")
    abel.click("Keep the corrections")
    expect(abel.page.get_by_text("or asked for it, so somebody else has to approve it: zoe.")).to_be_visible()
    forced = abel.page.evaluate(
        """async path => {
            const form = new FormData(document.querySelector("form[action$=corrections]"));
            return (await fetch(path, {method: "POST", body: new URLSearchParams(form)})).status;
        }""",
        path.replace("/plan", "/approve"),
    )
    assert forced in (403, 409)
    zoe.click("Approve and import 3 rows")
    zoe.sees("The plan has changed since this page was shown")
    for other, plans in ((abel, 0), (zoe, 1)):
        other.open()
        expect(other.page.get_by_role("link", name="Plan for staff.csv")).to_have_count(plans)
    zoe.open(path)
    zoe.approve()
    zoe.result()
    job = zoe.job_id
    assert office.job(job)["counts"] == {"created": 4, "invalid": 2}
    assert office.job(job)["operator"] == "zoe (page)"
    return job


def undo_with_four_eyes(people: tuple[Visitor, Visitor, Visitor], job: str) -> None:
    """The third asks for the undo, which only the second can approve, who sees what it does."""
    uma, abel, zoe = people
    zoe.click("Undo…")
    zoe.click("Undo this job")
    zoe.sees("Waiting for another person's approval")
    expect(zoe.page.get_by_role("button", name="Approve")).to_have_count(0)
    uma.open(f"/jobs/{job}")
    expect(uma.page.get_by_role("button", name="Approve")).to_have_count(0)
    abel.open(f"/jobs/{job}")
    abel.tab.check_accessible()
    expect(abel.page.get_by_text("4 users that this job created would be deleted.")).to_be_visible()
    abel.click("Approve")
    abel.result()
    abel.sees("This job was undone")


def see_only_what_is_ones_own(office: Office, people: tuple[Visitor, Visitor], tmp_path: Path) -> str:
    """Those who only upload don't see what is of others, nor jobs of the shell; return one of those."""
    uma, zoe = people
    zoe.upload(rosters.clean(tmp_path / "secret.csv"))
    uma.open(zoe.page.url.removeprefix(office.url))
    uma.sees("There is no upload")
    rosters.clean(office.program.work / "secret.csv")
    assert office.program.run("plan", "secret.csv", "--save").code == 0
    secret: str = office.program.run("jobs", "--json").json[0]["job"]
    uma.open(f"/jobs/{secret}")
    uma.sees("There is no job")
    uma.upload(rosters.clean(tmp_path / "mine.csv"))
    uma.open("/jobs")
    expect(uma.page.get_by_role("row")).to_have_count(3)
    expect(uma.page.get_by_text("secret.csv")).to_have_count(0)
    return secret


def test_the_server_is_killed_between_all_steps(visitor: Visitor, sandbox: Sandbox, tmp_path: Path) -> None:
    """Nothing is lost: each step is there again, and the import goes on while nobody serves its page."""
    office, page = visitor.office, visitor.page
    visitor.open()
    office.restart()
    visitor.upload(rosters.clean(tmp_path / "killed.csv", users=60))
    office.restart()
    page.reload()
    visitor.sees("How the file was understood")
    visitor.plan()
    office.restart()
    page.reload()
    sandbox.knobs(unavailable=GONE)
    visitor.approve()
    office.kill()
    until(lambda: len(names(sandbox)) == 15)
    office.start()
    page.reload()
    visitor.click("Pause")
    visitor.result()
    visitor.sees("15 of 60 rows were done")
    office.restart()
    page.reload()
    sandbox.knobs(unavailable=None)
    visitor.click("Resume")
    visitor.result()
    visitor.sees("All 60 users are in place")
    office.restart()
    page.reload()
    visitor.sees("All 60 users are in place")
    assert len(names(sandbox)) == 60
    visitor.click("Next")
    expect(page.get_by_text("51 to 60 of 60")).to_be_visible()
    visitor.click("Previous")
    expect(page.get_by_text("1 to 50 of 60")).to_be_visible()


def test_shell_and_page_share_their_jobs(visitor: Visitor, sandbox: Sandbox, tmp_path: Path) -> None:
    """A job of the page is paused there and resumed in the shell; one of the shell is run again here."""
    office, page = visitor.office, visitor.page
    sandbox.knobs(unavailable=GONE)
    visitor.upload(rosters.clean(tmp_path / "page.csv", users=30, first=6000))
    visitor.plan()
    visitor.approve()
    expect(page.locator("[data-fact=sentence]")).to_have_text("15 of 30 rows done")
    expect(page.locator("[data-fact=waits]")).to_contain_text("service")
    visitor.tab.check_accessible()
    visitor.click("Pause")
    visitor.result()
    sandbox.knobs(unavailable=None)
    resumed = office.program.run("resume", visitor.job_id, "--yes", "--json")
    assert (resumed.code, resumed.json["counts"]) == (0, {"created": 30})
    page.reload()
    visitor.sees("All 30 users are in place")
    sandbox.knobs(unavailable=GONE)
    roster = rosters.clean(office.program.work / "shell.csv", users=30, first=7000)
    process = office.program.start("import", roster, "--yes", log=tmp_path / "import.log")
    until(lambda: len(names(sandbox)) == 45, process)
    visitor.open("/jobs")
    page.get_by_role("link", name="shell.csv").first.click()
    visitor.confirm("Cancel the rest")
    process.wait(120)
    visitor.result()  # the page goes over to it by itself, which a reload at that moment would break off
    visitor.sees("15 of 30 rows were done")
    sandbox.knobs(unavailable=None)
    visitor.click("Write the result files")
    expect(page.get_by_role("link", name="failed.csv")).to_be_visible()
    visitor.click("Run the failed rows again")
    visitor.click("Run them again")
    page.wait_for_url(lambda url: "shell" in url and "retry" not in url and "started" not in url)
    visitor.result()
    assert len(names(sandbox)) == 60


def test_without_javascript(
    open_office: Office, sandbox: Sandbox, make_tab: Callable[..., Tab], tmp_path: Path
) -> None:
    """The core of the flow is plain forms: pages that wait load themselves again."""
    visitor = Visitor(
        open_office, make_tab(java_script_enabled=False, viewport={"width": 390, "height": 800})
    )
    visitor.upload(rosters.dirty(tmp_path / "plain.csv"))
    visitor.plan()
    visitor.page.get_by_label("extension of line 5").fill("3003")
    visitor.click("Keep the corrections")
    visitor.sees("Plan for")
    visitor.approve()
    visitor.sees("2 rows are not in place, of 6")
    assert names(sandbox) == ["3000", "3001", "3002", "3003"]


def test_schedules(visitor: Visitor, sandbox: Sandbox) -> None:
    """A schedule is listed with its last run, run at once, paused and resumed."""
    office, page = visitor.office, visitor.page
    rosters.clean(office.program.work / "nightly.csv", users=3, first=8000)
    added = office.program.run("schedule", "add", "nightly", "nightly.csv", "--every", "30 2 * * *")
    assert added.code == 0, added.stderr
    visitor.open("/schedules")
    visitor.tab.check_accessible()
    visitor.tab.check_fits()
    page.get_by_role("link", name="nightly").click()
    visitor.click("Run now")
    expect(page.get_by_text("All in place")).to_be_visible()
    visitor.result()
    visitor.tab.check_accessible()
    visitor.click("Pause")
    expect(page.get_by_role("button", name="Resume")).to_be_visible()
    assert len(names(sandbox)) == 3
    for path in ("/people", "/audit", "/nowhere"):
        visitor.open(path)
        visitor.tab.check_accessible()
        visitor.tab.check_fits()
