"""``jobs``, ``status`` and ``report``: facts from the ledger."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from itertools import islice
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from worker import lineage_report
from worker import report as results
from worker.commands import outputs, watch
from worker.commands.context import Context, settings_options
from worker.commands.facts import print_json
from worker.commands.job_table import JobLine, Lineages, job_table
from worker.commands.listing import asked
from worker.commands.named_job import named_job, no_jobs
from worker.commands.option_values import with_outputs
from worker.commands.options import (
    count_type,
    duration_type,
    excel_option,
    json_option,
    progress_option,
    results_option,
    yes_option,
)
from worker.commands.progress_screen import in_words, progress_screen
from worker.commands.screen import echo, on_stdout, print_on_stdout, print_summary
from worker.commands.waiting import wait_reporter
from worker.errors import Interrupted, UsageError
from worker.importing.unfinished import refuse_unfinished
from worker.ledger import Ledger, Policy
from worker.model import Job
from worker.progress import ProgressReader, facts_of
from worker.progress.job_waits import JobWaits
from worker.reasons import plural
from worker.report import folder_of
from worker.settings.addresses import hidden

_SHOWN = 5
"""Most jobs that a message lists."""

_LOOK_EVERY = 0.5
"""Seconds between two looks at the ledger while following."""


@click.group("jobs", invoke_without_command=True)
@click.option(
    "--limit",
    metavar="N",
    type=count_type,
    default=20,
    show_default=True,
    help="Maximum number of jobs to list.",
)
@click.option("--audit", is_flag=True, help="Instead of jobs, list who changed what, when and from where.")
@json_option
@settings_options
@click.pass_context
def jobs(ctx: click.Context, /, limit: int, audit: bool, as_json: bool, **given: Any) -> None:
    """List the newest jobs in this ledger; `jobs purge` removes old ones."""
    if ctx.invoked_subcommand:
        return
    context = Context(given)
    ledger = context.ledger
    if audit:
        _print_audit(ledger, limit, as_json=as_json)
        return
    ids = ledger.jobs.newest()
    found = list(islice(_of_account(map(ledger.jobs.get, ids), given["account"]), limit))
    if not found:
        _print_none(context, given["account"])
    if as_json:
        print_json([_summary(ledger, job) for job in found])
        return
    if not found:
        return
    console = on_stdout()
    lineages = Lineages(ids, short=console.is_terminal)
    lines = [JobLine(job, _summary(ledger, job), lineages.of(job)) for job in found]
    console.print(job_table(lines, console))


def _summary(ledger: Ledger, job: Job) -> dict[str, Any]:
    return results.summary(ledger, job, results.folder_of(job))


@jobs.command("purge")
@click.argument("job_ids", metavar="[JOB]...", nargs=-1)
@click.option(
    "--older-than",
    metavar="DURATION",
    type=duration_type,
    help="Remove all jobs that ended at least so long ago: 90d, 12h; a number alone is days.",
)
@click.option(
    "--keep-last",
    metavar="N",
    type=click.IntRange(0, 1_000_000_000),
    help="With --older-than: keep the newest N jobs of each schedule and of each roster, however old.",
)
@yes_option
@json_option
@settings_options
def purge(job_ids: tuple[str, ...], yes: bool, as_json: bool, **given: Any) -> None:
    """Remove jobs and their passwords from the ledger.

    Removes their rows, outcomes and sealed passwords; result files are not deleted. With --older-than, a job
    stays as long as a retry of it does, and while it can still be resumed.
    """
    context = Context(given)
    policy = _policy(job_ids, given)
    removed = _purge_old(context, policy, yes=yes) if policy else _purge_named(context, job_ids, yes=yes)
    echo(f"{plural(len(removed), 'job')} removed")
    resumable = context.ledger.retention.resumable(policy) if policy else []
    if resumable:
        shown = ", ".join(resumable[:_SHOWN]) + (" …" if len(resumable) > _SHOWN else "")
        echo(f"not removed, since they can still be resumed: {shown}; to remove one, name it", "yellow")
    if as_json:
        print_json({"removed": removed, "resumable": resumable})


def _policy(job_ids: Sequence[str], given: Mapping[str, Any]) -> Policy | None:
    """Return which jobs are to be removed; None: those that are named."""
    days, keep_last = given["older_than"], given["keep_last"]
    if bool(job_ids) == (days is not None):
        raise UsageError("name the jobs, or use --older-than DURATION", "list them with: siproster jobs")
    if days is None and keep_last is not None:
        raise UsageError("--keep-last can't be used with named jobs", "use it with --older-than DURATION")
    return None if days is None else Policy(days * 86_400, keep_last or 0, given["account"])


def _purge_old(context: Context, policy: Policy, *, yes: bool) -> list[str]:
    """Remove the jobs that a policy doesn't keep, once the user has agreed, and return their ids."""
    found = context.ledger.retention.removable(policy)
    if not found:
        return []
    _ask_and_audit(context, found, yes=yes)
    return context.ledger.retention.remove(policy, found)


