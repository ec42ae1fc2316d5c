"""Operations on a ledger in a process of their own, for the tests that need several processes."""

from __future__ import annotations

import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from multiprocessing import get_context

from sqlalchemy import text

from worker.ledger import Claim, Ledger
from worker.model import Outcome, Status


def processes(number: int) -> ProcessPoolExecutor:
    """Start so many fresh interpreters: a fork would share what only one process may use."""
    return ProcessPoolExecutor(number, mp_context=get_context("spawn"))


def ready(seconds: float) -> None:
    """Occupies one process until all of them have started."""
    time.sleep(seconds)


def open_at(url: str, moment: float) -> str:
    """Open the ledger at that moment; its identity."""
    time.sleep(max(0.0, moment - time.time()))
    with closing(Ledger(url)) as ledger:
        return ledger.identity


def record_at(url: str, moment: float, claim: Claim, lines: range) -> int:
    """Record an outcome for each line from that moment on, a transaction each; return how many."""
    time.sleep(max(0.0, moment - time.time()))
    with closing(Ledger(url)) as ledger:
        for line in lines:
            ledger.chunks.record(claim, [Outcome(line, Status.FAILED)], 60)
            ledger.jobs.get(claim.job)
    return len(lines)


def count_at(url: str, moment: float, job: str, times: int) -> None:
    """Raise a job's number of rows again and again from that moment on: each time read it, then write it."""
    time.sleep(max(0.0, moment - time.time()))
    with closing(Ledger(url)) as ledger:
        for _ in range(times):
            with ledger.store.begin() as connection:
                rows = connection.execute(text("SELECT rows FROM jobs WHERE id = :job"), {"job": job})
                values = {"job": job, "rows": rows.scalar_one() + 1}
                connection.execute(text("UPDATE jobs SET rows = :rows WHERE id = :job"), values)
