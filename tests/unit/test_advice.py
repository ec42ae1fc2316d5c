"""Advice about rows and jobs follows from their codes, and never repeats what was just done."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.unit.jobs import AWAY, OVER, make_chunk_row, make_row, start_job
from worker import advice, report
from worker.commands.screen import print_reading, print_summary
from worker.commands.watch import exit_code
from worker.importing.plan_summary import PlanSummary
from worker.importing.process_id import process_id
from worker.ledger import Ledger, Undone, shown
from worker.model import Action, Job, JobState, OnExisting, Outcome, Status
from worker.states import Reason, Why


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """A ledger of its own."""
    with closing(Ledger(f"sqlite:///{tmp_path}/ledger.db")) as ledger:
        yield ledger


def ended(ledger: Ledger, *outcomes: tuple[Status, str], rows: int = 0, **options: Any) -> Job:
    """Return a job of which some rows have these outcomes; ``rows``: others that have none."""
    lines = range(2, 2 + len(outcomes) + rows)
    job = start_job(ledger, [make_chunk_row(line) for line in lines], **options)
    claim = ledger.chunks.claim(job.id, 0, "desk:1", 60)
    assert claim is not None
    known = [Outcome(line, status, code=code) for line, (status, code) in zip(lines, outcomes, strict=False)]
    if known:
        ledger.chunks.record(claim, known, 60)
    if rows:
        ledger.chunks.release(claim, 0, [], 0, 0)
    else:
        ledger.chunks.end(claim, None, 60, 0, 0)
        ledger.jobs.finish(job.id)
    return ledger.jobs.get(job.id)


def summary(ledger: Ledger, job: Job, **changes: Any) -> dict[str, Any]:
    """Return the job's summary, as it would be with these facts changed."""
    now = replace(ledger.jobs.get(job.id), **changes)
    return report.summary(ledger, now, Path("/results"))


def commands(ledger: Ledger, job: Job, **changes: Any) -> list[str]:
    """Return the commands that are advised for its rows, from the command's name on."""
    found = advice.commands(summary(ledger, job, **changes))
    return [command.partition("siproster ")[2].replace(job.id, "JOB") for command in found]


CORRECTED = "retry JOB --corrections /results/failed.csv"
SET = "retry JOB --on-existing update"


@pytest.mark.parametrize(
    ("status", "code", "wanted"),
    [
        (Status.EXISTS, "digest_differs", [SET]),
        (Status.EXISTS, "digest_differs;application_differs", [SET]),
        (Status.EXISTS, "realm_differs", [CORRECTED]),
        (Status.EXISTS, "realm_differs;application_differs", [CORRECTED]),
        (Status.EXISTS, "case_differs", [CORRECTED]),
        (Status.EXISTS, "changed_since_plan", ["retry JOB"]),
        (Status.INVALID, "password_missing;too_long", [CORRECTED]),
        (Status.INVALID, "realm_not_active", ["retry JOB"]),
        (Status.FAILED, "23019", [CORRECTED]),
        (Status.FAILED, "99999", [CORRECTED]),
        (Status.FAILED, "application_not_set", []),
        (Status.UNKNOWN, "not_mentioned", ["retry JOB"]),
        (Status.UNCHANGED, "origin_unknown", []),
    ],
)
def test_the_command_follows_from_the_code(
    ledger: Ledger, status: Status, code: str, wanted: list[str]
) -> None:
    """--on-existing update is advised only for rows that it can set (guard: codes.decisive)."""
    assert commands(ledger, ended(ledger, (Status.CREATED, ""), (status, code))) == wanted


def test_what_was_just_done_is_not_advised_again(ledger: Ledger) -> None:
    """After --on-existing update it is not advised again; a second not_mentioned goes to Bandwidth."""
    job = ended(ledger, (Status.EXISTS, "digest_differs"), on_existing=OnExisting.UPDATE)
    assert commands(ledger, job) == ["retry JOB"]
    job = ended(ledger, (Status.UNKNOWN, "not_mentioned"))
    assert commands(ledger, job) == ["retry JOB"]
    retried = {"parent": "earlier", "source": "job earlier"}
    assert commands(ledger, job, **retried) == []
    (told,), _ = advice.of_status(summary(ledger, job, **retried), Status.UNKNOWN)
    assert "ask Bandwidth" in told.text
    assert commands(ledger, job, parent="plan", source="plan plan") == ["retry JOB"]


