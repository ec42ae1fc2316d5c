"""Read a job's roster into the ledger, and release its chunks to the workers.

Workers see chunks only after the whole roster is in the ledger and ``release_chunks`` was called.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from worker.failpoints import hit
from worker.importing.ledger_writer import LedgerWriter
from worker.importing.pipeline import Account, Sink, run_pipeline
from worker.importing.plan_summary import PlanSummary
from worker.importing.realms import JobRealms
from worker.importing.validation import RosterPages
from worker.ledger import Ledger
from worker.model import Action, Job, JobState, OnExisting
from worker.reasons import plural
from worker.states import Reason, Why


@dataclass(frozen=True, slots=True)
class Draft:
    """A job whose roster is in the ledger and which waits to be started."""

    summary: PlanSummary
    realms: JobRealms

    @property
    def makes_realm(self) -> bool:
        """Return whether ``--create-realm`` has a realm to create: a row needs it and it doesn't exist."""
        return needs_making(self.realms, self.summary)


def needs_making(realms: JobRealms, summary: PlanSummary) -> bool:
    """Return whether a row goes to a realm that does not exist yet."""
    return realms.to_make is not None and summary.realms[realms.to_make] > 0


def enter_roster(
    writer: LedgerWriter,
    account: Account,
    roster: RosterPages,
    sinks: Sequence[Sink] = (),
    enforce: Sink | None = None,
) -> Draft:
    """Read a whole roster into the ledger; ``release_chunks`` then releases the job's chunks to workers.

    ``sinks`` see every page, too; ``enforce`` holds the roster to a saved plan. If this raises, nothing was
    sent, and the job can be planned again or forgotten.
    """
    summary = run_pipeline(
        roster, account, writer.job.options, [writer.write, *sinks], enforce, writer.passwords
    )
    writer.finish(summary, *account.count())
    return Draft(summary, account.realms)


def release_chunks(ledger: Ledger, job: Job, draft: Draft, carries_out: str = "") -> None:
    """Release the job's chunks to workers, unless it was cancelled meanwhile.

    ``carries_out``: the saved plan that the job executes.
    """
    if job.options.on_existing is OnExisting.FAIL and draft.summary.actions[Action.EXISTS]:
        users = plural(draft.summary.actions[Action.EXISTS], "user is", "users are")
        text = f"{users} there with another password or application, so nothing was sent (--on-existing fail)"
        ledger.jobs.stop(job.id, Why(Reason.EXISTS, text))
    if ledger.jobs.state(job.id) is JobState.PLANNING:
        if draft.makes_realm:
            draft.realms.create_missing()
        hit("planned")
        ledger.jobs.start(job.id, carries_out)
    ledger.jobs.finish(job.id)  # a job of settled rows alone is done at once
