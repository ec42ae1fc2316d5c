"""Limits of a template: CPU time and memory, so that a faulty or hostile one can't stall the machine."""

from __future__ import annotations

import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, NoReturn

SECONDS: Final = 1.0
"""CPU seconds for one file of a phone; a usual one takes a thousandth of one."""
_MEMORY: Final = 256 << 20
"""Bytes of address space beyond what the process has already."""


@contextmanager
def limited() -> Iterator[None]:
    """Raise TimeoutError or MemoryError in the block if it takes too much; only in the main thread.

    The limit on memory needs ``/proc``: other systems have the one on time alone.
    """
    before = signal.signal(signal.SIGVTALRM, _stop)
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    with suppress(OSError, ValueError):
        most = [one for one in (_address_space() + _MEMORY, soft, hard) if one != resource.RLIM_INFINITY]
        resource.setrlimit(resource.RLIMIT_AS, (min(most), hard))
    signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _stop(*_: object) -> NoReturn:
    raise TimeoutError


def _address_space() -> int:
    """Return the bytes of address space that the process has (proc(5), statm). Raises OSError."""
    return int(Path("/proc/self/statm").read_text("ascii").split()[0]) * resource.getpagesize()
