"""``python -m tests.chaos.hostile``: jobs against a hostile service, and undone, with the truth as the judge.

Each scenario is drawn from the seed: rows to create and to set, in either family; a service that does what it
is asked or doesn't, and answers something else; another ledger's job on the same account; workers that die;
stops and cancels in the middle. Exit code 1 when an outcome, or what undo did, was not true.
"""

from __future__ import annotations

import argparse
import random
import secrets
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from tests.chaos.judge import Judge
from tests.chaos.liar import BEFORE, MINE, OTHERS, STALL, Account, Liar, Temper
from tests.integration.api_client import Naps
from tests.integration.deliveries import process
from tests.unit.jobs import (
    HOST,
    KEY,
    OTHER_HOST,
    OTHER_REALM,
    OVER,
    REALM,
    Clock,
    digests_of,
    make_chunk_row,
    start_job,
)
from worker import throttle
from worker.api import Api
from worker.errors import LedgerError, SiprosterError
from worker.importing.chunk_session import LEASE
from worker.importing.undo import Undo, UndoTerms
from worker.ledger import WRITER_LEASE, Ledger
from worker.model import Answer, Credential, Endpoint, Family, Job, JobState, Realm, Row, Stored
from worker.seal import Seal

REALMS = {REALM.id: HOST, OTHER_REALM.id: OTHER_HOST}
APPLICATION = "3f2b8c1e-7a64-4d0f-9b35-c1e8a2d47f60"
ROUNDS = 40
"""Rounds of deliveries, or of undo, before the faults end."""


class Died(BaseException):
    """Raised in place of a SIGKILL: the program catches no such exception."""


class MortalApi(Api):
    """The client of a worker that sometimes dies after a list was answered."""

    luck = random.Random()
    dies = 0.0

    def create(self, family: Family, realm: Realm, batch: Sequence[Row | Credential], permit: Any) -> Answer:
        """Create as the client does, and then perhaps die."""
        answer = super().create(family, realm, batch, permit)
        if self.luck.random() < self.dies:
            raise Died
        return answer


@dataclass(frozen=True)
class Scenario:
    """Parameters of a scenario, all drawn from the seed."""

    number: int
    luck: random.Random
    family: Family
    temper: Temper
    rows: Sequence[Row]
    options: dict[str, Any]
    threads: int
    dies: float
    cancelled_after: int
    """Rounds of deliveries; many: never."""

    @property
    def alone(self) -> bool:
        """Return whether nobody else works on the account."""
        return not (self.temper.others or self.temper.overtakes)


def draw(seed: int, number: int) -> Scenario:
    """Draw the scenario with this number from the run's seed."""
    luck = random.Random(f"{seed}/{number}")
    crowd = luck.random() < 0.5
    temper = Temper(
        faults=luck.choice([0.0, 0.1, 0.3, 0.6]), lies=luck.choice([0.0, 0.2, 0.6]),
        commits=luck.choice([0.2, 0.5, 0.9]), others=0.1 * crowd, overtakes=luck.choice([0.0, 0.3]) * crowd,
        lag=luck.choice([0, 0, 0, 1, 2]), bound=luck.choice([3, 1000]),
    )  # fmt: skip
    rows = []
    for line in range(2, 2 + luck.randint(3, 14)):
        domain = luck.choice(["", "", "pbx.example"])
        application = luck.choice(["", APPLICATION])
        rows.append(make_chunk_row(line, f"user{line}", domain=domain, realm=luck.randint(0, 1),
                                   application=application))  # fmt: skip
    family = luck.choice(list(Family))
    return Scenario(
        number, luck, family, temper, rows, {"batch_size": luck.randint(1, 6)}, luck.randint(1, 3),
        luck.choice([0.0, 0.0, 0.2]), luck.choice([1, 3, 99, 99, 99]),
    )  # fmt: skip


