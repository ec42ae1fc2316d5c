"""``undo``: takes back what a job did, unless it was changed since."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from worker import report, report_page
from worker.commands import outputs, watch
from worker.commands.context import Context, settings_options
from worker.commands.facts import print_json
from worker.commands.listing import asked
from worker.commands.named_job import named_job
from worker.commands.option_values import with_outputs
from worker.commands.options import (
    excel_option,
    json_option,
    rate_type,
    results_option,
    running_options,
    yes_option,
)
from worker.commands.progress_screen import progress_screen
from worker.commands.running import freed_on_failure
from worker.commands.screen import echo
from worker.errors import TryLater
from worker.importing.process_id import free_dead_holder, process_id
from worker.importing.undo import FAILED, KEPT, REMOVED, RESTORED, Hold, Undo, UndoTerms
from worker.importing.unfinished import refuse_unfinished
from worker.model import Job
from worker.progress import RowsProgress
from worker.reasons import plural
from worker.states import Reason, Why

_MEANINGS = {
    REMOVED: "created by the job, and now deleted",
    RESTORED: "restored to the old password and application, or there again",
    KEPT: "changed since, or not provably the job's; not changed",
    FAILED: "could not be undone; run undo again",
}

_IN_FLIGHT = "what they still change would not be undone"


@click.command("undo")
@click.argument("job_id", metavar="JOB")
@click.option(
    "--rate",
    metavar="N",
    type=rate_type,
    help="Requests per second.  [default: the job's]",
)
@click.option(
    "--include-unproven",
    is_flag=True,
    help="Also undo users that can't be proven to be this job's (origin_unknown). Only safe if nobody"
    " else has written to the account since the job began.",
)
@results_option
@excel_option
@running_options
@yes_option
@json_option
@settings_options
def undo(
    job_id: str, rate: float | None, include_unproven: bool, yes: bool, as_json: bool,
    **given: Any,
) -> int:  # fmt: skip
    """Undo what JOB did, except for users who have been changed since.

    Users that the job created are deleted; users that it changed get their old password and application back;
    users that it deleted are created again as they were.
    Users that somebody else has changed since, and users that can't be proven to be this job's
    (origin_unknown), are left as they are and listed. You are asked to confirm first. After an interruption,
    run the command again to continue. Exit code 0: everything was undone; 10: some users were kept, or could
    not be restored.
    """
    context = Context(given)
    job = named_job(context, job_id)
    job_id = job.id
    refuse_unfinished(context.ledger, job_id, _IN_FLIGHT)
    context.runtime.check(job)
    job = replace(job, options=with_outputs(job.options, given))
    folder = report.folder_of(job)
    outputs.refuse_overwriting(context, folder, (report.UNDO, report.PAGE), job.source)
    number = context.ledger.changes.rows(job_id)
    unproven = context.ledger.undone.unproven(job_id) if include_unproven else 0
    if _all_undone(context, job) and not unproven:
        echo(f"job {job_id} has already been undone; there is nothing left to undo")
        report.make_folder(folder)
        facts = _print(context, job, folder, as_json=as_json)
        return _code(facts)
    _ask(context, job, number, include_unproven=include_unproven, yes=yes)
    refuse_unfinished(context.ledger, job_id, _IN_FLIGHT)  # somebody may have resumed it at the question
    report.make_folder(folder)
    _take_over(context, job)
    try:
        interrupted = _run(context, job, number, rate, include_unproven=include_unproven)
        if not interrupted:
            context.ledger.jobs.set_undone(job_id)
    finally:
        context.ledger.accounts.release(job_id)
        facts = _print(context, job, folder, as_json=as_json)
    if interrupted:
        echo(f"interrupted; continue with: siproster undo {job_id}")
        return 130
    if facts["unproven"] and not include_unproven:
        _advise_unproven(job_id, facts["unproven"])
    return _code(facts)


def _take_over(context: Context, job: Job) -> None:
    """Acquire the job's account, and close the job: it can't be resumed any more."""
    free_dead_holder(context.ledger, job)
    context.ledger.accounts.acquire(job, process_id())
    with freed_on_failure(context, job.id):
        context.audit(job.id)
        why = Why(Reason.UNDONE, "`undo` takes back what it did, so it can't be resumed")
        context.ledger.jobs.close(job.id, why)


def _advise_unproven(job_id: str, users: int) -> None:
    echo(f"{users:,} of those kept may be the job's own (origin_unknown); if nobody else has", "yellow")
    echo(f"written to the account since it began: siproster undo {job_id} --include-unproven", "yellow")


def _ask(context: Context, job: Job, number: int, *, include_unproven: bool, yes: bool) -> None:
    """Print what would be taken back and what would stay, and ask. ``number``: users that answers prove."""
    users = plural(number, "user")
    echo(f"job {job.id} created, changed or deleted {users} on account {job.account} at {job.host}")
    _print_others(context, job)
    _print_earlier_run(context, job)
    if include_unproven:
        echo("  including users that no response proves to be its work: only safe if nobody", "yellow")
        echo("  else has written to the account since it began", "yellow")
    asked(
        "Undo it? Users it created can no longer register; users it changed or deleted get their old password"
        " back.",
        yes=yes,
    )


def _print_earlier_run(context: Context, job: Job) -> None:
    """Print that the users of the last run before a retry that did something stay, and how to undo it."""
    members = context.ledger.lineages.of(job).members if job.parent else ()
    ids = [member.id for member in members]
    for earlier in reversed(members[: ids.index(job.id)] if ids else ()):
        users = context.ledger.changes.rows(earlier.id)
        if users and earlier.undone is None:
            echo(f"  it is a retry; the work of an earlier run stays ({plural(users, 'user')}).", "yellow")
            echo(f"  To take that back, too: siproster undo {earlier.id}", "yellow")
            return


def _code(facts: dict[str, Any]) -> int:
    """Return the exit code: 10 if something could not, or must not, be taken back."""
    return 10 if facts["counts"].get(KEPT) or facts["counts"].get(FAILED) else 0


def _all_undone(context: Context, job: Job) -> bool:
    """Return whether an earlier undo came to its end, and nothing of it failed."""
    return job.undone is not None and not context.ledger.undone.counts(job.id).get(FAILED)


def _run(context: Context, job: Job, number: int, rate: float | None, *, include_unproven: bool) -> bool:
    """Undo what is left. Return whether it was interrupted."""
    options = replace(job.options, rate=rate or job.options.rate)
    screen, progress = progress_screen(), RowsProgress(lambda: context.ledger.undone.counts(job.id), job.id)
    done = sum(context.ledger.undone.counts(job.id).values())
    with watch.interruptible() as interrupt, screen.running():
        context.runtime.stopping = interrupt
        terms = UndoTerms(Hold(context.ledger, job).permit, interrupt, options.concurrency, include_unproven)
        work = Undo(context.ledger, context.seal, context.runtime.api(options), job, terms)
        try:
            for rows in work.run():
                done += rows
                screen.show(progress.look(max(number, done), done))
        except TryLater:
            if not interrupt.is_set():  # else it was a wait for the service that was given up
                raise
        return interrupt.is_set()


def _print(context: Context, job: Job, folder: Path, *, as_json: bool) -> dict[str, Any]:
    """Write the outcome of each row and the job's page, and print the totals."""
    path = report.write_undone(context.ledger, context.seal, job, folder)
    page = report_page.write(context.ledger, context.seal, context.ledger.jobs.get(job.id), folder)
    counts = context.ledger.undone.counts(job.id)
    facts: dict[str, Any] = {
        "job": job.id, "account": job.account, "counts": counts,
        "unproven": context.ledger.undone.unproven(job.id), "files": {"undo": str(path), "page": str(page)},
    }  # fmt: skip
    if as_json:
        print_json(facts)
    for result, meaning in _MEANINGS.items():
        if counts.get(result):
            echo(f"{counts[result]:>7,} {result:<9}  {meaning}")
    for written in facts["files"].values():
        echo(f"  {written}")
    return facts


def _print_others(context: Context, job: Job) -> None:
    """Print what is not undone with the job: other jobs that ran its rows again, and its realm."""
    for child in context.ledger.jobs.children(job.id):
        if context.ledger.changes.rows(child):
            echo(f"  job {child} ran some of its rows again; undo that one first:", "yellow")
            echo(f"    siproster undo {child}", "yellow")
    if job.options.create_realm:
        echo(
            f"  realm {job.options.realm} is kept; to delete it: siproster realm delete {job.options.realm}",
            "yellow",
        )