def test_a_cancelled_jobs_rows_need_no_correction(ledger: Ledger) -> None:
    """Rows that were not attempted need only a retry; if existing users blocked them, they can skip those."""
    job = ended(ledger, (Status.CREATED, ""), rows=2)
    ledger.jobs.stop(job.id, OVER[JobState.CANCELLED])
    assert commands(ledger, job) == ["retry JOB"]
    blocked = ended(ledger, (Status.EXISTS, "digest_differs"), rows=2, account="5", on_existing="fail")
    ledger.jobs.stop(blocked.id, Why(Reason.EXISTS, "1 user is there with another password or application"))
    assert commands(ledger, blocked) == [SET, "retry JOB --on-existing skip"]


@pytest.mark.parametrize(
    ("state", "why", "step", "wanted"),
    [
        (JobState.RUNNING, None, "siproster status JOB --follow", []),
        (JobState.PAUSED, AWAY, "siproster resume JOB", []),
        (JobState.STOPPED, OVER[JobState.STOPPED], "siproster resume JOB", [CORRECTED]),
        (JobState.CANCELLED, OVER[JobState.CANCELLED], "", [CORRECTED, "retry JOB"]),
    ],
)
def test_the_job_as_a_whole(
    ledger: Ledger, state: JobState, why: Why | None, step: str, wanted: list[str]
) -> None:
    """An active job is resumed or followed; only an ended one is retried, or judged by its rows."""
    job = ended(ledger, (Status.FAILED, "23019"), rows=1)
    told = summary(ledger, job, state=state, why=why)
    assert advice.next_step(told).replace(job.id, "JOB").endswith(step)
    assert commands(ledger, job, state=state, why=why) == wanted


def test_codes_stand_under_their_status(ledger: Ledger, capsys: pytest.CaptureFixture[str]) -> None:
    """Each code is listed below its rows, with what to do and the command to type."""
    job = ended(ledger, (Status.INVALID, "too_long"), (Status.EXISTS, "digest_differs"), (Status.CREATED, ""))
    print_summary(summary(ledger, job), as_json=False)
    lines = [line.split()[:2] for line in capsys.readouterr().out.splitlines()]
    assert lines[:7] == [
        ["1", "created"], ["1", "exists"], ["digest_differs", "(1"], ["if", "the"],
        ["1", "invalid"], ["too_long", "(1"], ["once", "corrected:"],
    ]  # fmt: skip


def test_a_plans_codes_stand_under_their_action() -> None:
    """Each code of a plan is listed below its action; if the row stays out of place, with what to do."""
    tally = PlanSummary()
    for line, (action, code) in enumerate([
        (Action.UPDATE, "digest_differs"), (Action.EXISTS, "realm_differs"), (Action.INVALID, "too_long"),
        (Action.INVALID, "too_long"), (Action.CREATE, ""),
    ], 2):  # fmt: skip
        settled = Outcome(line, Status.INVALID, code=code) if action is Action.INVALID else None
        differs = (code,) if code and not settled else ()
        tally.add([make_row(line, action=action, differs=differs, outcome=settled)])
    told: list[str] = []
    print_reading("staff.csv", tally, lambda line, _colour="": told.append(line))
    lines = [line.split()[:2] for line in told[1:]]
    assert lines == [
        ["1", "create"], ["1", "update"], ["digest_differs", "(1"], ["1", "exists"], ["realm_differs", "(1"],
        ["2", "invalid"], ["too_long", "(2"],
    ]  # fmt: skip
    assert "choose another user name" in told[5]
    assert ":" not in told[3]  # it will be set: nothing is to be done about it


# Jobs that are undone


def undone(ledger: Ledger, job: Job, *results: str) -> None:
    """Record this much of an undo."""
    ledger.undone.record(job.id, [Undone(line, result) for line, result in enumerate(results, 2)])


def test_an_interrupted_undo_is_told(ledger: Ledger) -> None:
    """An interrupted undo shows how far it is and how to continue, and not that all is in place."""
    job = ended(ledger, *[(Status.CREATED, "")] * 5, (Status.UNCHANGED, "origin_unknown"))
    assert (exit_code(job, summary(ledger, job)), advice.undo_word(summary(ledger, job))) == (0, "")
    undone(ledger, job, "removed", "removed", "kept")
    told = summary(ledger, job)
    assert (told["undo_state"], told["not_in_place"], told["undo_by"]) == ("partly", 2, None)
    assert advice.undo_word(told) == "partly undone"
    assert advice.next_step(told).startswith("undo interrupted: 2 of ")
    assert advice.next_step(told).endswith(f"continue with: siproster undo {job.id}")
    assert exit_code(job, told) == 10
    assert advice.commands(told) == []  # a retry would be refused


