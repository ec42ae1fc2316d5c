"""``import``: reads a roster, checks it, compares it with what is stored, and sends it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import partial
from typing import Any

import click

from worker import report
from worker.commands import outputs, watch
from worker.commands.context import Context, settings_options
from worker.commands.option_values import from_file, parsed
from worker.commands.options import (
    absent_option,
    excel_option,
    json_option,
    posting_options,
    reading_options,
    results_option,
    running_options,
    yes_option,
)
from worker.commands.plans import carry_out
from worker.commands.running import begin, finish, print_roster, run
from worker.commands.verify_report import print_report
from worker.commands.verify_runner import (
    GENTLE_FLIGHT,
    GENTLE_RATE,
    VERIFY,
    RowsOfJob,
    Trial,
    prove,
    register_options,
)
from worker.commands.window import wait_for_window
from worker.errors import UsageError
from worker.importing.generate import generated_passwords
from worker.importing.job import new_job
from worker.model import Job
from worker.register import Transport
from worker.roster import Roster

_ALL = "all"
"""The value of ``--verify`` without a number."""


@click.command("import")
@click.argument("source", metavar="[ROSTER]", required=False)
@click.option("--plan", "plan_", metavar="JOB", default="", help="Carry out a plan saved with `plan --save`.")
@reading_options
@posting_options
@absent_option
@results_option
@excel_option
@click.option("--detach", is_flag=True, help="Return as soon as the job is queued. Requires a broker.")
@click.option(
    "--verify",
    metavar="[=N]",
    is_flag=False,
    flag_value=_ALL,
    default="",
    help="After the import, check that the users in place, or N of them, can register.",
)
@click.option(
    "--registrar", metavar="HOST:PORT", default="", help="Registrar for --verify.  [default: from DNS]"
)
@click.option(
    "--transport",
    type=click.Choice([one.value for one in Transport]),
    default=Transport.UDP.value,
    show_default=True,
    help="Transport for --verify.",
)
@running_options
@yes_option
@json_option
@settings_options
@click.pass_context
def import_(ctx: click.Context, /, source: str | None, plan_: str, **given: Any) -> int:
    """Import a ROSTER: a file, a folder, - for stdin, a URL or a database.

    The whole roster is read, validated and sealed before the first credential is sent, so exit code 6 means
    that nothing was sent. results.csv has a line for every row. Rows that are not in place are also in
    failed.csv, which you can correct and pass to `siproster retry`.
    """
    context = Context(given)
    given = from_file(ctx, given, context.settings.options)
    if bool(source) == bool(plan_):
        raise UsageError("give a ROSTER, or a plan with --plan JOB", "siproster import staff.csv")
    if given["detach"] and not context.settings.broker:
        raise UsageError("--detach needs a broker", "set SIPROSTER_BROKER and start `siproster worker`")
    if given["detach"] and given["not_before"]:
        raise UsageError(
            "--detach returns at once, but --not-before waits",
            "make it a schedule: siproster schedule add NAME ROSTER --at TIME",
        )
    if plan_:
        return carry_out(ctx, context, plan_, given)
    options, trial = parsed(ctx, given), _trial(given)
    keeps = options.generate_passwords
    with context.open_roster(str(source), options) as opened:
        print_roster(opened)
        job = new_job(context.endpoint, opened.options, opened, context.seal.fingerprint)
        if context.settings.broker:
            watch.broker_queue(context)
        names = (*outputs.of_job(job), report.ABSENT, *((VERIFY,) if trial else ()))
        outputs.prepare_folder(context, report.folder_of(job), names, str(source), passwords=keeps)
        wait_for_window(job)
        begin(context, job)
        run(context, job, opened, yes=given["yes"])
        then = partial(_verify, context, trial, opened, _sample(given["verify"])) if trial else _nothing
        return finish(context, job.id, detach=given["detach"], as_json=given["as_json"], then=then)


def _trial(given: Mapping[str, Any]) -> Trial | None:
    """Return how rows are verified afterwards, or None. Raises UsageError before anything is read."""
    _sample(given["verify"])
    options = register_options(given)
    if not given["verify"]:
        return None
    if given["detach"]:
        raise UsageError(
            "--verify waits for the job to end, but --detach doesn't", "run `siproster verify JOB` later"
        )
    return Trial(options, given["registrar"], GENTLE_RATE, GENTLE_FLIGHT)


def _sample(text: str) -> int | None:
    """Return ``N`` of ``--verify=N``; None for all rows."""
    if text in ("", _ALL):
        return None
    if not (text.isdecimal() and int(text)):
        raise UsageError(
            f"--verify {text}: must be a number of rows",
            "write it as `import ROSTER --verify`, or `import --verify=N ROSTER`",
        )
    return int(text)


def _verify(context: Context, trial: Trial, opened: Roster, sample: int | None, job: Job) -> int:
    """Verify the rows in place, as ``verify JOB`` does. Return the exit code."""
    with generated_passwords(job.options, new=False) as passwords:
        proof = prove(trial, RowsOfJob(context, job, opened, sample, passwords), report.folder_of(job))
    context.ledger.registrations.record(job.id, proof.facts, proof.registrations)
    print_report(proof.facts, sys.stderr)
    return proof.code


def _nothing(job: Job) -> int:
    return 0
