"""The guards' figures: what is counted, and what a percentage is one of."""

from __future__ import annotations

from collections import Counter

import pytest

from worker.importing.guards import MAX_FAILED_OF_SCHEDULES, why_held_back, why_not_started
from worker.importing.plan_summary import PlanSummary
from worker.model import Action, Options
from worker.states import Reason


def summary(rows: int = 100, stored: int = 100, absent: int = 0, **actions: int) -> PlanSummary:
    counts = Counter({Action(name): number for name, number in actions.items()})
    return PlanSummary(rows=rows, actions=counts, stored=stored, suddenly_absent=absent)


@pytest.mark.parametrize(
    ("bound", "counted", "holds"),
    [
        ("10", summary(create=4, update=4, absent=2), False),
        ("10", summary(create=4, update=4, absent=3), True),
        ("0", summary(unchanged=100), False),
        ("0", summary(unchanged=100, absent=1), True),
        ("10%", summary(rows=50, stored=100, absent=10), False),  # of the users stored
        ("10%", summary(rows=50, stored=100, absent=11), True),
        ("10%", summary(rows=100, stored=50, create=10), False),  # of the rows
        ("10%", summary(rows=100, stored=50, create=11), True),
        ("0.5%", summary(rows=1000, create=5), False),
        ("", summary(create=100, absent=100), False),
    ],
)
def test_changes_allowed(bound: str, counted: PlanSummary, holds: bool) -> None:
    """Users created, updated and suddenly absent count together, of the roster's rows or the users stored."""
    why = why_held_back(Options(max_changes=bound), counted)
    assert (why.reason if why else None) == (Reason.MAX_CHANGES if holds else None)


def test_leavers_count_once() -> None:
    """Users to be deleted count, whether they are suddenly absent or were before."""
    counted = summary(absent=5)
    counted.leavers, counted.sudden_leavers = 7, 4
    assert counted.changes == 8
    why = why_held_back(Options(max_changes="7"), counted)
    assert why
    assert "8 changes (7 to delete, 1 suddenly absent from the roster)" in why.text


@pytest.mark.parametrize(
    ("options", "counted", "holds"),
    [
        (Options(require_rows=3), summary(rows=3), False),
        (Options(require_rows=4), summary(rows=3), True),
        (Options(require_rows=4), summary(rows=5, skip=2), True),  # entries that are no users
        (Options(max_changes="10%"), summary(rows=2, skip=2), True),
        (Options(), summary(rows=2, skip=2), False),
    ],
)
def test_rows_required(options: Options, counted: PlanSummary, holds: bool) -> None:
    """Rows for users count; with a bound for changes there must be one."""
    why = why_held_back(options, counted)
    assert (why.reason if why else None) == (Reason.REQUIRE_ROWS if holds else None)


def test_invalid_rows_stop_a_scheduled_run_before_its_start() -> None:
    """Invalid rows count before anything is sent; a guard comes first, since its plan can be approved."""
    options = Options(max_failed=MAX_FAILED_OF_SCHEDULES, require_rows=50)
    assert why_not_started(options, summary(invalid=10)) is None
    stopped = why_not_started(options, summary(invalid=11))
    assert stopped
    assert stopped.reason is Reason.MAX_FAILED
    both = why_not_started(options, summary(rows=40, invalid=11))
    assert both
    assert both.reason is Reason.REQUIRE_ROWS
