"""Uploads in the ledger: sealed, whole or not there at all, shredded when they are of no more use."""

from __future__ import annotations

import hashlib
import io
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.unit.jobs import KEY, Clock, make_job
from worker.errors import Conflict, NotFound, SealBroken, UsageError
from worker.ledger import CellCorrection, Ledger, Step, StepState, Upload
from worker.ledger.cells import LONGEST_CELL
from worker.ledger.uploads import BLOCK, KEPT_UNUSED
from worker.model import Job
from worker.roster.uploaded import UploadedFile
from worker.seal import Seal

SEAL = Seal([KEY])
SECRET = b"Tb7xQ2mK9rL4vN8s"


def receive(
    ledger: Ledger, content: bytes = b"username,password\n100," + SECRET, name: str = "a.csv"
) -> Upload:
    """Give the ledger a file, in pieces that are no blocks."""
    with ledger.uploads.receive(SEAL, "dana", name) as receiving:
        for at in range(0, len(content), 300_001):
            receiving.write(content[at : at + 300_001])
    assert receiving.upload
    return receiving.upload


def tables(ledger: Ledger) -> list[int]:
    """The number of rows that uploads have in each of their tables."""
    with ledger.store.read() as connection:
        return [
            connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()  # noqa: S608
            for table in ("uploads", "upload_blocks", "cell_corrections")
        ]


def test_a_file_comes_back_as_it_was(ledger: Ledger) -> None:
    """Size, hash and bytes are the file's, read in blocks or from anywhere in between."""
    content = b"".join(hashlib.sha256(str(number).encode()).digest() for number in range(80_000))
    upload = receive(ledger, content, "C:\\rosters\\../staff\n.xlsx")
    assert (upload.name, upload.size) == ("staff.xlsx", len(content))
    assert upload.sha256 == hashlib.sha256(content).hexdigest()
    assert b"".join(ledger.uploads.blocks(SEAL, upload.id)) == content
    source = UploadedFile(
        upload.name, upload.place, upload.size, lambda nr: ledger.uploads.block(SEAL, upload.id, nr)
    )
    with io.BufferedReader(source.open()) as stream:
        stream.seek(BLOCK - 5)
        assert stream.read(10) == content[BLOCK - 5 : BLOCK + 5]
        stream.seek(-7, io.SEEK_END)
        assert stream.read() == content[-7:]
    assert ledger.uploads.newest("dana") == [upload]
    assert ledger.uploads.newest("erin") == []


def test_nothing_of_it_lies_in_clear(ledger: Ledger, ledger_url: str) -> None:
    """Neither the file nor a corrected cell is readable in the database; a moved block won't open."""
    upload = receive(ledger)
    ledger.cells.correct(SEAL, upload.place, CellCorrection(2, "password", "Zz9-corrected", "dana"))
    with ledger.store.read() as connection:
        both = "SELECT sealed FROM upload_blocks UNION ALL SELECT sealed FROM cell_corrections"
        rows = connection.execute(text(both))
        sealed = [bytes(row.sealed) for row in rows]
    assert len(sealed) == 2
    assert not any(SECRET in one or b"Zz9-corrected" in one for one in sealed)
    if ledger_url.startswith("sqlite"):
        files = list(Path(ledger_url.removeprefix("sqlite:///")).parent.iterdir())
        assert not any(SECRET in file.read_bytes() for file in files)
    other = receive(ledger)
    with ledger.store.begin() as connection:
        connection.execute(text("UPDATE upload_blocks SET upload = 'x' WHERE upload = :id"), {"id": other.id})
        connection.execute(
            text("UPDATE upload_blocks SET upload = :to WHERE upload = :id"),
            {"to": other.id, "id": upload.id},
        )
    with pytest.raises(SealBroken):
        list(ledger.uploads.blocks(SEAL, other.id))


