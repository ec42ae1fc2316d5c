"""The short form of the campaign against a hostile service; ``make hostile`` is the long one."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from tests.chaos.hostile import Campaign

SEED = 20_260_801
SCENARIOS = 10


def test_outcomes_and_undo_are_true_whatever_is_answered(tmp_path: Path) -> None:
    """``created`` is always true; an undo reports all that it leaves, and removes nobody else's users.

    Guards: an answer that names the row (BatchCreator._match), what contradicts it
    (_without_contradictions), the service's own words (faults.fault), what was sent without them
    (Client.ask), change_log.is_confirmed.
    """
    campaign = Campaign(SEED, [], Counter())
    campaign.run(tmp_path, SCENARIOS)
    assert campaign.wrong == []
    assert campaign.statuses["created"] > 10
    assert campaign.statuses["unknown"] > 0
