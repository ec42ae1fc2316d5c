"""``verify``: tries each row's password on the registrar itself."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import click

from worker import report, report_page, roster
from worker.commands import outputs
from worker.commands.context import Context, settings_options
from worker.commands.facts import print_json
from worker.commands.named_job import job_unless_file
from worker.commands.option_values import from_file, parsed, refuse_given, with_outputs
from worker.commands.options import (
    Finite,
    count_type,
    excel_option,
    json_option,
    rate_type,
    reading_options,
    running_options,
)
from worker.commands.resume_retry import roster_of
from worker.commands.running import print_roster
from worker.commands.verify_report import print_report
from worker.commands.verify_runner import (
    DNS_WAIT,
    GENTLE_FLIGHT,
    GENTLE_RATE,
    VERIFY,
    Proof,
    RowsOfJob,
    RowsOfRoster,
    Trial,
    prove,
    register_options,
)
from worker.errors import Conflict, UsageError
from worker.importing.generate import generated_passwords
from worker.model import Job, Options, utc_now
from worker.register import AuthName, Transport
from worker.roster import Roster

_USUAL = {one.name: getattr(Options(), one.name) for one in fields(Options)}
"""The defaults of an import's options: those that say how rows are sent mean nothing here."""

_ASKING = (
    click.option(
        "--roster",
        "roster_",
        metavar="FILE",
        default="",
        help="The roster of JOB, for the passwords.",
    ),
    click.option(
        "--registrar",
        metavar="HOST:PORT",
        default="",
        help="Registrar to use.  [default: from DNS, per realm]",
    ),
    click.option(
        "--resolver", metavar="ADDRESS", default="", help="DNS server to query.  [default: the system's]"
    ),
    click.option(
        "--dns-wait",
        metavar="SECONDS",
        type=Finite(min=0, max=3600),
        default=DNS_WAIT,
        show_default=True,
        help="How long to wait for a realm's name to appear in DNS.",
    ),
    click.option(
        "--transport",
        type=click.Choice([one.value for one in Transport]),
        default=Transport.UDP.value,
        show_default=True,
        help="Transport for REGISTER.",
    ),
    click.option(
        "--auth-name",
        type=click.Choice([one.value for one in AuthName]),
        default=AuthName.USER.value,
        show_default=True,
        help="User name in the digest: user tests Hash1, user@realm tests Hash1b.",
    ),
    click.option(
        "--with-contact",
        is_flag=True,
        help="Register briefly, as a phone does, and then remove the binding.",
    ),
    click.option("--sample", metavar="N", type=count_type, help="Try only N rows, chosen at random."),
    click.option(
        "--rate",
        metavar="N",
        type=rate_type,
        default=GENTLE_RATE,
        show_default=True,
        help="Rows per second; each takes two REGISTER requests.",
    ),
    click.option(
        "--concurrency",
        metavar="N",
        type=click.IntRange(1, 256),
        default=GENTLE_FLIGHT,
        show_default=True,
        help="Number of rows to try at the same time.",
    ),
    click.option(
        "--results",
        metavar="DIR",
        default="",
        help="Folder for verify.csv.  [default: a new folder, or JOB's]",
    ),
    excel_option,
)

_OF_THE_RUN = frozenset({
    "source", "roster_", "generate_passwords", "registrar", "resolver", "dns_wait", "transport",
    "auth_name", "with_contact", "sample", "rate", "concurrency", "results", "excel", "as_json", "account",
    "profile", "config", "debug", "progress", "log_file",
})  # fmt: skip
"""Options that mean something with a job, too; the job determines how its roster is read."""


def _asking_options(command: Any) -> Any:
    for option in reversed(_ASKING):
        command = option(command)
    return command


