"""A run of a schedule, from its claim to its end: the import, its results, and the notifications."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from worker import report, roster
from worker.commands import outputs
from worker.commands.context import Context
from worker.commands.running import begin, finish, print_roster, run, take_over
from worker.commands.screen import echo
from worker.commands.window import moment
from worker.errors import (
    Conflict,
    JobBusy,
    LedgerAway,
    NotFound,
    SiprosterError,
    TryLater,
    UsageError,
    place_of,
)
from worker.importing.job import new_job
from worker.importing.process_id import process_id
from worker.importing.validation import RosterPage
from worker.ledger import Ledger
from worker.ledger.schedules import RUN_LEASE, End, Run, Schedule
from worker.logs import about
from worker.model import Job, JobState, Options
from worker.roster import NewRoster
from worker.schedules.results import RunResult, payload_of
from worker.schedules.timer import first_slot
from worker.schedules.timetable import time_zone
from worker.states import Reason

_GIVE_UP = dt.timedelta(hours=24)
"""How long a run that can't go on is tried again."""

_BUSY_SECONDS = 30.0
"""Seconds until a run is tried again while another job writes to its account."""

_AWAY_SECONDS = 60.0
"""Seconds until a run is tried again while the service, the broker or the ledger doesn't answer."""

_FACTS = (
    "job", "state", "reason", "why", "account", "roster", "realms", "counts", "codes", "not_in_place",
    "warnings", "started", "finished", "seconds", "requests", "retries", "absent",
)  # fmt: skip
"""Facts of a job's summary that notifications carry: no options, whose conditions may name users."""


