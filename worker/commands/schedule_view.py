"""A schedule and its runs in words, for ``schedule list`` and ``schedule show``."""

from __future__ import annotations

import datetime as dt
import shlex
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import fields

from worker.advice import approval
from worker.errors import NotFound
from worker.ledger import Ledger
from worker.ledger.notifications import Notification
from worker.ledger.schedule_columns import Run, RunState, Schedule
from worker.model import Condition, JobState, Options
from worker.schedules.results import RunResult

_NAMES = {"source_format": "from"}
"""Fields of Options whose option has another name."""

_LEFT_OUT = ("results", "query", "tables", "weak_given")
"""Fields that are shown elsewhere, have the text of a file, or are no options."""


def options_of(one: Schedule) -> str:
    """Return the options that a schedule was made with, as they are typed, without those of default."""
    defaults = Options()
    words = []
    for field in fields(Options):
        value = getattr(one.options, field.name)
        if field.name not in _LEFT_OUT and value != getattr(defaults, field.name):
            option = f"--{_NAMES.get(field.name, field.name).replace('_', '-')}"
            words.extend([option] if value is True else [f"{option} {text}" for text in _typed(value)])
    return " ".join(words)


def result_of(run: Run) -> str:
    """Return the result of a run, or how far it is."""
    return run.result or ("waiting" if run.state is RunState.DUE else "going on")


def line_of(run: Run) -> str:
    """Return a run in one line: its slot, its result, its job, and what is special about it."""
    missed = f"{run.missed} missed before it" if run.missed else ""
    cause = "" if run.cause == "slot" else "by hand"
    return "  ".join(filter(None, (f"{run.slot:%Y-%m-%d %H:%MZ}", result_of(run), run.job, cause, missed)))


def lines_of(ledger: Ledger, run: Run) -> Iterator[str]:
    """Return all about a run: its line, then the reason, what to do about it, and its notifications."""
    yield line_of(run)
    for told in filter(None, (run.why, _next_step(ledger, run))):
        yield f"  {told}"
    for one in ledger.notifications.of_run(run.schedule, run.slot.timestamp()):
        yield f"  {_told(one)}"


def _typed(value: object) -> Iterator[str]:
    """Return the values of an option, quoted for a shell."""
    if isinstance(value, Mapping):
        yield from (shlex.quote(f"{name}={column}") for name, column in value.items())
    elif isinstance(value, (tuple, list)):
        yield from (shlex.quote(_condition(one) if isinstance(one, Condition) else str(one)) for one in value)
    else:
        yield shlex.quote(f"{value:g}" if isinstance(value, float) else str(value))


def _condition(one: Condition) -> str:
    return f"{one.column}{one.operator}{one.value}"


def _next_step(ledger: Ledger, run: Run) -> str:
    """Return what became of the job of a run that has not gone well, or what to do about it."""
    job = None
    with suppress(NotFound):
        job = ledger.jobs.get(run.job) if run.job else None
    if job is None or run.result not in (RunResult.APPROVAL_NEEDED, RunResult.STOPPED):
        return ""
    if job.carried_out_by:
        return f"approved, and carried out by job {job.carried_out_by}"
    if job.state is JobState.PLANNING:
        return approval(job.id)
    if job.state in (JobState.STOPPED, JobState.PAUSED):
        return f"continue with: siproster resume {job.id}"
    return f"job {job.id} is {job.state} by now"


def _told(told: Notification) -> str:
    """Return what became of a notification, in one line."""
    if told.finished:
        return f"{told.channel}: {told.state.replace('_', ' ')}" + (f": {told.error}" if told.error else "")
    if not told.attempts:
        return f"{told.channel}: not delivered yet; a running `siproster scheduler` delivers it"
    again = dt.datetime.fromtimestamp(told.next_attempt_at, dt.UTC)
    return f"{told.channel}: attempt {told.attempts} failed: {told.error}; next at {again:%H:%MZ}"
