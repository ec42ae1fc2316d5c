"""Shared by the tests of deliveries: a process that works on a job's chunks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from tests.unit.jobs import KEY, LAST_LINE, Clock
from worker.importing.api_protocols import Source
from worker.importing.chunk_session import WorkerProcess
from worker.importing.chunk_worker import ChunkWorker
from worker.ledger import Ledger
from worker.model import Job, Outcome, Status
from worker.seal import Seal


class Process:
    """One process of workers: its chunk worker, its own clock, and the event that asks it to end."""

    def __init__(
        self,
        ledger: Ledger,
        job: Job,
        api: Source,
        executor: ThreadPoolExecutor,
        owner: str,
        others_wait: Callable[[], bool] = bool,
    ) -> None:
        self.clock = Clock(1000.0)
        self.stopping = threading.Event()
        process = WorkerProcess(
            ledger, Seal([KEY]), api, executor, owner, self.stopping, lambda: (5, 2), self.clock, others_wait
        )
        self.worker = ChunkWorker(job, process)

    def deliver(self, seq: int = 0) -> None:
        """Work on one chunk, as the task does."""
        self.worker.work_on(seq)


@contextmanager
def process(
    ledger: Ledger,
    job: Job,
    api: Source,
    *,
    threads: int = 1,
    owner: str = "desk:1",
    others_wait: Callable[[], bool] = bool,
) -> Iterator[Process]:
    """A process with so many requests in flight; ``others_wait``: whether another account needs it."""
    with ThreadPoolExecutor(threads) as executor:
        yield Process(ledger, job, api, executor, owner, others_wait)


def outcomes_of(ledger: Ledger, job: Job) -> dict[int, Outcome]:
    """Every outcome of the job."""
    return ledger.rows.outcomes(job.id, 0, LAST_LINE)


def told(ledger: Ledger, job: Job) -> dict[int, tuple[Status, str]]:
    """Status and code of each row that has an outcome."""
    return {line: (o.status, o.code) for line, o in sorted(outcomes_of(ledger, job).items())}