@click.command("verify")
@click.argument("source", metavar="ROSTER|JOB")
@reading_options
@_asking_options
@running_options
@json_option
@settings_options
@click.pass_context
def verify(ctx: click.Context, /, source: str, **given: Any) -> int:
    """Check over SIP which users can register, using each row's password.

    Sends REGISTER without a Contact, so no phone is disturbed, and reports which phones are registered now.
    The first row is also tried with a wrong password, because a registrar that accepts any password proves
    nothing. With JOB, the rows that are in place are tried; the ledger no longer has their passwords, so
    --roster is required.

    Exit code 0: all users can register; 10: some can't; 5: the registrar's answers prove nothing.
    """
    context = Context(given)
    trial = Trial(register_options(given), given["registrar"], given["rate"], given["concurrency"])
    if job := job_unless_file(context, source):
        refuse_given(ctx, _OF_THE_RUN, "with a job", "the job determines how its roster is read")
        proof = _of_job(context, trial, job, given)
    elif given["roster_"]:
        raise UsageError("--roster requires a JOB", f"{source} is itself read as a roster")
    else:
        proof = _of_roster(ctx, context, trial, source, given)
    print_json(proof.facts) if given["as_json"] else print_report(proof.facts)
    return proof.code


def _of_roster(
    ctx: click.Context, context: Context, trial: Trial, source: str, given: dict[str, Any]
) -> Proof:
    options = options_of_reading(ctx, given, context)
    name = f"siproster-verify-{utc_now():%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
    with context.open_roster(source, options) as opened:
        print_roster(opened)
        folder = Path(given["results"] or name).absolute()
        outputs.refuse_overwriting(context, folder, (VERIFY,), source, options.generate_passwords)
        with generated_passwords(options, new=False) as passwords:
            tried = RowsOfRoster(opened, context, options, given["sample"], passwords)
            return prove(trial, tried, folder)


def _of_job(context: Context, trial: Trial, job: Job, given: dict[str, Any]) -> Proof:
    """Verify the rows that the job put in place, or found there; the result is kept with the job."""
    job_id = job.id
    with reopened(context, job, given["roster_"], "verify") as again:
        job = replace(job, options=with_outputs(job.options, given))
        folder = report.folder_of(job)
        file = given["generate_passwords"] or job.options.generate_passwords
        names = (VERIFY, report.PAGE)
        outputs.refuse_overwriting(context, folder, names, job.source, given["roster_"], file)
        with generated_passwords(replace(job.options, generate_passwords=file), new=False) as passwords:
            proof = prove(trial, RowsOfJob(context, job, again, given["sample"], passwords), folder)
    context.ledger.registrations.record(job_id, proof.facts, proof.registrations)
    page = report_page.write(context.ledger, context.seal, context.ledger.jobs.get(job_id), folder)
    files = {**proof.facts["files"], "page": str(page)}
    return replace(proof, facts={"job": job_id, **proof.facts, "files": files})


def _as_given(job: Job) -> str:
    """Return how a job's roster is given: a database by its URL, which is kept without the user."""
    return job.source.replace("://", "://USER@", 1) if roster.is_database(job.source) else "FILE"


@contextmanager
def reopened(context: Context, job: Job, path: str, command: str) -> Iterator[Roster]:
    """Open a job's roster again, for the passwords of its rows in place.

    Raises Conflict if the job was undone, and UsageError if no roster, or another one, is given.
    """
    context.runtime.check(job)
    if job.undone or context.ledger.undone.begun(job.id):
        raise Conflict(
            f"job {job.id} was undone, at least in part, so its passwords are not used",
            f"what was undone: siproster status {job.id}; to use a roster: siproster {command} FILE",
        )
    with roster_of(context, path, job) as again:
        if again is None:
            raise UsageError(
                f"job {job.id} doesn't keep the passwords of rows that are in place",
                f"give its roster: siproster {command} {job.id} --roster {_as_given(job)}",
            )
        yield again


def options_of_reading(ctx: click.Context, given: dict[str, Any], context: Context) -> Options:
    """Return how the roster is read; the settings file's pace and folders of imports do not apply here."""
    same_names = {name: _USUAL[name] for name in ("concurrency", "rate", "results")}
    options = parsed(ctx, {**_USUAL, **from_file(ctx, given, context.settings.options), **same_names})
    return replace(options, create_realm=False, make_default=False)  # users are tried, realms are not made
