"""The simulated nights show what docs/scaling.md says: nobody starves, and no account holds the others up."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.benchmarks.queue_simulation import NIGHTS, Night, Simulation, figures, jain

SMALL, MIDDLE, _ = NIGHTS


@pytest.mark.parametrize("night", [SMALL, MIDDLE], ids=["10", "1000"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_no_account_starves_beside_one_that_stands_still(night: Night, seed: int) -> None:
    """All rosters end; with kombu's own order, and nobody giving way, the worst wait is twice as long."""
    fair, in_turn = (figures(Simulation(night, fair=fair, seed=seed).run()) for fair in (True, False))
    assert fair.unfinished == 0
    assert 2 * fair.longest_wait < in_turn.longest_wait
    assert 2 * fair.median_wait < in_turn.median_wait


def test_the_same_seed_is_the_same_night() -> None:
    """A night can be looked at again; another seed is another night."""
    first, again, other = (figures(Simulation(MIDDLE, seed=seed).run()) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_twice_the_processes_wait_less() -> None:
    """The model reacts to what docs/scaling.md advises: more processes, or times spread over the night."""
    usual = figures(Simulation(MIDDLE).run()).longest_wait
    assert figures(Simulation(replace(MIDDLE, workers=4)).run()).longest_wait < 0.7 * usual
    assert figures(Simulation(replace(MIDDLE, spread=2.0)).run()).longest_wait < 0.7 * usual


def test_jains_index() -> None:
    """Equal shares are 1; one of n who has everything is 1/n."""
    assert jain([3.0, 3.0, 3.0]) == pytest.approx(1)
    assert jain([1.0, 0.0, 0.0, 0.0]) == pytest.approx(0.25)
