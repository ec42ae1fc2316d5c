"""A check that a job is over for certain, which ``undo`` and ``jobs purge`` need before they act on it."""

from __future__ import annotations

from worker.errors import Conflict, JobBusy
from worker.importing.process_id import is_alive
from worker.importing.sweep import free_the_dead
from worker.ledger import Ledger, shown


def refuse_unfinished(ledger: Ledger, job_id: str, why: str) -> None:
    """Raise Conflict or JobBusy for a job that may still write, or that is being undone.

    ``why``: the consequence for requests that are still in flight.
    """
    job = ledger.jobs.get(job_id)
    holder = ledger.accounts.holder_of(job)
    by = shown(holder) if is_alive(holder) else ""
    if job.state.active:
        what = "a plan, which has done nothing" if job.saved else f"still {job.state}"
        what += f", and {by} is working on it" if by else ""
        raise Conflict(f"job {job.id} is {what}", f"cancel it first: siproster cancel {job.id}")
    if by:
        raise JobBusy(f"job {job.id} is being undone by {by}", "wait until that has ended")
    free_the_dead(ledger, job.id)
    if owners := ledger.chunks.recall(job.id):
        raise JobBusy(
            f"job {job.id} still has requests in flight ({', '.join(map(shown, owners))})",
            f"wait a minute or two; {why}",
        )
