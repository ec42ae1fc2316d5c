"""``python -m tests.chaos.campaign``: rounds of chaos for a given time; exit code 1 when a promise broke.

Prints what it did and what came of it. The evidence of a run that broke a promise is kept.
"""

from __future__ import annotations

import argparse
import secrets
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from tests.chaos import canaries
from tests.chaos.oracle import Violation
from tests.chaos.rounds import Round, plan
from tests.chaos.schedule import BROKER, Fault, Gaps
from tests.chaos.tally import LOST_AFTER, ROWS, Tally
from tests.chaos.world import World

GOALS: Mapping[str, int] = {
    Fault.GROUP_KILLED: 200,
    Fault.COMMAND_KILLED: 20,
    Fault.REDIS_KILLED: 10,
    Fault.REDIS_WIPED: 5,
    Fault.REDIS_FROZEN: 5,
    LOST_AFTER: 2000,
}
"""The least that 15 minutes must do: a run that did little proves little."""

FULL = 900.0
"""Seconds from which on the goals hold."""


class Campaign:
    """Rounds in one world, one after the other."""

    def __init__(self, seed: int, folder: Path, groups: int, broker_gaps: Gaps = BROKER) -> None:
        self.seed = seed
        self.tally = Tally()
        self.violations: list[Violation] = []
        self._gaps = broker_gaps
        self._digests: set[str] = set()
        self.world = World(folder, groups)

    def run(self, seconds: float, rows: int, storm: float) -> None:
        """Start rounds until the time is over, and let the last one finish, however long it takes."""
        began = time.monotonic()
        number = 0
        while time.monotonic() - began < seconds:
            self.run_round(number, rows, storm)
            number += 1

    def run_round(self, number: int, rows: int, storm: float) -> None:
        """Run one round, and print its result in one line."""
        planned = plan(self.seed, number, rows=rows, storm=storm, broker_gaps=self._gaps)
        began = time.monotonic()
        broken = Round(self.world, self.tally, planned).run()
        self._digests.update(
            digest for held in self.world.sandbox.digests().values() for digest in held if digest
        )
        self.violations += broken
        print(
            f"{planned}: {time.monotonic() - began:.1f} s, {len(broken) or 'no'} promises broken", flush=True
        )
        for violation in broken[:5]:
            print(f"    {violation}", flush=True)

    def look_for_canaries(self) -> None:
        """Count every secret that can be read in what the run left as a broken promise."""
        found = canaries.found(self.world, self._digests)
        self.violations += [Violation("canary", place) for place in found]

    def close(self) -> None:
        """End every process; the evidence stays."""
        self.world.close()


def told(campaign: Campaign, seconds: float) -> str:
    """Return a summary of the run: seed, duration, faults, and broken promises by kind."""
    kinds = dict.fromkeys(("lost", "doubled", "unknown", "wrong", "canary"), 0)
    for violation in campaign.violations:
        kinds[violation.kind] += 1
    came = ", ".join(f"{kind} {count}" for kind, count in kinds.items())
    rows = campaign.tally.done[ROWS]
    bound = f"; nothing in {rows:,} rows means less than {3 / rows:.3%} at 95%" if rows else ""
    return f"seed {campaign.seed}, {seconds:.0f} s\n{campaign.tally.shown()}\n  came of it: {came}{bound}"


def missed(tally: Tally) -> list[str]:
    """Return the goals that were not reached."""
    return [
        f"{what}: {tally.done[what]:,} of {goal:,}" for what, goal in GOALS.items() if tally.done[what] < goal
    ]


def main() -> int:
    """Run a campaign as the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.campaign", description=__doc__)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000))
    parser.add_argument("--seconds", type=float, default=FULL)
    parser.add_argument("--rows", type=int, default=900, help="in a roster, about")
    parser.add_argument("--storm", type=float, default=60.0, help="seconds of faults in a round, at most")
    parser.add_argument("--groups", type=int, default=4, help="worker groups")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that no server outlives the run
    folder = Path(tempfile.mkdtemp(prefix="siproster-chaos-"))
    print(f"seed {given.seed}; evidence in {folder}", flush=True)
    began = time.monotonic()
    with closing(Campaign(given.seed, folder, given.groups)) as campaign:
        campaign.run(given.seconds, given.rows, given.storm)
        campaign.look_for_canaries()
    print(told(campaign, time.monotonic() - began))
    short = missed(campaign.tally) if given.seconds >= FULL else []
    for line in [*map(str, campaign.violations), *(f"too little: {line}" for line in short)]:
        print(f"  {line}")
    if campaign.violations:
        print(f"the evidence is in {folder}")
    else:
        shutil.rmtree(folder)
    return 1 if campaign.violations or short else 0


if __name__ == "__main__":
    sys.exit(main())