class Run:
    """One scenario: the job, its end, its undo, and everything untrue that was said of them."""

    def __init__(self, scenario: Scenario, liar: Liar, ledger: Ledger, clock: Clock) -> None:
        self.scenario = scenario
        self.luck = scenario.luck
        self.ledger = ledger
        self.clock = clock
        self.url = liar.url
        self.name = f"{9_900_000 + scenario.number}"
        self.account = liar.accounts[self.name] = Account(
            self.luck, Temper(), REALMS, by_realm=scenario.family is Family.REALM
        )
        self.rows = [self._settled_in(row) for row in scenario.rows]
        self.account.refused = {row.composite: "23019" for row in self.rows if self.luck.random() < 0.08}
        self.account.respelt = {row.composite for row in self.rows if self.luck.random() < 0.05}
        self.account.mangled = {row.composite for row in self.rows if self.luck.random() < 0.05}
        self.account.others_do = self._others_do
        self.statuses: Counter[str] = Counter()

    def run(self) -> list[str]:
        """Run the scenario; return everything untrue that was said."""
        with self._api() as api:
            job = self._work(api)
            judge = Judge(self.account, self.ledger, job, self.rows, alone=self.scenario.alone)
            wrong = judge.of_outcomes()
            self.statuses.update(f"{one.status}" for one in judge.outcomes.values())
            self.account.temper = replace(self.account.temper, others=0.0, overtakes=0.0)
            self.account.show_all()
            if self.ledger.jobs.state(job.id).active:
                self.ledger.jobs.stop(job.id, OVER[JobState.CANCELLED])
            self.clock.advance(max(LEASE, WRITER_LEASE) + 1)
            self.ledger.chunks.recall(job.id)
            self._undo(api, job)
            wrong += judge.of_undo()
            if self.scenario.alone:
                self._undo(api, job, include_unproven=True)
                wrong += judge.of_all_undone()
        return [f"scenario {self.scenario.number}: {one}" for one in wrong]

    def _settled_in(self, row: Row) -> Row:
        """Store some rows' users with another password, so that they are to be updated."""
        if self.luck.random() > 0.3:
            return row
        digests = f"{row.line:032x}", f"{row.line + 500:032x}"
        application = self.luck.choice(["", APPLICATION])
        held = self.account.make(self._host(row), row.composite, digests, application, BEFORE)
        assert held is not None
        before = Stored(held.id, held.name, held.realm, *digests, application)
        return replace(row, stored=before)

    @staticmethod
    def _host(row: Row) -> str:
        return (HOST, OTHER_HOST)[row.realm_key]

    def _others_do(self) -> None:
        """Let another ledger's job create or update one of the same users, with any password."""
        row = self.luck.choice(self.rows)
        same = digests_of(row, self._host(row))
        wanted = same if self.luck.random() < 0.7 else ("c1" * 16, "d1" * 16)
        place = self.account.place((REALM.id, OTHER_REALM.id)[row.realm_key], row.composite)
        held = self.account.users.get(place)
        if held is None:
            self.account.make(self._host(row), row.composite, wanted, row.application, OTHERS)
            return
        back = MINE in held.set_by and wanted == same  # to and fro: nobody could see that
        if held.made_by == BEFORE and held.hash1 != wanted[0] and not back:
            self.account.set(held, wanted, None, OTHERS)

    @contextmanager
    def _api(self) -> Iterator[MortalApi]:
        naps = Naps()
        pace = throttle.local(None, naps.sleep, naps.clock)
        endpoint = Endpoint(self.url, self.name, username="u", password="p")
        with closing(MortalApi(endpoint, pace, sleep=naps.sleep, budget=4, deadline=STALL / 2)) as api:
            api.luck = self.luck
            yield api

    def _work(self, api: MortalApi) -> Job:
        """Deliver until the job has ended, or is cancelled; it is resumed as often as it stops."""
        scenario = self.scenario
        job = self._begun()
        self.account.temper, api.dies = scenario.temper, scenario.dies
        for number in range(2 * ROUNDS):
            if number == scenario.cancelled_after:
                self.ledger.jobs.stop(job.id, OVER[JobState.CANCELLED])
            if number == ROUNDS:
                self.account.temper, api.dies = replace(self.account.temper, faults=0.0), 0.0
            if not self._one_round(api, job):
                break
        return self.ledger.jobs.get(job.id)

    def _begun(self) -> Job:
        """The job, started. Two that begin within a second get the same id once in 65,536 times."""
        start = partial(start_job, self.ledger, *self._chunks(), looked=True, account=self.name,
                        host=self.url, api=self.scenario.family, **self.scenario.options)  # fmt: skip
        try:
            return start()
        except LedgerError:
            return start()

    def _chunks(self) -> list[list[Row]]:
        """With the realm family a chunk goes to one realm."""
        by_realm = self.scenario.family is Family.REALM
        shelves = [[row for row in self.rows if row.realm_key == key or not by_realm] for key in (0, 1)]
        return [shelf[at : at + 5] for shelf in shelves[: 1 + by_realm] for at in range(0, len(shelf), 5)]

    def _one_round(self, api: MortalApi, job: Job) -> bool:
        """Work on the due chunks once; return whether there is more to do."""
        state = self.ledger.jobs.state(job.id)
        if state in (JobState.DONE, JobState.CANCELLED):
            return False
        if state is JobState.STOPPED:
            self.ledger.jobs.start(job.id)
        self.ledger.accounts.acquire(job, "desk:1")
        for seq in self.ledger.chunks.due(job.id, idle=True):
            with process(self.ledger, job, api, threads=self.scenario.threads) as worker, suppress(Died):
                worker.deliver(seq)
        self.clock.advance(400)
        self.ledger.jobs.finish(job.id)
        return True

    def _undo(self, api: Api, job: Job, *, include_unproven: bool = False) -> None:
        """Undo the job again and again, as a user would; the last time without a fault."""
        temper = self.account.temper
        for number in range(ROUNDS):
            if number == ROUNDS // 2:
                self.account.temper = replace(temper, faults=0.0)
            terms = UndoTerms(
                lambda deadline: None, threading.Event(), self.scenario.threads, include_unproven
            )
            undoing = Undo(self.ledger, Seal([KEY]), api, job, terms)
            try:
                for _ in undoing.run():
                    self.account.show_all()
            except SiprosterError:
                continue
            if not self.ledger.undone.counts(job.id).get("failed"):
                break
        self.account.temper = temper


