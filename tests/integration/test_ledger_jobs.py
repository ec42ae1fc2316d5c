"""Jobs in the ledger, on SQLite and on PostgreSQL: what they keep, their states, who may write."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text

from tests.unit.jobs import AWAY, HOST, OVER, Clock, make_chunk_row, make_job, start_job
from worker.errors import JobBusy, LedgerError, NotFound
from worker.ledger import Ledger
from worker.ledger.accounts import WRITER_LEASE
from worker.model import Condition, Family, JobState, Outcome, Realm, Status, Weak
from worker.states import Reason, Why

ROWS = [make_chunk_row(2), make_chunk_row(3)]
DONE = [Outcome(2, Status.CREATED), Outcome(3, Status.CREATED)]
SLOWED = Why(Reason.THROTTLED, "second")


def run_query(ledger: Ledger, query: str) -> list[tuple[object, ...]]:
    """Run a query on the ledger's own database and return its rows."""
    with ledger.store.begin() as connection:
        result = connection.execute(text(query))
        return [tuple(row) for row in result] if result.returns_rows else []


def test_identity_is_stable(ledger: Ledger, other_ledger: Ledger, ledger_url: str) -> None:
    """Every connection to a ledger, whenever it is opened, finds the same identity and jobs."""
    job = start_job(ledger, ROWS)
    again = Ledger(ledger_url)
    assert ledger.identity == other_ledger.identity == again.identity
    assert again.jobs.newest() == [job.id]
    again.close()


def test_a_newer_ledger_is_refused(ledger: Ledger, ledger_url: str) -> None:
    """A ledger of a newer program is not touched, and the message says what to do."""
    run_query(ledger, "UPDATE meta SET value = '99' WHERE name = 'version'")
    with pytest.raises(LedgerError, match="schema version 99") as refused:
        Ledger(ledger_url)
    assert "update siproster" in refused.value.hint
    assert ("version", "99") in run_query(ledger, "SELECT name, value FROM meta")


def test_a_job_keeps_everything(ledger: Ledger, other_ledger: Ledger, clock: Clock) -> None:
    """A job is read back exactly as it was begun, with every option and type."""
    job = make_job(
        realm="office", api=Family.REALM, map={"password": "PIN"}, skip=3,
        where=(Condition("site", "B"), Condition("floor", "^2", "~")),
        carry=("note",), weak=Weak.REFUSE, weak_given=True, limit=7, rate=2.5, max_failed="5%", keep_days=0.5,
    )  # fmt: skip
    ledger.jobs.begin(job, "host:1")
    ledger.jobs.has_read(job.id, 12, {"weak_password": 3})
    kept = other_ledger.jobs.get(job.id)
    assert kept.options == job.options
    assert (kept.rows, other_ledger.jobs.warnings(job.id)) == (12, {"weak_password": 3})
    assert (kept.state, kept.created.timestamp(), kept.columns) == (JobState.PLANNING, clock.now, job.columns)
    assert (kept.host, kept.account, kept.key) == (job.host, job.account, job.key)
    assert (kept.started, kept.finished, kept.requests, kept.retries) == (None, None, 0, 0)


def test_conditions_of_earlier_programs(ledger: Ledger) -> None:
    """Jobs that were stored before ``!=`` and ``~`` have pairs, which mean ``=``, and no ``skip``."""
    job = make_job(where=(Condition("site", "B"),))
    ledger.jobs.begin(job, "host:1")
    kept = json.loads(ledger.jobs.options_text(job.id))
    kept["where"] = [["site", "B"]]
    del kept["skip"]
    with ledger.store.begin() as connection:
        connection.execute(text("UPDATE jobs SET options = :options"), {"options": json.dumps(kept)})
    assert ledger.jobs.get(job.id).options == job.options


def test_a_job_that_is_not_there(ledger: Ledger) -> None:
    """An unknown job is NotFound, which names it."""
    with pytest.raises(NotFound, match="20990101-000000-nobody-0000"):
        ledger.jobs.get("20990101-000000-nobody-0000")


def test_newest_first(ledger: Ledger) -> None:
    """Jobs are listed newest first; those that run, oldest first."""
    jobs = [start_job(ledger, ROWS, account=str(number)) for number in range(3)]
    ids = [job.id for job in sorted(jobs, key=lambda job: (job.created, job.id))]
    assert ledger.jobs.newest() == ids[::-1]
    assert set(ledger.jobs.running()) == set(ids)


def test_realms_stay_as_they_were(ledger: Ledger) -> None:
    """A job's realms come back by key, with what proves later that its rows are new."""
    job = make_job()
    ledger.jobs.begin(job, "host:1")
    ledger.jobs.add_realm(job.id, 0, "office", Realm("17", HOST), looked=True)
    ledger.jobs.add_realm(job.id, 1, "", Realm("18", "other.example.com"), looked=False)
    realms = ledger.jobs.realms(job.id)
    assert [(r.key, r.id, r.host, r.looked) for r in realms.values()] == [
        (0, "17", HOST, True),
        (1, "18", "other.example.com", False),
    ]


