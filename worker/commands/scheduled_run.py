"""A run of a schedule, from its claim to its end: the import, its results, and the notifications."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Iterator, Mapping, Sequence
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
from worker.reasons import plural
from worker.roster import NewRoster, Roster, Version
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

_GOES_ON = frozenset({
    Reason.NOT_AFTER, Reason.AUTHENTICATION_REFUSED, Reason.ACCOUNT_NOT_FOUND, Reason.NOT_ALLOWED,
    Reason.STOPPED,
})  # fmt: skip
"""Reasons of a stop after which the next run goes on with the job: its rows are not at fault."""

_NOT_IMPORTED = frozenset({Reason.EXPIRED, Reason.EXISTS})
"""Reasons of a cancelled job after which the next run imports the same version again."""

_AGAIN = "to import it after all, use siproster import; the next version is imported as usual"
"""What to do about a version whose job somebody has cancelled."""

_FACTS = (
    "job", "state", "reason", "why", "account", "roster", "realms", "counts", "codes", "not_in_place",
    "warnings", "started", "finished", "seconds", "requests", "retries", "absent", "leavers",
)  # fmt: skip
"""Facts of a job's summary that notifications carry: no options, whose conditions may name users."""


class ClaimLost(Conflict):
    """Another process has claimed the run, and carries it out."""


class Claim:
    """The claim of this process on a run, handed over from the scheduler that made it."""

    def __init__(self, ledger: Ledger, run: Run) -> None:
        self._ledger = ledger
        self.run = run
        self.notes: list[str] = []
        """Sentences that are added to the reason of the run's end."""
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
        return ClaimLost(f"the run of {self.run.slot:%Y-%m-%d %H:%M}Z was claimed by another process")

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
    except ClaimLost:
        raise
    except KeyboardInterrupt:
        context.ledger.schedules.release(claim.run, 0, "the scheduler was ended")
        raise
    except SiprosterError as error:
        why = f"{error.message}; {error.hint}" if error.hint else error.message
        return _failed(context, schedule, claim, why)
    except Exception as error:
        return _failed(context, schedule, claim, f"unexpected {place_of(error)}")


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
    """Import what is new of the roster, or go on with a job that an earlier run has left unfinished."""
    options = options_at(schedule, claim.run.slot)
    _wait_for_window(options, schedule)
    opened = roster.open_new(
        schedule_place.opened(context.seal, schedule.name, schedule.source), options,
        partial(_is_known, context, schedule), context.settings.databases,
    )  # fmt: skip
    with closing(opened):
        jobs = _earlier_jobs(context, schedule, opened.known)
        if left := next((job for job in jobs if _is_unfinished(job)), None):
            return _left(context, schedule, claim, left, opened)
        if opened.roster is None:
            return _nothing_new(context, schedule, claim, jobs, opened.known[-1])
        claim.notes = [f"plan {job.id} of an earlier run waits for approval" for job in jobs if _waits(job)]
        return _new(context, schedule, claim, opened.roster, opened.versions)


def _new(
    context: Context, schedule: Schedule, claim: Claim, read: Roster, versions: Sequence[Version]
) -> End:
    """Import a roster of new files."""
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
    return _watched(context, schedule, claim, job.id)


def _is_known(context: Context, schedule: Schedule, sha256: str, inbox: bool) -> bool:
    """Return whether this version of a file was imported, or an earlier run's job with it waits.

    Outside of an inbox, only the last version counts: others have been imported since.
    """
    job_id = context.ledger.schedules.job_with(schedule.name, sha256, last=not inbox)
    if job_id is None:
        return False
    try:
        job = _job_or_its_approval(context, job_id)
    except NotFound:  # removed since
        return not schedule.again
    if _waits(job) or _is_unfinished(job):
        return True
    return not schedule.again and not (job.why and job.why.reason in _NOT_IMPORTED)


def _job_or_its_approval(context: Context, job_id: str) -> Job:
    """Return a job or, if it is a plan that was carried out, the job that did. Raises NotFound."""
    job = context.ledger.jobs.get(job_id)
    return context.ledger.jobs.get(job.carried_out_by) if job.carried_out_by else job


def _waits(job: Job) -> bool:
    """Return whether the job is a plan that waits for approval."""
    return bool(job.saved) and job.state is JobState.PLANNING


