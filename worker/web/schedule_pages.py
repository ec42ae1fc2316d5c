"""Schedules: when they run, how their runs ended; pause, resume, run now."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from worker.errors import NotFound
from worker.ledger import Ledger, Role, Step, StepState
from worker.ledger.schedule_columns import Run, RunState, Schedule
from worker.roster.source import without_secrets
from worker.schedules.timetable import Timetable, time_zone
from worker.web.access import asker_of, work_of
from worker.web.live import News, stream
from worker.web.render import render
from worker.web.site import Page, see_other, site_of
from worker.web.words import GOOD, PLAIN, RUNS, WARN, moment

_RUNS_SHOWN = 50


@dataclass(frozen=True, slots=True)
class RunView:
    """A run in words."""

    when: dt.datetime
    word: str
    kind: str
    why: str
    job: str


@dataclass(frozen=True, slots=True)
class ScheduleView:
    """A schedule in words."""

    name: str
    url: str
    source: str
    account: str
    state: str
    kind: str
    when: str
    next: dt.datetime | None
    last: RunView | None


def schedules_page(request: Request) -> Response:
    """List the schedules of the account."""
    site = site_of(request)
    views = [_view(site.ledger, one) for one in site.ledger.schedules.all() if site.serves(one)]
    return render(request, "schedules.html", schedules=views)


def schedule_page(request: Request) -> Response:
    """Return a schedule with its last runs."""
    site = site_of(request)
    one = _schedule_of(request)
    step = work_of(request).step(f"schedule:{one.name}")
    runs = [_run_view(run) for run in site.ledger.schedules.runs(one.name, _RUNS_SHOWN)]
    return render(
        request, "schedule.html", one=_view(site.ledger, one), runs=runs, paused=one.paused is not None,
        error=step.error if step else None, live=_is_at_work(site.ledger, step, one.name),
    )  # fmt: skip


def schedule_events(request: Request) -> Response:
    """Return a stream that ends when the current run does."""
    name = _schedule_of(request).name
    here = f"/schedules/{name}"

    def look() -> News:
        at_work = _is_at_work(site_of(request).ledger, work_of(request).step(f"schedule:{name}"), name)
        return ("facts", "{}") if at_work else ("over", here)

    return stream(request, look)


def _is_at_work(ledger: Ledger, step: Step | None, name: str) -> bool:
    """Return whether the schedule is run or changed now."""
    return bool(step and step.state is StepState.RUNNING) or ledger.schedules.going_on(name) is not None


def change(request: Request) -> Response:
    """Run a schedule now, pause it, or resume it."""
    one, verb = _schedule_of(request), request.path_params["verb"]
    if verb not in ("run", "pause", "resume"):
        raise NotFound(f"a schedule can't {verb}")
    work_of(request).schedule(one.name, verb, asker_of(request))
    return see_other(f"/schedules/{one.name}")


def _schedule_of(request: Request) -> Schedule:
    site = site_of(request)
    one = site.ledger.schedules.get(request.path_params["name"])
    if not site.serves(one):
        raise NotFound(f"there is no schedule {one.name!r}")
    return one


def _view(ledger: Ledger, one: Schedule) -> ScheduleView:
    going_on = ledger.schedules.going_on(one.name)
    ended = [run for run in ledger.schedules.runs(one.name, 2) if run.state is RunState.ENDED]
    state, kind = ("Paused", WARN) if one.paused else ("Running now", GOOD) if going_on else ("Active", PLAIN)
    return ScheduleView(
        one.name, f"/schedules/{quote(one.name)}", without_secrets(one.source), one.account, state, kind,
        _when(one),
        None if one.paused else one.next_slot,
        _run_view(ended[0]) if ended else None,
    )  # fmt: skip


def _when(one: Schedule) -> str:
    if one.at:
        return f"Once, {moment(one.at)}"
    words = Timetable(one.cron, time_zone(one.zone)).in_words()
    return f"{words[:1].upper()}{words[1:]} ({one.zone})"


def _run_view(run: Run) -> RunView:
    word, kind = RUNS.get(run.result, (run.result, PLAIN))
    if run.state is not RunState.ENDED:
        word, kind = ("Waiting" if run.state is RunState.DUE else "Running", PLAIN)
    return RunView(run.slot, word, kind, run.why, run.job)


ROUTES = [
    Page("/schedules", schedules_page, ("GET",), Role.APPROVE, label="Schedules"),
    Page("/schedules/{name}", schedule_page, ("GET",), Role.APPROVE),
    Page("/schedules/{name}/events", schedule_events, ("GET",), Role.APPROVE),
    Page("/schedules/{name}/{verb}", change, ("POST",), Role.APPROVE),
]