def test_the_bound_only_falls(ledger: Ledger) -> None:
    """The smallest of the bounds that workers learn at the same time is kept."""
    job = start_job(ledger, ROWS)
    for bound in (50, 20, 80):
        ledger.jobs.learn_batch_limit(job.id, bound)
    assert ledger.jobs.get(job.id).batch_bound == 20


# States


def test_pause_and_go_on(ledger: Ledger, clock: Clock) -> None:
    """A pause counts from its first reason on, whatever comes after it, until the job starts again."""
    job = start_job(ledger, ROWS)
    ledger.jobs.pause(job.id, AWAY)
    clock.advance(40)
    ledger.jobs.pause(job.id, SLOWED)
    clock.advance(2)
    pause = ledger.jobs.paused(job.id)
    assert pause is not None
    assert (pause.why, pause.waited) == (SLOWED, 42.0)
    assert ledger.jobs.start(job.id)
    assert ledger.jobs.paused(job.id) is None
    assert (ledger.jobs.get(job.id).state, ledger.jobs.get(job.id).why) == (JobState.RUNNING, None)


def test_an_outcome_ends_a_pause(ledger: Ledger) -> None:
    """A recorded outcome shows that the service answers again: the job runs."""
    job = start_job(ledger, ROWS)
    claim = ledger.chunks.claim(job.id, 0, "host:1", 60)
    assert claim
    ledger.jobs.pause(job.id, AWAY)
    assert ledger.chunks.record(claim, DONE[:1], 60) is JobState.RUNNING
    assert ledger.jobs.state(job.id) is JobState.RUNNING


@pytest.mark.parametrize("state", [JobState.STOPPED, JobState.CANCELLED])
def test_a_stop_is_seen_and_kept(ledger: Ledger, state: JobState) -> None:
    """A worker learns of a stop with its next outcome, which is still recorded; nothing undoes the stop."""
    job = start_job(ledger, ROWS)
    claim = ledger.chunks.claim(job.id, 0, "host:1", 60)
    assert claim
    assert ledger.jobs.stop(job.id, OVER[state])
    assert ledger.chunks.record(claim, DONE, 60) is state
    ledger.chunks.end(claim, None, 0, 1, 0)
    ledger.jobs.pause(job.id, AWAY)
    assert not ledger.jobs.finish(job.id)
    assert not ledger.jobs.stop(job.id, OVER[JobState.CANCELLED])
    kept = ledger.jobs.get(job.id)
    assert (kept.state, kept.why) == (state, OVER[state])
    assert kept.finished is not None


@pytest.mark.parametrize(("state", "again"), [(JobState.STOPPED, True), (JobState.CANCELLED, False)])
def test_what_can_be_resumed(ledger: Ledger, state: JobState, again: bool) -> None:
    """A stopped job starts again as if it had never stopped; a cancelled one does not."""
    job = start_job(ledger, ROWS)
    ledger.jobs.stop(job.id, OVER[state])
    assert ledger.jobs.start(job.id) is again
    assert ledger.jobs.state(job.id) is (JobState.RUNNING if again else state)
    assert (ledger.jobs.get(job.id).finished is None) is again


def test_done_needs_every_chunk(ledger: Ledger) -> None:
    """A job is done when each of its chunks has ended, once, and then lets go of its account."""
    job = start_job(ledger, ROWS, [make_chunk_row(4)])
    for seq, outcomes in enumerate((DONE, [Outcome(4, Status.FAILED)])):
        assert not ledger.jobs.finish(job.id)
        claim = ledger.chunks.claim(job.id, seq, "host:1", 60)
        assert claim
        ledger.chunks.record(claim, outcomes, 60)
        ledger.chunks.end(claim, None, 0, 3, 1)
    assert ledger.jobs.finish(job.id)
    assert not ledger.jobs.finish(job.id)
    done = ledger.jobs.get(job.id)
    assert (done.state, done.requests, done.retries) == (JobState.DONE, 6, 2)
    assert ledger.accounts.writer(job.host, job.account) is None


def test_two_that_end_at_once_finish_once(ledger: Ledger, other_ledger: Ledger) -> None:
    """When two workers end the last two chunks at the same moment, exactly one finishes the job."""
    for _ in range(10):
        job = start_job(ledger, ROWS, [make_chunk_row(4)])
        gate = threading.Barrier(2)

        def end(mine: Ledger, seq: int, job_id: str = job.id, gate: threading.Barrier = gate) -> bool:
            claim = mine.chunks.claim(job_id, seq, f"host:{seq}", 60)
            assert claim
            gate.wait(10)
            mine.chunks.end(claim, None, 0, 0, 0)
            return mine.jobs.finish(job_id)

        with ThreadPoolExecutor(2) as pool:
            finished = list(pool.map(end, (ledger, other_ledger), (0, 1)))
        assert sorted(finished) == [False, True]
        assert ledger.jobs.state(job.id) is JobState.DONE


