"""report.html: its facts for three readers, and that nothing of a roster or of the service runs in it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import stat
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import html

from tests.unit.jobs import HOST, OTHER_HOST, OVER, PASSWORD, Clock, make_chunk_row, make_row, start_job
from tests.unit.report_pages import COLUMNS, HOSTILE, SEAL, Processed, processed_job, row_of
from worker import report, report_page
from worker.errors import LedgerError, SiprosterError
from worker.ledger import Ledger, Registration, Undone
from worker.ledger.codec import seal_page
from worker.model import Job, JobState, Status
from worker.report_page import page, tally
from worker.report_page.pace import HEIGHT, pace_of
from worker.report_page.text import as_json, prose, rows_as_json, visible, with_command


@pytest.fixture
def clock() -> Clock:
    """The ledger's clock."""
    return Clock()


@pytest.fixture
def ledger(tmp_path: Path, clock: Clock) -> Iterator[Ledger]:
    """A ledger of its own."""
    with closing(Ledger(f"sqlite:///{tmp_path}/ledger.db", clock)) as ledger:
        yield ledger


class Page:
    """A written page, as a browser would take it apart."""

    def __init__(self, path: Path) -> None:
        self.text = path.read_text("utf-8")
        self.tree = html.fromstring(self.text)

    def all(self, query: str) -> list[str]:
        """Return the texts of the elements that XPath finds, their blanks as one."""
        return [" ".join(one.text_content().split()) for one in self.tree.xpath(query)]

    def one(self, query: str) -> str:
        """Return the text of the only element that XPath finds."""
        (found,) = self.all(query)
        return found

    @property
    def facts(self) -> dict[str, Any]:
        """Return what the script is told beside the rows."""
        return dict(json.loads(self.tree.xpath("//script[@id='facts']")[0].text))

    @property
    def rows(self) -> list[list[Any]]:
        """Return the rows that the script is given."""
        return [row for block in self.tree.xpath("//script[@class='rows']") for row in json.loads(block.text)]

    def told(self) -> list[str]:
        """Return what the help desk tells the user of each row."""
        return [self.facts["kinds"][row[3]][5] for row in self.rows]

    def sites(self) -> list[list[str]]:
        """Return the lines of the sign-off, with the last one for all."""
        lines = self.tree.xpath("//table[@class='sites']//tr[not(parent::thead)]")
        return [[" ".join(cell.text_content().split()) for cell in line] for line in lines]


def written(ledger: Ledger, job: Job, folder: Path) -> Page:
    """Write a job's page and read it."""
    return Page(report_page.write(ledger, SEAL, ledger.jobs.get(job.id), folder))


def test_the_verdict_is_in_plain_words(ledger: Ledger, tmp_path: Path) -> None:
    """It counts users; those who were skipped are none."""
    rows = [row_of(2), row_of(3), row_of(4, Status.FAILED, code="23019", error="no application")]
    found = written(ledger, processed_job(ledger, [*rows, row_of(5, Status.SKIPPED, code="trunk")]), tmp_path)
    assert found.one("//h1") == "2 of 3 users are in place."
    assert "1 entry was left out on purpose" in found.text
    assert found.all("//table[@class='counts']//tbody//td[1]") == ["2", "1", "1"]
    assert found.one("//title") == "staff.csv: 2 of 3 users are in place."


@pytest.mark.parametrize(
    ("fates", "verdict"),
    [
        ([Status.CREATED], "The one user is in place."),
        ([Status.CREATED, Status.UPDATED, Status.UNCHANGED], "All 3 users are in place."),
        ([Status.SKIPPED], "There are no phone users in this roster."),
        ([Status.EXISTS], "0 of 1 user is in place."),
        ([Status.CREATED, None], "1 of 2 users are in place so far."),
    ],
)
def test_verdicts(ledger: Ledger, tmp_path: Path, fates: list[Status | None], verdict: str) -> None:
    """Each in a sentence of its own; a job that goes on says `so far`."""
    job = processed_job(ledger, [row_of(line, fate) for line, fate in enumerate(fates, 2)])
    assert written(ledger, job, tmp_path).one("//h1") == verdict


