"""Times of a datagram's repetitions, and the rate of rows."""

from __future__ import annotations

import pytest

from worker.register.timers import Pace, Timers


def test_datagrams_are_sent_eleven_times_in_32_seconds() -> None:
    """T1 doubles up to T2, and timer F ends the repetitions (RFC 3261, section 17.1.2.2)."""
    waits = list(Timers().waits(lambda: False))
    assert waits == [0.5, 1, 2, 4, 4, 4, 4, 4, 4, 4, 0.5]
    assert sum(waits) == 32


def test_a_provisional_answer_slows_it_down_and_does_not_end_it() -> None:
    """After a provisional answer datagrams are sent every 4 seconds, and no longer than 32 in all."""
    waits = list(Timers().waits(lambda: True))
    assert waits == [0.5, 4, 4, 4, 4, 4, 4, 4, 3.5]


def test_rows_follow_each_other_evenly() -> None:
    """Ten rows a second: each waits a tenth longer than the one before it; lost time is not made up for."""
    clock = [100.0]
    pace = Pace(10, lambda: clock[0])
    assert [round(pace.delay(), 3) for _ in range(3)] == [0, 0.1, 0.2]
    clock[0] = 200.0  # a long answer: nothing is made up for afterwards
    assert [round(pace.delay(), 3) for _ in range(3)] == [0, 0.1, 0.2]


def test_a_rate_beyond_the_clocks_grain_is_kept_on_the_whole() -> None:
    """Waits too short to sleep are added up until they are long enough."""
    pace = Pace(10_000, lambda: 5.0)
    delays = [pace.delay() for _ in range(31)]
    assert delays[:20] == [0] * 20
    assert delays[30] == pytest.approx(0.003)
