"""A run of a schedule, from its claim to its end: the import, its results, and the notifications."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from worker import report, roster
from worker.commands import outputs, schedule_place
from worker.commands.context import Context
from worker.commands.running import begin, finish, print_roster, run, take_over
from worker.commands.screen import echo
from worker.commands.window import moment, shown
from worker.errors import (
    Conflict,
    Interrupted,
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
from worker.ledger.schedule_columns import End, Run, Schedule
from worker.ledger.schedules import RUN_LEASE
from worker.logs import about
from worker.model import Job, JobState, Options
from worker.reasons import plural
from worker.roster import NewRoster, Roster, Version
from worker.schedules.results import RunResult, end_of
from worker.schedules.timer import first_slot
from worker.schedules.timetable import time_zone
from worker.states import Reason

_GIVE_UP_AFTER = dt.timedelta(hours=24)
"""Time since its start after which a run that still can't go on is given up."""

_BUSY_SECONDS = 30.0
"""Seconds until a run is tried again while another job writes to its account."""

_UNAVAILABLE_SECONDS = 60.0
"""Seconds until a run is tried again while the service, the broker or the ledger doesn't answer."""

_RESUMED_AFTER = frozenset({
    Reason.NOT_AFTER, Reason.AUTHENTICATION_REFUSED, Reason.ACCOUNT_NOT_FOUND, Reason.NOT_ALLOWED,
    Reason.STOPPED,
})  # fmt: skip
"""Reasons of a stop after which the next run resumes the job: its rows are not at fault."""

_IMPORTED_AGAIN_AFTER = frozenset({Reason.EXPIRED, Reason.EXISTS})
"""Reasons of a cancelled job after which the next run imports the same version again."""

_AGAIN = "to import it after all, use siproster import; the next version is imported as usual"
"""Advice about a version whose job somebody has cancelled."""

_SUMMARY_FACTS = (
    "job", "state", "reason", "why", "account", "roster", "realms", "counts", "codes", "not_in_place",
    "warnings", "started", "finished", "seconds", "requests", "retries", "absent", "leavers",
)  # fmt: skip
"""Parts of a job's summary in notifications. Its options are left out: their conditions may name users."""


class ClaimLost(Conflict):
    """Another process has claimed the run since, and carries it out."""


class Claim:
    """The claim of this process on a run, taken over from the scheduler that made it."""

    def __init__(self, ledger: Ledger, run: Run) -> None:
        self._ledger = ledger
        self.run = run
        self.notes: list[str] = []
        """Sentences to be added to the reason of the run's end."""
        self._ended = threading.Event()
        self._lost = False

    @contextmanager
    def renewed(self) -> Iterator[None]:
        """Renew the claim until the end of the block. Raises ClaimLost if it was lost before."""
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
        """Raise ClaimLost if another process has claimed the run since: a sink of the pipeline."""
        if self._lost:
            raise self.lost()

    def lost(self) -> ClaimLost:
        """Return the error of a process whose claim has passed to another one."""
        run = self.run
        return ClaimLost(
            f"another process has claimed the run of {run.slot:%Y-%m-%d %H:%M}Z, and carries it out",
            f"see it with: siproster schedule show {run.schedule}",
        )

    def _renew(self) -> None:
        while not self._ended.wait(RUN_LEASE / 4):
            with suppress(SiprosterError):  # while the ledger is away, nobody else can claim it either
                self._lost = not self._ledger.schedules.renew(self.run, process_id())


@dataclass(frozen=True, slots=True)
class _TryAgain(Exception):
    """The run can't go on now, but perhaps later."""

    result: RunResult
    """The run's result if it is given up."""
    why: str
    seconds: float
    """The time until the next attempt."""


def carry_out(context: Context, claimed: Run) -> RunResult | None:
    """Carry out a claimed run. Return its result, or None if it was released to be tried again later.

    Raises Interrupted or KeyboardInterrupt if this process is told to end; the next scheduler then goes on.
    """
    schedule = context.ledger.schedules.get(claimed.schedule)
    claim = Claim(context.ledger, claimed)
    with claim.renewed():
        end = _attempt(context, schedule, claim)
        if end is None:
            return None
        if not context.ledger.schedules.end(claimed, end):
            raise claim.lost()
    echo(f"schedule {schedule.name}: {end.result}" + (f": {end.why}" if end.why else ""))
    return RunResult(end.result)