def test_each_reason_says_what_to_do(ledger: Ledger, tmp_path: Path) -> None:
    """Engineers see each code with its advice, its rows, and the command for its status."""
    rows = [
        row_of(2), row_of(3, Status.INVALID, code="password_missing;too_long", error="it is empty"),
        row_of(4, Status.INVALID, code="password_missing"), row_of(5, Status.EXISTS, code="digest_differs"),
    ]  # fmt: skip
    job = processed_job(ledger, rows)
    found = written(ledger, job, tmp_path)
    assert found.all("//div[@class='trouble']//tbody/tr/th") == [
        "digest_differs",
        "password_missing",
        "too_long",
    ]
    assert found.all("//div[@class='trouble']//tbody/tr/td[1]") == ["1", "2", "1"]
    commands = found.all("//p[@class='command']/code")
    assert commands[0] == f"siproster retry {job.id} --on-existing update"
    assert commands[1] == f"siproster retry {job.id} --corrections {tmp_path}/failed.csv"


def test_the_script_is_given_every_row(ledger: Ledger, tmp_path: Path) -> None:
    """Each row is there once, in order, with the columns by which callers are found, and what to tell."""
    rows = [row_of(2, user="bob"), row_of(3, Status.INVALID, code="password_missing", error="it is empty")]
    found = written(ledger, processed_job(ledger, rows), tmp_path)
    assert found.rows == [
        [2, "bob", 0, 0, "", "Person 2", "1002", "+4930100002", "Berlin"],
        [3, "user3", 0, 1, "it is empty", "Person 3", "1003", "+4930100003", "Berlin"],
    ]
    assert found.told()[0].startswith("Your account is set up.")
    assert "no password for you" in found.told()[1]
    assert found.facts["realms"] == [HOST]
    assert found.all("//section[@id='users']//thead//th")[:4] == [
        "User",
        "display name",
        "extension",
        "In place",
    ]


def test_a_wide_roster_shows_what_callers_are_found_by(ledger: Ledger, tmp_path: Path) -> None:
    """Eight columns at most: names and numbers first, joined where a name is in two of them."""
    columns = ("a", "b", "c", "d", "e", "f", "g", "Vorname", "Nachname", "Durchwahl")
    cells = [*"abcdefg", "Dana", "Muster", "x" * 400]
    job = processed_job(ledger, [row_of(2, Status.CREATED, *cells)], columns=columns)
    found = written(ledger, job, tmp_path)
    assert found.rows[0][5:] == ["Dana Muster", "x" * 299 + "…", *"abcdef"]


def test_sign_off_by_site(ledger: Ledger, tmp_path: Path) -> None:
    """Sites are told apart by the roster's column, however they are cased; skipped rows are waived."""

    def at(line: int, site: str, status: Status = Status.CREATED) -> Processed:
        return row_of(line, status, "10", "A", site, "")

    rows = [at(2, "Berlin"), at(3, "BERLIN ", Status.FAILED), at(4, "Aachen", Status.SKIPPED),
            at(5, "", Status.EXISTS)]  # fmt: skip
    found = written(ledger, processed_job(ledger, rows), tmp_path)
    assert found.sites() == [
        ["(none)", "1", "0", "1", "0", "not tried"],
        ["Aachen", "1", "0", "0", "1", "not tried"],
        ["Berlin", "2", "1", "1", "0", "not tried"],
        ["All", "4", "1", "2", "1", "not tried"],
    ]
    assert found.all("//article//h3") == ["(none)", "Aachen", "Berlin"]
    assert found.all("//article[3]//tbody/tr/th") == ["user3"]
    assert found.all("//article[1]//dl[@class='signature']//dt") == ["Name", "Signature", "Date"]


def test_sign_off_by_realm(ledger: Ledger, tmp_path: Path) -> None:
    """Without a column of sites, or with one that has too many, it is divided by realm."""
    few = [row_of(2, Status.CREATED, "x"), row_of(3, Status.CREATED, "y", realm=1)]
    found = written(ledger, processed_job(ledger, few, columns=["note"]), tmp_path)
    assert [line[:2] for line in found.sites()] == [[HOST, "1"], [OTHER_HOST, "1"], ["All", "2"]]
    many = [row_of(line, Status.CREATED, f"desk {line}") for line in range(2, tally.MOST_SITES + 3)]
    found = written(ledger, processed_job(ledger, many, columns=["site"]), tmp_path)
    assert [line[:2] for line in found.sites()] == [[HOST, "201"], ["All", "201"]]


