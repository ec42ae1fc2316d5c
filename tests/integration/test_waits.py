"""Waits of the client, of chunks and of jobs: how they begin, are kept in the ledger, and end."""

from __future__ import annotations

import platform
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from tests.integration.api_client import client
from tests.integration.deliveries import process, told
from tests.sandbox import Sandbox
from tests.scripted import Asked, Told, scripted
from tests.unit.jobs import AWAY, OVER, Clock, make_chunk_row, make_job, start_job
from worker import throttle
from worker.api import Api
from worker.errors import Conflict, JobBusy, LedgerAway, StopJob, Stopping, Throttled, TryLater, Unavailable
from worker.importing.process_id import free_dead_holder, process_id
from worker.importing.unfinished import refuse_unfinished
from worker.ledger import Ledger, Unanswered
from worker.ledger.accounts import WRITER_LEASE
from worker.model import Answer, Echo, Endpoint, Family, Job, JobState, Outcome, Realm, Row, Status, Stored
from worker.progress.job_waits import JobWaits, Patience
from worker.states import Reason, Why
from worker.waits import HERE, WaitKind, worded

DAY = 86_400.0
DEAD = f"{platform.node()}:{2**22 + 1}"


class Watcher:
    """A sleep that takes no time, and records the wait that this process reports meanwhile."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.clock = Clock(0.0)

    def __call__(self, seconds: float) -> None:
        self.clock.advance(seconds)
        wait = HERE.gravest()
        assert wait is not None
        self.seen.append(worded(wait))


def watched(url: str, watcher: Watcher) -> Api:
    """A client whose pauses are watched."""
    endpoint = Endpoint(url, "9900001", client_id="sandbox", client_secret="sandbox")
    pace = throttle.local(None, watcher, watcher.clock)
    return Api(endpoint, pace, sleep=watcher, budget=60, deadline=5)


@pytest.fixture
def file_ledger(tmp_path: Path, clock: Clock) -> Iterator[Ledger]:
    """A new ledger on SQLite, for what is the same on PostgreSQL."""
    with closing(Ledger(f"sqlite:///{tmp_path / 'state' / 'ledger.db'}", clock)) as ledger:
        yield ledger


# The client


@pytest.mark.parametrize(
    ("knobs", "words"),
    [
        ({"unavailable": {"next": 1, "path": "/realms$"}}, "waiting for the service: "),
        (
            {"too_many_requests": {"next": 1, "path": "/realms$", "seconds": 7}},
            "429: the service asked for a pause; ",
        ),
        ({"unavailable": {"next": 1, "path": "/oauth2/token$"}}, "waiting for the service: "),
    ],
)
def test_a_request_that_is_tried_again_is_a_wait(
    sandbox: Sandbox, knobs: dict[str, object], words: str
) -> None:
    """Between two attempts the process reports what it waits for and until when; afterwards nothing."""
    watcher = Watcher()
    sandbox.knobs(**knobs)
    with closing(watched(sandbox.url, watcher)) as api:
        api.realms()
    assert watcher.seen
    assert all(seen.startswith(words) for seen in watcher.seen)
    assert all("gives up in " in seen or "continues in " in seen for seen in watcher.seen)
    assert HERE.gravest() is None


def failing(api: Api) -> None:
    """Make a request that is refused in the end."""
    with pytest.raises(StopJob):
        api.realms()


def test_a_request_in_flight_says_its_deadline() -> None:
    """While no answer comes, the wait says how long it has lasted and how long it may last."""
    asked, go_on = threading.Event(), threading.Event()

    def answer(_asked: Asked) -> Told:
        asked.set()
        go_on.wait(10)
        return Told(404)

    with scripted(answer) as server, closing(client(server.url, deadline=20)) as api:
        thread = threading.Thread(target=failing, args=(api,), daemon=True)
        thread.start()
        assert asked.wait(10)
        wait = HERE.gravest()
        go_on.set()
        thread.join()
    assert wait is not None
    assert wait.kind is WaitKind.ANSWER
    assert worded(wait).endswith("; the request's deadline is 20 s")


def test_a_cool_down_that_is_too_long_is_not_waited_for() -> None:
    """If a cool-down is longer than the request may wait, it raises Cooling at once."""
    slept: list[float] = []
    one = throttle.local(None, slept.append, lambda: 100.0)
    one.cool(60)
    with pytest.raises(throttle.Cooling) as cooling:
        one.wait(59)
    assert (cooling.value.seconds, slept) == (60, [])


# Chunks


class Service:
    """The service: of two rows one is stored at once; ``fault`` is raised for the other."""

    def __init__(self, fault: Exception) -> None:
        self._fault = fault

    def create(
        self, family: Family, realm: Realm, batch: Sequence[Row], permit: Callable[[float], None]
    ) -> Answer:
        permit(5)
        if batch[0].user == "slow":
            raise self._fault
        return Answer(tuple(Echo(f"id-{one.user}", one.composite) for one in batch))

    def find(self, family: Family, realm: Realm, composite: str, *, expected: bool = False) -> Stored | None:
        return None

    def realms(self) -> list[Realm]:
        return []

    def credentials(self, family: Family, realm: Realm | None) -> Iterator[Stored]:
        return iter(())

    def whole(self, family: Family, realm: Realm | None, stored: Stored) -> Stored:
        return stored

    def read(self, *_: object) -> Stored | None:
        return None

    def update(self, *_: object, **__: object) -> None:
        raise AssertionError("nobody is to be updated")

    def delete(self, *_: object, **__: object) -> bool:
        raise AssertionError("nobody is to be deleted")


SLOW, QUICK = make_chunk_row(2, "slow"), make_chunk_row(3, "quick")


@pytest.mark.parametrize(("fault", "code"), [(Throttled("429", "", 3600.0), "throttled"),
                                             (Unavailable("away", "", 3600.0), "unavailable")])  # fmt: skip
def test_a_chunk_that_is_put_off_is_bounded_by_patience(
    file_ledger: Ledger, clock: Clock, fault: TryLater, code: str
) -> None:
    """If one chunk is put off for an hour while another succeeds, a patience of 5 s ends all the same."""
    job = start_job(file_ledger, [SLOW], [QUICK], patience=5)
    with process(file_ledger, job, Service(fault)) as worker:
        worker.deliver(0)
        worker.deliver(1)
    assert file_ledger.jobs.state(job.id) is JobState.RUNNING
    assert told(file_ledger, job) == {3: (Status.CREATED, "")}
    own = Clock(0.0)
    patience = Patience(5, own)
    waits = JobWaits(file_ledger, job, patience, None)
    for _ in range(6):
        waits.look(1)
        assert patience.spent_on is None
        own.advance(1)
    waits.look(1)
    assert patience.spent_on is not None
    assert patience.spent_on.why.reason == code
    file_ledger.chunks.wake(job.id)
    assert file_ledger.waits.away(job.id) == []


def test_a_process_that_is_asked_to_end_blames_no_service(file_ledger: Ledger) -> None:
    """Ctrl-C during a pause releases the chunk at once, and doesn't pause the job."""
    job = start_job(file_ledger, [SLOW])
    with process(file_ledger, job, Service(Stopping("asked to end"))) as worker:
        worker.deliver()
    assert file_ledger.jobs.paused(job.id) is None
    assert file_ledger.waits.away(job.id) == []
    assert file_ledger.chunks.claim(job.id, 0, "desk:2", 60) is not None


