"""The negative control: without the sweep the queue does lose work, and the harness sees it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.chaos import rosters
from tests.chaos.oracle import Truth, judge
from tests.chaos.tally import Tally
from tests.chaos.user import User, wait_until
from tests.chaos.world import World
from tests.system.rosters import result_rows


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A world in which nobody sweeps and nobody works yet."""
    with closing(World(tmp_path / "chaos", groups=0)) as world:
        world.kill(world.scheduler)
        yield world


def kinds(world: World, rows: list[rosters.Wanted], job: str) -> set[str]:
    """The kinds of promises that are broken, as the job stands now."""
    report = world.program.run("report", job, "--json", stdin="", seconds=60, **world.broker)
    truth = Truth(world.sandbox.credentials(deleted=True), rosters.realm_host(world.sandbox), job)
    return {found.kind for found in judge(rows, result_rows(report.json["files"]["results"]), truth)}


@pytest.mark.timeout(300)
def test_a_wiped_queue_loses_rows_until_somebody_sweeps(world: World) -> None:
    """After FLUSHALL a working worker never gets the other chunks; one scheduler brings them all back.

    Guard: ``importing.sweep``, which is all that the second half has more than the first.
    """
    rows = rosters.make(random.Random(1), 60, crowded=False)
    roster = rosters.write_roster(world.folder / "rosters" / "control.csv", rows)
    user = User(world, Tally(), "control", [roster, "--chunk-size", "20"], world.broker, detached=True)
    assert user.command.wait(60) == 0
    with world.redis.client() as client:
        client.flushall()
    world.add_worker()
    world.deliver(user.job, [0], times=1)
    assert wait_until(lambda: len(world.sandbox.credentials()) >= 10, 60)
    wait_until(lambda: False, 5)  # long enough for a worker that is idle to take anything that is there
    assert kinds(world, rows, user.job) == {"lost"}
    world.scheduler.start()
    assert wait_until(lambda: world.query("SELECT state FROM jobs") == [("done",)], 120)
    assert kinds(world, rows, user.job) == set()
