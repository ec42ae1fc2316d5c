"""``retry``, ``resume`` and ``cancel``: commands about earlier jobs."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

import click
from click.core import ParameterSource

from worker import report, roster
from worker.commands import outputs, watch
from worker.commands.context import Context, person, settings_options
from worker.commands.facts import print_json
from worker.commands.named_job import named_job, refuse_outdated
from worker.commands.option_values import generating, max_failed, window, with_outputs
from worker.commands.options import (
    excel_option,
    generating_options,
    json_option,
    not_after_option,
    not_before_option,
    results_option,
    running_options,
    yes_option,
)
from worker.commands.running import begin, finish, freed_on_failure, run, take_over
from worker.commands.screen import echo
from worker.commands.window import wait_for_window
from worker.errors import Conflict, JobBusy, UsageError
from worker.importing.corrections import check
from worker.importing.job import new_job
from worker.importing.job_start import create_missing_realm
from worker.importing.process_id import is_alive, process_id
from worker.importing.retry import Corrections, EarlierRows
from worker.importing.stop_rules import too_many_failed
from worker.ledger import shown
from worker.model import Absent, Job, JobState, OnExisting, Options, Status
from worker.reasons import plural
from worker.roster import Roster
from worker.states import Reason, Why

_MAX_FAILED = click.option(
    "--max-failed",
    metavar="N|N%",
    default="",
    help="Stop when more rows than this fail.  [default: no limit]",
)
_GENERATING = ("generate_passwords", "rotate", "password_length", "password_alphabet")
_GIVEN = (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT)


@click.command("retry")
@click.argument("job_id", metavar="JOB")
@click.option("--corrections", metavar="FILE", help="The job's failed.csv, corrected.")
@click.option(
    "--roster",
    "roster_",
    metavar="FILE",
    default="",
    help="The job's roster; required once the job's passwords are no longer stored.",
)
@click.option(
    "--on-existing",
    type=click.Choice([o.value for o in OnExisting]),
    help="What to do about users who exist with another password or application.  [default: as in JOB]",
)
@click.option(
    "--allow-lost-zeros",
    is_flag=True,
    help="Accept corrections that have lost leading zeros (0351 became 351).",
)
@generating_options
@_MAX_FAILED
@not_before_option
@not_after_option
@results_option
@excel_option
@click.option("--detach", is_flag=True, help="Return as soon as the job is queued. Requires a broker.")
@running_options
@yes_option
@json_option
@settings_options
@click.pass_context
def retry(ctx: click.Context, /, job_id: str, **given: Any) -> int:
    """Retry the rows of JOB that are not in place, as a new job.

    Rows that are in place are never sent again. Corrections are read from the roster's own columns of
    failed.csv and matched by job and line. If you add a password column, it replaces the sealed passwords.
    If every row is in place, no job is made.
    """
    context = Context(given)
    context.ledger.chunks.shred_expired()
    parent = named_job(context, job_id)
    job_id = parent.id
    if parent.state.active and _somebody_works_on(context, parent):
        raise Conflict(f"job {job_id} is still {parent.state}", f"wait for it, or: siproster cancel {job_id}")
    _refuse_plan_or_undone(context, parent)
    refuse_outdated(context, parent, "retry that one, or import the roster")
    context.runtime.check(parent)
    if given["detach"] and not context.settings.broker:
        raise UsageError("--detach needs a broker", "set SIPROSTER_BROKER and start `siproster worker`")
    corrections = _corrections(context, given["corrections"], parent)
    options = _again(ctx, parent.options, given)
    with roster_of(context, given["roster_"], parent) as again:
        rows = EarlierRows(
            context.ledger, context.seal, parent, options, corrections, again,
            zeros_may_go=given["allow_lost_zeros"],
        )  # fmt: skip
        _check_corrections(rows, given["corrections"])
        if not rows.records:
            return _nothing_left(context, parent, as_json=given["as_json"])
        job = new_job(context.endpoint, options, rows, context.seal.fingerprint, parent=parent.id)
        read = (parent.source, given["roster_"], given["corrections"] or "")
        outputs.prepare_folder(context, report.folder_of(job), (*outputs.of_job(job), report.ABSENT), *read,
                               passwords=options.generate_passwords)  # fmt: skip
        wait_for_window(job)
        begin(context, job)
        run(context, job, rows, yes=given["yes"])
    return finish(context, job.id, detach=given["detach"], as_json=given["as_json"])


@click.command("resume")
@click.argument("job_id", metavar="JOB")
@_MAX_FAILED
@not_after_option
@click.option("--detach", is_flag=True, help="Return as soon as the job is queued. Requires a broker.")
@results_option
@excel_option
@running_options
@yes_option
@json_option
@settings_options
def resume(job_id: str, detach: bool, yes: bool, as_json: bool, **given: Any) -> int:
    """Resume JOB, which was interrupted, paused or stopped.

    A limit that stopped the job (--max-failed, --not-after) no longer applies unless you give it again.
    """
    context = Context(given)
    context.ledger.chunks.shred_expired()
    job = named_job(context, job_id)
    job_id = job.id
    _refuse_plan_or_undone(context, job)
    job = replace(job, options=with_outputs(job.options, given))
    folder = report.folder_of(job)
    read = (job.source, job.options.generate_passwords)
    outputs.refuse_overwriting(context, folder, (*outputs.of_job(job), report.ABSENT), *read)
    if job.state is JobState.DONE:
        echo(f"job {job_id} is done; there is nothing left to resume")
        return watch.print_end(context, job, as_json=as_json)
    if job.state is JobState.CANCELLED:
        raise _over(job)
    context.runtime.check(job)
    # With a broker, a running job may be resumed to watch it; but only one command may read a roster.
    mine_alone = job.state is JobState.PLANNING or not context.settings.broker
    if mine_alone and _somebody_works_on(context, job):
        raise JobBusy(
            f"job {job_id} is being worked on by {shown(context.ledger.accounts.holder_of(job))}",
            f"wait for it to end, or cancel the job: siproster cancel {job_id}",
        )
    if detach and not context.settings.broker:
        raise UsageError("--detach needs a broker", "set SIPROSTER_BROKER and start `siproster worker`")
    with freed_on_failure(context, job_id):
        take_over(context, job)
        context.audit(job_id)
        context.ledger.jobs.set_options(job_id, _with_bounds(job, given))
    if job.state is JobState.PLANNING:
        _plan_again(context, job, yes=yes)
    else:
        _start_again(context, context.ledger.jobs.get(job_id))
    return finish(context, job_id, detach=detach, as_json=as_json)


@click.command("cancel")
@click.argument("job_id", metavar="JOB")
@json_option
@settings_options
def cancel(job_id: str, as_json: bool, **given: Any) -> None:
    """Cancel JOB. Requests in flight finish; the remaining rows stay unprocessed."""
    context = Context(given)
    job = named_job(context, job_id)
    job_id = job.id
    context.audit(job_id)
    if not context.ledger.jobs.stop(job_id, Why(Reason.CANCELLED, f"by {person()}")):
        raise Conflict(f"job {job_id} is already {job.state}", f"see it with: siproster report {job_id}")
    what = "nothing was sent" if job.saved else f"run the remaining rows with: siproster retry {job_id}"
    echo(f"job {job_id} is cancelled; {what}")
    if as_json:
        print_json(report.summary(context.ledger, context.ledger.jobs.get(job_id), report.folder_of(job)))


def _corrections(context: Context, path: str | None, parent: Job) -> Corrections:
    if not path:
        return {}
    source = context.upload(path) or path
    return dict(roster.read_corrections(source, parent.id, parent.options, parent.columns))


def _check_corrections(rows: EarlierRows, path: str | None) -> None:
    """Refuse corrections that would have another effect than they seem to have, or none."""
    if not path:
        return
    effect = check(rows, path)
    if unused := effect.unused:
        lines = ", ".join(map(str, unused[:5])) + (" …" if len(unused) > 5 else "")
        echo(f"warning: ignoring corrections of rows that are already in place: bw__row {lines}", "yellow")
    if not effect.used and rows.records:
        echo(f"warning: {path} corrects none of the rows to run again; they run as they were", "yellow")


def _nothing_left(context: Context, parent: Job, *, as_json: bool) -> int:
    """Print that no row of the job is left to run. Raises Conflict if its roster wasn't read to the end."""
    if not parent.rows and parent.started is None:
        raise Conflict(
            f"the roster of job {parent.id} was never read to the end; nothing was sent",
            "import the roster as a new job",
        )
    skipped = context.ledger.rows.counts(parent.id, parent.rows).get(Status.SKIPPED, 0)
    rows = plural(parent.rows - skipped, "row is", "rows are")
    others = f", {skipped:,} skipped" if skipped else ""
    echo(f"nothing to run again: {rows} in place{others}; no job was made")
    summary = report.summary(context.ledger, parent, report.folder_of(parent))
    leavers = summary["leavers"] or {}
    if kept := sum(leavers.get(word, 0) for word in (Status.FAILED, Status.UNKNOWN, Status.UNPROCESSED)):
        users = plural(kept, "user who is", "users who are")
        echo(
            f"warning: {users} not in the roster may still be stored (absent.csv); `retry` deletes nobody: "
            "import the roster again with --absent delete",
            "yellow",
        )
    if as_json:
        print_json(summary)
    return 0


