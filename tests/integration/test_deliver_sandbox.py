"""Deliveries through the real client to the sandbox, whose records say what was done."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.integration.api_client import Naps, client
from tests.integration.deliveries import process, told
from tests.sandbox import Sandbox
from tests.unit.jobs import Clock, RowsOf, make_job, make_row, plan_job
from worker.api import Api
from worker.digest import digests
from worker.importing.job_start import release_chunks
from worker.ledger import Ledger
from worker.model import Family, Job, JobState, Row, Status

CREATED = (Status.CREATED, "")


@pytest.fixture
def clock() -> Clock:
    """The clock of ``store``."""
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[Ledger]:
    """A ledger on SQLite: what the service does is no matter of the database."""
    with closing(Ledger(f"sqlite:///{tmp_path}/ledger.db", clock)) as ledger:
        yield ledger


def planned(ledger: Ledger, service: Api, rows: list[Row], **options: Any) -> Job:
    """A job of these rows, its realms looked up."""
    job = make_job(**options)
    ledger.jobs.begin(job, "desk:1")
    release_chunks(ledger, job, plan_job(ledger, service, job, RowsOf(rows)))
    return ledger.jobs.get(job.id)


def delivered(ledger: Ledger, service: Api, job: Job) -> dict[int, tuple[Status, str]]:
    """Deliver each chunk that is due once, and return each row's status and code."""
    with process(ledger, job, service, threads=4) as worker:
        for seq in ledger.chunks.due(job.id, idle=True):
            worker.deliver(seq)
    return told(ledger, job)


def rows_of(number: int, **fields: Any) -> list[Row]:
    """Return so many valid rows, from line 2 on."""
    return [make_row(line, **fields) for line in range(2, 2 + number)]


@pytest.mark.parametrize("family", Family)
def test_a_whole_job(sandbox: Sandbox, api: Api, store: Ledger, family: Family) -> None:
    """In either family the sandbox ends up with exactly the digests of the roster's rows."""
    rows = [*rows_of(50), make_row(90, "bob", domain="example.com")]
    job = planned(store, api, rows, api=family, batch_size=7, chunk_size=20)
    assert set(delivered(store, api, job).values()) == {CREATED}
    host = store.jobs.realms(job.id)[0].host
    assert sandbox.digests() == {row.composite: digests(row.composite, host, row.password) for row in rows}
    assert store.jobs.state(job.id) is JobState.DONE