def test_a_sheet_lists_some_and_counts_the_rest(ledger: Ledger, tmp_path: Path) -> None:
    """A page to sign stays a page."""
    found = written(
        ledger, processed_job(ledger, [row_of(at, Status.FAILED) for at in range(2, 42)]), tmp_path
    )
    assert len(found.all("//article//tbody/tr")) == 25
    assert "and 15 more: see failed.csv." in found.one("//article")


def test_who_can_register(ledger: Ledger, tmp_path: Path) -> None:
    """What verify found is told for each row; users who were refused are among the rows to look at."""
    job = processed_job(ledger, [row_of(2), row_of(3), row_of(4)])
    tried = {2: Registration("registers", 1, ""), 3: Registration("wrong_password", None, "401")}
    ledger.registrations.record(job.id, {"at": "2027-01-15T08:00:00Z"}, tried)
    found = written(ledger, job, tmp_path)
    assert found.sites()[-1] == ["All", "3", "3", "0", "0", "1 of 2"]
    assert "1 of the 2 users in place that were tried on the registrar can register" in found.text
    assert [found.facts["kinds"][row[3]][4] for row in found.rows] == ["registers", "wrong_password", ""]
    assert "its password worked" in found.told()[0]
    assert "refused its password" in found.told()[1]
    assert found.one("//nav//a[@href='#attention']") == "To look at 1"
    again = {4: Registration("registers", 0, "")}
    ledger.registrations.record(job.id, {"at": "2027-01-16T08:00:00Z"}, again)
    assert written(ledger, job, tmp_path).sites()[-1][-1] == "1 of 1"


def test_after_an_undo(ledger: Ledger, tmp_path: Path) -> None:
    """Rows that were taken back are not in place, and their users are told so."""
    job = processed_job(ledger, [row_of(2), row_of(3, Status.UPDATED), row_of(4)])
    ledger.undone.record(job.id, [Undone(2, "removed"), Undone(3, "restored"), Undone(4, "kept", "changed")])
    ledger.jobs.set_undone(job.id)
    found = written(ledger, job, tmp_path)
    assert found.one("//h1") == "1 of 3 users are in place."
    assert "This job was undone: 1 kept, 1 removed, 1 restored." in " ".join(found.text.split())
    assert ["removed again" in found.told()[0], "set back" in found.told()[1]] == [True, True]


def test_later_jobs_are_told(ledger: Ledger, clock: Clock, tmp_path: Path) -> None:
    """A job's page says which later jobs ran its rows; the page of all has each row as it is now."""
    first = processed_job(ledger, [row_of(2), row_of(3, Status.FAILED), row_of(4, Status.FAILED)])
    clock.advance(1)  # jobs of a family are in the order of their times
    second = processed_job(ledger, [row_of(3), row_of(4, Status.FAILED)], parent=first.id)
    found = written(ledger, first, tmp_path)
    assert found.one("//div[@class='note']//li") == f"{second.id} ran rows of it again: 1 of 2 in place"
    assert f"siproster report --lineage {first.id}" in found.text
    assert "Later jobs" not in written(ledger, second, tmp_path).text
    path = report_page.write_lineage(ledger, SEAL, ledger.lineages.of(first), tmp_path / "all")
    lineage = Page(path)
    assert lineage.one("//h1") == "2 of 3 users are in place."
    assert "3 rows: 2 in place after 2 runs" in lineage.text
    assert [lineage.facts["kinds"][row[3]][7] for row in lineage.rows] == [first.id, second.id, second.id]


def test_a_stopped_job_says_why(ledger: Ledger, tmp_path: Path) -> None:
    """The reason is there, with the command that goes on."""
    job = processed_job(ledger, [row_of(2), row_of(3, None)])
    ledger.jobs.stop(job.id, OVER[JobState.STOPPED])
    found = written(ledger, job, tmp_path)
    assert "3 rows are failed (<code>max_failed</code>)" in found.text
    assert f"siproster resume {job.id}" in found.all("//p[@class='step']/code")


def test_a_plan_promises_nothing(ledger: Ledger, tmp_path: Path) -> None:
    """The page of a saved plan says that nothing was sent."""
    job = processed_job(ledger, [row_of(2, None)])
    plan = replace(job, state=JobState.PLANNING, saved=job.created)
    found = Page(report_page.write(ledger, SEAL, plan, tmp_path))
    assert found.one("//h1") == "A plan for 1 user: nothing has been sent yet."


# The pace