def test_an_undo_at_work_is_told(ledger: Ledger) -> None:
    """While its process lives, an undo is not interrupted; the words name machine and process."""
    job = ended(ledger, *[(Status.CREATED, "")] * 3)
    undone(ledger, job, "removed")
    ledger.accounts.acquire(job, process_id())
    assert advice.undo_word(summary(ledger, job)) == "being undone"
    assert f"undo is running ({shown(process_id())})" in advice.next_step(summary(ledger, job))
    machine = process_id().rpartition(":")[0]
    ledger.accounts.acquire(job, f"{machine}:{2**22 + 1}")  # no process has that number
    assert advice.undo_word(summary(ledger, job)) == "partly undone"


def test_an_undo_that_could_not_take_all_back(ledger: Ledger) -> None:
    """An undo in which some rows failed can be tried again; without such rows it is over."""
    job = ended(ledger, *[(Status.CREATED, "")] * 2)
    undone(ledger, job, "removed", "failed")
    ledger.jobs.set_undone(job.id)
    told = summary(ledger, job)
    assert (told["undo_state"], advice.undo_word(told)) == ("partly", "partly undone")
    assert f"1 of 2 undone, 1 failed; try again with: siproster undo {job.id}" in advice.next_step(told)
    undone(ledger, job, "removed", "removed")
    told = summary(ledger, job)
    assert (told["undo_state"], advice.undo_word(told), advice.next_step(told)) == ("done", "undone", "")
    assert told["not_in_place"] == 2


def test_rows_that_never_were_in_place_are_counted_once(ledger: Ledger) -> None:
    """A row counts as not in place once, even if undo deleted the user of an unknown row."""
    job = ended(ledger, (Status.UNKNOWN, "not_mentioned"), (Status.CREATED, ""))
    undone(ledger, job, "removed", "removed")
    assert summary(ledger, job)["not_in_place"] == 2


# Plans that are kept


def test_a_kept_plan_says_how_it_is_carried_out(ledger: Ledger) -> None:
    """A saved plan ends as `plan` did, and names the command that carries it out, or the job that did."""
    job = ended(ledger, rows=2)
    plan: dict[str, Any] = {"state": JobState.PLANNING, "saved": job.created}
    told = summary(ledger, job, **plan)
    assert advice.next_step(told) == f"carry it out with: siproster import --plan {job.id}"
    assert advice.commands(told) == []
    assert exit_code(replace(job, **plan), told) == 0
    wrong = ended(ledger, (Status.INVALID, "too_long"), rows=2, account="5")
    assert exit_code(replace(wrong, **plan), summary(ledger, wrong, **plan)) == 10
    over: dict[str, Any] = {"state": JobState.CANCELLED, "saved": job.created, "carried_out_by": "other"}
    assert advice.next_step(summary(ledger, job, **over)).endswith("siproster status other")


@pytest.mark.parametrize("reason", [one for one in Reason if one is not Reason.SAVED])
def test_a_job_ends_with_the_exit_code_of_its_reason(ledger: Ledger, reason: Reason) -> None:
    """Exit codes follow the reasons as in docs/errors.md; a job that isn't over ends as a waiting one."""
    job = ended(ledger, rows=1)
    left = replace(job, state=reason.state, why=Why(reason, "for some time"))
    assert exit_code(left, summary(ledger, left)) == reason.exit_code
    assert exit_code(job, summary(ledger, job)) == 5


def test_rows_in_doubt_have_their_code_and_are_resumed(ledger: Ledger) -> None:
    """Unconfirmed rows are `unknown` with their code; a stopped job is to be resumed for them."""
    job = start_job(ledger, [make_chunk_row(line) for line in (2, 3)])
    claim = ledger.chunks.claim(job.id, 0, "desk:1", 60)
    assert claim is not None
    ledger.jobs.stop(job.id, OVER[JobState.STOPPED])
    told = summary(ledger, ledger.jobs.get(job.id))
    assert told["codes"] == {"unknown": {"unconfirmed": 2}}
    found, commands = advice.of_status(told, Status.UNKNOWN)
    assert [(one.code, one.rows) for one in found] == [("unconfirmed", 2)]
    assert commands == []
    assert f"siproster resume {job.id}" in advice.next_step(told)