def test_an_upload_that_is_cut_off_leaves_nothing(ledger: Ledger, clock: Clock) -> None:
    """A broken connection leaves no block; blocks of a server that was killed meanwhile go an hour later."""

    def break_off() -> None:
        with ledger.uploads.receive(SEAL, "dana", "a.csv") as receiving:
            receiving.write(b"x" * (BLOCK + 1))
            raise ConnectionError

    with pytest.raises(ConnectionError):
        break_off()
    assert tables(ledger) == [0, 0, 0]
    killed = ledger.uploads.receive(SEAL, "dana", "a.csv")
    killed.__enter__().write(b"x" * (BLOCK + 1))
    clock.advance(3000)
    ledger.chunks.shred_expired()
    assert tables(ledger) == [1, 1, 0]
    assert ledger.uploads.newest() == []  # not complete, so nobody sees it
    clock.advance(601)
    ledger.chunks.shred_expired()
    assert tables(ledger) == [0, 0, 0]


def test_an_unused_upload_is_shredded_after_a_day(ledger: Ledger, clock: Clock) -> None:
    """A day after somebody did something with it last, an upload without a plan has no content left."""
    upload = receive(ledger)
    clock.advance(KEPT_UNUSED - 1)
    ledger.cells.correct(SEAL, upload.place, CellCorrection(2, "password", "new", "erin"))
    clock.advance(KEPT_UNUSED - 1)
    assert ledger.chunks.shred_expired() == 0
    clock.advance(2)
    assert ledger.chunks.shred_expired() == 1
    assert tables(ledger) == [1, 0, 0]
    with pytest.raises(UsageError, match="was shredded"):
        list(ledger.uploads.blocks(SEAL, upload.id))
    with pytest.raises(Conflict):
        ledger.uploads.set_settings(upload.id, {"sheet": "2"}, "dana")
    clock.advance(31 * 86_400)
    ledger.chunks.shred_expired()
    with pytest.raises(NotFound):
        ledger.uploads.get(upload.id)


def save_plan(ledger: Ledger, upload: Upload) -> Job:
    """Save a plan of an upload without rows."""
    job = replace(make_job(), source=upload.place)
    ledger.jobs.begin(job, "desk:1")
    ledger.jobs.has_read(job.id, 0, {}, 0, 0)
    ledger.jobs.save(job.id, 30 * 86_400.0)
    ledger.accounts.release(job.id)
    return job


def test_a_change_drops_the_plan(ledger: Ledger) -> None:
    """A plan counts only for the upload as it was planned: settings and cells may change while it is read."""
    upload = receive(ledger)
    plan = save_plan(ledger, upload)
    assert ledger.uploads.set_plan(upload, plan.id)
    assert ledger.uploads.get(upload.id).plan == plan.id
    assert ledger.uploads.plans(upload.id) == [plan.id]
    ledger.uploads.set_settings(upload.id, {"map": ["password=PIN"]}, "erin")
    now = ledger.uploads.get(upload.id)
    assert (now.plan, now.authors, now.settings) == ("", ("dana", "erin"), {"map": ["password=PIN"]})
    assert not ledger.uploads.set_plan(upload, plan.id)  # read before the change
    assert ledger.uploads.set_plan(now, plan.id)
    ledger.cells.correct(SEAL, upload.place, CellCorrection(2, "password", "new", "frank"))
    assert ledger.uploads.get(upload.id).authors == ("dana", "erin", "frank")
    assert ledger.uploads.get(upload.id).plan == ""


def test_a_planned_upload_stays_and_a_carried_out_one_is_shredded(ledger: Ledger, clock: Clock) -> None:
    """While its plan can be approved the file is kept; once the job has started, its rows are the job's."""
    upload = receive(ledger)
    plan = save_plan(ledger, upload)
    ledger.uploads.set_plan(upload, plan.id)
    clock.advance(3 * KEPT_UNUSED)
    assert ledger.chunks.shred_expired() == 0
    job = replace(make_job(), parent=plan.id)
    ledger.jobs.begin(job, "desk:2")
    ledger.chunks.shred_expired()
    assert not ledger.uploads.get(upload.id).shredded  # it is still being read into the ledger
    ledger.jobs.start(job.id, plan.id)
    ledger.chunks.shred_expired()
    done = ledger.uploads.get(upload.id)
    assert (done.job, bool(done.shredded), tables(ledger)[1]) == (job.id, True, 0)
    assert ledger.uploads.of_job(job.id) == done


