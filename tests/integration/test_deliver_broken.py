"""A chunk whose seal does not open: nobody waits for it."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from tests.integration.deliveries import process, told
from tests.unit.jobs import Clock, make_chunk_row, start_job
from tests.unit.registrar import Registrar
from worker.importing.deliver import LEASE
from worker.ledger import Ledger
from worker.model import Job, JobState, Status
from worker.seal import Seal

SET = text("UPDATE chunks SET sealed = :sealed WHERE job = :job AND seq = 0")


def put(ledger: Ledger, job: Job, sealed: bytes | None) -> None:
    """Other bytes in the place of the chunk's."""
    with ledger.store.begin() as connection:
        connection.execute(SET, {"sealed": sealed, "job": job.id})


@pytest.mark.parametrize("how", ["changed", "cut", "gone", "another key"])
def test_a_broken_seal_stops_the_job(ledger: Ledger, clock: Clock, how: str) -> None:
    """It says why; with the right bytes back it goes on, and asks first: rows may have been sent before."""
    api, job = Registrar(), start_job(ledger, [make_chunk_row(2), make_chunk_row(3)])
    good = ledger.chunks.sealed(job.id, 0) or b""
    other = Seal([b"k" * 32]).close_over([], f"{job.id}/chunk/0")
    put(ledger, job, {"changed": good[:-1] + b"?", "cut": good[:15], "gone": None, "another key": other}[how])
    with process(ledger, job, api) as worker:
        worker.deliver()
        assert ledger.jobs.get(job.id).state is JobState.STOPPED
        assert ledger.jobs.get(job.id).why.startswith("seal_broken: chunk 0: ")
        assert api.posts == []
        put(ledger, job, good)
        clock.advance(LEASE + 1)
        ledger.jobs.start(job.id)
        ledger.jobs.take(job, "desk:1")
        worker.deliver(0)
        worker.deliver(1)  # a claim that came to no end counts as a death, so the chunk was split
    assert {status for status, _ in told(ledger, job).values()} == {Status.CREATED}
    assert api.looks == ["user2", "user3"]
