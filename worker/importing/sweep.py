"""The sweep: bring back every chunk that has not ended.

The ledger is the truth, the queue only carries ids: messages may be lost, duplicated or late. Any number of
sweeps may run at once, on any host.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Protocol

from worker.errors import JobBusy, TryLater
from worker.importing.process_id import is_alive
from worker.importing.stop_rules import is_past, stop_at_end_of_window
from worker.ledger import Ledger
from worker.model import Job
from worker.waits import Outage

log = logging.getLogger(__name__)

SWEEPER = "sweep"
"""Owner of a job's account that a sweep has acquired again: no process that must be asked to stop."""

SWEEP_EVERY = 5.0
"""Seconds between two sweeps of a scheduler."""


_BROKER = Outage(log, "the broker", "what is due goes on the queue when it does")


class Queue(Protocol):
    """The queue that carries chunk ids to the workers."""

    def put(self, job: Job, seqs: Sequence[int]) -> None:
        """Put chunks on the queue. Raises TryLater if the queue does not accept them."""

    def backlog(self, job: Job) -> int:
        """Return how many messages no worker has taken yet. Raises TryLater if the queue does not answer."""


def sweep(ledger: Ledger, queue: Queue, job_id: str) -> int:
    """Put the job's due chunks on the queue and return how many."""
    job = ledger.jobs.get(job_id)
    if is_past(job.options.not_after):
        stop_at_end_of_window(ledger, job)
        return 0
    if not _holds_account(ledger, job):
        return 0
    free_the_dead(ledger, job_id)
    seqs = ledger.chunks.due(job_id, idle=queue.backlog(job) == 0)
    if not seqs:
        ledger.jobs.finish(job_id)
        return 0
    try:
        queue.put(job, seqs)
    except TryLater:
        ledger.chunks.not_queued(job_id, seqs)
        raise
    return len(seqs)


def _holds_account(ledger: Ledger, job: Job) -> bool:
    """Hold the account for the job and return whether it does; without sweeps, the hold expires."""
    if ledger.accounts.renew(job.id):
        return True
    try:
        ledger.accounts.acquire(job, SWEEPER)
    except JobBusy as busy:
        log.debug("job %s waits for its account: %s", job.id, busy.message)  # `status` tells it, too
        return False
    if not ledger.jobs.state(job.id).active:  # it has ended, and had released its account before
        ledger.accounts.release(job.id)
        return False
    return True


def free_the_dead(ledger: Ledger, job_id: str) -> None:
    """End the leases of this machine's dead processes, which would otherwise run their full time."""
    for lease in ledger.waits.leases(job_id):
        if not is_alive(lease.owner):
            ledger.chunks.free(job_id, lease.owner)


def sweep_all(ledger: Ledger, queue: Queue) -> int:
    """Sweep every running job and shred expired rows; return how many chunks went on the queue."""
    ledger.chunks.shred_expired()
    queued = 0
    for job_id in ledger.jobs.running():
        try:
            queued += sweep(ledger, queue, job_id)
            _BROKER.back()
        except TryLater as later:
            _BROKER.gone(later.message)
    return queued
