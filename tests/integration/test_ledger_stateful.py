"""The ledger under any order of events: workers die, wake late, write twice; messages are lost, doubled."""

from __future__ import annotations

import itertools
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.unit.jobs import AWAY, OVER, Clock, add_settled, make_job
from worker.errors import JobBusy
from worker.ledger import Changes, Claim, Fenced, Ledger
from worker.ledger.accounts import WRITER_LEASE
from worker.model import Job, JobState, Outcome, Realm, Status

LEASE = 120.0
KEPT_FOR = 1000.0
ENDINGS = (Status.CREATED, Status.UNCHANGED, Status.FAILED, Status.EXISTS, Status.UNKNOWN)


def sealed(lines: list[int]) -> bytes:
    """Stands for sealed rows: the ledger knows bytes only."""
    return json.dumps(lines).encode()


@dataclass
class Worker:
    """A process that holds, or believes to hold, a chunk."""

    claim: Claim
    owner: str
    lines: list[int]
    """The chunk's rows, as far as they are still its own after splits."""
    settled: dict[int, Status]
    sent: set[int] = field(default_factory=set)
    """Lines whose answer it waits for."""

    @property
    def open(self) -> list[int]:
        """Lines without an outcome, as far as it knows."""
        return [line for line in self.lines if line not in self.settled]


@dataclass
class Chunk:
    """Model of what the ledger must know about a chunk."""

    lines: list[int]
    state: str = "waiting"
    generation: int = 0
    lease_until: float = 0.0
    due_at: float = 0.0
    attempts: int = 0
    kept_until: float | None = None