def test_forgotten_jobs_leave_nothing(ledger: Ledger) -> None:
    """A forgotten job is in no table any more; another job's rows stay."""
    kept, job = start_job(ledger, ROWS, account="1"), start_job(ledger, ROWS, account="2")
    claim = ledger.chunks.claim(job.id, 0, "host:1", 60)
    assert claim
    ledger.chunks.record(claim, DONE, 60)
    ledger.jobs.forget(job.id)
    for table in ("outcomes", "chunks", "pages", "realms", "writers"):
        assert run_query(ledger, f"SELECT 1 FROM {table} WHERE job = '{job.id}'") == []  # noqa: S608
        found = run_query(ledger, f"SELECT 1 FROM {table} WHERE job = '{kept.id}'")  # noqa: S608
        assert bool(found) is (table != "outcomes")
    assert ledger.jobs.newest() == [kept.id]


def test_what_was_read_is_forgotten_alone(ledger: Ledger) -> None:
    """A job that is read once more stays, without anything of the first reading."""
    job = start_job(ledger, ROWS)
    ledger.jobs.forget(job.id, keep_job=True)
    assert ledger.jobs.newest() == [job.id]
    assert (ledger.chunks.kept(job.id), ledger.jobs.realms(job.id)) == ([], {})


# Access to the account


def test_a_second_job_is_refused_and_told(ledger: Ledger, other_ledger: Ledger) -> None:
    """One writing job a host and account: the second one names the first, and leaves nothing behind."""
    first, second = make_job(), make_job()
    ledger.jobs.begin(first, "desk:41")
    with pytest.raises(JobBusy, match=rf"job {first.id} is writing .*\(process 41 on desk\)") as busy:
        other_ledger.jobs.begin(second, "other:1")
    assert f"cancel {first.id}" in busy.value.hint
    assert ledger.jobs.newest() == [first.id]
    writer = ledger.accounts.writer(first.host, first.account)
    assert writer is not None
    assert (writer.job, writer.owner) == (first.id, "desk:41")


def test_other_accounts_and_hosts_are_free(ledger: Ledger) -> None:
    """Another account, or the same number on another host, may be written to at the same time."""
    jobs = [make_job(), make_job(account="2"), make_job(host="https://test.api.example.com")]
    for job in jobs:
        ledger.jobs.begin(job, "desk:41")
    assert len(ledger.jobs.newest()) == 3


def test_a_dead_claim_runs_out(ledger: Ledger, clock: Clock) -> None:
    """Without a sign of life a job loses its account to the next one; with one it keeps it."""
    first, second = make_job(), make_job()
    ledger.jobs.begin(first, "desk:41")
    clock.advance(WRITER_LEASE - 1)
    assert ledger.accounts.renew(first.id)
    clock.advance(WRITER_LEASE - 1)
    with pytest.raises(JobBusy):
        ledger.jobs.begin(second, "other:1")
    clock.advance(2)
    assert ledger.accounts.writer(first.host, first.account) is None
    ledger.jobs.begin(second, "other:1")
    assert not ledger.accounts.renew(first.id)
    with pytest.raises(JobBusy, match=second.id):
        ledger.accounts.acquire(first, "desk:41")


def test_a_job_takes_its_own_account_again(ledger: Ledger) -> None:
    """The same job, resumed in another process, takes over its own claim at once."""
    job = make_job()
    ledger.jobs.begin(job, "desk:41")
    ledger.accounts.acquire(job, "desk:42")
    writer = ledger.accounts.writer(job.host, job.account)
    assert writer is not None
    assert writer.owner == "desk:42"


ENDINGS: dict[str, Callable[[Ledger, str], object]] = {
    "release_account": lambda ledger, job: ledger.accounts.release(job),
    "stopped": lambda ledger, job: ledger.jobs.stop(job, OVER[JobState.STOPPED]),
    "forgotten": lambda ledger, job: ledger.jobs.forget(job),
}


@pytest.mark.parametrize("how", ENDINGS)
def test_an_ended_job_lets_others_write(ledger: Ledger, how: str) -> None:
    """However a job's work ends, its account is free at once."""
    job = make_job()
    ledger.jobs.begin(job, "desk:41")
    ENDINGS[how](ledger, job.id)
    ledger.jobs.begin(make_job(), "other:1")


def test_of_two_at_once_one_may_write(ledger: Ledger, other_ledger: Ledger) -> None:
    """When two jobs begin on one account at the same moment, exactly one gets it."""
    gate = threading.Barrier(2)

    def begin(mine: Ledger) -> bool:
        job = make_job()
        gate.wait(10)
        try:
            mine.jobs.begin(job, "desk:1")
        except JobBusy:
            return False
        return True

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(begin, (ledger, other_ledger))) == [False, True]
