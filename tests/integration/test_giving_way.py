"""A process that only waits gives its chunk back if another account needs the process."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from queue import SimpleQueue

import pytest

from tests.integration.api_client import Naps, Permits, credential, posts
from tests.integration.deliveries import process, told
from tests.sandbox import ACCOUNT, SECRET, USER, Sandbox
from tests.unit.jobs import Clock, make_chunk_row, start_job
from tests.unit.registrar import Registrar
from worker import throttle
from worker.api import Api
from worker.api.attempts import RESTS
from worker.errors import GivingWay, Throttled, TryLater, Unavailable
from worker.importing.chunk_session import SHORT_TURN, TURN
from worker.ledger import Ledger
from worker.model import Endpoint, Family, JobState, Status
from worker.runtime import RuntimeConfig
from worker.tasks import embedded_worker, make_app
from worker.throttle import GIVES_WAY, Cooling, Throttle
from worker.throttle.redis_pace import existing


class Others:
    """Other accounts, which need the process or don't."""

    def __init__(self, need: bool) -> None:
        self.need = need

    def __call__(self) -> bool:
        return self.need


@pytest.fixture
def throttled(redis_url: str, naps: Naps) -> Callable[..., Throttle]:
    """Make throttles of an account on a Redis."""

    def make(others: Others, rate: float | None = None) -> Throttle:
        return throttle.shared(redis_url, "api.example/1", rate, naps.sleep, others, naps.clock)

    return make


def test_a_slow_pace_is_waited_for_unless_others_need_the_process(
    throttled: Callable[..., Throttle], naps: Naps
) -> None:
    """One request in 100 s: the second one gives way, with the time of its turn; alone it waits."""
    others = Others(need=True)
    one = throttled(others, 0.01)
    one.wait()
    with pytest.raises(GivingWay) as caught:
        one.wait()
    assert 90 < (caught.value.retry_after or 0) <= 100
    assert naps.taken == []
    others.need = False
    one.wait()
    assert 90 < sum(naps.taken) <= 100


def test_a_short_wait_is_waited_for_in_any_case(throttled: Callable[..., Throttle], naps: Naps) -> None:
    """An account that sends a request each second works: it does not give way between two of them."""
    one = throttled(Others(need=True), 1.0)
    for _ in range(5):
        one.wait()
    assert 3.5 < sum(naps.taken) < 4.5


def test_the_wait_behind_other_requests_counts(redis_url: str, naps: Naps) -> None:
    """At one request a second, the last of eight threads would wait for eight: it gives way instead."""
    others = Others(need=True)
    ready, go_on = threading.Event(), threading.Event()

    def sleep(seconds: float) -> None:
        ready.set()
        go_on.wait(10)
        naps.sleep(max(seconds, GIVES_WAY))

    one = throttle.shared(redis_url, "api.example/1", 1.0, sleep, others, naps.clock)
    one.wait()
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(one.wait)
        assert ready.wait(10)
        second = threads.submit(one.wait)
        while not second.running():
            time.sleep(0.01)
        time.sleep(0.1)
        go_on.set()
        first.result(10)
        with pytest.raises(GivingWay):
            second.result(10)


def test_a_cool_down_is_waited_for_unless_others_need_the_process(
    throttled: Callable[..., Throttle], naps: Naps
) -> None:
    """A cool-down within the request's budget counts as too long as soon as others need the process."""
    others = Others(need=True)
    one = throttled(others)
    one.cool(GIVES_WAY + 5)
    with pytest.raises(Cooling):
        one.wait(60)
    assert (one.longest_wait(60), one.longest_wait(1), one.longest_wait(math.inf)) == (
        GIVES_WAY,
        1,
        GIVES_WAY,
    )
    others.need = False
    assert one.longest_wait(60) == 60