def _attempt(context: Context, schedule: Schedule, claim: Claim) -> End | None:
    """Make an attempt at the run. Return its end, whatever went wrong; None if the run was released."""
    try:
        return _import_or_resume(context, schedule, claim)
    except _TryAgain as again:
        return _release_or_give_up(context, schedule, claim, again)
    except ClaimLost:
        raise
    except (KeyboardInterrupt, Interrupted):
        context.ledger.schedules.release(claim.run, 0, "the scheduler was stopped")
        raise
    except SiprosterError as error:
        why = f"{error.message}; {error.hint}" if error.hint else error.message
        return _failure(context, schedule, claim, why)
    except Exception as error:
        return _failure(context, schedule, claim, place_of(error))


def _import_or_resume(context: Context, schedule: Schedule, claim: Claim) -> End:
    """Import the roster, or resume an earlier attempt's job. Raises _TryAgain, or an error of ``import``."""
    _check_account(context, schedule)
    try:
        job = _earlier_job(context, claim.run)
        if job is None:
            return _import_new(context, schedule, claim)
        return _resume(context, schedule, claim, job)
    except JobBusy as busy:
        raise _TryAgain(RunResult.ACCOUNT_BUSY, busy.message, _BUSY_SECONDS) from None
    except (TryLater, LedgerAway) as away:
        raise _TryAgain(RunResult.UNAVAILABLE, away.message, _UNAVAILABLE_SECONDS) from None


def _check_account(context: Context, schedule: Schedule) -> None:
    endpoint = context.endpoint
    if (endpoint.host, endpoint.account) != (schedule.host, schedule.account):
        raise UsageError(
            f"schedule {schedule.name} is for account {schedule.account} at {schedule.host}; the settings "
            f"here are for {endpoint.account} at {endpoint.host}",
            f"correct [profile.{schedule.profile}] in siproster.toml"
            if schedule.profile
            else f"set BW_ACCOUNT_ID={schedule.account}, and BW_ENVIRONMENT or BW_API_URL as before",
        )


def _earlier_job(context: Context, claimed: Run) -> Job | None:
    """Return the job of an earlier attempt at this run; None if there is none, or it was removed.

    A job that was still reading its roster has sent nothing, and is removed here.
    """
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


def _import_new(context: Context, schedule: Schedule, claim: Claim) -> End:
    """Import the files that are new, or resume the job that an earlier run left unfinished."""
    options = options_at(schedule, claim.run.slot)
    _wait_for_window(options, schedule)
    opened = roster.open_new(
        schedule_place.opened(context.seal, schedule.name, schedule.source), options,
        partial(_is_known, context, schedule), context.settings.databases,
    )  # fmt: skip
    with closing(opened):
        jobs = _earlier_jobs(context, schedule, opened.known)
        if unfinished := next(filter(_is_unfinished, jobs), None):
            return _resume_earlier(context, schedule, claim, unfinished, opened)
        if opened.roster is None:
            return _nothing_new(context, schedule, claim, jobs, opened.known[-1])
        plans = filter(_awaits_approval, jobs)
        claim.notes = [f"plan {plan.id} of an earlier run waits for approval" for plan in plans]
        return _import_roster(context, schedule, claim, opened.roster, opened.versions)


def _import_roster(
    context: Context, schedule: Schedule, claim: Claim, read: Roster, versions: Sequence[Version]
) -> End:
    """Import a roster that consists of new files."""
    print_roster(read)
    made = new_job(context.endpoint, read.options, read, context.seal.fingerprint)
    folder = Path(read.options.results) / f"siproster-{made.id}"
    kept = replace(made.options, results=str(folder))
    job = replace(made, schedule=schedule.name, slot=claim.run.slot, options=kept)
    outputs.prepare_folder(
        context, folder, (*outputs.of_job(job), report.ABSENT), read.source,
        passwords=read.options.generate_passwords,
    )  # fmt: skip
    files = [(one.sha256, one.name) for one in versions]
    if not context.ledger.schedules.set_job(claim.run, job.id, files):
        raise claim.lost()
    with about(job=job.id):
        begin(context, job)
        run(context, job, read, yes=True, sinks=[claim.check_page])
    return _watch(context, schedule, claim, job.id)


def _is_known(context: Context, schedule: Schedule, sha256: str, inbox: bool) -> bool:
    """Return whether this version of a file was imported, or belongs to a job that waits or is unfinished.

    Outside of an inbox, only the last version counts: others have been imported since.
    """
    job_id = context.ledger.schedules.job_with(schedule.name, sha256, last=not inbox)
    if job_id is None:
        return False
    try:
        job = _job_or_its_approval(context, job_id)
    except NotFound:  # removed since
        return not schedule.again
    if _awaits_approval(job) or _is_unfinished(job):
        return True
    return not schedule.again and not (job.why and job.why.reason in _IMPORTED_AGAIN_AFTER)