class Claim:
    """The claim of this process on a run, handed over from the scheduler that made it."""

    def __init__(self, ledger: Ledger, run: Run) -> None:
        self._ledger = ledger
        self.run = run
        self._ended = threading.Event()
        self._lost = False

    @contextmanager
    def renewed(self) -> Iterator[None]:
        """Renew the claim until the end of the block. Raises Conflict if it was lost before."""
        if not self._ledger.schedules.renew(self.run, process_id()):
            raise self.lost()
        thread = threading.Thread(target=self._renew, name="run-claim", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()

    def check_page(self, _page: RosterPage) -> None:
        """Raise Conflict if another process has claimed the run since: a sink of the pipeline."""
        if self._lost:
            raise self.lost()

    def lost(self) -> Conflict:
        """Return the error of a process whose claim has passed to another one."""
        return Conflict(f"the run of {self.run.slot:%Y-%m-%d %H:%M}Z was claimed by another process")

    def _renew(self) -> None:
        while not self._ended.wait(RUN_LEASE / 4):
            with suppress(SiprosterError):  # while the ledger is away, nobody else can claim it either
                self._lost = not self._ledger.schedules.renew(self.run, process_id())


@dataclass(frozen=True, slots=True)
class _Later(Exception):
    """The run can't go on now."""

    result: RunResult
    """Its result if it never can."""
    why: str
    seconds: float


def carry_out(context: Context, claimed: Run) -> RunResult | None:
    """Carry a claimed run to its end. Return its result, or None if it is to be tried again later.

    Raises Interrupted or KeyboardInterrupt when asked to end: the next scheduler goes on with it.
    """
    schedule = context.ledger.schedules.get(claimed.schedule)
    claim = Claim(context.ledger, claimed)
    with claim.renewed():
        end = _ended(context, schedule, claim)
        if end is None:
            return None
        if not context.ledger.schedules.end(claimed, end):
            raise claim.lost()
    echo(f"schedule {schedule.name}: {end.result}" + (f": {end.why}" if end.why else ""))
    return RunResult(end.result)


def _ended(context: Context, schedule: Schedule, claim: Claim) -> End | None:
    """Carry a run out, and return its end, whatever happened; None if it is to be tried again later."""
    try:
        return _carried(context, schedule, claim)
    except _Later as later:
        return _given_up(context, schedule, claim, later)
    except KeyboardInterrupt:
        context.ledger.schedules.release(claim.run, 0, "the scheduler was ended")
        raise
    except SiprosterError as error:
        why = f"{error.message}; {error.hint}" if error.hint else error.message
        return _end(context, schedule, claim.run, RunResult.FAILED, why)
    except Exception as error:
        return _end(context, schedule, claim.run, RunResult.FAILED, f"unexpected {place_of(error)}")


def _carried(context: Context, schedule: Schedule, claim: Claim) -> End:
    """Import, or go on with the job of an earlier attempt. Raises _Later, or what ``import`` does."""
    _check_account(context, schedule)
    try:
        job = _earlier_job(context, claim.run)
        if job is None:
            return _imported(context, schedule, claim)
        return _gone_on(context, schedule, claim, job)
    except JobBusy as busy:
        raise _Later(RunResult.ACCOUNT_BUSY, busy.message, _BUSY_SECONDS) from None
    except (TryLater, LedgerAway) as away:
        raise _Later(RunResult.UNAVAILABLE, away.message, _AWAY_SECONDS) from None


def _check_account(context: Context, schedule: Schedule) -> None:
    endpoint = context.endpoint
    if (endpoint.host, endpoint.account) != (schedule.host, schedule.account):
        raise UsageError(
            f"schedule {schedule.name} is for account {schedule.account} at {schedule.host}; the settings "
            f"here are for {endpoint.account} at {endpoint.host}",
            f"put profile {schedule.profile} right" if schedule.profile else "set BW_ACCOUNT_ID as before",
        )


def _earlier_job(context: Context, claimed: Run) -> Job | None:
    """Return the job of an earlier attempt; None if there is none, or it had sent nothing and was removed."""
    if not claimed.job:
        return None
    try:
        job = context.ledger.jobs.get(claimed.job)
    except NotFound:
        return None
    if job.state is JobState.PLANNING and not job.saved:
        context.ledger.jobs.forget(job.id)
        return None
    return job


def _imported(context: Context, schedule: Schedule, claim: Claim) -> End:
    """Import the roster, unless this version of it was imported before."""
    options = options_at(schedule, claim.run.slot)
    _wait_for_window(options)
    opened = roster.open_new(
        schedule.source, options, lambda sha256: _is_known(context, schedule, sha256),
        context.settings.databases,
    )  # fmt: skip
    if not isinstance(opened, NewRoster):
        return _known(context, schedule, claim, opened)
    with opened.roster as read:
        print_roster(read)
        made = new_job(context.endpoint, read.options, read, context.seal.fingerprint)
        folder = Path(options.results) / f"siproster-{made.id}"
        kept = replace(made.options, results=str(folder))
        job = replace(made, schedule=schedule.name, slot=claim.run.slot, options=kept)
        outputs.prepare_folder(
            context, folder, (*outputs.of_job(job), report.ABSENT), schedule.source,
            passwords=options.generate_passwords,
        )  # fmt: skip
        files = [(one.sha256, one.name) for one in opened.versions]
        if not context.ledger.schedules.set_job(claim.run, job.id, files):
            raise claim.lost()
        with about(job=job.id):
            begin(context, job)
            run(context, job, read, yes=True, sinks=[claim.check_page])
    return _watched(context, schedule, claim.run, job.id)


def _is_known(context: Context, schedule: Schedule, sha256: str) -> bool:
    return not schedule.again and context.ledger.schedules.job_with(schedule.name, sha256) is not None


def _known(context: Context, schedule: Schedule, claim: Claim, version: roster.Version) -> End:
    """Return the end of a run whose roster was imported before, after going on with that job if it stopped.

    A job whose window has ended goes on in the next one. A plan that waits for approval still does.
    """
    job_id = context.ledger.schedules.job_with(schedule.name, version.sha256) or ""
    with suppress(NotFound):
        job = context.ledger.jobs.get(job_id)
        if job.saved and job.state is JobState.PLANNING:
            return _end(context, schedule, claim.run, RunResult.APPROVAL_NEEDED, str(job.why or ""), job)
        if job.state is JobState.PAUSED or (job.why and job.why.reason is Reason.NOT_AFTER):
            ends = options_at(schedule, claim.run.slot).not_after
            context.ledger.jobs.set_options(job.id, replace(job.options, not_after=ends))
            return _gone_on(context, schedule, claim, job)
    why = f"this version of {version.name} was imported before, by job {job_id}"
    return _end(context, schedule, claim.run, RunResult.NOTHING_NEW, why)


def _gone_on(context: Context, schedule: Schedule, claim: Claim, job: Job) -> End:
    """Go on with the job of an earlier attempt or window, or record how it ended."""
    if job.state in (JobState.RUNNING, JobState.PAUSED) or (job.why and job.why.reason is Reason.NOT_AFTER):
        take_over(context, job)
        context.ledger.chunks.wake(job.id)
        context.ledger.jobs.start(job.id)
    return _watched(context, schedule, claim.run, job.id)


def _watched(context: Context, schedule: Schedule, run: Run, job_id: str) -> End:
    """Watch the job to its end, write its results, and return the run's end."""
    with about(job=job_id):
        code = finish(context, job_id, detach=False, as_json=False)
    if code == Reason.INTERRUPTED.exit_code:
        raise KeyboardInterrupt
    job = context.ledger.jobs.get(job_id)
    if job.state.active and not job.saved:
        raise _Later(RunResult.UNAVAILABLE, str(job.why or "the job has not ended"), _AWAY_SECONDS)
    return _end(context, schedule, run, _result_of(context, job), str(job.why or ""), job)


def _result_of(context: Context, job: Job) -> RunResult:
    if job.saved:
        return RunResult.APPROVAL_NEEDED
    if job.state is not JobState.DONE:
        return RunResult.STOPPED
    summary = report.summary(context.ledger, job, report.folder_of(job))
    return RunResult.NOT_IN_PLACE if summary["not_in_place"] else RunResult.IN_PLACE


def _given_up(context: Context, schedule: Schedule, claim: Claim, later: _Later) -> End | None:
    """Release a run to be tried again, and return None; or its end if it was tried for long enough."""
    ledger, claimed = context.ledger, claim.run
    if ledger.schedules.now() - (claimed.started or claimed.slot) < _GIVE_UP:
        echo(f"schedule {schedule.name}: {later.why}; tried again in {later.seconds:.0f} s", "yellow")
        ledger.schedules.release(claimed, later.seconds, later.why)
        return None
    job = _earlier_job(context, ledger.schedules.run(claimed.schedule, claimed.slot))
    return _end(context, schedule, claimed, later.result, later.why, job)


def _end(
    context: Context, schedule: Schedule, run: Run, result: RunResult, why: str, job: Job | None = None
) -> End:
    """Return the end of a run with its notification."""
    facts: dict[str, Any] = {
        "result": result, "why": why, "job": job.id if job else "", "missed": run.missed,
        "next": _iso(first_slot(schedule, max(run.slot, context.ledger.schedules.now()))),
    }  # fmt: skip
    if job:
        summary: Mapping[str, Any] = report.summary(context.ledger, job, report.folder_of(job))
        facts["summary"] = {name: summary[name] for name in _FACTS}
    payload = payload_of(schedule, run.slot, facts, run.cause)
    return End(result, why, facts["job"], payload, schedule.channels)


def options_at(schedule: Schedule, slot: dt.datetime) -> Options:
    """Return the options of the run of a slot: times of day become those that follow it."""
    zone = time_zone(schedule.zone)
    options = schedule.options
    begins = moment("--not-before", options.not_before, slot, zone) if options.not_before else None
    ends = moment("--not-after", options.not_after, begins or slot, zone) if options.not_after else None
    return replace(options, not_before=_iso(begins) or "", not_after=_iso(ends) or "")


def _wait_for_window(options: Options) -> None:
    """Raise _Later if the window has not begun yet, and UsageError if it is over."""
    now = dt.datetime.now(dt.UTC)
    if options.not_before and (begins := dt.datetime.fromisoformat(options.not_before)) > now:
        seconds = (begins - now).total_seconds()
        raise _Later(RunResult.STOPPED, f"the window begins at {options.not_before}", seconds)
    if options.not_after and dt.datetime.fromisoformat(options.not_after) <= now:
        raise UsageError(f"the window ended at {options.not_after}; nothing was sent")


def _iso(moment_: dt.datetime | None) -> str | None:
    return moment_.isoformat() if moment_ else None