@dataclass
class Campaign:
    """Run many scenarios, and collect what went wrong and the rows' statuses."""

    seed: int
    wrong: list[str]
    statuses: Counter[str]

    def run(self, folder: Path, scenarios: int, first: int = 0) -> None:
        """Run each scenario on an account of its own, in one ledger."""
        clock = Clock()
        with closing(Liar()) as liar, closing(Ledger(f"sqlite:///{folder}/ledger.db", clock)) as ledger:
            for number in range(first, first + scenarios):
                one = Run(draw(self.seed, number), liar, ledger, clock)
                self.wrong += one.run()
                self.statuses += one.statuses


def main() -> int:
    """Run a campaign as the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.hostile", description=__doc__)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000))
    parser.add_argument("--scenarios", type=int, default=500)
    parser.add_argument("--first", type=int, default=0, help="the number of the first one")
    given = parser.parse_args()
    began = time.monotonic()
    campaign = Campaign(given.seed, [], Counter())
    with tempfile.TemporaryDirectory(prefix="siproster-hostile-") as folder:
        campaign.run(Path(folder), given.scenarios, given.first)
    told = ", ".join(f"{status} {rows:,}" for status, rows in sorted(campaign.statuses.items()))
    print(f"seed {given.seed}: {given.scenarios} scenarios in {time.monotonic() - began:.0f} s; rows: {told}")
    for line in campaign.wrong:
        print(f"  {line}")
    print(f"not true: {len(campaign.wrong)}")
    return 1 if campaign.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