UNPROVEN = (Status.UNCHANGED, "origin_unknown")
FAULTS: dict[str, tuple[dict[str, Any], tuple[Status, str]]] = {
    "bound": ({"most_entries": 3}, CREATED),
    "dropped before the commit": ({"drop": {"next": 1, "method": "POST"}}, CREATED),
    "dropped after the commit": ({"drop": {"next": 1, "method": "POST", "commit": True}}, UNPROVEN),
    "cut": ({"cut": {"next": 1, "method": "POST"}}, UNPROVEN),
    "no echo": ({"lost_echo": {"probability": 1.0, "users": "user"}}, UNPROVEN),
    "another case": ({"other_case": {"probability": 1.0}}, (Status.FAILED, "case_differs")),
    "throttled": ({"too_many_requests": {"next": 2, "method": "POST", "seconds": 1}}, CREATED),
    "gateway": ({"bad_gateway": {"next": 1, "method": "POST"}}, CREATED),
    "no such application": ({"applications": []}, (Status.FAILED, "23019")),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("family", Family)
def test_a_fault_settles_truly(sandbox: Sandbox, api: Api, store: Ledger, family: Family, fault: str) -> None:
    """In an account that was empty, each row has its true outcome, whatever fault strikes an answer."""
    knobs, expected = FAULTS[fault]
    job = planned(store, api, rows_of(8, application="7b2f8f6e-1111-2222-3333-abcdefabcdef"), api=family)
    sandbox.knobs(**knobs)
    outcomes = delivered(store, api, job)
    assert set(outcomes.values()) == {expected}
    assert len(sandbox.credentials()) == (0 if expected[1] == "23019" else 8)
    assert store.jobs.state(job.id) is JobState.DONE


LAGGING = {"list_lag": 0.4, "drop": {"next": 1, "method": "POST", "commit": True}}


@pytest.mark.parametrize("family", Family)
def test_a_list_that_lags(sandbox: Sandbox, store: Ledger, family: Family) -> None:
    """After a lost answer, what a lagging service doesn't show yet is looked for until it does."""
    with closing(client(sandbox.url)) as patient:
        job = planned(store, patient, rows_of(3), api=family)
        sandbox.knobs(**LAGGING)
        assert set(delivered(store, patient, job).values()) == {UNPROVEN}
    assert len(sandbox.credentials()) == 3


@pytest.mark.parametrize(("family", "code"), [(Family.ACCOUNT, "23009"), (Family.REALM, "23026")])
def test_a_list_that_lags_too_long(
    sandbox: Sandbox, api: Api, store: Ledger, family: Family, code: str
) -> None:
    """Rows that are refused as existing, but never show in the list, are unknown, though they are there."""
    job = planned(store, api, rows_of(3), api=family)
    sandbox.knobs(**{**LAGGING, "list_lag": 3600.0})
    assert set(delivered(store, api, job).values()) == {(Status.UNKNOWN, code)}
    assert len(sandbox.credentials()) == 3


@pytest.mark.parametrize("family", Family)
def test_a_second_job_finds_the_first_ones_rows(
    sandbox: Sandbox, api: Api, store: Ledger, family: Family
) -> None:
    """The same roster again is unchanged, with another password exists; nothing is written either time."""
    delivered(store, api, planned(store, api, rows_of(5), api=family))
    before = sandbox.digests()
    again = delivered(store, api, planned(store, api, rows_of(5), api=family))
    assert set(again.values()) == {(Status.UNCHANGED, "")}
    other = delivered(store, api, planned(store, api, rows_of(5, password="another one, long"), api=family))
    assert set(other.values()) == {(Status.EXISTS, "digest_differs")}
    assert sandbox.digests() == before


def test_an_answer_lost_where_others_write(sandbox: Sandbox, api: Api, store: Ledger) -> None:
    """After a lost answer on an account with other users, nobody can prove whose our rows are."""
    delivered(store, api, planned(store, api, [make_row(2, "somebody")]))
    job = planned(store, api, rows_of(5))
    sandbox.knobs(drop={"next": 1, "method": "POST", "commit": True})
    assert set(delivered(store, api, job).values()) == {UNPROVEN}
    assert len(sandbox.credentials()) == 6


def test_refused_credentials_stop_the_job(sandbox: Sandbox, api: Api, store: Ledger) -> None:
    """401 with a fresh token stops the job, nothing is stored, no row has failed."""
    job = planned(store, api, rows_of(5))
    sandbox.knobs(refuse={"probability": 1.0, "status": 401})
    assert delivered(store, api, job) == {}
    stopped = store.jobs.get(job.id)
    assert (stopped.state, stopped.why and stopped.why.reason) == (JobState.STOPPED, "authentication_refused")


def test_an_outage_pauses_and_then_goes_on(
    sandbox: Sandbox, api: Api, store: Ledger, naps: Naps, clock: Clock
) -> None:
    """A service that stays away for the whole budget pauses the job; when it is back every row is placed."""
    job = planned(store, api, rows_of(5))
    sandbox.knobs(unavailable={"probability": 1.0})
    assert delivered(store, api, job) == {}
    assert str(store.jobs.get(job.id).why).startswith("unavailable: ")
    sandbox.knobs(unavailable=None)
    clock.advance(301)
    assert set(delivered(store, api, job).values()) == {CREATED}
    assert naps.taken
