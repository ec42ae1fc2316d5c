"""The fault matrix, Redis: killed, wiped, frozen, full. The queue only notifies; the ledger is the truth."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator

import pytest

from tests.chaos.fleet import Fleet, holds, posts
from tests.servers import Redis
from tests.system.rosters import made_once, users
from tests.system.runs import run, until

SMALL = ("--chunk-size", "8", "--batch-size", "4", "--concurrency", "1")


@pytest.fixture
def redis(fleet: Fleet, make_redis: Callable[[], Redis]) -> Iterator[Redis]:
    """The broker of the fleet, to do harm to."""
    broker = make_redis()
    fleet.program.environment["SIPROSTER_BROKER"] = broker.url
    yield broker
    broker.process.send_signal(signal.SIGCONT)


def test_redis_is_killed(fleet: Fleet, redis: Redis) -> None:
    """Workers outlive a Redis that dies under them, and take up work from the one that comes back.

    Guard: tasks._Request, without which a lost acknowledgement stops a worker for good; throttle._Fallback
    for the requests meanwhile.
    """
    fleet.sandbox.knobs(latency=0.3)
    group = fleet.worker()
    job = fleet.begin(users(24), *SMALL)
    until(lambda: posts(fleet.sandbox))
    redis.kill()
    until(lambda: len(fleet.outcomes(job)) >= 8)  # what it had begun goes on without
    until(lambda: group.said("the worker waits for it"))  # so it could not acknowledge
    redis.restart()
    assert fleet.finish(job) == {"created": 24}
    assert group.process.poll() is None
    assert holds(fleet.sandbox, users(24))
    assert made_once(fleet.sandbox)


def test_redis_is_wiped(fleet: Fleet, redis: Redis) -> None:
    """FLUSHALL loses every message; the next sweeps find the chunks in the ledger and put them back.

    Guard: ``:idle = 1 AND enqueued_at < :before`` of chunks.due. Control: without a sweep nothing happens.
    """
    job = fleet.begin(users(24), *SMALL)
    assert fleet.waiting() == 3
    with redis.client() as client:
        client.flushall()
    fleet.worker()
    assert fleet.sweep() == 0  # a message may still be on its way
    fleet.query("UPDATE chunks SET enqueued_at = enqueued_at - 31")
    assert posts(fleet.sandbox) == []
    assert fleet.sweep() == 3
    assert fleet.finish(job) == {"created": 24}
    assert holds(fleet.sandbox, users(24))
    assert made_once(fleet.sandbox)


def test_redis_is_frozen(fleet: Fleet, redis: Redis) -> None:
    """A Redis that says nothing holds up no chunk at work, and once it wakes the rest goes on.

    Guard: throttle.redis_pace.REDIS_TIMEOUT; ``socket_timeout`` of the transport.
    """
    fleet.sandbox.knobs(latency=0.2)
    fleet.worker()
    job = fleet.begin(users(24), "--chunk-size", "8", "--batch-size", "1", "--concurrency", "1")
    until(lambda: posts(fleet.sandbox))
    redis.process.send_signal(signal.SIGSTOP)
    until(lambda: len(fleet.outcomes(job)) >= 8)
    redis.process.send_signal(signal.SIGCONT)
    assert fleet.finish(job) == {"created": 24}
    assert holds(fleet.sandbox, users(24))
    assert made_once(fleet.sandbox)


def test_redis_is_full(fleet: Fleet, redis: Redis) -> None:
    """A full broker is reported at once, exit 5; no chunk counts as queued, and ``resume`` goes on.

    Guard: CeleryQueue._explained; chunks.not_queued.
    """
    with redis.client() as client:
        client.config_set("maxmemory", 1)
        refused = fleet.begun(users(8), *SMALL)
        assert refused.code == 5
        assert "the broker does not take messages" in refused.stderr
        assert "give Redis more memory (maxmemory)" in refused.stderr
        client.config_set("maxmemory", 0)
    (job,) = fleet.ledger.jobs.running()
    assert [chunk["enqueued_at"] for chunk in fleet.chunks(job)] == [None]
    fleet.worker()
    assert run(fleet.program, "resume", job)["counts"] == {"created": 8}
    assert made_once(fleet.sandbox)
