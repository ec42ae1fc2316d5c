"""A chunk whose seal doesn't open stops the job, and nobody waits for it."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from tests.integration.deliveries import process, told
from tests.unit.jobs import make_chunk_row, start_job
from tests.unit.registrar import Registrar
from worker.importing.chunk_session import LEASE
from worker.ledger import Ledger
from worker.model import Job, JobState, Status
from worker.seal import Seal

UNKNOWN, UNPROCESSED = Status.UNKNOWN, Status.UNPROCESSED
SET = text("INSERT INTO chunk_rows (job, seq, sealed) VALUES (:job, 0, :sealed)")
LOSE = text("DELETE FROM chunk_rows WHERE job = :job AND seq = 0")


def put(ledger: Ledger, job: Job, sealed: bytes | None) -> None:
    """Other bytes in the place of the chunk's."""
    with ledger.store.begin() as connection:
        connection.execute(LOSE, {"job": job.id})
        if sealed is not None:
            connection.execute(SET, {"sealed": sealed, "job": job.id})


@pytest.mark.parametrize("sent", [False, True])
@pytest.mark.parametrize("how", ["changed", "cut", "gone", "another key"])
def test_a_broken_seal_stops_the_job(ledger: Ledger, how: str, sent: bool) -> None:
    """A broken seal stops the job; with the right bytes back, it goes on and looks up what was sent."""
    api, job = Registrar(), start_job(ledger, [make_chunk_row(2), make_chunk_row(3)])
    if sent:
        claim = ledger.chunks.claim(job.id, 0, "desk:1", LEASE)
        assert claim is not None
        ledger.chunks.release(claim, 0, [3], 0, 0)
    good = ledger.chunks.sealed(job.id, 0) or b""
    changed = good[:-1] + bytes([good[-1] ^ 1])
    other = Seal([b"k" * 32]).close_over([], f"{job.id}/chunk/0")
    put(
        ledger,
        job,
        {"changed": changed, "cut": good[:15], "gone": None, "another key": other}[how],
    )
    with process(ledger, job, api) as worker:
        worker.deliver()
        assert ledger.jobs.get(job.id).state is JobState.STOPPED
        assert str(ledger.jobs.get(job.id).why).startswith("seal_broken: chunk 0: ")
        assert api.posts == []
        assert ledger.rows.counts(job.id, 2) == ({UNKNOWN: 1, UNPROCESSED: 1} if sent else {UNPROCESSED: 2})
        put(ledger, job, good)
        ledger.jobs.start(job.id)
        ledger.accounts.acquire(job, "desk:1")
        worker.deliver(0)
    assert {status for status, _ in told(ledger, job).values()} == {Status.CREATED}
    assert api.looks == (["user3"] if sent else [])
