"""``plan``: what an import would do with each row; and carrying out a plan that was kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from worker import report, roster
from worker.commands import outputs, watch
from worker.commands.listing import counted
from worker.commands.options import (
    absent_option,
    from_file,
    json_option,
    max_failed,
    not_after,
    parsed,
    posting_options,
    reading_options,
    refuse_said,
    results_option,
)
from worker.commands.running import begin, draw, finish, run, tell_roster
from worker.commands.screen import say, tell_json, tell_on_stdout, tell_reading
from worker.commands.session import Session, settings_options
from worker.errors import Conflict, UsageError
from worker.importing.checked import check
from worker.importing.decide import Decision, Planned, without_account
from worker.importing.job import new_job
from worker.importing.look import Look
from worker.importing.plan import Pages, needs_making
from worker.importing.realms import JobRealms
from worker.importing.saved import SavedRows
from worker.importing.tally import Tally
from worker.model import Action, Job, JobState, Options
from worker.roster import Roster

_TOLD = 50
"""Problems that `plan` tells one by one."""

_OF_THE_RUN = frozenset({
    "source", "plan_", "max_failed", "not_after", "results", "detach", "yes", "as_json", "account", "profile",
    "config", "debug",
})  # fmt: skip
"""Options of ``import`` that say how a plan is run; all the others were approved with it."""


@click.command("plan")
@click.argument("source", metavar="ROSTER")
@reading_options
@posting_options
@absent_option
@results_option
@click.option("--save", is_flag=True, help="Save the plan, sealed, to carry out with `import --plan JOB`.")
@click.option("--exit-on-change", is_flag=True, help="Also exit with 10 if the import would change anything.")
@json_option
@settings_options
@click.pass_context
def plan_(ctx: click.Context, /, source: str, save: bool, **given: Any) -> int:
    """Show what `import` would do with each row of a roster, without sending anything.

    With --results DIR, plan.csv lists every row, and absent.csv the users on the registrar who are not in the
    roster. Exit code 0: every row would be in place; 10: some would not or, with --exit-on-change, something
    would change.
    """
    session = Session(given)
    given = from_file(ctx, given, session.settings.options)
    options, on_change = parsed(ctx, given), given["exit_on_change"]
    _refuse_unseen_change(session, on_change=on_change)
    with roster.open_roster(source, options) as opened:
        tell_roster(opened)
        if options.results:
            outputs.claim(session, Path(options.results), (report.PLAN, report.ABSENT), source)
        else:
            outputs.refuse_streams(session, source)
        if save:
            job, tally = _saved(session, opened, options)
        else:
            job, tally = None, _looked_at(session, opened, options)
    tell_reading(opened.name, tally, say if given["as_json"] else tell_on_stdout)
    if job:
        say(f"plan saved as {job.id}; carry it out with: siproster import --plan {job.id}")
    if given["as_json"]:
        tell_json(_facts(opened, tally, options, job))
    return exit_code(tally, on_change=on_change)


def exit_code(tally: Tally, *, on_change: bool) -> int:
    """Return 10 when some rows would not be in place afterwards, or, if asked, when anything would change."""
    return 10 if tally.in_trouble or (on_change and tally.to_send) else 0


def carry_out(ctx: click.Context, session: Session, plan_id: str, given: dict[str, Any]) -> int:
    """``import --plan``: exactly what was planned; what has changed since is refused, row by row."""
    refuse_said(ctx, _OF_THE_RUN, "with --plan", "make a new plan with it; an approved plan can't be changed")
    kept = session.ledger.jobs.get(plan_id)
    _refuse_no_plan(kept)
    session.station.check(kept)
    rows = SavedRows(session.ledger, session.seal, kept)
    options = replace(
        kept.options,
        max_failed=max_failed(given["max_failed"]) or kept.options.max_failed,
        not_after=not_after(given["not_after"]) or kept.options.not_after,
        results=str(Path(given["results"]).absolute()) if given["results"] else kept.options.results,
    )
    job = new_job(session.endpoint, options, rows, session.seal.fingerprint, parent=plan_id)
    if session.settings.broker:
        watch.broker_queue(session)
    outputs.claim(session, report.folder_of(job), (*outputs.OF_JOB, report.ABSENT), kept.source)
    begin(session, job)
    run(session, job, rows, yes=given["yes"], hold=rows.held_to, carries_out=plan_id)
    return finish(session, job.id, detach=given["detach"], as_json=given["as_json"])


def _saved(session: Session, opened: Roster, options: Options) -> tuple[Job, Tally]:
    """A plan as a job in the ledger, which nobody works on before it is carried out."""
    job = new_job(session.endpoint, options, opened, session.seal.fingerprint)
    folder = _folder(options)
    begin(session, job)
    try:
        with _plan_file(folder, opened.columns, job.id) as tee:
            draft = draw(session, job, opened, folder, tee=tee, saved=True)
    except (Exception, KeyboardInterrupt):
        session.ledger.jobs.forget(job.id)
        say(f"plan {job.id} was not saved")
        raise
    _tell_realm(draft.realms, draft.tally, options)
    return job, draft.tally


def _looked_at(session: Session, opened: Roster, options: Options) -> Tally:
    """The same, without a ledger."""
    folder = _folder(options)
    report.forget_absent(folder)
    tally = Tally()
    with _plan_file(folder, opened.columns) as tee:
        if not session.settings.values["BW_ACCOUNT_ID"]:
            say(
                "  no account is set (BW_ACCOUNT_ID): only the file is checked, not realms and users",
                "yellow",
            )
            pages = map(without_account, check(opened.rows(), None, options.api))
            _tell_problems(tee(pages), tally)
            return tally
        api = session.client(options)
        realms = JobRealms(api, None, "", options)
        with Look(api, realms, options, opened, counted) as look:
            decide = Decision(look, realms, options)
            _tell_problems(tee(map(decide, check(opened.rows(), realms, options.api))), tally)
            absent, tally.nameless = look.absent(), look.nameless
            tally.absent = None if absent is None else report.absent_to(folder)(absent)
    _tell_realm(realms, tally, options)
    return tally


def _tell_realm(realms: JobRealms, tally: Tally, options: Options) -> None:
    """Say whether ``--create-realm`` would do something."""
    if needs_making(realms, tally):
        say(f"realm {options.realm} does not exist; the import would create it")
    elif realms.to_make is not None:
        say(f"realm {options.realm} does not exist; no row needs it, so the import would not create it")


def _tell_problems(pages: Pages, tally: Tally) -> None:
    told = 0
    for page in pages:
        for planned in page:
            tally.add(planned)
            for problem in planned.row.problems:
                if told < _TOLD:
                    say(f"  line {planned.row.line}: {problem.code}: {problem.text}")
                told += 1
    if told > _TOLD:
        say(f"  … and {told - _TOLD} more")


def _folder(options: Options) -> Path | None:
    """Where plan.csv and absent.csv go: nowhere, unless it is said."""
    return Path(options.results) if options.results else None


@contextmanager
def _plan_file(
    folder: Path | None, columns: tuple[str, ...], job: str = ""
) -> Iterator[Callable[[Pages], Pages]]:
    """What writes every page of a plan down as it passes."""
    header = [*report.PLAN_COLUMNS, *columns]
    opened: AbstractContextManager[Callable[[list[str]], None] | None] = (
        report.new_table(folder / report.PLAN, header) if folder else nullcontext()
    )
    with opened as write:

        def tee(pages: Pages) -> Pages:
            for page in pages:
                for planned in page if write else ():
                    write(_line(planned, job)) if write else None
                yield page

        yield tee


def _line(planned: Planned, job: str) -> list[str]:
    row, outcome = planned.row, planned.outcome
    return [
        job, str(row.line), planned.action or "", ";".join(planned.differs), row.user, row.domain,
        planned.host or row.realm,
        planned.stored.id if planned.stored else "", outcome.code if outcome else "",
        outcome.error if outcome else "", *row.cells,
    ]  # fmt: skip


def _facts(opened: Roster, tally: Tally, options: Options, job: Job | None) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "roster": {"name": opened.name, "sha256": opened.sha256, "rows": tally.rows},
        "to_send": tally.to_send,
        "invalid": tally.invalid,
        "counts": {action.value: tally.actions[action] for action in Action if tally.actions[action]},
        "differs": dict(tally.differs),
        "problems": dict(tally.problems),
        "codes": {action.value: dict(tally.codes[action]) for action in Action if action in tally.codes},
        "warnings": dict(tally.warnings),
        "absent": tally.absent,
        "files": report.existing(_folder(options), report.PLAN, report.ABSENT),
    }
    return {"plan": job.id, **facts} if job else facts


def _refuse_unseen_change(session: Session, *, on_change: bool) -> None:
    """Without an account nobody can tell whether an import would change anything."""
    if on_change and not session.settings.values["BW_ACCOUNT_ID"]:
        raise UsageError(
            "--exit-on-change compares the roster with the account, and no account is set",
            "set BW_ACCOUNT_ID and its credentials, or leave out --exit-on-change",
        )


def _refuse_no_plan(kept: Job) -> None:
    if kept.carried_out_by:
        raise Conflict(
            f"plan {kept.id} was carried out by job {kept.carried_out_by}",
            f"see it with: siproster status {kept.carried_out_by}",
        )
    if kept.saved is None:
        raise UsageError(f"job {kept.id} is not a plan", "save one with: siproster plan ROSTER --save")
    if kept.state is not JobState.PLANNING:
        raise Conflict(f"plan {kept.id} is {kept.state}", "plan the roster again")