@pytest.mark.parametrize(
    ("knob", "answer", "error"),
    [("too_many_requests", {"answer": "none"}, Throttled), ("unavailable", {}, Unavailable)],
    ids=["429", "503"],
)
def test_an_account_that_gets_nothing_but_errors_rests(
    sandbox: Sandbox,
    throttled: Callable[..., Throttle],
    naps: Naps,
    knob: str,
    answer: dict[str, str],
    error: type[TryLater],
) -> None:
    """Within seconds the request is given up, and no worker tries again for a minute."""
    pace = throttled(Others(need=True))
    endpoint = Endpoint(sandbox.url, ACCOUNT, client_id=USER, client_secret=SECRET)
    with closing(Api(endpoint, pace, sleep=naps.sleep)) as api:
        realm = api.default_realm()
        alice = credential(realm, "alice")
        sandbox.knobs(**{knob: {"probability": 1, "method": "POST"} | answer})
        with pytest.raises(error) as caught:
            api.create(Family.ACCOUNT, realm, [alice], Permits())
        assert caught.value.retry_after == RESTS
        assert sum(naps.taken) <= GIVES_WAY
        sent = len(posts(sandbox))
        with pytest.raises(Throttled):
            api.create(Family.ACCOUNT, realm, [alice], Permits())
        assert len(posts(sandbox)) == sent


def test_existing_keys_are_counted(redis_url: str) -> None:
    """Redis has no empty lists, so a queue's key exists while it has messages; no answer counts as none."""
    import redis

    with closing(redis.Redis.from_url(redis_url)) as client:
        client.lpush("a", "message")
        assert existing(redis_url, ["a", "b"]) == 1
        client.rpop("a")
    assert existing(redis_url, ["a", "b"]) == 0
    assert existing("redis://127.0.0.1:1/0", ["a"]) == 0


@pytest.mark.parametrize(("need", "sent"), [(True, 2), (False, 3)])
def test_a_turn_is_short_where_others_need_the_process(ledger: Ledger, need: bool, sent: int) -> None:
    """A chunk that takes long is released after its short turn, with its outcomes, and due at once."""
    api = Registrar()
    job = start_job(ledger, [make_chunk_row(line) for line in range(2, 11)], batch_size=3)
    with process(ledger, job, api, others_wait=Others(need)) as worker:
        api.before = lambda batch: worker.clock.advance(SHORT_TURN * 0.6)
        worker.deliver()
    assert len(api.posts) == sent
    assert len(told(ledger, job)) == 3 * sent
    assert TURN > 3 * SHORT_TURN
    assert ledger.chunks.due(job.id, idle=False) == ([0] if need else [])


def test_a_chunk_that_gives_way_comes_back_at_its_time(ledger: Ledger, clock: Clock) -> None:
    """It says nothing about the service: the job runs, no patience is used up, and no row is in doubt."""
    api = Registrar()
    job = start_job(ledger, [make_chunk_row(2), make_chunk_row(3)], batch_size=1)

    def slow(batch: object) -> None:
        if len(api.posts) == 1:
            raise GivingWay("other accounts need the process", "", 100.0)

    with process(ledger, job, api) as worker:
        api.before = slow
        worker.deliver()
        assert ledger.jobs.state(job.id) is JobState.RUNNING
        assert ledger.waits.away(job.id) == []
        clock.advance(99)
        assert ledger.chunks.due(job.id, idle=True) == []
        clock.advance(2)
        assert ledger.chunks.due(job.id, idle=True) == [0]
        api.before = lambda batch: None
        worker.deliver()
    assert told(ledger, job) == dict.fromkeys((2, 3), (Status.CREATED, ""))
    assert api.looks == []


def test_a_worker_takes_messages_in_the_fair_order(redis_url: str) -> None:
    """A real worker on Redis: while one process is held for an account, the other one serves the others."""
    app = make_app(RuntimeConfig(redis_url, "", (), [Endpoint("", "")]))
    begun = SimpleQueue[str]()
    gates = {name: threading.Semaphore(0) for name in ("slow", "fast")}

    @app.task(name="hold", shared=False)
    def hold(name: str) -> None:
        begun.put(name)
        gates[name].acquire()

    for name in ("slow", "fast"):
        for _ in range(3):
            hold.apply_async(args=(name,), queue=name)
    order = []
    with embedded_worker(app, "slow", "fast"):
        try:
            order += sorted([begun.get(timeout=30), begun.get(timeout=30)])
            for _ in range(3):
                gates["fast"].release()
                order.append(begun.get(timeout=30))
        finally:  # whatever was taken ends, so that the worker does
            for gate in gates.values():
                gate.release(9)
    assert order == ["fast", "slow", "fast", "fast", "slow"]  # the third "fast" was the last of its queue
