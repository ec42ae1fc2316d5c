"""``jobs``, ``status`` and ``report``: what the ledger knows."""

from __future__ import annotations

import sys
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from worker import report as results
from worker.commands import watch
from worker.commands.options import json_option, results_option
from worker.commands.screen import ProgressScreen, say, tell_json, tell_summary
from worker.commands.session import Session, settings_options
from worker.model import Job, Status

_LOOK_EVERY = 0.5
"""Seconds between two looks at the ledger while following."""


@click.command("jobs")
@click.option(
    "--limit", metavar="N", type=click.IntRange(min=1), default=20, show_default=True, help="How many."
)
@json_option
@settings_options
def jobs(limit: int, as_json: bool, **given: Any) -> None:
    """List the jobs of this ledger, newest first."""
    ledger = Session(given).ledger
    found = [ledger.jobs.get(job) for job in ledger.jobs.newest()[:limit]]
    if as_json:
        tell_json([results.summary(ledger, job, results.folder_of(job)) for job in found])
        return
    if not found:
        say("no jobs yet: siproster import ROSTER")
        return
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("job", "state", "account", "rows", "not in place", "began", "by"):
        table.add_column(heading, justify="right" if heading in ("rows", "not in place") else "left")
    for job in found:
        table.add_row(*_cells(job, results.summary(ledger, job, results.folder_of(job))["counts"]))
    Console(file=sys.stdout, highlight=False).print(table)


@click.command("status")
@click.argument("job_id", metavar="JOB")
@click.option("--follow", is_flag=True, help="Watch until the job is over.")
@json_option
@settings_options
def status(job_id: str, follow: bool, as_json: bool, **given: Any) -> None:
    """Say how far JOB is: counts, rate, time left."""
    session = Session(given)
    job = session.ledger.jobs.get(job_id)
    with watch.interruptible() as interrupt:
        screen = ProgressScreen()
        with screen.running():
            while follow and session.ledger.jobs.state(job_id).active:
                screen.show(session.ledger.chunks.progress(job_id))
                if interrupt.wait(_LOOK_EVERY):
                    sys.exit(130)
    job = session.ledger.jobs.get(job_id)
    tell_summary(results.summary(session.ledger, job, results.folder_of(job)), as_json=as_json)


@click.command("report")
@click.argument("job_id", metavar="JOB")
@results_option
@json_option
@settings_options
def report(job_id: str, results: str, as_json: bool, **given: Any) -> None:
    """Write the result files of JOB again; exit code as the job's own."""
    session = Session(given)
    sys.exit(watch.tell_end(session, job_id, results, as_json=as_json))


def _cells(job: Job, counts: dict[str, int]) -> list[Text]:
    troubled = sum(rows for name, rows in counts.items() if not Status(name).in_place)
    began = (job.started or job.created).strftime("%Y-%m-%d %H:%M:%SZ")
    by = f"{job.operator}@{job.machine}"
    return [
        Text(cell) for cell in (job.id, job.state, job.account, f"{job.rows:,}", f"{troubled:,}", began, by)
    ]
