"""``import``: a roster is read, checked, compared with what is stored, and sent."""

from __future__ import annotations

from typing import Any

import click

from worker import report, roster
from worker.commands import watch
from worker.commands.options import (
    absent_option,
    from_file,
    json_option,
    parsed,
    posting_options,
    reading_options,
    results_option,
    yes_option,
)
from worker.commands.plans import carry_out
from worker.commands.running import begin, finish, run, tell_roster
from worker.commands.session import Session, settings_options
from worker.errors import UsageError
from worker.importing.job import new_job


@click.command("import")
@click.argument("source", metavar="[ROSTER]", required=False)
@click.option("--plan", "plan_", metavar="JOB", default="", help="Carry out a plan that `plan --save` kept.")
@reading_options
@posting_options
@absent_option
@results_option
@click.option("--detach", is_flag=True, help="Return as soon as the job is queued; needs a broker.")
@yes_option
@json_option
@settings_options
@click.pass_context
def import_(ctx: click.Context, /, source: str | None, plan_: str, **given: Any) -> None:
    """Post a roster: ROSTER is a file, - for stdin, or a URL.

    The whole roster is read, checked and sealed before the first credential is sent: exit code 6
    means that nothing was written. Every row gets a line in results.csv; what is not in place is in
    failed.csv, which `siproster retry` takes after you have corrected it.
    """
    session = Session(given)
    given = from_file(ctx, given, session.settings.options)
    if bool(source) == bool(plan_):
        raise UsageError("name a ROSTER, or a plan with --plan JOB", "siproster import staff.csv")
    if given["detach"] and not session.settings.broker:
        raise UsageError("--detach needs a broker", "set SIPROSTER_BROKER and start `siproster worker`")
    if plan_:
        carry_out(ctx, session, plan_, given)
    options = parsed(ctx, given)
    with roster.open_roster(str(source), options) as opened:
        tell_roster(opened)
        job = new_job(session.endpoint, options, opened, session.seal.fingerprint)
        if session.settings.broker:
            watch.broker_queue(session)
        report.make_folder(report.folder_of(job))
        begin(session, job)
        run(session, job, opened, yes=given["yes"])
    finish(session, job.id, detach=given["detach"], as_json=given["as_json"])
