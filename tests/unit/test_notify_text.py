"""The sentences of notifications: one for each result of a run, and the lines below it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.unit.notifications import run_ended
from worker.notify import body, subject
from worker.schedules.results import RunResult

DOCS = Path(__file__).parents[2] / "docs"

ENDINGS = {
    "all 600 rows in place": run_ended("in_place", counts={"created": 100, "unchanged": 500}),
    "1 row in place": run_ended("in_place", counts={"created": 1}),
    "no row in place, 3 skipped": run_ended("in_place", counts={"skipped": 3}),
    "the roster has no rows": run_ended("in_place", counts={}),
    "598 of 600 rows in place, 2 failed": run_ended(),
    "0 of 1 row in place, 1 invalid": run_ended(counts={"invalid": 1}),
    "1,200 of 1,230 rows in place, 10 failed, 5 invalid, 5 left alone (another password), 5 unconfirmed, "
    "5 not attempted, 7 skipped": run_ended(
        counts={"created": 1200, "failed": 10, "invalid": 5, "exists": 5, "unknown": 5, "unprocessed": 5,
                "skipped": 7}
    ),
    "stopped with 1 of 3 rows in place, 2 not attempted: the service refused these credentials": run_ended(
        "stopped", counts={"created": 1, "unprocessed": 2}, why="the service refused these credentials"
    ),
    "stopped: 61 of 600 rows failed": run_ended(
        "stopped", summary={"reason": "max_failed"}, why="max_failed: 61 of 600 rows failed."
    ),
    "held back, nothing was sent: 300 of 600 users would be absent": run_ended(
        "approval_needed", why="300 of 600 users would be absent"
    ),
    "this version was imported before; 1 row is not in place": run_ended(
        "not_in_place", summary=None, why="this version was imported before; 1 row is not in place"
    ),
    "nothing new to import": run_ended("nothing_new", summary=None),
    "not run: the previous run had not ended": run_ended("overlap", summary=None),
    "not run: the run of 2026-11-28 02:00Z has not ended": run_ended(
        "overlap", summary=None, why="the run of 2026-11-28 02:00Z has not ended"
    ),
    "not run: no scheduler was running; 3 slots missed": run_ended(
        "missed", summary=None, why="no scheduler was running; 3 slots missed"
    ),
    "not completed: another job was writing to the account": run_ended("account_busy", summary=None),
    "failed: acme.csv can't be read: no such file or directory": run_ended(
        "failed", summary=None, why="acme.csv can't be read: no such file or directory"
    ),
    "not completed: connection refused": run_ended("unavailable", why="connection refused"),
    "ended with something_new": run_ended("something_new", summary=None),
}  # fmt: skip


@pytest.mark.parametrize("ending", ENDINGS)
def test_each_result_has_a_sentence(ending: str) -> None:
    """The subject says how the run ended, in plain words; the text begins with the same sentence."""
    assert subject(ENDINGS[ending]) == f"nightly: {ending}"
    assert body(ENDINGS[ending]).startswith(subject(ENDINGS[ending]) + ".\n")


def test_no_result_is_forgotten() -> None:
    """Each result that a run may have has a sentence."""
    assert [one for one in RunResult if "ended with" in subject(run_ended(one, why="x"))] == []


def test_the_schema_has_every_result() -> None:
    """docs/schemas/run-ended.json and docs/notifications.md have the results that a run may have."""
    schema = json.loads((DOCS / "schemas/run-ended.json").read_text("utf-8"))
    assert set(schema["properties"]["result"]["enum"]) == {str(one) for one in RunResult}
    page = (DOCS / "notifications.md").read_text("utf-8")
    described = page.partition("| result | meaning |")[2].partition("## ")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", described, re.MULTILINE)) == {str(one) for one in RunResult}


def test_the_details() -> None:
    """The text has the facts that a person needs, and the command to type next."""
    payload = run_ended("approval_needed", why="300 users would be absent", missed=2)
    assert body(payload) == (
        "nightly: held back, nothing was sent: 300 users would be absent.\n"
        "\n"
        "Schedule: nightly\n"
        "Run:      2026-11-29 02:00 UTC (as scheduled)\n"
        "Reason:   300 users would be absent\n"
        "Job:      20261129-acme-1\n"
        "Roster:   acme.csv\n"
        "Missed:   2 earlier runs, not made up for\n"
        "Next run: 2026-11-30 02:00 UTC\n"
        "\n"
        "What to do next: siproster import --plan 20261129-acme-1\n"
    )


def test_the_next_step() -> None:
    """Each kind of trouble names a command; a run that went well needs none."""
    assert "siproster status 20261129-acme-1" in body(run_ended())
    assert "siproster schedule show nightly" in body(run_ended("failed", job="", summary=None))
    assert "next:" not in body(run_ended("in_place", counts={"created": 1}))


def test_users_are_listed() -> None:
    """Names, each on a line of its own whatever is in them, and how many there are beyond."""
    text = body(run_ended(users=["alice", "b\nob\x1b"], users_left_out=1200))
    assert "Users who are not in place:\n  alice\n  b ob�\n  and 1,200 more\n" in text


def test_a_test_notification() -> None:
    """It says what it is, so that nobody looks for a run."""
    payload = {"type": "siproster.test", "schedule": "nightly", "channel": "ops"}
    assert subject(payload) == "nightly: test notification"
    assert "No run has ended" in body(payload)


def test_a_long_reason_is_cut() -> None:
    """A subject stays a subject; the text below has the whole reason."""
    payload = run_ended("failed", why="x" * 1000)
    assert len(subject(payload)) == 200
    assert subject(payload).endswith("…")
    assert "x" * 1000 in body(payload)