def _job_or_its_approval(context: Context, job_id: str) -> Job:
    """Return a job or, if it is a plan that was carried out, the job that did. Raises NotFound."""
    job = context.ledger.jobs.get(job_id)
    return context.ledger.jobs.get(job.carried_out_by) if job.carried_out_by else job


def _awaits_approval(job: Job) -> bool:
    """Return whether the job is a plan that waits for approval."""
    return bool(job.saved) and job.state is JobState.PLANNING


def _is_unfinished(job: Job) -> bool:
    """Return whether the next run resumes this job, since its rows were not at fault."""
    if job.state in (JobState.RUNNING, JobState.PAUSED):
        return True
    return job.state is JobState.STOPPED and job.why is not None and job.why.reason in _RESUMED_AFTER


def _earlier_jobs(context: Context, schedule: Schedule, known: Sequence[Version]) -> list[Job]:
    """Return the jobs with these versions that are not done, as far as the ledger has them."""
    found: dict[str, Job] = {}
    for version in known:
        with suppress(NotFound):
            job_id = context.ledger.schedules.job_with(schedule.name, version.sha256) or ""
            found[job_id] = found.get(job_id) or _job_or_its_approval(context, job_id)
    return [job for job in found.values() if job.state is not JobState.DONE]


def _nothing_new(
    context: Context, schedule: Schedule, claim: Claim, jobs: Sequence[Job], version: Version
) -> End:
    """Return the end of a run without a new file: a plan waits, a job did not end, or all is done."""
    if plan := next(filter(_awaits_approval, jobs), None):
        why = f"plan {plan.id} of an earlier run still waits for approval: {plan.why}"
        return _end_with(context, schedule, claim, RunResult.APPROVAL_NEEDED, why, plan)
    if stopped := next((job for job in jobs if job.state is not JobState.CANCELLED), None):
        why = f"job {stopped.id} imports this version, and stopped: {stopped.why}"
        return _end_with(context, schedule, claim, RunResult.STOPPED, why, stopped)
    if jobs:
        cancelled = f"job {jobs[0].id} is {jobs[0].why}"
        why = f"this version of {version.name} is not imported, or not in full: {cancelled}; {_AGAIN}"
        return _end_with(context, schedule, claim, RunResult.NOTHING_NEW, why)
    job_id = context.ledger.schedules.job_with(schedule.name, version.sha256) or ""
    why = f"this version of {version.name} was imported before, by job {job_id}"
    if left := _not_in_place(context, job_id):
        rows = plural(left, "row is", "rows are")
        why = f"{why}; {rows} not in place: run siproster retry {job_id}, or correct the roster"
        return _end_with(context, schedule, claim, RunResult.NOT_IN_PLACE, why)
    return _end_with(context, schedule, claim, RunResult.NOTHING_NEW, why)


def _not_in_place(context: Context, job_id: str) -> int:
    """Return how many rows of a job are not in place after its retries; 0 if it was removed since."""
    try:
        family = context.ledger.lineages.of(context.ledger.jobs.get(job_id))
    except NotFound:
        return 0
    return family.rows - family.in_place - family.skipped


def _resume_earlier(context: Context, schedule: Schedule, claim: Claim, job: Job, opened: NewRoster) -> End:
    """Resume, in this run's window, a job that an earlier run left unfinished; new files wait."""
    claim.notes.append(f"job {job.id} of an earlier run was resumed")
    if opened.versions:
        claim.notes.append(f"the next run imports {plural(len(opened.versions), 'new file')}")
        opened.close()
    not_after = options_at(schedule, claim.run.slot).not_after
    context.ledger.jobs.set_options(job.id, replace(job.options, not_after=not_after))
    return _resume(context, schedule, claim, job)


def _resume(context: Context, schedule: Schedule, claim: Claim, job: Job) -> End:
    """Resume the job of an earlier attempt or run, unless it has ended, and return the run's end."""
    if _is_unfinished(job):
        take_over(context, job)
        context.ledger.chunks.wake(job.id)
        context.ledger.jobs.start(job.id)
    return _watch(context, schedule, claim, job.id)


