"""The judge of the chaos runs: it sees each kind of broken promise."""

from __future__ import annotations

from typing import Any

import pytest

from tests.chaos.oracle import Truth, falsely_claimed, judge
from tests.chaos.rosters import Fate, Wanted

REALM = "office-0a1b2c.auth.example.com"
JOB = "20260801-000000-staff-0000"
ROWS = [
    Wanted(2, "new", "", "Pw-new-1", Fate.NEW),
    Wanted(3, "same", "pbx.example.com", "Pw-same-1", Fate.SAME),
    Wanted(4, "other", "", "Pw-other-1", Fate.OTHER),
    Wanted(5, "bad", "", "", Fate.INVALID),
]
ENDS = {2: "created", 3: "unchanged", 4: "exists", 5: "invalid"}


def results(**changed: Any) -> list[dict[str, str]]:
    """The results of a good job, but for some fields of the new user's line."""
    lines = [
        {"bw__job": JOB, "bw__row": str(row.line), "bw__status": ENDS[row.line], "bw__username": row.user,
         "bw__domain": row.domain, "bw__error_code": "", "bw__error": ""}
        for row in ROWS
    ]  # fmt: skip
    return [lines[0] | changed, *lines[1:]]


def history(**changed: Any) -> list[dict[str, Any]]:
    """Return the credentials a job should leave on the service, with ``changed`` facts about the new user."""
    held = []
    for row in ROWS[:3]:
        digests = ("0" * 32, "1" * 32) if row.fate is Fate.OTHER else row.digests(REALM)
        held.append({"composite": row.name, "hash1": digests[0], "hash1b": digests[1], "created": 1,
                     "updated": 0, "deleted": 0})  # fmt: skip
    return [held[0] | changed, *held[1:]]


def test_a_good_end_breaks_no_promise() -> None:
    """Each fate's own right end is no violation."""
    assert judge(ROWS, results(), Truth(history(), REALM)) == []


@pytest.mark.parametrize(
    ("lines", "held", "kind"),
    [
        (results()[1:], history(), "lost"),
        (results(bw__status="unprocessed"), history(), "lost"),
        (results(), history()[1:], "lost"),
        ([*results(), results()[0]], history(), "doubled"),
        (results(), [*history(), history()[0]], "doubled"),
        (results(), history(created=2, deleted=1), "doubled"),
        (results(), history(updated=1), "doubled"),
        (results(bw__status="unknown"), history(), "unknown"),
        (results(bw__status="failed", bw__error_code="crashed"), history(), "wrong"),
        (results(bw__status="unchanged"), history(), "wrong"),
        (results(), history(hash1="0" * 32), "wrong"),
        (results(), [*history(), history(composite="stranger")[0]], "wrong"),
    ],
)
def test_each_kind_of_broken_promise_is_seen(lines: Any, held: Any, kind: str) -> None:
    """One thing wrong in the results, or on the service, is one violation of its kind."""
    assert {found.kind for found in judge(ROWS, lines, Truth(held, REALM, first=JOB))} == {kind}


def test_a_job_may_not_claim_what_was_there() -> None:
    """``created`` for a user that the service held before the job is a violation."""
    assert falsely_claimed(results(), {"same@pbx.example.com"}) == []
    assert [found.kind for found in falsely_claimed(results(), {"new"})] == ["wrong"]