def test_progress_ends_a_chunks_wait(ledger: Ledger) -> None:
    """A chunk's waiting time adds up over its claims, and is reset by the first outcome."""
    job = start_job(ledger, [SLOW])
    for seconds in (40, 50):
        claim = ledger.chunks.claim(job.id, 0, "desk:1", 60)
        assert claim is not None
        ledger.chunks.release(claim, 0, [], 0, 0, Unanswered(AWAY, seconds))
    assert [away.unanswered for away in ledger.waits.away(job.id)] == [90]


# Waits of a job


@pytest.fixture
def job(ledger: Ledger) -> Job:
    """A running job of two chunks."""
    return start_job(ledger, [SLOW], [QUICK])


def looked(ledger: Ledger, job: Job, workers: list[str] | None = None) -> str:
    """Return the wait that is reported for a job without progress, or "" if there is none."""
    patience = Patience(600)
    waits = JobWaits(ledger, job, patience, None if workers is None else lambda: workers)
    waits.look_once(0)
    current = waits.current()
    return worded(current) if current else ""


def test_nothing_is_told_of_a_job_that_is_worked_on(file_ledger: Ledger) -> None:
    """A job with a living worker reports no wait."""
    job = start_job(file_ledger, [SLOW], [QUICK])
    file_ledger.accounts.hand_over(job.id, "sweep")
    file_ledger.chunks.claim(job.id, 0, "desk:7", 60)
    assert looked(file_ledger, job, ["desk:6"]) == ""


