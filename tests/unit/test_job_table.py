"""`jobs` fits the terminal, and says where each job comes from."""

from __future__ import annotations

import io
import re
from dataclasses import replace

import pytest
from rich.console import Console

from tests.unit.jobs import make_job
from worker.commands.job_table import JobLine, Lineages, job_table
from worker.commands.screen import on_stdout
from worker.model import Job, utc_now

PLAN = "20261122-214612-staff-1f2c"
FIRST = "20261122-224612-staff-7f3a"
RETRY = "20261122-230101-staff-99b0"
LONG = "20261123-023000-a-rather-long-name-of-a-c0de"
NIGHTLY = "20261123-023001-staff-c0df"


def made(id_: str, **fields: object) -> Job:
    """A job of six thousand rows, by somebody on a machine with a usual name."""
    return replace(make_job(), id=id_, rows=600_000, operator="dana", machine="provisioning-1", **fields)  # type: ignore[arg-type]


JOBS = [
    made(NIGHTLY, schedule="nightly"),
    made(LONG),
    made(RETRY, parent=FIRST, source=f"job {FIRST}"),
    made(FIRST, parent=PLAN, source=f"plan {PLAN}"),
    made(PLAN, saved=utc_now(), carried_out_by=FIRST),
]


def shown(jobs: list[Job], width: int) -> list[str]:
    """Return the lines of the table on a terminal of this width; 0: in a file."""
    file = io.StringIO()
    console = (
        Console(file=file, width=width, force_terminal=True, color_system=None) if width else on_stdout(file)
    )
    lineages = Lineages((job.id for job in jobs), short=bool(width))
    lines = [
        JobLine(
            job,
            {"state": "paused", "saved": job.saved, "carried_out_by": job.carried_out_by,
             "undo_state": None, "not_in_place": 12_345},
            lineages.of(job),
        )
        for job in jobs
    ]  # fmt: skip
    console.print(job_table(lines, console))
    return [line.rstrip() for line in file.getvalue().splitlines()]


def test_a_usual_terminal_has_the_lineage() -> None:
    """In 80 columns each job is a line, with its whole id and where it comes from."""
    lines = shown([job for job in JOBS if job.id != LONG], 80)
    assert lines[0].split() == ["not", "in"]
    assert lines[1].split() == ["job", "state", "rows", "place", "lineage"]
    assert [re.split(" (?:12,345|-) ", line)[1].strip() for line in lines[2:]] == [
        "schedule nightly", "retry of 7f3a", "plan 1f2c", "carried out by 7f3a",
    ]  # fmt: skip
    assert ["-" in line.split() for line in lines[2:]] == [
        False,
        False,
        False,
        True,
    ]  # a plan puts nobody in place
    assert max(map(len, lines)) <= 80


def test_long_ids_have_the_lineage_below_them() -> None:
    """In 80 columns with the longest ids nothing is cut: the lineage has a line of its own."""
    lines = shown(JOBS, 80)
    assert [line.split()[0] for line in lines if "paused" in line or "carried out  " in line] == [
        job.id for job in JOBS
    ]
    assert "  retry of 7f3a" in lines
    assert max(map(len, lines)) <= 80


def test_a_wide_terminal_shows_more() -> None:
    """Account, time and operator are added as they fit."""
    headings = [" ".join(shown(JOBS, width)[:2]).split() for width in (100, 126, 160)]
    for heading, fits in (("lineage", 0), ("account", 1), ("began", 1), ("by", 2)):
        assert [heading in found for found in headings] == [number >= fits for number in range(3)]


@pytest.mark.parametrize("width", [30, 50, 60])
def test_a_narrow_terminal_cuts_nothing(width: int) -> None:
    """Cells are folded, never shortened."""
    assert "…" not in "".join(shown(JOBS, width))


def test_a_file_has_everything_in_full() -> None:
    """Off a terminal there are all columns, one line a job, and the ids of other jobs are whole."""
    lines = shown(JOBS, 0)
    assert len(lines) == 1 + len(JOBS)
    assert f"retry of {FIRST}" in lines[3]
    assert lines[3].endswith("dana@provisioning-1")


def test_an_ambiguous_end_of_an_id_is_not_used() -> None:
    """If two jobs end alike, the whole id is shown, as the commands would ask for it."""
    twin = made("20261124-000000-other-7f3a")
    assert Lineages([FIRST, twin.id, RETRY], short=True).of(JOBS[2]) == f"retry of {FIRST}"