def _purge_named(context: Context, names: Sequence[str], *, yes: bool) -> list[str]:
    """Remove the named jobs, once the user has agreed, and return their ids."""
    ledger = context.ledger
    found = list(dict.fromkeys(named_job(context, name).id for name in names))
    _refuse_busy(ledger, found)
    _ask_and_audit(context, found, yes=yes)
    _refuse_busy(ledger, found)  # somebody may have begun to undo one at the question
    for job in found:
        ledger.jobs.forget(job)
    ledger.retention.shrink()
    return found


def _ask_and_audit(context: Context, found: Sequence[str], *, yes: bool) -> None:
    what = found[0] if len(found) == 1 else f"{len(found)} jobs, {found[-1]} to {found[0]},"
    asked(f"Remove {what} from the ledger permanently? They can no longer be undone or retried.", yes=yes)
    context.audit(", ".join(found))


def _print_none(context: Context, account: str) -> None:
    """Print that there are no jobs, and in which ledger: its path may be mistyped."""
    if account and context.ledger.jobs.newest():
        echo(f"no jobs of account {account} in {hidden(context.settings.ledger)}")
    else:
        echo(f"no jobs yet: {no_jobs(context)}; import a roster with: siproster import ROSTER")


def _refuse_busy(ledger: Ledger, found: Sequence[str]) -> None:
    """Raise UsageError if a job may still write, or is being undone, and so needs its ledger entries."""
    for job in found:
        refuse_unfinished(ledger, job, "their effects would not be recorded")


@click.command("status")
@click.argument("job_id", metavar="JOB")
@click.option("--follow", is_flag=True, help="Keep watching until the job ends.")
@progress_option
@json_option
@settings_options
def status(job_id: str, follow: bool, as_json: bool, **given: Any) -> int:
    """Show the progress of JOB: counts, rate and time left."""
    context = Context(given)
    job = named_job(context, job_id)
    job_id = job.id
    waits = watch.waits_of(context, job)
    if follow and not _follow(context, job, waits):
        raise Interrupted("no longer watching", f"see it with: siproster status {job_id}")
    _print_status(context, job_id, waits, as_json=as_json)
    return 0


def _follow(context: Context, job: Job, waits: JobWaits) -> bool:
    """Show the progress until the job ends. Return False if the user asked to end before."""
    reader, screen = ProgressReader(context.ledger, job, waits), progress_screen()
    with (
        watch.interruptible() as interrupt,
        wait_reporter.following(waits.current),
        screen.running(),
    ):
        while True:
            waits.ask_broker()
            facts = reader.look()
            screen.show(facts)
            if not facts.state.active:
                return True
            if interrupt.wait(_LOOK_EVERY):
                return False