def test_what_processes_elsewhere_wait_for_is_told(
    ledger: Ledger, other_ledger: Ledger, job: Job, clock: Clock
) -> None:
    """The wait that a worker reports is seen by others until it is over, or no longer reported."""
    waits = looked_at = other_ledger.waits
    with HERE.entered(WaitKind.SLOWED, "429", 12):
        wait = HERE.gravest()
    waits.tell(job.id, "desk:7", wait)
    clock.advance(3)
    assert looked(ledger, job, ["desk:6"]).startswith("429: the service asked for a pause; continues in ")
    clock.advance(20)
    assert looked(ledger, job, ["desk:6"]) == ""
    waits.tell(job.id, "desk:7", wait)
    looked_at.tell(job.id, "desk:7", None)
    assert looked(ledger, job, ["desk:6"]) == ""


def test_a_lease_of_a_worker_that_is_gone_is_told(ledger: Ledger, job: Job, clock: Clock) -> None:
    """After a kill on another machine, the wait says whose lease it is and when it ends."""
    ledger.chunks.claim(job.id, 0, "elsewhere:7.1", 120)
    clock.advance(20)
    expected = "waiting for the lease of a worker on elsewhere to expire, in 1:40"
    assert looked(ledger, job) == expected
    assert looked(ledger, job, ["desk:6"]) == expected


def test_an_account_that_another_job_took_is_told(file_ledger: Ledger, clock: Clock) -> None:
    """The message names the job that took the account."""
    job = start_job(file_ledger, [SLOW], [QUICK])
    clock.advance(WRITER_LEASE + 1)
    other = start_job(file_ledger, [QUICK])
    assert looked(file_ledger, job).startswith(
        f"waiting for the account: job {other.id} writes to 9900001 (process 1 on host); gives up in "
    )


def test_that_no_worker_answers_is_told(file_ledger: Ledger) -> None:
    """If no worker answers, the wait names the command to type and its own end."""
    job = start_job(file_ledger, [SLOW], [QUICK])
    assert looked(file_ledger, job, []) == (
        "no worker answers for account 9900001: start one with `siproster worker`; "
        "gives up in 10:00 (--patience)"
    )


def fail(waits: JobWaits, kind: WaitKind, error: TryLater | LedgerAway) -> None:
    """Run something that fails with this error."""
    with waits.trying(kind, type(error)):
        raise error


def test_a_broker_or_ledger_that_is_away_is_waited_for(file_ledger: Ledger) -> None:
    """A failure of broker or ledger is reported until patience is over; then the ledger's is raised."""
    job = start_job(file_ledger, [SLOW], [QUICK])
    own = Clock(0.0)
    patience = Patience(5, own)
    waits = JobWaits(file_ledger, job, patience, lambda: ["desk:6"])
    fail(waits, WaitKind.BROKER, Unavailable("connection refused"))
    waits.look(0)
    current = waits.current()
    assert current is not None
    assert worded(current).startswith("waiting for the broker: connection refused; gives up in 5 s")
    with waits.trying(WaitKind.BROKER, TryLater):
        pass
    waits.look(0)
    assert waits.current() is None
    fail(waits, WaitKind.LEDGER, LedgerAway("connection refused"))
    waits.check_ledger()
    own.advance(6)
    with pytest.raises(LedgerAway, match="connection refused"):
        waits.check_ledger()


# Clocks that are set back


def test_a_clock_that_is_set_back_freezes_no_job(ledger: Ledger, job: Job, clock: Clock) -> None:
    """After the clock was set back a day, earlier leases, waits, messages and holds are over."""
    claim = ledger.chunks.claim(job.id, 0, "elsewhere:7", 120)
    put_off = ledger.chunks.claim(job.id, 1, "desk:7", 120)
    assert claim is not None
    assert put_off is not None
    ledger.chunks.release(put_off, 30, [], 0, 0)
    ledger.chunks.due(job.id, idle=True)
    ledger.jobs.pause(job.id, AWAY)
    clock.advance(-DAY)
    paused = ledger.jobs.paused(job.id)
    assert paused is not None
    assert paused.waited == 0
    assert ledger.chunks.due(job.id, idle=True) == [0, 1]
    assert ledger.chunks.claim(job.id, 1, "desk:8", 120) is not None
    ledger.accounts.renew(job.id)
    assert ledger.chunks.claim(job.id, 0, "desk:8", 120) is not None


