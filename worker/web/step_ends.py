"""Find out from the ledger whether a step reached its end that nobody recorded: its server was killed."""

from __future__ import annotations

from worker.errors import NotFound
from worker.ledger import Ledger, Step
from worker.model import Job, JobState


def is_done(ledger: Ledger, step: Step) -> bool:
    """Return whether the ledger shows that a step reached its end."""
    kind, _, name = step.subject.partition(":")
    try:
        if kind == "upload":
            upload = ledger.uploads.get(name)
            if step.step == "plan":
                return bool(upload.plan)
            done = bool(upload.job) or bool(ledger.jobs.get(upload.plan).carried_out_by)
            return step.step == "approve" and done
        job = ledger.jobs.get(name)
    except NotFound:
        return False
    if step.step == "undo":
        return job.undone is not None
    if step.step in ("retry", "approve"):
        return _has_begun(ledger, step, job)
    return step.step == "resume" and job.state is JobState.DONE


def _has_begun(ledger: Ledger, step: Step, job: Job) -> bool:
    """Return whether a step has begun a job that retries this one, or carries it out."""
    children = map(ledger.jobs.get, ledger.jobs.children(job.id))
    return any(step.started and child.created >= step.started for child in children)