def _again(ctx: click.Context, options: Options, given: dict[str, Any]) -> Options:
    """Return the earlier job's options, with the new job's own bounds and output paths."""
    on_existing = OnExisting(given["on_existing"] or options.on_existing)
    kept = {name: getattr(options, name) for name in _GENERATING}
    times = window(given)
    new = {name: given[name] for name in _GENERATING if ctx.get_parameter_source(name) in _GIVEN}
    return replace(
        with_outputs(replace(options, results=""), given),
        **generating({**kept, **new}, options.weak, on_existing),
        max_failed=max_failed(given["max_failed"]),
        not_before=times.not_before,
        not_after=times.not_after,
        on_existing=on_existing,
        absent=Absent.LEAVE,
        max_changes="",
        require_rows=None,
    )


def _refuse_plan_or_undone(context: Context, job: Job) -> None:
    """Refuse a plan, which is never resumed, and an undone job, whose rows are no longer in place."""
    if job.carried_out_by:
        by = job.carried_out_by
        raise Conflict(f"plan {job.id} was carried out by job {by}", f"see it with: siproster status {by}")
    if job.saved and job.state is not JobState.PLANNING:
        what = f"has expired: {job.why.text}" if _has_expired(job) and job.why else "was cancelled"
        raise Conflict(f"plan {job.id} {what}; nothing was sent", "plan the roster again")
    if job.saved:
        raise Conflict(f"job {job.id} is a plan", f"carry it out with: siproster import --plan {job.id}")
    if context.ledger.undone.begun(job.id):
        raise Conflict(f"job {job.id} was undone, or is being undone", "import the roster as a new job")