def _print_status(context: Context, job_id: str, waits: JobWaits, *, as_json: bool) -> None:
    job = context.ledger.jobs.get(job_id)
    if job.state.active:
        waits.ask_broker()
    facts = facts_of(context.ledger, job, waits)
    summary = results.summary(context.ledger, job, results.folder_of(job))
    if job.state.active:
        summary["progress"] = facts.as_json()
    print_summary({**summary, **({"waits": facts.waits} if facts.waits else {})}, as_json=as_json)
    if facts.waits:
        echo(facts.waits, "yellow")
    if facts.rate is not None:
        echo(in_words(facts, "since it began"))


@click.command("report")
@click.argument("job_id", metavar="JOB")
@results_option
@excel_option
@click.option(
    "--lineage",
    is_flag=True,
    help="Instead, write one results.csv and report.html of JOB with all it retries, or that retried it.",
)
@json_option
@settings_options
def report(job_id: str, lineage: bool, as_json: bool, **given: Any) -> int:
    """Rewrite the result files of JOB.

    Exits with the job's exit code, or with 10 if `undo` has reverted rows. With --lineage: 10 if some rows
    are not in place after all of the jobs.
    """
    context = Context(given)
    job = named_job(context, job_id)
    if lineage:
        return _report_lineage(context, job, given, as_json=as_json)
    job = replace(job, options=with_outputs(job.options, given))
    outputs.refuse_overwriting(context, folder_of(job), outputs.of_job(job), job.source)
    return watch.print_end(context, job, as_json=as_json)


def _report_lineage(context: Context, job: Job, given: Mapping[str, Any], *, as_json: bool) -> int:
    """Write one results.csv of the job and all that it belongs together with."""
    from worker import report_page  # takes 30 ms, which `jobs` and `status` need not

    lineage = context.ledger.lineages.of(job)
    folder, form = (
        lineage_report.folder_of(lineage, given["results"]),
        with_outputs(job.options, given).tables,
    )
    names = (results.RESULTS, results.PAGE, *((results.WORKBOOK,) if form.spreadsheet else ()))
    first = context.ledger.jobs.get(lineage.members[0].id)
    outputs.refuse_overwriting(context, folder, names, job.source, first.source)
    written = lineage_report.write(context.ledger, context.seal, lineage, folder, form)
    written["page"] = str(report_page.write_lineage(context.ledger, context.seal, lineage, folder))
    if as_json:
        print_json({**results.lineage_facts(lineage), "files": written})
    else:
        for line in (lineage.sentence, *(f"  {path}" for path in written.values())):
            print_on_stdout(line)
    return 0 if lineage.in_place + lineage.skipped == lineage.rows else 10


def _print_audit(ledger: Ledger, limit: int, *, as_json: bool) -> None:
    """Print the audit log of this ledger, newest first."""
    acts = ledger.audit.newest(limit)
    if as_json:
        print_json([{"at": at.isoformat(timespec="seconds"), **asdict(act)} for at, act in acts])
        return
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("when", "by", "from", "command", "about", "account", "options"):
        table.add_column(heading, overflow="fold", no_wrap=heading in ("when", "by"))
    for at, act in acts:
        options = shlex.join(word for name, value in act.options.items() for word in _words(name, value))
        by, origin = f"{act.operator}@{act.machine}", act.origin or "-"
        when = at.strftime("%Y-%m-%d %H:%MZ")
        table.add_row(*map(Text, (when, by, origin, act.command, act.subject, act.account, options)))
    on_stdout().print(table)


def _words(name: str, value: Any) -> Iterator[str]:
    """Yield an option as it was typed: a flag alone, a repeatable option once for each value."""
    for one in value if isinstance(value, list) else [value]:
        yield name
        if one is not True:
            yield str(one)


def _of_account(jobs: Iterable[Job], account: str) -> Iterator[Job]:
    """Yield the jobs of the account that ``--account`` names, else all jobs of the ledger."""
    return (job for job in jobs if not account or job.account == account)
