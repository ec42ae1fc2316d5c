"""Read a job's roster into the ledger, and release its chunks to the workers.

Workers see chunks only after the whole roster is in the ledger and ``release_chunks`` was called.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from worker.failpoints import hit
from worker.importing.guards import why_not_started
from worker.importing.ledger_writer import LedgerWriter
from worker.importing.pipeline import Account, Sink, run_pipeline
from worker.importing.plan_summary import PlanSummary
from worker.importing.realms import JobRealms, RealmSource
from worker.importing.stop_rules import retention
from worker.importing.validation import RosterPages
from worker.ledger import Ledger
from worker.ledger.codec import page_values
from worker.model import Job, JobState
from worker.seal import Seal
from worker.states import Why

_MISSING = 0
"""The key of ``--realm``, which is resolved first (JobRealms)."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A job whose roster is in the ledger and which waits to be started."""

    summary: PlanSummary
    realms: JobRealms
    why: Why | None = None
    """Why it must not be started."""

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
    return Draft(summary, account.realms, why_not_started(writer.job.options, summary))


def release_chunks(ledger: Ledger, job: Job, draft: Draft, carries_out: str = "") -> None:
    """Release the job's chunks to workers, unless something stops it before or it was cancelled meanwhile.

    ``carries_out``: the saved plan that the job executes.
    """
    if draft.why:
        _keep_from_starting(ledger, job, draft.why)
        return
    if ledger.jobs.state(job.id) is JobState.PLANNING:
        if draft.makes_realm:
            draft.realms.create_missing()
        hit("planned")
        ledger.jobs.start(job.id, carries_out)
    ledger.jobs.finish(job.id)  # a job of settled rows alone is done at once


def create_missing_realm(ledger: Ledger, seal: Seal, source: RealmSource, job: Job) -> None:
    """Create the realm of a job that was stopped before its start, if a row needs it (``--create-realm``)."""
    if not job.options.create_realm or _MISSING in ledger.jobs.realms(job.id):
        return
    for page in ledger.rows.pages(job.id):
        for line, _user, _domain, key, *_ in page_values(seal, job.id, page.seq, page.sealed):
            if key == _MISSING and line not in page.recorded:
                JobRealms(source, ledger.jobs, job.id, job.options).create_missing()
                return


def _keep_from_starting(ledger: Ledger, job: Job, why: Why) -> None:
    """Stop the job, or keep it as a plan if a guard holds it back. Nothing was sent, and no worker saw it."""
    if why.reason.state is JobState.PLANNING:
        ledger.jobs.save(job.id, retention(job.options), why)
    else:
        ledger.jobs.stop(job.id, why)
