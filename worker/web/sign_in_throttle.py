"""Refused sign-ins, counted by address: after a few, the next one has to wait."""

from __future__ import annotations

import ipaddress
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

_LONGEST_WAIT = 60.0
"""Seconds; short, since people who share an address wait, too."""

_FORGET = 900.0
"""Seconds after which the refusals of an address are forgotten."""

_MOST = 10_000
"""Addresses that are remembered."""


class SignInThrottle:
    """The refused sign-ins of one server. ``free``: how many an address has until it waits."""

    def __init__(self, free: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._free = free
        self._clock = clock
        self._lock = threading.Lock()
        self._refused: OrderedDict[str, tuple[int, float]] = OrderedDict()
        """Address to the number of refusals and the time of the last one."""

    def wait(self, address: str) -> float:
        """Return the seconds until this address may try again; 0: now."""
        with self._lock:
            number, last = self._refused.get(_network(address), (0, 0.0))
        if number < self._free:
            return 0.0
        longest = min(_LONGEST_WAIT, 2.0 ** min(number - self._free, 10))
        return max(0.0, last + longest - self._clock())

    def refused(self, address: str) -> None:
        """Count a refused sign-in."""
        key, now = _network(address), self._clock()
        with self._lock:
            number, last = self._refused.pop(key, (0, now))
            self._refused[key] = (1 if now - last > _FORGET else number + 1, now)
            if len(self._refused) > _MOST:
                self._refused.popitem(last=False)

    def accepted(self, address: str) -> None:
        """Forget the refusals of an address."""
        with self._lock:
            self._refused.pop(_network(address), None)


def _network(address: str) -> str:
    """Return what one client has: an IPv4 address, or the /64 network of an IPv6 address."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(ipaddress.ip_network((parsed, 64), strict=False)) if parsed.version == 6 else address