def test_a_hold_of_a_clock_that_was_set_back_is_over(ledger: Ledger, job: Job, clock: Clock) -> None:
    """After the clock was set back, the account is free for the next job."""
    clock.advance(-DAY)
    assert ledger.accounts.writer(job.host, job.account) is None
    start_job(ledger, [QUICK])


def test_a_message_lost_before_the_clock_was_set_back_comes_back(
    ledger: Ledger, job: Job, clock: Clock
) -> None:
    """A chunk queued before the clock was set back counts as queued long enough ago."""
    assert ledger.chunks.due(job.id, idle=True) == [0, 1]
    clock.advance(-DAY)
    assert ledger.chunks.due(job.id, idle=True) == [0, 1]


# Times


def test_pauses_are_no_working_time(ledger: Ledger, job: Job, clock: Clock) -> None:
    """Neither pauses, however they ended, nor a stop count as working time."""
    clock.advance(10)
    ledger.jobs.pause(job.id, AWAY)
    clock.advance(100)
    claim = ledger.chunks.claim(job.id, 0, "desk:7", 120)
    assert claim is not None
    ledger.chunks.record(claim, [Outcome(2, Status.CREATED)], 120)
    clock.advance(10)
    ledger.jobs.pause(job.id, Why(Reason.INTERRUPTED, "by a signal"))
    clock.advance(1000)
    ledger.jobs.start(job.id)
    clock.advance(10)
    ledger.jobs.stop(job.id, OVER[JobState.STOPPED])
    clock.advance(10_000)
    ledger.jobs.start(job.id)
    assert ledger.jobs.get(job.id).paused_seconds == 11_100
    ledger.jobs.pause(job.id, AWAY)
    clock.advance(-DAY)
    ledger.jobs.start(job.id)
    assert ledger.jobs.get(job.id).paused_seconds == 11_100


# A job that is worked on


def test_who_works_on_a_job_is_told_before_it_is_purged(file_ledger: Ledger) -> None:
    """The refusal to purge a paused job names the process that resumes it, unless that process has died."""
    job = start_job(file_ledger, [SLOW])
    file_ledger.jobs.pause(job.id, AWAY)
    file_ledger.accounts.hand_over(job.id, process_id())
    with pytest.raises(Conflict, match=r"is still paused, and process [0-9]+ on .* is working on it") as busy:
        refuse_unfinished(file_ledger, job.id, "")
    assert busy.value.hint == f"cancel it first: siproster cancel {job.id}"
    file_ledger.accounts.hand_over(job.id, DEAD)
    with pytest.raises(Conflict, match=r"is still paused$"):
        refuse_unfinished(file_ledger, job.id, "")


# Holds of the dead


def test_a_plan_whose_process_died_holds_nobody_up(ledger: Ledger) -> None:
    """If a plan's process died, the next job gets the account at once; a living one keeps it."""
    dead, mine, next_one = make_job(), make_job(), make_job()
    ledger.jobs.begin(dead, DEAD)
    free_dead_holder(ledger, mine)
    ledger.jobs.begin(mine, process_id())
    free_dead_holder(ledger, next_one)
    with pytest.raises(JobBusy, match=f"job {mine.id} is writing .*; its hold ends in 300 s"):
        ledger.jobs.begin(next_one, process_id())


def test_a_running_job_whose_process_died_comes_first(file_ledger: Ledger) -> None:
    """A running job whose process died must be resumed first, since what it sent may still arrive."""
    running = start_job(file_ledger, [SLOW])
    file_ledger.accounts.hand_over(running.id, DEAD)
    with pytest.raises(JobBusy, match=f"{running.id} was writing .* it keeps the account for 5:00") as busy:
        free_dead_holder(file_ledger, make_job())
    assert f"siproster resume {running.id}" in busy.value.hint
    file_ledger.accounts.hand_over(running.id, "sweep")  # the workers' own: nobody's death says anything
    free_dead_holder(file_ledger, make_job())