def test_cells_are_corrected_and_taken_back(ledger: Ledger) -> None:
    """The last value of a cell counts; the version tells each state from any other; sizes are bounded."""
    subject = "job:20261122-224612-staff-7f3a"
    first = CellCorrection(3, "password", "one", "dana")
    ledger.cells.correct(SEAL, subject, first)
    before = ledger.cells.of(SEAL, subject)
    assert before.by_line == {3: {"password": "one"}}
    ledger.cells.correct(SEAL, subject, first)
    again = ledger.cells.of(SEAL, subject)
    ledger.cells.correct(SEAL, subject, replace(first, column="name", value="Ann", person="erin"))
    after = ledger.cells.of(SEAL, subject)
    assert after.by_line == {3: {"password": "one", "name": "Ann"}}
    assert after.people == ("erin", "dana")
    assert len({"", before.version, again.version, after.version}) == 4
    assert "one" not in repr(after)
    with pytest.raises(UsageError, match="4,096"):
        ledger.cells.correct(SEAL, subject, replace(first, value="x" * (LONGEST_CELL + 1)))
    ledger.cells.forget(subject)
    assert ledger.cells.of(SEAL, subject).cells == []


def test_corrections_stay_with_their_rows(ledger: Ledger) -> None:
    """Once cells were corrected, no setting takes them to another sheet's lines, or under another header."""
    upload = receive(ledger, name="a.xlsx")
    ledger.uploads.set_settings(upload.id, {"sheet": "Staff"}, "dana")
    ledger.cells.correct(SEAL, upload.place, CellCorrection(2, "password", "new", "dana"))
    for settings in ({}, {"sheet": "Guests"}, {"sheet": "Staff", "header-line": "2"}):
        with pytest.raises(Conflict, match="those of other rows"):
            ledger.uploads.set_settings(upload.id, settings, "dana")
    ledger.uploads.set_settings(upload.id, {"sheet": "Staff", "limit": 1}, "dana")
    ledger.cells.forget(upload.place)
    ledger.uploads.set_settings(upload.id, {"sheet": "Guests"}, "dana")


def test_one_step_at_a_time(ledger: Ledger, other_ledger: Ledger) -> None:
    """Of two that claim the same upload one does; the end of a replaced process counts for nothing."""
    step = Step("upload:1", "plan", "dana", server="desk:1")
    assert ledger.steps.claim(step)
    assert not other_ledger.steps.claim(replace(step, step="approve", server="desk:2"))
    assert ledger.steps.hand_over("upload:1", "desk:1", "desk:3")
    assert not ledger.steps.hand_over("upload:1", "desk:1", "desk:4")
    assert not ledger.steps.end(SEAL, "upload:1", "desk:1")
    assert ledger.steps.end(SEAL, "upload:1", "desk:3", results={"plan": {"plan": "p"}})
    assert other_ledger.steps.claim(replace(step, step="approve"))
    assert other_ledger.steps.end(SEAL, "upload:1", "desk:1", error={"code": "x"}, results={"approve": {}})
    assert ledger.steps.results(SEAL, "upload:1") == {"plan": {"plan": "p"}, "approve": {}}
    found = ledger.steps.get("upload:1")
    assert found
    assert (found.state, found.error, found.child) == (StepState.ENDED, {"code": "x"}, "")


def test_a_pending_step_waits(ledger: Ledger) -> None:
    """A step that waits for approval is begun once, or withdrawn."""
    step = Step("job:1", "undo", "dana", authors=("dana",), state=StepState.PENDING)
    assert ledger.steps.claim(step)
    assert [one.authors for one in ledger.steps.in_state(StepState.PENDING)] == [("dana",)]
    other = replace(step, step="retry")
    assert (step.mark, other.mark) == (replace(step, person="erin").mark, replace(other, origin="::1").mark)
    assert step.mark != other.mark
    assert not ledger.steps.start(other, "desk:1")  # what was approved is not what waits now
    assert ledger.steps.start(step, "desk:1")
    assert not ledger.steps.start(step, "desk:2")
    assert not ledger.steps.withdraw("job:1")
    assert ledger.steps.end(SEAL, "job:1", "desk:1")
    assert ledger.steps.claim(step)
    assert ledger.steps.withdraw("job:1")
