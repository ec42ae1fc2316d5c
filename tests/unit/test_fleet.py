"""Which account's message is next, and when a process is needed by another account."""

from __future__ import annotations

from collections.abc import Sequence

from tests.unit.jobs import Clock
from worker.fleet import FairCycle, OtherQueues, queue_name


class Pool:
    """A pool whose messages the test takes and ends; ``cycle`` asks it for what is held."""

    def __init__(self, *queues: str) -> None:
        self.held: list[str] = []
        self.cycle = FairCycle(lambda: self.held)
        self.cycle.update(queues)

    def take(self, *empty: str) -> str:
        """Take a message as Redis gives it: from the first queue in order that isn't empty."""
        order = self.cycle.consume(len(self.cycle.consume(9)))
        taken = next(queue for queue in order if queue not in empty)
        self.held.append(self.cycle.rotate(taken))
        return taken


def test_queues_are_served_in_turn() -> None:
    """Accounts whose chunks take equally long are served one after the other."""
    pool = Pool("a", "b", "c")
    taken = []
    for _ in range(6):
        taken.append(pool.take())
        pool.held.clear()
    assert taken == ["a", "b", "c", "a", "b", "c"]


def test_a_free_process_goes_to_the_account_that_holds_fewest() -> None:
    """An account whose chunks take for ever gets no second process while another account has messages."""
    pool = Pool("slow", "fast")
    assert [pool.take(), pool.take()] == ["slow", "fast"]
    for _ in range(5):
        pool.held.remove("fast")
        assert pool.take() == "fast"
    pool.held.remove("fast")
    assert pool.take("fast") == "slow"  # no process idles while there are messages
    pool.held.remove("slow")
    assert pool.take() == "fast"


def test_queues_come_and_go() -> None:
    """Kombu sets the queues anew; one that was served although it is gone stays away."""
    pool = Pool("a", "b")
    pool.cycle.update(["b", "c"])
    pool.cycle.rotate("a")
    assert pool.cycle.consume(5) == ["b", "c"]
    assert pool.cycle.consume(1) == ["b"]


class Keys:
    """The keys of a Redis that takes ``seconds`` to answer."""

    def __init__(self, clock: Clock, *there: str) -> None:
        self.clock, self.there, self.seconds, self.asked = clock, set(there), 0.0, 0

    def existing(self, keys: Sequence[str]) -> int:
        self.asked += 1
        self.clock.advance(self.seconds)
        return len(self.there & {*keys})


def test_only_the_messages_of_others_count() -> None:
    """An account's own messages are no reason to give way."""
    clock = Clock()
    queues = OtherQueues(["a", "b", "c"], Keys(clock, "a").existing, clock)
    assert [queues.have_messages(own) for own in ("a", "b", "c")] == [False, True, True]


def test_redis_is_asked_once_a_second_at_most() -> None:
    """An answer holds for a second; after one that took five seconds Redis is left alone for longer."""
    clock = Clock()
    keys = Keys(clock, "b")
    queues = OtherQueues(["a", "b"], keys.existing, clock)
    assert [queues.have_messages("a") for _ in range(9)] == [True] * 9
    assert keys.asked == 1
    keys.there.clear()
    keys.seconds = 5.0
    clock.advance(1)
    assert not queues.have_messages("a")
    clock.advance(20)
    assert not queues.have_messages("a")
    assert keys.asked == 2
    clock.advance(1)
    assert not queues.have_messages("a")
    assert keys.asked == 3


def test_a_queue_is_named_after_ledger_host_and_account() -> None:
    """The name never changes: messages of an earlier version are on such queues."""
    assert queue_name("0123456789", "https://api.example", "1") == "siproster.01234567.845a77c433"
    names = {queue_name(*one) for one in [("a", "h", "1"), ("b", "h", "1"), ("a", "g", "1"), ("a", "h", "2")]}
    assert len(names) == 4