def _watch(context: Context, schedule: Schedule, claim: Claim, job_id: str) -> End:
    """Wait until the job has ended, write its result files, and return the run's end."""
    with about(job=job_id):
        code = finish(context, job_id, detach=False, as_json=False)
    if code == Reason.INTERRUPTED.exit_code:
        raise KeyboardInterrupt
    job = context.ledger.jobs.get(job_id)
    if job.state.active and not job.saved:
        raise _TryAgain(RunResult.UNAVAILABLE, str(job.why or "the job has not ended"), _UNAVAILABLE_SECONDS)
    return _end_with(context, schedule, claim, _result_of(context, job), str(job.why or ""), job)


def _result_of(context: Context, job: Job) -> RunResult:
    if job.saved:
        return RunResult.APPROVAL_NEEDED
    if job.state is not JobState.DONE:
        return RunResult.STOPPED
    summary = report.summary(context.ledger, job, report.folder_of(job))
    return RunResult.NOT_IN_PLACE if summary["not_in_place"] else RunResult.IN_PLACE


def _release_or_give_up(context: Context, schedule: Schedule, claim: Claim, again: _TryAgain) -> End | None:
    """Release the run to be tried again, and return None; or its end if it was tried for too long."""
    ledger, claimed = context.ledger, claim.run
    began = claimed.started or claimed.slot
    if window := options_at(schedule, claimed.slot).not_before:  # the wait for it doesn't count
        began = max(began, dt.datetime.fromisoformat(window))
    if ledger.schedules.now() - began < _GIVE_UP_AFTER:
        echo(f"schedule {schedule.name}: {again.why}; tried again in {again.seconds:.0f} s", "yellow")
        ledger.schedules.release(claimed, again.seconds, again.why)
        return None
    return _end_with(context, schedule, claim, again.result, again.why, _job_of(context, claim))


def _failure(context: Context, schedule: Schedule, claim: Claim, why: str) -> End:
    """Return the end of a run that failed, with its job if that has begun."""
    return _end_with(context, schedule, claim, RunResult.FAILED, why, _job_of(context, claim))


def _job_of(context: Context, claim: Claim) -> Job | None:
    """Return the run's job; None if there is none, or it was still reading the roster."""
    run = context.ledger.schedules.run(claim.run.schedule, claim.run.slot)
    with suppress(NotFound):
        job = context.ledger.jobs.get(run.job)
        return job if job.saved or job.state is not JobState.PLANNING else None
    return None


def _end_with(
    context: Context, schedule: Schedule, claim: Claim, result: RunResult, why: str, job: Job | None = None
) -> End:
    """Return the end of a run with its notification."""
    run, why = claim.run, "; ".join(filter(None, [why, *claim.notes]))
    facts: dict[str, Any] = {
        "next": _iso(first_slot(schedule, max(run.slot, context.ledger.schedules.now())))
    }
    if job:
        summary = report.summary(context.ledger, job, report.folder_of(job))
        facts["summary"] = {name: summary[name] for name in _SUMMARY_FACTS}
    return end_of(schedule, run, result, why, job.id if job else "", **facts)


def options_at(schedule: Schedule, slot: dt.datetime) -> Options:
    """Return the options for the run of a slot, in which a time of day is the next one after the slot.

    A time that a clock change leaves out is as much later; of a time that it repeats, the first counts.
    """
    zone = time_zone(schedule.zone)
    options = schedule.options
    begins = ends = None
    if options.not_before:  # a window may begin at the slot itself
        begins = moment("--not-before", options.not_before, slot - dt.timedelta.resolution, zone, shift=True)
    if options.not_after:
        ends = moment("--not-after", options.not_after, begins or slot, zone, shift=True)
    return replace(options, not_before=_iso(begins) or "", not_after=_iso(ends) or "")


def _wait_for_window(options: Options, schedule: Schedule) -> None:
    """Raise _TryAgain if the window has not begun yet, and UsageError if it is over."""
    zone = time_zone(schedule.zone)
    now = dt.datetime.now(dt.UTC)
    if options.not_before and (begins := dt.datetime.fromisoformat(options.not_before)) > now:
        seconds = (begins - now).total_seconds()
        raise _TryAgain(RunResult.STOPPED, f"the window begins at {shown(begins, zone)}", seconds)
    if options.not_after and (ends := dt.datetime.fromisoformat(options.not_after)) <= now:
        raise UsageError(
            f"the window ended at {shown(ends, zone)}; nothing was sent",
            "for another window, add the schedule again with a later --not-after",
        )


def _iso(moment_: dt.datetime | None) -> str | None:
    return moment_.isoformat() if moment_ else None
