"""How long those who guess have to wait."""

from __future__ import annotations

from tests.unit.jobs import Clock
from worker.web.sign_in_throttle import SignInThrottle


def refuse(throttle: SignInThrottle, address: str, number: int) -> None:
    """Refuse an address so often."""
    for _ in range(number):
        throttle.refused(address)


def test_the_wait_doubles_up_to_a_minute() -> None:
    """Some tries are free, then each wait is twice as long, and ends; it never grows beyond a minute."""
    clock = Clock(1000.0)
    throttle, waits = SignInThrottle(2, clock), []
    for _ in range(11):
        waits.append(throttle.wait("192.0.2.1"))
        clock.advance(waits[-1])
        assert throttle.wait("192.0.2.1") == 0
        throttle.refused("192.0.2.1")
    assert waits == [0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_each_address_waits_for_itself() -> None:
    """Others don't wait; an IPv6 client has a whole /64 network, and is one."""
    throttle = SignInThrottle(1, Clock(1000.0))
    refuse(throttle, "192.0.2.1", 3)
    refuse(throttle, "2001:db8::1", 3)
    assert throttle.wait("192.0.2.1") > 0
    assert throttle.wait("192.0.2.2") == 0
    assert throttle.wait("2001:db8::ffff:2") > 0
    assert throttle.wait("2001:db8:0:1::1") == 0
    refuse(throttle, "", 3)
    assert throttle.wait("") > 0


def test_a_right_token_and_time_forgive() -> None:
    """After a right token, or a quarter of an hour, an address begins anew."""
    clock = Clock(1000.0)
    throttle = SignInThrottle(2, clock)
    refuse(throttle, "192.0.2.1", 5)
    throttle.accepted("192.0.2.1")
    assert throttle.wait("192.0.2.1") == 0
    refuse(throttle, "192.0.2.1", 5)
    clock.advance(901)
    refuse(throttle, "192.0.2.1", 1)
    assert throttle.wait("192.0.2.1") == 0


def test_memory_is_bounded() -> None:
    """Many addresses push out the oldest ones, not the ones that still guess."""
    throttle = SignInThrottle(1, Clock(1000.0))
    refuse(throttle, "192.0.2.1", 2)
    for number in range(10_001):
        throttle.refused(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
        if number == 5000:
            refuse(throttle, "192.0.2.2", 2)
    assert throttle.wait("192.0.2.1") == 0
    assert throttle.wait("192.0.2.2") > 0
