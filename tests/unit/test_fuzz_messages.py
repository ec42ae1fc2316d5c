"""Any message off the queue is taken, dropped or refused: it crashes no task and costs no row."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

import pytest
from celery import Celery
from celery.exceptions import Reject
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.jobs import KEY, OVER, Clock, make_chunk_row, start_job
from worker.ledger import Ledger
from worker.model import Endpoint, Job, JobState
from worker.runtime import Runtime, RuntimeConfig
from worker.tasks import TASK, make_app

STRANGER = "00000000-0000-4000-8000-000000000000"


@dataclass(frozen=True)
class Desk:
    """A worker's runtime, stopping so that nothing waits, and a stopped job of two rows in its ledger."""

    app: Celery
    ledger: Ledger
    job: Job

    def take(self, *message: object, **more: object) -> bool:
        """Take a message as a worker does; return whether it was refused, for another worker to take."""
        try:
            self.app.tasks[TASK](*message, **more)
        except Reject:
            return True
        return False


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A desk for all examples: none of them may change anything."""
    url = f"sqlite:///{tmp_path_factory.mktemp('ledger')}/ledger.db"
    endpoint = Endpoint("https://api.example.com", "9900001", username="u", password="p")
    config = RuntimeConfig("", url, [KEY], [endpoint])
    with closing(Ledger(url, Clock())) as ledger, contextlib.closing(Runtime(config)) as runtime:
        job = start_job(ledger, [make_chunk_row(2), make_chunk_row(3)])
        ledger.jobs.stop(job.id, OVER[JobState.STOPPED])
        runtime.stopping.set()
        yield Desk(make_app(config, runtime), ledger, job)


def untouched(desk: Desk) -> bool:
    """Return whether the job's rows are as they were: sealed, without an outcome, never tried."""
    (page,) = desk.ledger.rows.pages(desk.job.id)
    return (page.recorded, desk.ledger.chunks.sealed(desk.job.id, 0) is None) == ({}, False)


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
near = st.tuples(
    st.sampled_from(["{identity}", STRANGER, "", "{identity}\n"]),
    st.sampled_from(["{job}", "20260101-000000-none-0000", "", "{job}/", "{job}\0", "\ud800"]),
    st.sampled_from(["/0", "/1", "/-1", "/", "", "/٣", "/" + "9" * 30, "/0x1", " /0", "/0\n"]),
)


@given(st.lists(json, max_size=4), st.dictionaries(st.text(), json, max_size=2))
def test_any_json(desk: Desk, message: list[object], more: dict[str, object]) -> None:
    """Arguments of any number, type and name that are no ledger and chunk are dropped, not tried again."""
    assert not desk.take(*message, **more)
    assert untouched(desk)


@given(near)
def test_almost_a_message(desk: Desk, parts: tuple[str, str, str]) -> None:
    """Only a whole message for another ledger is kept for another worker; all else is dropped for good."""
    identity, chunk = parts[0], parts[1] + parts[2]
    known = {"identity": desk.ledger.identity, "job": desk.job.id}
    refused = desk.take(identity.format(**known), chunk.format(**known))
    assert refused is (identity == STRANGER and parts[1] in ("{job}", "20260101-000000-none-0000")
                       and parts[2] in ("/0", "/1"))  # fmt: skip
    assert untouched(desk)


def test_a_job_that_was_removed(desk: Desk) -> None:
    """A message of a removed job is dropped, since nobody could ever take it."""
    assert not desk.take(desk.ledger.identity, "20260101-000000-none-0000/0")
