"""One round of a chaos run: a job under faults, its end, and the judgement about it."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.chaos import oracle, rosters, schedule
from tests.chaos.injector import Injector
from tests.chaos.rosters import Wanted
from tests.chaos.tally import JOBS, ROWS, Tally
from tests.chaos.user import Unexpected, User, wait_until
from tests.chaos.world import World
from tests.system.rosters import result_rows

PATIENCE = 200.0
"""Seconds that a job may take when all faults are over: more than a lease, which a dead worker may leave."""

_ALONE = 15.0
"""Seconds of them that the user lets pass before resuming."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Parameters of a round, all drawn from the seed."""

    number: int
    broker: bool
    detached: bool
    crowded: bool
    options: Sequence[str]
    rows: Sequence[Wanted]
    events: Sequence[schedule.Event]
    storm: float
    """Seconds after which the faults end, should the job not have ended before."""

    @property
    def name(self) -> str:
        """The round's part of a file name."""
        return f"round-{self.number:03d}"

    def __str__(self) -> str:
        mode = ("detached" if self.detached else "attached") if self.broker else "embedded"
        account = "crowded" if self.crowded else "empty"
        return f"{self.name}: {mode}, {account} account, {len(self.rows)} rows, {' '.join(self.options)}"


def plan(seed: int, number: int, *, rows: int, storm: float, broker_gaps: schedule.Gaps) -> Plan:
    """The round with this number of the run with this seed; every fifth is in embedded mode.

    In the sixth of every ten a worker sleeps for longer than its lease, so it has more to do meanwhile.
    """
    luck = random.Random(f"{seed}/{number}")
    broker = number % 5 != 4
    crowded = luck.random() < 0.4
    asleep = [schedule.Event(5.0, schedule.Fault.OUTSLEPT, luck.getrandbits(32))] if number % 10 == 5 else []
    if asleep:
        rows, storm = 2 * rows, max(storm, 150.0)
    options = {
        "--api": luck.choice(["account", "realm"]),
        "--batch-size": luck.choice(["2", "2", "3", "5"]),
        "--chunk-size": luck.choice(["20", "40", "80"]),
        "--concurrency": luck.choice(["2", "4", "8"]),
        "--patience": luck.choice(["3", "20", "600"]),
    }
    return Plan(
        number, broker, broker and luck.random() < 0.3, crowded,
        [word for pair in options.items() for word in pair],
        rosters.make(luck, luck.randint(rows // 2, rows * 3 // 2), crowded=crowded),
        asleep + schedule.schedule(luck, broker_gaps if broker else schedule.EMBEDDED, storm), storm,
    )  # fmt: skip


class Round:
    """Runs one plan in a world."""

    def __init__(self, world: World, tally: Tally, plan: Plan) -> None:
        self._world = world
        self._tally = tally
        self._plan = plan

    def run(self) -> list[oracle.Violation]:
        """Run the round; return every promise that was broken."""
        try:
            return self._run()
        except Unexpected as error:
            return [oracle.Violation("wrong", str(error))]

    def _run(self) -> list[oracle.Violation]:
        plan, sandbox = self._plan, self._world.sandbox
        sandbox.reset()
        sandbox.knobs(seed=plan.number)
        host = rosters.realm_host(sandbox)
        rosters.settle_in(sandbox, plan.rows, host)
        path = rosters.write_roster(self._world.folder / "rosters" / f"{plan.name}.csv", plan.rows)
        user = User(self._world, self._tally, plan.name, [path, *plan.options], self._settings(),
                    detached=plan.detached)  # fmt: skip
        if not self._comes_to_an_end(user):
            return [oracle.Violation("lost", f"job {user.job} does not end, {PATIENCE:g} s after all faults")]
        violations = self._judge(user, host)
        self._tally.read_log(sandbox.log())
        self._tally.add(JOBS)
        self._tally.add(ROWS, len(plan.rows))
        return violations

    def _settings(self) -> Mapping[str, str]:
        return self._world.broker if self._plan.broker else {}

    def _comes_to_an_end(self, user: User) -> bool:
        """Let faults strike until the storm is over; return whether the job ends."""
        injector = Injector(self._world, self._tally, user, self._plan.events)

        def over() -> bool:
            injector.tick()
            return user.look()

        try:
            ended = wait_until(over, self._plan.storm)
        finally:
            injector.mend()
        if ended or wait_until(over, _ALONE):
            return True
        user.insist()
        return wait_until(over, PATIENCE)

    def _judge(self, user: User, host: str) -> list[oracle.Violation]:
        plan, sandbox = self._plan, self._world.sandbox
        results: list[oracle.Result] = list(result_rows(user.summary()["files"]["results"]))
        violations: list[oracle.Violation] = []
        if any(result["bw__status"] == "unknown" for result in results):
            before = set(sandbox.digests())
            self._tally.add("rows unknown before the retry",
                            sum(result["bw__status"] == "unknown" for result in results))  # fmt: skip
            retried = result_rows(user.retry()["files"]["results"])
            violations += oracle.falsely_claimed(retried, before)
            results = oracle.overlaid(results, retried)
        self._tally.statuses.update(result["bw__status"] for result in results)
        truth = oracle.Truth(sandbox.credentials(deleted=True), host, user.job)
        return violations + oracle.judge(plan.rows, results, truth)
