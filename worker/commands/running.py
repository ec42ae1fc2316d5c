"""A job from roster to end: shared by ``import``, ``retry``, ``resume`` and ``import --plan``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from worker import report
from worker.commands import watch
from worker.commands.context import Context
from worker.commands.facts import print_json
from worker.commands.listing import asked, counted
from worker.commands.progress_screen import progress_screen
from worker.commands.screen import echo, print_reading
from worker.importing.absent import EarlierRun, earlier_run
from worker.importing.earlier_names import EarlierNames
from worker.importing.generate import Passwords, generated_passwords
from worker.importing.job_start import Draft, enter_roster, release_chunks
from worker.importing.ledger_writer import LedgerWriter
from worker.importing.pipeline import Account, LeaverPlan, Sink
from worker.importing.process_id import free_dead_holder, process_id
from worker.importing.realms import JobRealms
from worker.importing.saved import SavedRows
from worker.importing.sweep import free_the_dead
from worker.importing.validation import RosterPages
from worker.model import Absent, Action, Job, JobState
from worker.reasons import plural
from worker.roster import Roster


def begin(context: Context, job: Job) -> None:
    """Enter the job in the ledger and print its id, so that it can be resumed whatever happens next."""
    free_dead_holder(context.ledger, job)
    context.ledger.jobs.begin(job, process_id())
    try:
        context.audit(job.id)
    except BaseException:  # nothing was read yet, and its account must not stay held
        context.ledger.jobs.forget(job.id)
        raise
    echo(f"job {job.id}")
    echo(f"  account {job.account} at {job.host}")


def take_over(context: Context, job: Job) -> None:
    """Acquire the account of an earlier job, and end the leases of processes that died on this machine."""
    free_dead_holder(context.ledger, job)
    context.ledger.accounts.acquire(job, process_id())
    free_the_dead(context.ledger, job.id)


@dataclass(frozen=True, slots=True)
class PlanSinks:
    """The sinks for the pages of a plan, besides the ledger."""

    rows: Sequence[Sink] = ()
    leavers: Sequence[Sink] = ()


@contextmanager
def freed_on_failure(context: Context, job_id: str) -> Iterator[None]:
    """Release the account of a resumed job if its start fails: nobody works on it then."""
    try:
        yield
    except BaseException:
        context.ledger.accounts.release(job_id)
        raise


def run(
    context: Context,
    job: Job,
    roster: RosterPages,
    *,
    yes: bool,
    plan: SavedRows | None = None,
    sinks: Sequence[Sink] = (),
) -> None:
    """Read the rows into the ledger, ask for confirmation if that is needed, and start the work.

    If any of it fails, or the answer is no, the job is removed. ``plan``: the saved plan that it carries out.
    """
    try:
        with generated_passwords(job.options, job.roster, writable=True) as passwords:
            of = plan.plan if plan else None
            writer = LedgerWriter(context.ledger, context.seal, job, passwords=passwords, plan=of)
            draft = draw(context, writer, roster, report.folder_of(job), PlanSinks(sinks), plan)
            print_reading(job.roster, draft.summary, advise=False)
            if not draft.why:
                _ask(job, draft, yes=yes)
            # Its hold on the account may have run out at the question.
            context.ledger.accounts.acquire(job, process_id())
            keep_passwords(passwords)
            if draft.makes_realm and not draft.why:
                echo(f"creating realm {job.options.realm}; waiting up to 120 s until it is ACTIVE")
            release_chunks(context.ledger, job, draft, of.id if of else "")
    except (Exception, KeyboardInterrupt):
        if context.ledger.jobs.state(job.id) is not JobState.PLANNING:
            raise  # somebody resumed it meanwhile, and it may have sent something
        context.ledger.jobs.forget(job.id)
        report.forget_folder(job)
        echo(f"job {job.id} was discarded; nothing was sent")
        raise


def keep_passwords(passwords: Passwords | None) -> None:
    """Put the generated passwords on the disk, before anything is sent. Raises UsageError."""
    if passwords:
        passwords.commit()
        if passwords.recorded:
            number = plural(passwords.recorded, "password was", "passwords were")
            echo(f"{number} generated into {passwords.path}: keep it, since nothing else has them")


def draw(
    context: Context,
    writer: LedgerWriter,
    roster: RosterPages,
    folder: Path | None,
    sinks: PlanSinks,
    plan: SavedRows | None = None,
) -> Draft:
    """Plan the writer's job. ``folder``: where absent.csv goes, if anywhere."""
    job = writer.job
    report.forget_absent(folder)
    api = context.runtime.api(job.options)
    realms = JobRealms(api, context.ledger.jobs, job.id, job.options)
    earlier = earlier_run(context.ledger, context.seal, job, writer.plan) if job.options.max_changes else None
    leavers = None
    if job.options.absent is Absent.DELETE:
        leavers = LeaverPlan([writer.write_leavers, *sinks.leavers], plan.leavers if plan else None)
    screen = progress_screen()
    with EarlierNames(context.ledger, context.seal, job) as names, screen.running():
        account = Account(
            api, realms, counted, report.absent_to(folder, job.options.tables), leavers,
            earlier or EarlierRun(), context.runtime.count, names.warn,
        )  # fmt: skip
        enforce = plan.enforcer() if plan else None
        return enter_roster(writer, account, roster, [*sinks.rows, screen.read_page], enforce)


def finish(
    context: Context,
    job_id: str,
    *,
    detach: bool,
    as_json: bool,
    then: Callable[[Job], int] = lambda job: 0,
) -> int:
    """Run a planned job to its end, and ``then`` do the rest; or leave it to the workers. The exit code."""
    job = context.ledger.jobs.get(job_id)
    if job.saved:  # a guard has held it back
        return watch.print_end(context, job, as_json=as_json)
    if detach and context.ledger.jobs.state(job_id).active:
        watch.put_on_queue(context, job_id)
        echo(f"queued; follow it with: siproster status {job_id} --follow")
        if as_json:
            print_json({"job": job_id})
        return 0
    return watch.run(context, job_id, as_json=as_json, then=then)


def print_roster(opened: Roster) -> None:
    """Print how the file was understood, before anything is done with it."""
    echo(f"{opened.name}: {', '.join([plural(opened.records, 'record'), *_form(opened)])}")
    if opened.recognised:
        echo(f"  recognised as {opened.format}: {opened.recognised}; --from names another format")
    echo("  " + ", ".join(f"{field} from {column!r}" for field, column in opened.mapping.items()))
    if opened.dropped:
        echo(f"  not carried into the results: {', '.join(opened.dropped)}")
    for warning in opened.warnings:
        echo(f"  warning: {warning.text}", "yellow")


def _form(opened: Roster) -> list[str]:
    """Return sheet, encoding and delimiter, as far as the source has them."""
    delimiter = {"\t": "tab"}.get(opened.delimiter, opened.delimiter)
    return (
        [opened.sheet] * bool(opened.sheet)
        + [opened.encoding] * bool(opened.encoding)
        + [f"delimiter {delimiter}"] * bool(delimiter)
    )


def _ask(job: Job, draft: Draft, *, yes: bool) -> None:
    """Ask for confirmation before existing credentials are changed or deleted."""
    number = draft.summary.actions[Action.UPDATE]
    if number:
        users = plural(number, "existing user")
        asked(f"Set the password or application of {users} on account {job.account}?", yes=yes)
    if draft.summary.leavers:
        users = plural(draft.summary.leavers, "user")
        asked(f"Delete {users} not in the roster from account {job.account} at {job.host}?", yes=yes)