def test_the_pace_is_drawn(ledger: Ledger, clock: Clock, tmp_path: Path) -> None:
    """A bar for each stretch of time in which rows were answered; none in a pause."""
    job = processed_job(ledger, [row_of(line) for line in range(2, 402)], clock=clock)
    assert [rows for _, rows in ledger.answers.of(job.id)] == [100, 100, 100, 100]
    found = written(ledger, job, tmp_path)
    assert len(found.tree.xpath("//section[contains(@class, 'pace')]//rect")) == 4
    assert "400 rows were answered by the service between 08:00:00 and 08:00:03 UTC" in found.text


def test_rows_beyond_what_a_chunk_notes_count_at_its_end(ledger: Ledger, clock: Clock) -> None:
    """A chunk notes its answers up to a length, whatever the batches are; none of its rows is lost."""
    job = start_job(ledger, [make_chunk_row(line) for line in range(2, 202)])
    claim = ledger.chunks.claim(job.id, 0, "desk:1", 60)
    assert claim is not None
    for line in range(2, 202):
        outcome = row_of(line).outcome
        assert outcome is not None
        ledger.chunks.record(claim, [outcome], 60)
        clock.advance(1)
    ledger.chunks.end(claim, None, 60, 0, 0)
    points = ledger.answers.of(job.id)
    assert sum(rows for _, rows in points) == 200
    assert 100 < len(points) < 150


def test_a_drawing_needs_two_points(ledger: Ledger) -> None:
    """One answer has no pace; two at the same moment have a bar that stays inside of the drawing."""
    assert pace_of([], None) is None
    assert pace_of([(5.0, 9)], None) is None
    drawn = pace_of([(1_800_000_000.0, 30), (1_800_000_000.0, 70)], None)
    assert drawn is not None
    assert [bar.height <= HEIGHT and bar.y >= 0 for bar in drawn.bars] == [True]
    assert drawn.top >= drawn.peak


# What is hostile


def test_nothing_of_a_roster_or_of_the_service_runs(ledger: Ledger, tmp_path: Path) -> None:
    """Hostile texts in every place that a roster, the service or a column's name reaches are texts."""
    rows = [
        row_of(line, Status.FAILED, *[text] * 4, code=text.replace(";", ""), error=text, user=text)
        for line, text in enumerate(HOSTILE, 2)
    ]
    job = processed_job(ledger, rows, columns=("site", *HOSTILE[:3]), roster=HOSTILE[0])
    ledger.jobs.stop(job.id, replace(OVER[JobState.STOPPED], text=HOSTILE[0]))
    found = written(ledger, job, tmp_path)
    scripts = found.tree.xpath("//script")
    assert [one.get("type") for one in scripts] == ["application/json", "application/json", None]
    assert scripts[-1].text == (Path(page.__file__).parent / "page.js").read_text("utf-8")
    assert not found.tree.xpath(
        "//img | //iframe | //object | //base | //form | //comment()[contains(., 'script')]"
    )
    assert not found.tree.xpath("//@*[starts-with(name(), 'on')] | //*[@style] | //@autofocus")
    assert {url[0] for url in found.tree.xpath("//@href")} == {"#", "d"}  # within the page, and its icon
    assert [row[1] for row in found.rows] == [visible(text) for text in HOSTILE]
    assert "49" not in found.one("//h1")
    invisible = re.compile("[\u202a-\u202e\u2066-\u2069\u2028\u2029\ufeff\u200b\x00-\x09\x0b-\x1f\x7f-\x9f]")
    assert not invisible.search(found.text)


TEXTS = st.text(st.characters()) | st.sampled_from(HOSTILE)


@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=4))
def test_any_text_stays_data(cells: list[tuple[str, str]]) -> None:
    """Rows become JSON without a character that a browser's parser of HTML would look at."""
    text = rows_as_json([[1, *texts] for texts in cells])
    assert not re.search("[<>&\u2028\u2029\n\r\x00]", text)
    assert json.loads(text) == [[1, *map(visible, texts)] for texts in cells]
    assert json.loads(as_json({"x": cells[0][0]})) == {"x": cells[0][0]}


def test_invisible_characters_are_shown() -> None:
    """A sign stands for what has none, or turns the text round; letters of all languages stay."""
    assert visible("a\tb\u202ec\x85\ud800\U000e0041") == "a␉b⟨U+202E⟩c⟨U+0085⟩⟨U+D800⟩⟨U+E0041⟩"
    assert visible("Zoë\u00a0می\u200cخواهم 👩\u200d💻") == "Zoë\u00a0می\u200cخواهم 👩\u200d💻"