class LedgerMachine(RuleBasedStateMachine):
    """One job on one account, by a model that knows what each step must do."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.clock = Clock()
        self.ledger = Ledger(f"sqlite:///{Path(self.folder.name)}/ledger.db", self.clock)
        self.job: Job = make_job()
        self.chunks: dict[int, Chunk] = {}
        self.outcomes: dict[int, Outcome] = {}
        self.maybe_sent: set[int] = set()
        """Lines that were sent by anybody and have no outcome."""
        self.workers: list[Worker] = []
        self.numbers = itertools.count()
        self.queue: list[int] = []
        self.state = JobState.PLANNING
        self.held_until = 0.0
        """Until when the job has its account."""
        self.rival: Job | None = None
        self.requests = 0
        self.changes: list[list[int]] = []
        """Lines of each change in the log."""

    def teardown(self) -> None:
        """Remove the files."""
        self.ledger.close()
        self.folder.cleanup()

    @initialize(sizes=st.lists(st.integers(1, 4), min_size=1, max_size=3), refused=st.integers(0, 2))
    def plan(self, sizes: list[int], refused: int) -> None:
        """The roster is read: some chunks to send, perhaps one of refused rows; then the job starts."""
        jobs, line = self.ledger.jobs, 2
        jobs.begin(self.job, "desk:1")
        jobs.add_realm(self.job.id, 0, "", Realm("17", "office.example"), looked=False)
        for seq, size in enumerate(sizes):
            lines = list(range(line, line + size))
            self.ledger.chunks.add(self.job.id, seq, lines, sealed(lines))
            self.chunks[seq] = Chunk(lines)
            assert self.ledger.chunks.claim(self.job.id, seq, "early:1", LEASE) is None
            line += size
        if refused:
            self._refuse(list(range(line, line + refused)))
        self.ledger.rows.add_page(self.job.id, 0, 2, max(self._lines()), b"page")
        jobs.has_read(self.job.id, len(self._lines()), {})
        assert jobs.start(self.job.id)
        self.state, self.held_until = JobState.RUNNING, self.clock.now + WRITER_LEASE

    def _refuse(self, lines: list[int]) -> None:
        outcomes = [Outcome(line, Status.INVALID, code="too_long") for line in lines]
        seq = len(self.chunks)
        add_settled(self.ledger, self.job, seq, outcomes, sealed(lines), KEPT_FOR)
        kept_until = self.clock.now + KEPT_FOR
        self.chunks[seq] = Chunk(lines, state="ended", kept_until=kept_until)
        self.outcomes.update({outcome.line: outcome for outcome in outcomes})

    def _lines(self) -> list[int]:
        return [line for chunk in self.chunks.values() for line in chunk.lines]

    # The queue, which may lose and double what it carries

    @rule(idle=st.booleans())
    def sweep(self, idle: bool) -> None:
        """Queue what is due: never a chunk that has ended, or whose worker holds a valid lease."""
        for seq in self.ledger.chunks.due(self.job.id, idle=idle):
            chunk = self.chunks[seq]
            assert chunk.state == "waiting" or chunk.lease_until < self.clock.now
            self.queue.append(seq)

    @precondition(lambda self: self.queue)
    @rule(luck=st.integers(0, 99), lost=st.booleans())
    def lose_or_double_a_message(self, luck: int, lost: bool) -> None:
        """Lose a message, as Redis may, or deliver it again later."""
        if lost:
            self.queue.pop(luck % len(self.queue))
        else:
            self.queue.append(self.queue[luck % len(self.queue)])

    @precondition(lambda self: self.queue)
    @rule(count=st.integers(0, 4))
    def deliver(self, count: int) -> None:
        """A worker gets a message, and the chunk only if it is to be had."""
        self._claim(self.queue.pop(0), count)

    @rule(luck=st.integers(0, 99), count=st.integers(0, 4))
    def deliver_anything(self, luck: int, count: int) -> None:
        """Deliver a message that nobody expected."""
        self._claim(luck % len(self.chunks), count)

    def _claim(self, seq: int, count: int) -> None:
        chunk, now, owner = self.chunks[seq], self.clock.now, f"host:{next(self.numbers)}"
        claim = self.ledger.chunks.claim(self.job.id, seq, owner, LEASE)
        free = chunk.state == "waiting" and chunk.due_at <= now
        lost = chunk.state == "claimed" and chunk.lease_until < now
        assert (claim is not None) is ((free or lost) and self.state.active and self._has_account())
        if claim is None:
            return
        assert (claim.generation, claim.attempts) == (chunk.generation + 1, chunk.attempts + 1)
        assert claim.sealed == sealed(chunk.lines)
        done = self.outcomes.keys() & set(chunk.lines)
        assert claim.recorded == {line: self.outcomes[line].status for line in done}
        assert not [
            line for line in chunk.lines if line in self.maybe_sent and not claim.is_unconfirmed(line)
        ]
        chunk.state, chunk.lease_until = "claimed", now + LEASE
        chunk.generation, chunk.attempts = claim.generation, claim.attempts
        self.held_until = now + WRITER_LEASE
        self.workers.append(Worker(claim, owner, list(chunk.lines), dict(claim.recorded)))
        if count:
            self._send(self.workers[-1], count)

    def _has_account(self) -> bool:
        """Return whether the job has its account, even if its time is over and nobody has taken it."""
        return self.rival is None and self.held_until > 0

    # Workers, who may be late

    def _as_late(self, worker: Worker, write: Callable[[], Any]) -> bool:
        """Return whether the write was accepted; assert that it is refused exactly if the chunk is lost."""
        chunk = self.chunks[worker.claim.seq]
        mine = chunk.state == "claimed" and chunk.generation == worker.claim.generation
        if mine:
            write()
            return True
        with pytest.raises(Fenced):
            write()
        self.workers.remove(worker)
        return False

    def _any_worker(self, luck: int) -> Worker:
        return self.workers[luck % len(self.workers)]

    @precondition(lambda self: self.workers)
    @rule(luck=st.integers(0, 99), count=st.integers(1, 4))
    def send(self, luck: int, count: int) -> None:
        """Send a batch, after making sure of the lease."""
        self._send(self._any_worker(luck), count)

    def _send(self, worker: Worker, count: int) -> None:
        if self._as_late(worker, lambda: self.ledger.chunks.renew(worker.claim, LEASE)):
            self.chunks[worker.claim.seq].lease_until = self.clock.now + LEASE
            worker.sent.update(worker.open[:count])
            self.maybe_sent.update(worker.open[:count])

    @precondition(lambda self: self.workers)
    @rule(luck=st.integers(0, 99), status=st.sampled_from(ENDINGS))
    def hear(self, luck: int, status: Status) -> None:
        """Receive the answer, perhaps long after others have taken over."""
        worker = self._any_worker(luck)
        outcomes = [Outcome(line, status, attempts=worker.claim.attempts) for line in sorted(worker.sent)]
        if not outcomes:
            return
        if self._as_late(worker, lambda: self._record(worker, outcomes)):
            self.chunks[worker.claim.seq].lease_until = self.clock.now + LEASE
            self.outcomes.update({outcome.line: outcome for outcome in outcomes})
            self.maybe_sent -= worker.sent
            worker.settled.update((outcome.line, outcome.status) for outcome in outcomes)
            worker.sent.clear()

    @precondition(lambda self: self.workers)
    @rule(luck=st.integers(0, 99))
    def intend(self, luck: int) -> None:
        """Record how a user was, before changing it."""
        worker = self._any_worker(luck)
        lines = worker.open[:1]
        if self._as_late(
            worker,
            lambda: self.ledger.chunks.record_before_image(
                worker.claim, LEASE, self._changes(worker.claim.seq, lines)
            ),
        ):
            self.chunks[worker.claim.seq].lease_until = self.clock.now + LEASE
            self.changes.append(lines)

    @staticmethod
    def _changes(chunk: int, lines: list[int]) -> Changes:
        return Changes(len(lines), lambda nr: json.dumps([chunk, nr, lines]).encode())

    def _record(self, worker: Worker, outcomes: list[Outcome]) -> None:
        made = [outcome.line for outcome in outcomes if outcome.status is Status.CREATED]
        changes = self._changes(worker.claim.seq, made) if made else None
        state = self.ledger.chunks.record(worker.claim, outcomes, LEASE, changes)
        self.changes += [made] if made else []
        self.state = JobState.RUNNING if self.state is JobState.PAUSED else self.state
        assert state is self.state

    @precondition(lambda self: self.workers)
    @rule(luck=st.integers(0, 99))
    def split(self, luck: int) -> None:
        """Split a suspect chunk: half of its open rows move to a new one."""
        worker = self._any_worker(luck)
        moved = worker.open[len(worker.open) // 2 :]
        if len(worker.open) < 2 or worker.sent:
            return
        kept = [line for line in worker.lines if line not in moved]

        def write() -> None:
            self.ledger.chunks.split(worker.claim, sealed(kept), moved, lambda seq: self._moved(seq, moved))

        if self._as_late(worker, write):
            self.chunks[worker.claim.seq].lines = worker.lines = kept

    def _moved(self, seq: int, lines: list[int]) -> bytes:
        assert seq not in self.chunks
        self.chunks[seq] = Chunk(lines)
        return sealed(lines)

    @precondition(lambda self: self.workers)
    @rule(luck=st.integers(0, 99), delay=st.sampled_from([0.0, 60.0]))
    def give_back(self, luck: int, delay: float) -> None:
        """Release the chunk, naming the rows that were sent and not answered."""
        worker = self._any_worker(luck)
        doubt = sorted(worker.sent | {line for line in worker.open if worker.claim.is_unconfirmed(line)})
        if self._as_late(worker, lambda: self.ledger.chunks.release(worker.claim, delay, doubt, 1, 0)):
            chunk = self.chunks[worker.claim.seq]
            chunk.state, chunk.due_at = "waiting", self.clock.now + delay
            self.requests += 1
            self.workers.remove(worker)

    @precondition(lambda self: any(not worker.open for worker in self.workers))
    @rule()
    def end_a_chunk(self) -> None:
        """Every row has its outcome: those in place are shredded, the others kept."""
        worker = next(worker for worker in self.workers if not worker.open)
        left = [line for line in worker.lines if not worker.settled[line].in_place]
        kept = sealed(left) if left else None
        if self._as_late(worker, lambda: self.ledger.chunks.end(worker.claim, kept, KEPT_FOR, 1, 0)):
            chunk = self.chunks[worker.claim.seq]
            chunk.state, chunk.kept_until = "ended", self.clock.now + KEPT_FOR
            self.requests += 1
            self.workers.remove(worker)
        self._finish()

    @precondition(lambda self: self.workers)
    @rule(luck=st.integers(0, 99), seen=st.booleans())
    def die(self, luck: int, seen: bool) -> None:
        """SIGKILL; ``seen``: on a machine whose next sweep notices."""
        worker = self._any_worker(luck)
        self.workers.remove(worker)
        if seen:
            self.ledger.chunks.free(self.job.id, worker.owner)
            chunk = self.chunks[worker.claim.seq]
            if chunk.state == "claimed" and chunk.generation == worker.claim.generation:
                chunk.lease_until = 0.0

    @precondition(lambda self: self.workers)
    @rule(luck=st.integers(0, 99), count=st.integers(0, 4))
    def overtake(self, luck: int, count: int) -> None:
        """Let a lease end while its worker sleeps, and another worker get the chunk."""
        self.clock.advance(LEASE + 1)
        self._claim(self._any_worker(luck).claim.seq, count)

    # Time and people

    @rule(seconds=st.sampled_from([1.0, 31.0, LEASE - 1, LEASE + 1, WRITER_LEASE + 1]))
    def pass_time(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.advance(seconds)

    @rule(what=st.sampled_from(["pause", "stop", "stop", "cancel", "shred", *["resume", "another job"] * 2]))
    def something_else_happens(self, what: str) -> None:
        """Somebody types a command, or a timer fires."""
        {
            "pause": self._pause,
            "stop": lambda: self._stop(JobState.STOPPED),
            "cancel": lambda: self._stop(JobState.CANCELLED),
            "shred": self.ledger.chunks.shred_expired,
            "resume": self._resume,
            "another job": self._another_job,
        }[what]()

    def _pause(self) -> None:
        self.ledger.jobs.pause(self.job.id, AWAY)
        if self.state is JobState.RUNNING:
            self.state = JobState.PAUSED

    def _stop(self, state: JobState) -> None:
        stopped = self.ledger.jobs.stop(self.job.id, OVER[state])
        assert stopped is self.state.active
        if stopped:
            self.state, self.held_until = state, 0.0

    def _resume(self) -> None:
        if self.state in (JobState.DONE, JobState.CANCELLED):
            assert not self.ledger.jobs.start(self.job.id)
            return
        if self._begin(lambda: self.ledger.accounts.acquire(self.job, "desk:2"), own=True):
            self.ledger.chunks.wake(self.job.id)
            assert self.ledger.jobs.start(self.job.id)
            self.state, self.held_until = JobState.RUNNING, self.clock.now + WRITER_LEASE
            for chunk in self.chunks.values():
                chunk.due_at = 0.0

    def _begin(self, take: Callable[[], None], *, own: bool = False) -> bool:
        writer = self.ledger.accounts.writer(self.job.host, self.job.account)
        if writer is None or (own and writer.job == self.job.id):
            take()
            self.rival = None
            return True
        with pytest.raises(JobBusy, match=writer.job):
            take()
        return False

    def _another_job(self) -> None:
        """Let another job acquire the account if nobody holds it, or release it."""
        self.clock.advance(WRITER_LEASE + 1)
        if self.rival:
            self.ledger.accounts.release(self.rival.id)
            self.rival = None
            return
        rival = make_job()
        if self._begin(lambda: self.ledger.jobs.begin(rival, "desk:3")):
            self.rival, self.held_until = rival, 0.0

    def _finish(self) -> None:
        over = all(chunk.state == "ended" for chunk in self.chunks.values())
        finished = self.ledger.jobs.finish(self.job.id)
        assert finished is (over and self.state.active)
        if finished:
            self.state, self.held_until = JobState.DONE, 0.0

    # Invariants

    @invariant()
    def each_row_has_its_one_outcome(self) -> None:
        """The outcomes are those of workers that held their chunk, and no others."""
        if self.state is JobState.PLANNING:
            return
        (page,) = self.ledger.rows.pages(self.job.id)
        assert {line: page.recorded_outcome(line) for line in page.recorded} == self.outcomes
        if self.state is JobState.DONE:
            assert sorted(self.outcomes) == sorted(self._lines())

    @invariant()
    def every_deed_is_kept(self) -> None:
        """The changes are those of workers that held their chunk, sealed for their place, and no others."""
        kept = [(key, json.loads(sealed)) for key, sealed in self.ledger.changes.backwards(self.job.id)]
        assert all([key.chunk, key.nr] == place[:2] for key, place in kept)
        assert sorted(lines for _, (_, _, lines) in kept) == sorted(self.changes)
        places = [(key.chunk, key.nr) for key, _ in kept]
        assert places == sorted(set(places), reverse=True)
        assert self.ledger.changes.rows(self.job.id) == sum(map(len, self.changes))

    @invariant()
    def counters_are_sums(self) -> None:
        """Each counter that is kept equals a count of what is there."""
        progress, job = self.ledger.chunks.progress(self.job.id), self.ledger.jobs.get(self.job.id)
        troubled = sum(outcome.status.counts_as_failed for outcome in self.outcomes.values())
        settled = len(self.outcomes)
        assert (progress.rows, progress.settled, progress.troubled) == (len(self._lines()), settled, troubled)
        assert (job.requests, job.state) == (self.requests, self.state)

    @invariant()
    def nothing_is_shredded_too_early(self) -> None:
        """A row that may have to be sent again, or is not in place, can be opened until its time is over."""
        for seq, chunk in self.chunks.items():
            kept = self.ledger.chunks.sealed(self.job.id, seq)
            ended = chunk.state == "ended"
            needed = [line for line in chunk.lines if not (ended and self.outcomes[line].status.in_place)]
            if needed and not (chunk.kept_until is not None and chunk.kept_until < self.clock.now):
                assert kept == sealed(needed)
            if not needed:
                assert kept is None


TestLedger = pytest.mark.timeout(120)(LedgerMachine.TestCase)
TestLedger.settings = settings(
    max_examples=70, stateful_step_count=50, suppress_health_check=list(HealthCheck)
)
