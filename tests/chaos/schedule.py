"""Draw from a seed, before anything runs, which faults strike and when."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Fault(StrEnum):
    """A fault that a chaos run injects into the program or its servers; its value names it in reports."""

    GROUP_KILLED = "worker groups killed"
    POOL_KILLED = "pool processes killed"
    COMMAND_KILLED = "importing commands killed"
    SCHEDULER_KILLED = "schedulers killed"
    REDIS_KILLED = "Redis killed"
    REDIS_WIPED = "Redis wiped"
    REDIS_FROZEN = "Redis frozen"
    CLAIM_OUTLIVED = "workers frozen, their leases ended"
    OUTSLEPT = "workers frozen for longer than a lease"
    DUPLICATED = "chunks delivered three times"
    WEATHER = "changes of the service's faults"


@dataclass(frozen=True, slots=True, order=True)
class Event:
    """One fault, ``at`` seconds after the job began; ``luck`` decides about its details."""

    at: float
    fault: Fault
    luck: int


Gaps = Mapping[Fault, float]
"""Mean seconds between two faults of a kind."""

BROKER: Gaps = {
    Fault.WEATHER: 5.0,
    Fault.GROUP_KILLED: 1.8,
    Fault.POOL_KILLED: 6.0,
    Fault.COMMAND_KILLED: 9.0,
    Fault.SCHEDULER_KILLED: 20.0,
    Fault.REDIS_KILLED: 30.0,
    Fault.REDIS_WIPED: 30.0,
    Fault.REDIS_FROZEN: 45.0,
    Fault.CLAIM_OUTLIVED: 30.0,
    Fault.DUPLICATED: 6.0,
}
EMBEDDED: Gaps = {Fault.WEATHER: 4.0, Fault.COMMAND_KILLED: 3.0}


def schedule(luck: random.Random, gaps: Gaps, seconds: float) -> list[Event]:
    """Faults of all kinds, each at its own rate (a Poisson process), in their order; bad weather at once."""
    events = [Event(0.0, Fault.WEATHER, luck.getrandbits(32))]
    for fault, gap in gaps.items():
        at = luck.expovariate(1 / gap)
        while at < seconds:
            events.append(Event(at, fault, luck.getrandbits(32)))
            at += luck.expovariate(1 / gap)
    return sorted(events)
