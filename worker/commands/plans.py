"""``plan``: what an import would do with each row; and how a saved plan is carried out."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import click

from worker import report
from worker.commands import outputs, watch
from worker.commands.context import Context, settings_options
from worker.commands.facts import print_json
from worker.commands.listing import counted
from worker.commands.named_job import named_job, refuse_outdated
from worker.commands.option_values import (
    Window,
    from_file,
    max_changes,
    max_failed,
    parsed,
    refuse_given,
    window,
    with_outputs,
)
from worker.commands.options import (
    absent_option,
    excel_option,
    json_option,
    posting_options,
    reading_options,
    running_options,
)
from worker.commands.plan_columns import refuse_with_columns, show_columns
from worker.commands.progress_screen import progress_screen
from worker.commands.running import PlanSinks, begin, draw, finish, keep_passwords, print_roster, run
from worker.commands.screen import echo, print_on_stdout, print_reading
from worker.commands.window import shown, wait_for_window
from worker.errors import Conflict, SiprosterError, UsageError
from worker.importing.absent import EarlierRun, earlier_run
from worker.importing.earlier_names import EarlierNames
from worker.importing.generate import generated_passwords
from worker.importing.guards import why_held_back
from worker.importing.job import new_job
from worker.importing.job_start import needs_making
from worker.importing.ledger_writer import LedgerWriter
from worker.importing.pipeline import Account, LeaverPlan, Sink, run_pipeline
from worker.importing.plan_summary import PlanSummary
from worker.importing.realms import JobRealms
from worker.importing.saved import SavedRows
from worker.importing.validation import RosterPage
from worker.ledger.uploads import PREFIX
from worker.model import Absent, Action, Job, JobState, Options, Row, utc_now
from worker.roster import Roster
from worker.settings.addresses import sqlite_path
from worker.states import Reason, Why

_TOLD = 50
"""Problems that `plan` tells one by one."""

_OF_THE_RUN = frozenset({
    "source", "plan_", "max_failed", "max_changes", "require_rows", "not_before", "not_after",
    "results", "excel", "detach", "yes", "as_json", "account", "profile", "config", "debug",
    "progress", "log_file",
})  # fmt: skip
"""Options of ``import`` that say how a plan is run; all the others were approved with it."""


@click.command("plan")
@click.argument("source", metavar="ROSTER")
@reading_options
@posting_options
@absent_option
@click.option("--results", metavar="DIR", default="", help="Write plan.csv and absent.csv to this folder.")
@excel_option
@click.option("--save", is_flag=True, help="Save the plan, sealed, to carry out with `import --plan JOB`.")
@click.option("--columns", is_flag=True, help="Only show how the roster is understood; no row is checked.")
@click.option("--exit-on-change", is_flag=True, help="Also exit with 10 if the import would change anything.")
@running_options
@json_option
@settings_options
@click.pass_context
def plan_(ctx: click.Context, /, source: str, save: bool, columns: bool, **given: Any) -> int:
    """Show what `import` would do with each row of a roster, without sending anything.

    With --results DIR, plan.csv lists every row, and absent.csv the users on the registrar who are not in the
    roster. Exit code 0: every row would be in place; 10: some would not be or, with --exit-on-change,
    something would change; 11: an import would be held back by --max-changes or --require-rows.

    --columns shows how the file is understood instead: format, sheets, header, and for each column the field
    that it is used for or may be meant for, with samples, never of a column that may hold a secret.
    """
    context = Context(given)
    given = from_file(ctx, given, context.settings.options)
    options, on_change = parsed(ctx, given), given["exit_on_change"]
    if columns:
        refuse_with_columns(ctx)
        return show_columns(context, source, options, as_json=given["as_json"])
    _refuse_unseen_change(context, on_change=on_change)
    keeps = options.generate_passwords
    # Before it is read, so that a change meanwhile is noticed.
    upload = context.ledger.uploads.named(source) if source.startswith(PREFIX) else None
    with context.open_roster(source, options) as opened:
        print_roster(opened)
        options = opened.options
        if options.results:
            names = (report.PLAN, report.ABSENT)
            outputs.prepare_folder(context, Path(options.results), names, source, passwords=keeps)
        else:
            outputs.refuse_streams(context, source, keeps)
            outputs.refuse_password_file(context, keeps, source)
        if save:
            job, summary = _saved(context, opened, options)
            if upload and not context.ledger.uploads.set_plan(upload, job.id):
                echo(f"upload {upload.id} was changed while it was planned: plan it again", "yellow")
        else:
            job, summary = None, _planned_without_ledger(context, opened, options)
    print_reading(opened.name, summary, echo if given["as_json"] else print_on_stdout)
    held = why_held_back(options, summary)
    if held:
        echo(f"an import would be held back: {held}", "yellow")
    if job:
        echo(f"plan saved as {job.id}; carry it out with: siproster import --plan {job.id}")
    if given["as_json"]:
        print_json(_facts(opened, summary, options, job))
    return held.reason.exit_code if held else exit_code(summary, on_change=on_change)


def exit_code(summary: PlanSummary, *, on_change: bool) -> int:
    """Return 10 when some rows would not be in place afterwards, or, if asked, when anything would change."""
    return 10 if summary.in_trouble or (on_change and summary.to_send) else 0


def carry_out(ctx: click.Context, context: Context, plan_id: str, given: dict[str, Any]) -> int:
    """Run ``import --plan``: exactly what was planned. Rows that have changed since are refused."""
    refuse_given(
        ctx, _OF_THE_RUN, "with --plan", "make a new plan with it; an approved plan can't be changed"
    )
    context.ledger.chunks.shred_expired()
    plan = named_job(context, plan_id)
    plan_id = plan.id
    _refuse_unusable_plan(context, plan)
    context.runtime.check(plan)
    rows = SavedRows(context.ledger, context.seal, plan)
    times = _window_of(plan, given)
    options = replace(
        with_outputs(plan.options, given),
        max_failed=max_failed(given["max_failed"]) or plan.options.max_failed,
        max_changes=max_changes(given["max_changes"]),  # the plan's own is answered by its approval
        require_rows=given["require_rows"],
        absent=plan.options.absent or (Absent.LIST if plan.options.max_changes else Absent.LEAVE),
        not_before=times.not_before,
        not_after=times.not_after,
    )
    made = new_job(context.endpoint, options, rows, context.seal.fingerprint, parent=plan_id)
    job = replace(made, schedule=plan.schedule)  # whose next run is compared with it
    if context.settings.broker:
        watch.broker_queue(context)
    outputs.prepare_folder(
        context, report.folder_of(job), (*outputs.of_job(job), report.ABSENT), plan.source,
        passwords=options.generate_passwords,
    )  # fmt: skip
    wait_for_window(job)
    if options.not_before:
        _refuse_unusable_plan(context, context.ledger.jobs.get(plan_id))
    begin(context, job)
    run(context, job, rows, yes=given["yes"], plan=rows)
    return finish(context, job.id, detach=given["detach"], as_json=given["as_json"])


def _window_of(plan: Job, given: Mapping[str, Any]) -> Window:
    """Return the window in which the plan is carried out: what is given, else its own.

    Raises UsageError if that is over: nobody has decided that it may be carried out outside of it.
    """
    times, own = window(given), plan.options
    if times.not_after or not own.not_after or dt.datetime.fromisoformat(own.not_after) > utc_now():
        return Window(times.not_before or own.not_before, times.not_after or own.not_after)
    ended = shown(dt.datetime.fromisoformat(own.not_after))
    raise UsageError(
        f"the window of plan {plan.id} ended at {ended}; nothing was sent",
        f"give another one: siproster import --plan {plan.id} --not-after TIME; --not-before TIME to wait",
    )


def _saved(context: Context, opened: Roster, options: Options) -> tuple[Job, PlanSummary]:
    """Save a plan as a job in the ledger, which no worker touches before the plan is carried out."""
    made = new_job(context.endpoint, opened.options, opened, context.seal.fingerprint)
    job = replace(made, why=Why(Reason.SAVED, "it is being planned"))  # so that `resume` never sends it
    folder = _folder(options)
    begin(context, job)
    try:
        with (
            _plan_file(options, opened.columns, job.id) as write,
            _leaver_file(options) as leaver_sinks,
            generated_passwords(options, opened.name, writable=True) as passwords,
        ):
            writer = LedgerWriter(context.ledger, context.seal, job, saved=True, passwords=passwords)
            draft = draw(context, writer, opened, folder, PlanSinks(write, leaver_sinks))
            keep_passwords(passwords)
    except (Exception, KeyboardInterrupt):
        context.ledger.jobs.forget(job.id)
        echo(f"plan {job.id} was not saved")
        raise
    _print_realm(draft.realms, draft.summary, options)
    return job, draft.summary


def _planned_without_ledger(context: Context, opened: Roster, options: Options) -> PlanSummary:
    """Make the plan without a ledger."""
    folder = _folder(options)
    report.forget_absent(folder)
    account = _account(context, opened, options, folder)
    screen = progress_screen()
    with (
        screen.running(),
        _plan_file(options, opened.columns) as write,
        _leaver_file(options) as leaver_sinks,
        _Problems() as problems,
        generated_passwords(options, opened.name) as passwords,
        _earlier_names(context, opened) as earlier,
    ):
        if account and earlier:
            account = replace(account, warn=earlier.warn)
        if account and options.absent is Absent.DELETE:
            account = replace(account, leavers=LeaverPlan(leaver_sinks))
        sinks = [*write, problems.print_page, screen.read_page]
        summary = run_pipeline(opened, account, options, sinks, passwords=passwords)
    if account:
        _print_realm(account.realms, summary, options)
    return summary


def _earlier_names(context: Context, opened: Roster) -> AbstractContextManager[EarlierNames | None]:
    """Return the names of the roster's last run; none if there is no ledger yet, or it can't be read."""
    path = sqlite_path(context.settings.ledger)
    with suppress(SiprosterError, OSError):
        if context.settings.values["BW_ACCOUNT_ID"] and (path is None or path.exists()):
            job = new_job(context.endpoint, opened.options, opened, "")
            return EarlierNames(context.ledger, context.seal, job)
    return nullcontext()


def _account(context: Context, opened: Roster, options: Options, folder: Path | None) -> Account | None:
    if not context.settings.values["BW_ACCOUNT_ID"]:
        echo("  no account is set (BW_ACCOUNT_ID): only the file is checked, not realms and users", "yellow")
        return None
    api = context.client(options)
    earlier = EarlierRun()
    if options.max_changes:
        job = new_job(context.endpoint, options, opened, context.seal.fingerprint)
        earlier = earlier_run(context.ledger, context.seal, job)
    realms = JobRealms(api, None, "", options)
    return Account(api, realms, counted, report.absent_to(folder, options.tables), earlier=earlier)


def _print_realm(realms: JobRealms, summary: PlanSummary, options: Options) -> None:
    """Print whether ``--create-realm`` would do something."""
    if needs_making(realms, summary):
        echo(f"realm {options.realm} does not exist; the import would create it")
    elif realms.to_make is not None:
        echo(f"realm {options.realm} does not exist; no row needs it, so the import would not create it")


class _Problems:
    """Prints the first problems of a roster with their lines, as a sink of the pipeline."""

    def __init__(self) -> None:
        self._found = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None and self._found > _TOLD:
            echo(f"  … and {self._found - _TOLD} more")

    def print_page(self, page: RosterPage) -> None:
        """Print the problems of a page."""
        for row in page:
            for problem in row.problems:
                self._found += 1
                if self._found <= _TOLD:
                    echo(f"  line {row.line}: {problem.code}: {problem.text}")


def _folder(options: Options) -> Path | None:
    """Return the folder for plan.csv and absent.csv; None unless one was given."""
    return Path(options.results) if options.results else None


@contextmanager
def _plan_file(options: Options, columns: tuple[str, ...], job: str = "") -> Iterator[list[Sink]]:
    """Open plan.csv as a sink of the pipeline, if there is a folder for it."""
    folder = _folder(options)
    if folder is None:
        yield []
        return
    with report.new_table(folder / report.PLAN, [*report.PLAN_COLUMNS, *columns], options.tables) as write:

        def write_page(page: RosterPage) -> None:
            for row in page:
                write(_line(row, job))

        yield [write_page]


@contextmanager
def _leaver_file(options: Options) -> Iterator[list[Sink]]:
    """Open absent.csv as a sink for leavers, with what would become of each, if there is a folder for it."""
    folder = _folder(options)
    if folder is None or options.absent is not Absent.DELETE:
        yield []
        return
    with report.new_table(folder / report.ABSENT, report.LEAVER_COLUMNS, options.tables) as write:

        def write_page(page: RosterPage) -> None:
            for row in page:
                user, outcome = row.leaver, row.outcome
                told = ("kept", outcome.code, outcome.error) if outcome else ("delete", "", "")
                write([user.composite, user.realm, user.id, user.application, *told])

        yield [write_page]


def _line(row: Row, job: str) -> list[str]:
    stored, outcome = row.stored, row.outcome
    return [
        job, str(row.line), row.action or "", ";".join(row.differs), row.user, row.domain,
        row.host or row.realm, stored.id if stored else "", outcome.code if outcome else "",
        outcome.error if outcome else "", *row.cells,
    ]  # fmt: skip


def _facts(opened: Roster, summary: PlanSummary, options: Options, job: Job | None) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "roster": {"name": opened.name, "sha256": opened.sha256, "rows": summary.rows},
        "sheet": opened.sheet_name,
        "fields": dict(opened.mapping),
        "to_send": summary.to_send,
        "invalid": summary.invalid,
        "counts": {action.value: summary.actions[action] for action in Action if summary.actions[action]},
        "differs": dict(summary.differs),
        "problems": dict(summary.problems),
        "codes": {action.value: dict(summary.codes[action]) for action in Action if action in summary.codes},
        "warnings": dict(summary.warnings),
        "absent": summary.absent,
        "suddenly_absent": summary.suddenly_absent if options.max_changes else None,
        "leavers": {"delete": summary.leavers, "kept": summary.kept_leavers}
        if options.absent is Absent.DELETE
        else None,
        "held_back": str(why_held_back(options, summary) or "") or None,
        "files": report.existing(_folder(options), report.PLAN, report.ABSENT),
    }
    return {"plan": job.id, **facts} if job else facts


def _refuse_unseen_change(context: Context, *, on_change: bool) -> None:
    """Raise UsageError without an account: then nobody can tell whether an import would change anything."""
    if on_change and not context.settings.values["BW_ACCOUNT_ID"]:
        raise UsageError(
            "--exit-on-change compares the roster with the account, and no account is set",
            "set BW_ACCOUNT_ID and its credentials, or leave out --exit-on-change",
        )


def _refuse_unusable_plan(context: Context, plan: Job) -> None:
    """Raise Conflict for a plan that is over, or was made from a version of its roster that is outdated."""
    if plan.carried_out_by:
        raise Conflict(
            f"plan {plan.id} was carried out by job {plan.carried_out_by}",
            f"see it with: siproster status {plan.carried_out_by}",
        )
    if plan.saved is None:
        raise UsageError(f"job {plan.id} is not a plan", "save one with: siproster plan ROSTER --save")
    if plan.state is not JobState.PLANNING:
        what = f"is {plan.state}"
        if plan.why and plan.why.reason is Reason.EXPIRED:
            what = f"has expired: {plan.why.text}"
        raise Conflict(f"plan {plan.id} {what}", "plan the roster again")
    refuse_outdated(context, plan, f"end it with: siproster cancel {plan.id}")