def _is_unfinished(job: Job) -> bool:
    """Return whether a scheduled run goes on with this job: nothing was wrong with its rows."""
    if job.state in (JobState.RUNNING, JobState.PAUSED):
        return True
    return job.state is JobState.STOPPED and job.why is not None and job.why.reason in _GOES_ON


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
    if plan := next(filter(_waits, jobs), None):
        why = f"plan {plan.id} of an earlier run still waits for approval: {plan.why}"
        return _end(context, schedule, claim, RunResult.APPROVAL_NEEDED, why, plan)
    if stopped := next((job for job in jobs if job.state is not JobState.CANCELLED), None):
        why = f"job {stopped.id} imports this version, and stopped: {stopped.why}"
        return _end(context, schedule, claim, RunResult.STOPPED, why, stopped)
    if jobs:
        cancelled = f"job {jobs[0].id} is {jobs[0].why}"
        why = f"this version of {version.name} is not imported, or not in full: {cancelled}; {_AGAIN}"
        return _end(context, schedule, claim, RunResult.NOTHING_NEW, why)
    job_id = context.ledger.schedules.job_with(schedule.name, version.sha256)
    why = f"this version of {version.name} was imported before, by job {job_id}"
    return _end(context, schedule, claim, RunResult.NOTHING_NEW, why)


def _left(context: Context, schedule: Schedule, claim: Claim, job: Job, opened: NewRoster) -> End:
    """Go on, in this run's window, with a job that an earlier run has left."""
    claim.notes.append(f"job {job.id} of an earlier run went on")
    if opened.versions:
        claim.notes.append(f"the next run imports {plural(len(opened.versions), 'new file')}")
        opened.close()
    ends = options_at(schedule, claim.run.slot).not_after
    context.ledger.jobs.set_options(job.id, replace(job.options, not_after=ends))
    return _gone_on(context, schedule, claim, job)


def _gone_on(context: Context, schedule: Schedule, claim: Claim, job: Job) -> End:
    """Go on with the job of an earlier attempt or run, or record how it ended."""
    if _is_unfinished(job):
        take_over(context, job)
        context.ledger.chunks.wake(job.id)
        context.ledger.jobs.start(job.id)
    return _watched(context, schedule, claim, job.id)


def _watched(context: Context, schedule: Schedule, claim: Claim, job_id: str) -> End:
    """Watch the job to its end, write its results, and return the run's end."""
    with about(job=job_id):
        code = finish(context, job_id, detach=False, as_json=False)
    if code == Reason.INTERRUPTED.exit_code:
        raise KeyboardInterrupt
    job = context.ledger.jobs.get(job_id)
    if job.state.active and not job.saved:
        raise _Later(RunResult.UNAVAILABLE, str(job.why or "the job has not ended"), _AWAY_SECONDS)
    return _end(context, schedule, claim, _result_of(context, job), str(job.why or ""), job)


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
    return _end(context, schedule, claim, later.result, later.why, _job_of(context, claim))


def _failed(context: Context, schedule: Schedule, claim: Claim, why: str) -> End:
    """Return the end of a run that can't go on, with its job if that has begun."""
    return _end(context, schedule, claim, RunResult.FAILED, why, _job_of(context, claim))


def _job_of(context: Context, claim: Claim) -> Job | None:
    """Return the run's job; None if there is none, or it has sent nothing."""
    run = context.ledger.schedules.run(claim.run.schedule, claim.run.slot)
    with suppress(NotFound):
        job = context.ledger.jobs.get(run.job)
        return job if job.saved or job.state is not JobState.PLANNING else None
    return None


def _end(
    context: Context, schedule: Schedule, claim: Claim, result: RunResult, why: str, job: Job | None = None
) -> End:
    """Return the end of a run with its notification."""
    run, why = claim.run, "; ".join(filter(None, [why, *claim.notes]))
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
    """Return the options of the run of a slot: times of day become those that follow it.

    Of those that clock changes leave out, or repeat, the first moment after, or the first one, counts.
    """
    zone = time_zone(schedule.zone)
    options = schedule.options
    begins = ends = None
    if options.not_before:  # one at the slot itself has come
        begins = moment("--not-before", options.not_before, slot - dt.timedelta.resolution, zone, shift=True)
    if options.not_after:
        ends = moment("--not-after", options.not_after, begins or slot, zone, shift=True)
    return replace(options, not_before=_iso(begins) or "", not_after=_iso(ends) or "")


def _wait_for_window(options: Options, schedule: Schedule) -> None:
    """Raise _Later if the window has not begun yet, and UsageError if it is over."""
    zone = time_zone(schedule.zone)
    now = dt.datetime.now(dt.UTC)
    if options.not_before and (begins := dt.datetime.fromisoformat(options.not_before)) > now:
        seconds = (begins - now).total_seconds()
        raise _Later(RunResult.STOPPED, f"the window begins at {shown(begins, zone)}", seconds)
    if options.not_after and (ends := dt.datetime.fromisoformat(options.not_after)) <= now:
        raise UsageError(f"the window ended at {shown(ends, zone)}; nothing was sent")


def _iso(moment_: dt.datetime | None) -> str | None:
    return moment_.isoformat() if moment_ else None
