"""The short form of the chaos run; ``make chaos`` is the long one."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from tests.chaos import schedule
from tests.chaos.campaign import Campaign
from tests.chaos.schedule import Fault
from tests.chaos.tally import LOST_AFTER

SEED = 20_260_801
ROUNDS = (1, 2, 3, 4)
"""The last of them is in embedded mode."""

GAPS = {**schedule.BROKER, Fault.REDIS_KILLED: 8.0, Fault.REDIS_WIPED: 8.0, Fault.REDIS_FROZEN: 15.0}


@pytest.mark.timeout(900)
def test_nothing_is_lost_or_doubled_under_random_faults(tmp_path: Path) -> None:
    """Each row of four jobs gets its one correct outcome despite kills, wipes, freezes and lost answers.

    Guards: the sweep (kills, wipes), claims and fencing (duplicates, frozen workers), asking after a lost
    answer (answers lost after the commit), ``resume`` (killed commands).
    """
    with closing(Campaign(SEED, tmp_path / "chaos", groups=3, broker_gaps=GAPS)) as campaign:
        for number in ROUNDS:
            campaign.run_round(number, rows=160, storm=15.0)
        campaign.look_for_canaries()
    done = campaign.tally.done  # what a busy machine can still be expected to get done
    assert campaign.violations == [], campaign.tally.shown()
    assert done[Fault.GROUP_KILLED] >= 5
    assert done[Fault.COMMAND_KILLED] >= 1
    assert done[LOST_AFTER] >= 10
    assert done[Fault.REDIS_KILLED] + done[Fault.REDIS_WIPED] + done[Fault.REDIS_FROZEN] >= 1
