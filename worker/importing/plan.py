"""A job's roster on its way into the ledger, and the word that lets workers begin.

Chunks become visible to workers only when the whole roster is in the ledger and ``start`` was called.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from worker.failpoints import hit
from worker.importing.pipeline import Account, Sink, run_pipeline
from worker.importing.plan_summary import PlanSummary
from worker.importing.realms import JobRealms
from worker.importing.roster_writer import LedgerWriter
from worker.importing.validation import RosterPages
from worker.ledger import Ledger
from worker.model import Action, Job, JobState, OnExisting
from worker.states import Reason, Why


@dataclass(frozen=True, slots=True)
class Draft:
    """A job whose roster is in the ledger, and which waits for somebody's word."""

    summary: PlanSummary
    realms: JobRealms

    @property
    def makes_realm(self) -> bool:
        """Whether ``--create-realm`` has something to do: the realm isn't there, and a row needs it."""
        return needs_making(self.realms, self.summary)


def needs_making(realms: JobRealms, summary: PlanSummary) -> bool:
    """Return whether a row is to be sent to a realm that has still to be made."""
    return realms.to_make is not None and summary.realms[realms.to_make] > 0


def plan(
    writer: LedgerWriter,
    account: Account,
    roster: RosterPages,
    sinks: Sequence[Sink] = (),
    enforce: Sink | None = None,
) -> Draft:
    """Read a whole roster into the ledger; ``start`` lets workers take the job's chunks.

    ``sinks`` see every page, too; ``enforce`` holds it to a saved plan. Whatever this raises, nothing was
    sent, and the job can be planned again or forgotten.
    """
    summary = run_pipeline(roster, account, writer.job.options, [writer.write, *sinks], enforce)
    writer.finish(summary, *account.count())
    return Draft(summary, account.realms)


def start(ledger: Ledger, job: Job, draft: Draft, carries_out: str = "") -> None:
    """Let workers take the job's chunks, unless somebody has cancelled it meanwhile.

    ``carries_out``: the saved plan that the job is.
    """
    if job.options.on_existing is OnExisting.FAIL and draft.summary.actions[Action.EXISTS]:
        others = draft.summary.actions[Action.EXISTS]
        users = "1 user is" if others == 1 else f"{others} users are"
        text = f"{users} there with another password or application, so nothing was sent (--on-existing fail)"
        ledger.jobs.stop(job.id, Why(Reason.EXISTS, text))
    if ledger.jobs.state(job.id) is JobState.PLANNING:
        if draft.makes_realm:
            draft.realms.create_missing()
        hit("planned")
        ledger.jobs.start(job.id, carries_out)
    ledger.jobs.finish(job.id)  # nothing but settled rows: there is nothing to wait for
