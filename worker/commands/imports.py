"""``import`` and ``plan``: a roster is read, checked, and sent or not."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

import click

from worker import report, roster
from worker.commands import watch
from worker.commands.options import (
    from_file,
    json_option,
    parsed,
    posting_options,
    reading_options,
    results_option,
    yes_option,
)
from worker.commands.screen import say, tell_json, tell_reading
from worker.commands.session import Session, settings_options
from worker.errors import UsageError
from worker.importing.deliver import stop_when_too_many_failed
from worker.importing.job import new_job
from worker.importing.owners import owner
from worker.importing.plan import Tally, check, plan
from worker.importing.realms import JobRealms
from worker.model import Job, JobState, Options, Row
from worker.roster import Roster

_TOLD = 50
"""Problems that `plan` tells one by one."""


@click.command("import")
@click.argument("source", metavar="ROSTER")
@reading_options
@posting_options
@results_option
@click.option("--detach", is_flag=True, help="Return as soon as the job is queued; needs a broker.")
@yes_option
@json_option
@settings_options
@click.pass_context
def import_(ctx: click.Context, /, source: str, **given: Any) -> None:
    """Post a roster: ROSTER is a file, - for stdin, or a URL.

    The whole roster is read, checked and sealed before the first credential is sent: exit code 6
    means that nothing was written. Every row gets a line in results.csv; what is not in place is in
    failed.csv, which `siproster retry` takes after you have corrected it.
    """
    session = Session(given)
    given = from_file(ctx, given, session.settings.options)
    options = parsed(ctx, given)
    if given["detach"] and not session.settings.broker:
        raise UsageError("--detach needs a broker", "set SIPROSTER_BROKER and start `siproster worker`")
    with roster.open_roster(source, options) as opened:
        tell_roster(opened)
        job = new_job(session.endpoint, options, opened, session.seal.fingerprint)
        if session.settings.broker:
            watch.broker_queue(session)
        report.make_folder(report.folder_of(job))
        begin(session, job)
        plan_or_forget(session, job, opened.rows())
    finish(session, job.id, detach=given["detach"], as_json=given["as_json"])


@click.command("plan")
@click.argument("source", metavar="ROSTER")
@reading_options
@posting_options
@json_option
@settings_options
@click.pass_context
def plan_(ctx: click.Context, /, source: str, **given: Any) -> None:
    """Read and check a roster as `import` would; send nothing.

    Exit code 0: every row could be sent; 10: some would not be.
    """
    session = Session(given)
    options = parsed(ctx, from_file(ctx, given, session.settings.options))
    with roster.open_roster(source, options) as opened:
        tell_roster(opened)
        realms = _realms(session, options)
        tally = _tally(opened, realms, options)
    tell_reading(opened.name, tally)
    if given["as_json"]:
        tell_json(_plan_facts(opened, tally))
    elif realms is not None and realms.will_create:
        say(f"realm {options.realm} does not exist; the import would make it")
    sys.exit(10 if tally.invalid else 0)


def begin(session: Session, job: Job) -> None:
    """Enter the job and say its id, so that it can be resumed whatever happens next."""
    session.ledger.jobs.begin(job, owner())
    say(f"job {job.id}")
    say(f"  account {job.account} at {job.host}")


def plan_or_forget(session: Session, job: Job, rows: Iterable[Row]) -> None:
    """Read the rows into the ledger; where they can't be read, the job never was."""
    try:
        tally = plan(session.ledger, session.seal, session.station.api(job.options), job, rows)
    except (Exception, KeyboardInterrupt):
        if session.ledger.jobs.state(job.id) is not JobState.PLANNING:
            raise  # somebody resumed it meanwhile, and it may have sent something
        session.ledger.jobs.forget(job.id)
        say(f"job {job.id} is forgotten: nothing was sent")
        raise
    tell_reading(job.roster, tally)


def finish(session: Session, job_id: str, *, detach: bool, as_json: bool) -> None:
    """Run a planned job to its end, or leave it to the workers."""
    stop_when_too_many_failed(session.ledger, session.ledger.jobs.get(job_id))
    if detach:
        watch.put_on_queue(session, job_id)
        say(f"queued; follow it with: siproster status {job_id} --follow")
        if as_json:
            tell_json({"job": job_id})
        sys.exit(0)
    results = session.ledger.jobs.get(job_id).options.results
    sys.exit(watch.run(session, job_id, results, as_json=as_json))


def tell_roster(opened: Roster) -> None:
    """How the file was understood, before anything is done with it."""
    delimiter = {"\t": "tab"}.get(opened.delimiter, opened.delimiter)
    say(f"{opened.name}: {opened.records} records, {opened.encoding}, delimiter {delimiter}")
    say("  " + ", ".join(f"{field} from {column!r}" for field, column in opened.mapping.items()))
    if opened.dropped:
        say(f"  not carried into the results: {', '.join(opened.dropped)}")
    for warning in opened.warnings:
        say(f"  warning: {warning.text}", "yellow")


def _realms(session: Session, options: Options) -> JobRealms | None:
    """Realms are looked up when an account is set; without one the file alone is checked."""
    if not session.settings.values["BW_ACCOUNT_ID"]:
        say("  realms are not looked up: no account is set (BW_ACCOUNT_ID)", "yellow")
        return None
    return JobRealms(session.client(options), None, "", options)


def _tally(opened: Roster, realms: JobRealms | None, options: Options) -> Tally:
    tally = Tally()
    told = 0
    for page in check(opened.rows(), realms, options.api):
        for checked in page:
            tally.add(checked)
            for problem in checked.row.problems:
                if told < _TOLD:
                    say(f"  line {checked.row.line}: {problem.code}: {problem.text}")
                told += 1
    if told > _TOLD:
        say(f"  … and {told - _TOLD} more")
    return tally


def _plan_facts(opened: Roster, tally: Tally) -> dict[str, Any]:
    return {
        "roster": {"name": opened.name, "sha256": opened.sha256, "rows": tally.rows},
        "to_send": tally.to_send,
        "invalid": tally.invalid,
        "problems": dict(tally.problems),
        "warnings": dict(tally.warnings),
    }