def _has_expired(job: Job) -> bool:
    return job.why is not None and job.why.reason is Reason.EXPIRED


def _over(job: Job) -> Conflict:
    """Return the error for a job that can't be resumed any more."""
    retry = f"siproster retry {job.id}"
    if _has_expired(job) and job.why:
        return Conflict(
            f"job {job.id} can't be resumed any more: {job.why.text}",
            f"run the remaining rows with the same roster: {retry} --roster FILE",
        )
    return Conflict(f"job {job.id} was cancelled", f"run the remaining rows with: {retry}")


def _with_bounds(job: Job, given: dict[str, Any]) -> Options:
    """Return the job's options with new bounds, since the one that stopped it would do so again."""
    stopped_by = job.why.reason if job.why else ""
    old = {name: getattr(job.options, name) for name in ("max_failed", "not_after") if name != stopped_by}
    new = {"max_failed": max_failed(given["max_failed"]), "not_after": window(given).not_after}
    return replace(
        job.options,
        max_failed=new["max_failed"] or old.get("max_failed", ""),
        not_after=new["not_after"] or old.get("not_after", ""),
    )


def _start_again(context: Context, job: Job) -> None:
    """Release the job's chunks to workers again, unless too many of its rows have failed already."""
    ledger = context.ledger
    if why := too_many_failed(job.options, ledger.chunks.progress(job.id).troubled, job.rows):
        if not ledger.jobs.stop(job.id, why):
            ledger.jobs.stop_again(job.id, why)
            ledger.accounts.release(job.id)
        return
    if job.started is None:  # stopped before its start
        create_missing_realm(ledger, context.seal, context.runtime.api(job.options), job)
    ledger.chunks.wake(job.id)
    ledger.jobs.start(job.id)


def _somebody_works_on(context: Context, job: Job) -> bool:
    """Return whether the process that writes for this job may still be running."""
    return is_alive(context.ledger.accounts.holder_of(job))


def roster_of(context: Context, path: str, parent: Job) -> AbstractContextManager[Roster | None]:
    """Return the job's roster, reopened if a path is given. Raises UsageError if it is another file."""
    if not path:
        return nullcontext()
    opened = context.open_roster(path, parent.options)
    if opened.sha256 != parent.sha256:
        opened.close()
        raise UsageError(
            f"{opened.source} is not the roster of job {parent.id}: its contents differ",
            "a database's rows have changed since; import it as a new job"
            if roster.is_database(path)
            else "give the original file, or import this one as a new job",
        )
    return opened


def _plan_again(context: Context, job: Job, *, yes: bool) -> None:
    """Read the roster again for a command that died while it read it: nothing had been sent."""
    if job.why and job.why.reason is Reason.SAVED:
        why = Why(Reason.CANCELLED, "its roster was never read to the end")
        context.ledger.jobs.stop(job.id, why)
        raise Conflict(
            f"job {job.id} was a plan that was never complete, so it was cancelled; nothing was sent",
            f"plan the roster again: siproster plan {job.source} --save",
        )
    if job.parent:
        # End it, so that its account is free for the job that replaces it.
        why = Why(Reason.CANCELLED, "its roster was never read to the end")
        context.ledger.jobs.stop(job.id, why)
        saved = context.ledger.jobs.get(job.parent).saved
        again = f"import --plan {job.parent}" if saved else f"retry {job.parent}"
        raise Conflict(
            f"the rows of job {job.id} were never read to the end, so it was cancelled; nothing was sent",
            f"start again with: siproster {again}",
        )
    if job.source == "-":
        raise Conflict(
            f"job {job.id} was reading stdin when it ended; nothing was sent", "import the roster again"
        )
    if roster.is_database(job.source):
        raise Conflict(
            f"job {job.id} was reading {job.source} when it ended; nothing was sent",
            "import the roster again, with the user in its URL",
        )
    with context.open_roster(job.source, job.options) as opened:
        if opened.sha256 != job.sha256:
            raise UsageError(
                f"{job.source} has changed since job {job.id} began to read it; nothing was sent",
                f"import it as a new job: siproster import {job.source}",
            )
        context.ledger.jobs.forget(job.id, keep_job=True)
        context.ledger.accounts.acquire(job, process_id())
        run(context, job, opened, yes=yes)
