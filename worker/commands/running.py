"""From a roster to a job at its end: what ``import``, ``retry``, ``resume`` and ``import --plan`` share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from worker import report
from worker.commands import watch
from worker.commands.listing import asked, counted
from worker.commands.screen import say, tell_json, tell_reading
from worker.commands.session import Session
from worker.importing.decide import Decide
from worker.importing.look import RosterRows
from worker.importing.owners import free_dead_holder, owner
from worker.importing.plan import Draft, Pages, free, plan, start
from worker.importing.stop_rules import stop_when_too_many_failed
from worker.model import Action, Job, JobState
from worker.roster import Roster


def begin(session: Session, job: Job) -> None:
    """Enter the job and say its id, so that it can be resumed whatever happens next."""
    free_dead_holder(session.ledger, job)
    session.ledger.jobs.begin(job, owner())
    try:
        session.audit(job.id)
    except BaseException:  # nothing was read yet, and its account must not stay held
        session.ledger.jobs.forget(job.id)
        raise
    say(f"job {job.id}")
    say(f"  account {job.account} at {job.host}")


@contextmanager
def freed_on_failure(session: Session, job_id: str) -> Iterator[None]:
    """Let go of the account of a job that was taken up, where its beginning fails: nobody works on it."""
    try:
        yield
    except BaseException:
        session.ledger.jobs.let_go(job_id)
        raise


def run(
    session: Session,
    job: Job,
    roster: RosterRows,
    *,
    yes: bool,
    hold: Callable[[Decide], Decide] = free,
    carries_out: str = "",
) -> None:
    """Read the rows into the ledger, ask where somebody has to be asked, and let the work begin.

    Where one of it fails, or the answer is no, the job never was.
    """
    try:
        draft = draw(session, job, roster, report.folder_of(job), hold=hold)
        tell_reading(job.roster, draft.tally, advise=False)
        _ask(job, draft, yes=yes)
        session.ledger.jobs.take(job, owner())  # its hold on the account may have run out at the question
        if draft.makes_realm:
            say(f"creating realm {job.options.realm}; waiting up to 120 s until it is ACTIVE")
        start(session.ledger, job, draft, carries_out)
    except (Exception, KeyboardInterrupt):
        if session.ledger.jobs.state(job.id) is not JobState.PLANNING:
            raise  # somebody resumed it meanwhile, and it may have sent something
        session.ledger.jobs.forget(job.id)
        say(f"job {job.id} was discarded; nothing was sent")
        raise


def draw(
    session: Session,
    job: Job,
    roster: RosterRows,
    folder: Path | None,
    *,
    hold: Callable[[Decide], Decide] = free,
    tee: Callable[[Pages], Pages] = iter,
    saved: bool = False,
) -> Draft:
    """Plan a job; ``folder``: where the list of those who are not in the roster goes, if anywhere."""
    report.forget_absent(folder)
    return plan(
        session.ledger, session.seal, session.station.api(job.options), job, roster,
        watch=counted, hold=hold, tee=tee, absentees=report.absent_to(folder), saved=saved,
        count=session.station.count,
    )  # fmt: skip


def finish(
    session: Session,
    job_id: str,
    *,
    detach: bool,
    as_json: bool,
    then: Callable[[Job], int] = lambda job: 0,
) -> int:
    """Run a planned job to its end, and ``then`` do the rest; or leave it to the workers. The exit code."""
    stop_when_too_many_failed(session.ledger, session.ledger.jobs.get(job_id))
    if detach and session.ledger.jobs.state(job_id).active:
        watch.put_on_queue(session, job_id)
        say(f"queued; follow it with: siproster status {job_id} --follow")
        if as_json:
            tell_json({"job": job_id})
        return 0
    results = session.ledger.jobs.get(job_id).options.results
    return watch.run(session, job_id, results, as_json=as_json, then=then)


def tell_roster(opened: Roster) -> None:
    """How the file was understood, before anything is done with it."""
    delimiter = {"\t": "tab"}.get(opened.delimiter, opened.delimiter)
    say(f"{opened.name}: {opened.records} records, {opened.encoding}, delimiter {delimiter}")
    say("  " + ", ".join(f"{field} from {column!r}" for field, column in opened.mapping.items()))
    if opened.dropped:
        say(f"  not carried into the results: {', '.join(opened.dropped)}")
    for warning in opened.warnings:
        say(f"  warning: {warning.text}", "yellow")


def _ask(job: Job, draft: Draft, *, yes: bool) -> None:
    """Somebody has to say so before what exists is changed."""
    number = draft.tally.actions[Action.UPDATE]
    if number:
        users = "1 existing user" if number == 1 else f"{number:,} existing users"
        asked(f"Set the password or application of {users} on account {job.account}?", yes=yes)