def test_sentences_keep_their_code() -> None:
    """Names between backticks and commands are marked as code; the rest of them is escaped."""
    assert prose("see `a<b`; <i>") == "see <code>a&lt;b</code>; &lt;i&gt;"
    assert with_command("then `retry` again") == "then <code>retry</code> again"
    assert with_command("once <b>: siproster retry X --where 'a") == (
        "once &lt;b&gt;: <code>siproster retry X --where &#39;a</code>"
    )


def test_the_policy_names_the_pages_own_style_and_script(ledger: Ledger, tmp_path: Path) -> None:
    """The hashes are those of what the page has, and nothing else may be loaded, sent or framed."""
    found = written(ledger, processed_job(ledger, [row_of(2)]), tmp_path)
    (policy,) = found.tree.xpath("//meta[@http-equiv='Content-Security-Policy']/@content")
    assert policy == report_page.CSP
    for kind, query in (("style-src", "//style"), ("script-src", "//script[not(@type)]")):
        content = found.tree.xpath(query)[0].text
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{kind} 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy


def test_no_secret_is_in_it(ledger: Ledger, tmp_path: Path) -> None:
    """The chunk has the passwords; the page, which only its owner may read, has none."""
    job = processed_job(ledger, [row_of(2), row_of(3, None)])
    path = report_page.write(ledger, SEAL, job, tmp_path / "new")
    assert PASSWORD not in path.read_text("utf-8")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


# Size


def test_a_very_large_job_shows_what_needs_attention(ledger: Ledger, tmp_path: Path) -> None:
    """With more rows than a page bears, only those not in place are in it, and it says where all are."""
    job = processed_job(ledger, [row_of(2), row_of(3, Status.FAILED)])
    found = Page(report_page.write(ledger, SEAL, replace(job, rows=page.MOST_ROWS + 1), tmp_path))
    assert [row[0] for row in found.rows] == [3]
    assert "too many for one page" in found.text
    assert found.one("//h1") == "1 of 2 users are in place."


def test_a_page_is_whole_or_not_there(ledger: Ledger, tmp_path: Path) -> None:
    """If rows can't be opened, an earlier page stays as it was, and nothing is left beside it."""
    job = processed_job(ledger, [row_of(2)])
    before = report_page.write(ledger, SEAL, job, tmp_path / "r").read_bytes()
    ledger.rows.add_page(job.id, 1, 5, 5, seal_page(SEAL, job.id, 7, [make_row(5)]))
    with pytest.raises(LedgerError):
        report_page.write(ledger, SEAL, job, tmp_path / "r")
    assert [path.read_bytes() for path in (tmp_path / "r").iterdir()] == [before]


def test_a_folder_that_cannot_be_written(ledger: Ledger, tmp_path: Path) -> None:
    """The error names the folder, and what to do."""
    job = processed_job(ledger, [row_of(2)])
    (tmp_path / "file").touch()
    with pytest.raises(SiprosterError, match="it is a file") as failed:
        report_page.write(ledger, SEAL, job, tmp_path / "file")
    assert "--results" in failed.value.hint


def test_all_files_are_written_in_one_pass(ledger: Ledger, tmp_path: Path) -> None:
    """With the tables, the same page; the summary names it, and it is known as ours."""
    job = processed_job(ledger, [row_of(2), row_of(3, Status.FAILED)])
    summary = report_page.write_results(ledger, SEAL, job, tmp_path / "r")
    found = Path(summary["files"]["page"])
    assert found == tmp_path / "r" / report.PAGE
    assert found.read_text("utf-8").startswith(report_page.BEGIN)
    assert Page(found).rows == written(ledger, job, tmp_path).rows
    assert sorted(path.name for path in (tmp_path / "r").iterdir()) == [
        "failed.csv", "report.html", "results.csv", "summary.json",
    ]  # fmt: skip


def test_the_column_of_user_names_is_shown_once() -> None:
    """It is beside each row anyway, unless the names were built from other columns."""
    columns = ("username", *COLUMNS)
    own, built = tally.Tally(columns).columns, tally.Tally(columns, names_built=True).columns
    assert [column.label for column in own] == ["display name", "extension", "did", "site"]
    assert built[-1].label == "username"
