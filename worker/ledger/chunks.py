"""Chunks: claimed with a generation and a lease, so that the database refuses a late writer.

Their states are those of ``ChunkState``.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, text

from worker.errors import SiprosterError
from worker.ledger.accounts import WRITER_LEASE
from worker.ledger.expiry import PAUSED_SO_FAR, kept_until, shred_expired
from worker.ledger.new_chunks import NewChunk, enter, record, troubled
from worker.ledger.store import Store
from worker.ledger.uploads import shred_unused
from worker.model import JobState, Outcome, Status
from worker.states import ChunkState, Why

# Leavers, whose lines are negative, are deleted when all rows of the roster have their outcomes.
_IN_TURN = """(first_line >= 0 OR NOT EXISTS (
        SELECT 1 FROM chunks r WHERE r.job = :job AND r.first_line >= 0 AND r.state <> 'ended'))"""
# The attempt is counted before the work, so that a chunk which kills its worker is noticed. A worker that
# died while it waited for the service (away) was not killed by a row.
_CLAIM = text(f"""
    UPDATE chunks SET state = 'claimed', generation = generation + 1, owner = :owner,
        lease_until = :until, claimed_at = :now, attempts = attempts + 1, barren = barren + 1,
        doubt = CASE WHEN state = 'claimed' THEN :all ELSE doubt END,
        deaths = CASE WHEN state = 'claimed' AND away = 0 THEN deaths + 1 ELSE deaths END,
        suspect = CASE WHEN state = 'claimed' AND away = 0 THEN 1 ELSE suspect END, away = 0
    WHERE job = :job AND seq = :seq
        AND ((state = 'waiting' AND (next_attempt_at <= :now OR next_attempt_at > :far))
            OR (state = 'claimed' AND (lease_until < :now OR lease_until > :far)))
        AND EXISTS (SELECT 1 FROM jobs WHERE id = :job AND state IN ('running', 'paused'))
        AND EXISTS (SELECT 1 FROM writers WHERE job = :job) AND {_IN_TURN}
    RETURNING generation, attempts, barren, deaths, suspect, doubt, settled,
        (SELECT batch_bound FROM jobs WHERE id = :job) AS batch_bound""")  # noqa: S608  no value comes in
# Working on a chunk renews the hold on the account, whether sweeps run meanwhile or not.
_HOLD = text("UPDATE writers SET until = :until WHERE job = :job")
_ADD_CHANGES = text(
    "INSERT INTO deeds (job, chunk, nr, rows, sealed) VALUES (:job, :chunk, :nr, :rows, :sealed)"
)
_SETTLED = text("SELECT line, status FROM outcomes WHERE job = :job AND chunk = :seq")
_RENEW = text("""
    UPDATE chunks SET lease_until = :until
    WHERE job = :job AND seq = :seq AND generation = :generation AND state = 'claimed'""")
# Counted in the chunk's own row, which a transaction locks, so two changes never get the same number.
_RENEW_FOR_CHANGE = text("""
    UPDATE chunks SET lease_until = :until, changes = changes + 1
    WHERE job = :job AND seq = :seq AND generation = :generation AND state = 'claimed'
    RETURNING changes""")
_PROGRESS = text("""
    UPDATE chunks SET lease_until = :until, barren = 0, deaths = 0, suspect = 0,
        unanswered = 0, waits_reason = '', waits_for = '',
        settled = settled + :settled, troubled = troubled + :troubled, changes = changes + :changes,
        answers = CASE WHEN length(answers) < 2000 THEN answers || :answer ELSE answers END
    WHERE job = :job AND seq = :seq AND generation = :generation AND state = 'claimed'
    RETURNING changes, (SELECT state FROM jobs WHERE id = :job) AS state""")
_AWAY = text("""
    UPDATE chunks SET away = :away
    WHERE job = :job AND seq = :seq AND generation = :generation AND state = 'claimed'""")
_LOCK = text("UPDATE jobs SET state = state WHERE id = :job")
_NEXT = text("SELECT max(seq) + 1 FROM chunks WHERE job = :job")
_KEEP_PART = text("""
    UPDATE chunks SET rows = rows - :rows, lines = :lines, deaths = 0, suspect = 1
    WHERE job = :job AND seq = :seq AND generation = :generation AND state = 'claimed'
    """)
_LINES = text("SELECT lines FROM chunks WHERE job = :job AND seq = :seq")
_MARK = text("""
    UPDATE chunks SET suspect = 1, doubt = :all, changes = :changes WHERE job = :job AND seq = :seq""")
_END = text("""
    UPDATE chunks SET state = 'ended', owner = '', kept_until = :kept_until, ended_at = :now,
        doubt = '', lines = '', requests = requests + :requests, retries = retries + :retries
    WHERE job = :job AND seq = :seq AND generation = :generation AND state = 'claimed'""")
_RELEASE = text("""
    UPDATE chunks SET state = 'waiting', owner = '', next_attempt_at = :at, enqueued_at = NULL,
        unanswered = CASE WHEN :waits_reason = '' THEN 0 ELSE unanswered + :unanswered END,
        waits_reason = :waits_reason, waits_for = :waits_for, doubt = coalesce(:doubt, doubt),
        requests = requests + :requests, retries = retries + :retries
    WHERE job = :job AND seq = :seq AND generation = :generation AND state = 'claimed'""")
_GO_ON = text(f"""
    UPDATE jobs SET state = 'running', reason = '', why = '', paused = NULL, expires = NULL,
        paused_seconds = paused_seconds + {PAUSED_SO_FAR}
    WHERE id = :job AND state = 'paused'""")  # noqa: S608  no value comes in
_PROGRESS_OF = text("""
    SELECT coalesce(sum(rows), 0) AS rows, coalesce(sum(settled), 0) AS settled,
        coalesce(sum(troubled), 0) AS troubled,
        coalesce(sum(CASE WHEN generation = 0 THEN settled END), 0) AS known
    FROM chunks WHERE job = :job""")
# A chunk that was put on the queue is put there again only when the queue is empty (then its message
# was lost) or when the worker that claimed it is gone: a long queue must not fill up with duplicates.
_DUE = text(f"""
    UPDATE chunks SET enqueued_at = :now
    WHERE job = :job AND {_IN_TURN}
        AND ((state = 'waiting' AND (next_attempt_at <= :now OR next_attempt_at > :far)
                AND (enqueued_at IS NULL OR (:idle = 1 AND (enqueued_at < :before OR enqueued_at > :now))))
            OR (state = 'claimed' AND (lease_until < :now OR lease_until > :far)
                AND (enqueued_at IS NULL OR enqueued_at < :before OR enqueued_at > :now)))
    RETURNING seq""")  # noqa: S608  no value comes in
_NOT_QUEUED = text(
    "UPDATE chunks SET enqueued_at = NULL WHERE job = :job AND seq = :seq AND state = 'waiting'"
)
_OWNERS = text("SELECT DISTINCT owner FROM chunks WHERE job = :job AND state = 'claimed'")
_FREE = text("""
    UPDATE chunks SET lease_until = 0, enqueued_at = NULL
    WHERE job = :job AND owner = :owner AND state = 'claimed'""")
# A new generation, as in a claim: a worker that wakes up late with a revoked claim is refused.
_RECALL = text("""
    UPDATE chunks SET state = 'waiting', owner = '', generation = generation + 1, doubt = :all
    WHERE job = :job AND state = 'claimed' AND (lease_until < :now OR lease_until > :far)""")
_WAKE = text("""
    UPDATE chunks SET next_attempt_at = 0, enqueued_at = NULL, unanswered = 0,
        waits_reason = '', waits_for = ''
    WHERE job = :job AND state = 'waiting'""")
_KEPT = text("""
    SELECT seq, first_line FROM chunks JOIN chunk_rows USING (job, seq)
    WHERE job = :job AND (first_line < 0) = (:leavers = 1) ORDER BY first_line, seq""")
_SEALED = text("SELECT sealed FROM chunk_rows WHERE job = :job AND seq = :seq")
_RESEAL = text("UPDATE chunk_rows SET sealed = :sealed WHERE job = :job AND seq = :seq")
_SHRED = text("DELETE FROM chunk_rows WHERE job = :job AND seq = :seq")

LONGEST_AHEAD = 3700.0
"""Seconds: no lease and no wait of ours is longer. A time further ahead is of a clock that was set back
since, which would else hold a chunk for as long; it counts as over."""

SealFor = Callable[[int], bytes]
"""Seal rows for the chunk of that number."""


@dataclass(frozen=True, slots=True)
class Changes:
    """Changes that were, or are about to be, made to so many rows; ``sealed`` seals them for a number."""

    rows: int
    sealed: SealFor


_TAKEN_OVER = "the chunk was claimed by another worker since"

EVERY_ROW = "*"
"""Value of ``doubt``: any row without an outcome may have been sent."""


class Fenced(SiprosterError):
    """Raised when another worker has claimed the chunk since; this worker's results are not recorded."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A chunk that belongs to this worker until its lease ends."""

    job: str
    seq: int
    generation: int
    attempts: int
    """Claims of this chunk so far, this one included."""
    claims_without_progress: int
    """Claims since an outcome of the chunk was last recorded, this one included."""
    crashes: int
    """Workers that died on it, without any progress, while they were at work themselves."""
    suspect: bool
    """Whether one of its rows may kill workers, so that it needs care."""
    sealed: bytes
    unconfirmed: frozenset[int] | None
    """Lines that an earlier claim may have sent without an answer; None: any without an outcome."""
    recorded: dict[int, Status]
    """Lines that have an outcome from an earlier claim."""
    batch_limit: int | None = None
    """Most entries that the service accepts in one request, if the job has learnt it."""

    def is_unconfirmed(self, line: int) -> bool:
        """Return whether an earlier claim that got no answer may have sent this row."""
        return self.unconfirmed is None or line in self.unconfirmed


@dataclass(frozen=True, slots=True)
class Kept:
    """A chunk with rows still sealed in the ledger; ``first_line`` is where it originally began."""

    seq: int
    first_line: int


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of a job, in rows; ``troubled`` are those that ``--max-failed`` counts."""

    rows: int
    settled: int
    troubled: int
    known: int = 0
    """Those that had their outcome when the job was planned."""


@dataclass(frozen=True, slots=True)
class Unanswered:
    """The reason why a claim made no progress with the service, and for how many seconds."""

    why: Why
    seconds: float


class Chunks:
    """The chunks of one ledger."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def add(self, job: str, seq: int, lines: Sequence[int], sealed: bytes) -> None:
        """Add a chunk that waits for a worker; ``lines``: the lines of its rows, in rising order."""
        with self._store.begin() as connection:
            enter(connection, self._store, job, NewChunk(seq, lines, sealed))

    def claim(self, job: str, seq: int, owner: str, lease: float) -> Claim | None:
        """Claim a chunk for ``lease`` seconds, and hold the account for as long.

        Return None if it is not available: ended, claimed, its job over, or its account held by another job.
        """
        key = {"job": job, "seq": seq}
        with self._store.begin() as connection:
            now = self._store.now(connection)
            values = {**key, "owner": owner, "now": now, "until": now + lease, "all": EVERY_ROW,
                      "far": now + LONGEST_AHEAD}  # fmt: skip
            row = connection.execute(_CLAIM, values).one_or_none()
            if row is None:
                return None
            # By a statement of its own, which sees what a split has committed while this one waited for it.
            sealed = connection.execute(_SEALED, key).scalar_one_or_none() or b""
            connection.execute(_HOLD, {"job": job, "until": now + WRITER_LEASE})
            # Only if there are some: this goes through all outcomes of the job.
            found = connection.execute(_SETTLED, key).all() if row.settled else []
            settled = {line: Status(status) for line, status in found}
        return Claim(
            job, seq, row.generation, row.attempts, row.barren, row.deaths, bool(row.suspect),
            bytes(sealed), unconfirmed_lines(ChunkState.WAITING, row.doubt), settled,
            row.batch_bound,
        )  # fmt: skip

    def renew(self, claim: Claim, lease: float) -> None:
        """Renew the claim for ``lease`` seconds from now. Raises Fenced if another worker has the chunk."""
        with self._store.begin() as connection:
            until = self._store.now(connection) + lease
            _fence(connection.execute(_RENEW, {**_key(claim), "until": until}).rowcount)

    def record(
        self, claim: Claim, outcomes: Sequence[Outcome], lease: float, changes: Changes | None = None
    ) -> JobState:
        """Commit an answered batch's outcomes and changes, and renew the lease, or nothing. Raises Fenced.

        Return the job's state, so that the worker notices a stop between two batches.
        """
        with self._store.begin() as connection:
            now = self._store.now(connection)
            values = {
                **_key(claim), "until": now + lease, "settled": len(outcomes),
                "troubled": troubled(outcomes), "changes": int(changes is not None),
                "answer": f"{now:.2f} {len(outcomes)};",
            }  # fmt: skip
            row = _fenced(connection.execute(_PROGRESS, values).one_or_none())
            record(connection, claim.job, claim.seq, outcomes)
            if changes is not None:
                _add_changes(connection, claim, row.changes - 1, changes)
            if (state := JobState(row.state)) is not JobState.PAUSED:
                return state
            # The service answers again.
            connection.execute(_GO_ON, {"job": claim.job, "now": self._store.now(connection)})
            return JobState.RUNNING

    def record_before_image(self, claim: Claim, lease: float, changes: Changes) -> None:
        """Commit the state of a credential before it is changed, and renew the lease. Raises Fenced."""
        with self._store.begin() as connection:
            until = self._store.now(connection) + lease
            row = connection.execute(_RENEW_FOR_CHANGE, {**_key(claim), "until": until}).one_or_none()
            _add_changes(connection, claim, _fenced(row).changes - 1, changes)

    def set_waiting_on_service(self, claim: Claim, waits: bool) -> None:
        """Record whether the worker waits for the service now; only suspect chunks are watched so closely."""
        with self._store.begin() as connection:
            _fence(connection.execute(_AWAY, {**_key(claim), "away": int(waits)}).rowcount)

    def split(
        self, claim: Claim, kept: bytes, lines: Sequence[int], moved: SealFor, begun: SealFor | None = None
    ) -> None:
        """Move the rows of these lines, in rising order, into a chunk of their own.

        ``kept``: the remaining rows, sealed anew; ``moved`` seals the moved rows for the number they get, and
        ``begun`` the previous state of those that may have been changed. Both parts stay suspect and count
        crashes from zero again.
        """
        job = claim.job
        with self._store.begin() as connection:
            connection.execute(_LOCK, {"job": job})  # concurrent splits must not use the same number
            seq = int(connection.execute(_NEXT, {"job": job}).scalar_one())
            held = json.loads(connection.execute(_LINES, _key(claim)).scalar_one() or "[]")
            stay = json.dumps([line for line in held if line not in set(lines)])
            values = {**_key(claim), "rows": len(lines), "lines": stay}
            _fence(connection.execute(_KEEP_PART, values).rowcount)
            connection.execute(_RESEAL, {"job": job, "seq": claim.seq, "sealed": kept})
            enter(connection, self._store, job, NewChunk(seq, lines, moved(seq)))
            connection.execute(
                _MARK, {"job": job, "seq": seq, "all": EVERY_ROW, "changes": int(begun is not None)}
            )
            if begun:  # counts no rows: they were counted with the original chunk
                values = {"job": job, "chunk": seq, "nr": 0, "rows": 0, "sealed": begun(seq)}
                connection.execute(_ADD_CHANGES, values)

    def end(self, claim: Claim, sealed: bytes | None, kept_for: float, requests: int, retries: int) -> None:
        """End a chunk whose rows all have outcomes: shred the rows in place; ``sealed`` are the others."""
        with self._store.begin() as connection:
            now = self._store.now(connection)
            values = {
                **_key(claim), "kept_until": now + kept_for if sealed else None, "now": now,
                "requests": requests, "retries": retries,
            }  # fmt: skip
            _fence(connection.execute(_END, values).rowcount)
            key = {"job": claim.job, "seq": claim.seq}
            if sealed:
                connection.execute(_RESEAL, {**key, "sealed": sealed})
            else:
                connection.execute(_SHRED, key)

    def release(
        self, claim: Claim, delay: float, doubt: Sequence[int] | None, requests: int, retries: int,
        unanswered: Unanswered | None = None,
    ) -> None:  # fmt: skip
        """Release the chunk, to be claimed again in ``delay`` seconds.

        ``doubt``: unconfirmed lines, which may have been sent; None: the same as when it was claimed.
        ``unanswered``: it waits for the service; None: only for its next turn.
        """
        listed = None if doubt is None else json.dumps(list(doubt)) if doubt else ""
        with self._store.begin() as connection:
            values = {
                **_key(claim), "at": self._store.now(connection) + delay, "doubt": listed,
                "unanswered": unanswered.seconds if unanswered else 0.0,
                "waits_reason": unanswered.why.reason.value if unanswered else "",
                "waits_for": unanswered.why.text if unanswered else "",
                "requests": requests, "retries": retries,
            }  # fmt: skip
            _fence(connection.execute(_RELEASE, values).rowcount)

    def due(self, job: str, *, idle: bool, patience: float = 30.0) -> list[int]:
        """Return the chunks that belong on the queue now, and mark them as queued.

        ``idle``: the queue is empty, so chunks queued more than ``patience`` seconds ago are lost.
        """
        with self._store.begin() as connection:
            now = self._store.now(connection)
            values = {"job": job, "now": now, "before": now - patience, "idle": int(idle),
                      "far": now + LONGEST_AHEAD}  # fmt: skip
            return sorted(connection.execute(_DUE, values).scalars())

    def not_queued(self, job: str, seqs: Sequence[int]) -> None:
        """Mark chunks that the queue did not accept, so that the next sweep tries again at once."""
        with self._store.begin() as connection:
            connection.execute(_NOT_QUEUED, [{"job": job, "seq": seq} for seq in seqs])

    def free(self, job: str, owner: str) -> None:
        """End the leases of a worker that is known to be dead."""
        with self._store.begin() as connection:
            connection.execute(_FREE, {"job": job, "owner": owner})

    def recall(self, job: str) -> list[str]:
        """Revoke the claims of a job that is over, so that they can't be used for late requests.

        Return the owners of claims that have not expired: they have requests in flight; wait for them.
        """
        with self._store.begin() as connection:
            now = self._store.now(connection)
            connection.execute(
                _RECALL, {"job": job, "all": EVERY_ROW, "now": now, "far": now + LONGEST_AHEAD}
            )
            return list(connection.execute(_OWNERS, {"job": job}).scalars())

    def wake(self, job: str) -> None:
        """Make chunks that wait for a later moment due at once, after ``resume``."""
        with self._store.begin() as connection:
            connection.execute(_WAKE, {"job": job})

    def progress(self, job: str) -> Progress:
        """Return the progress of a job; cheap, since it reads chunks and not rows."""
        with self._store.read() as connection:
            row = connection.execute(_PROGRESS_OF, {"job": job}).one()
        return Progress(int(row.rows), int(row.settled), int(row.troubled), int(row.known))

    def kept(self, job: str, *, leavers: bool = False) -> list[Kept]:
        """Return the chunks of a job, or those of its leavers, that are still sealed, by their first line."""
        with self._store.read() as connection:
            rows = connection.execute(_KEPT, {"job": job, "leavers": int(leavers)}).all()
        return [Kept(row.seq, row.first_line) for row in rows]

    def sealed(self, job: str, seq: int) -> bytes | None:
        """Return the sealed rows of one chunk; None if they are shredded."""
        with self._store.read() as connection:
            sealed = connection.execute(_SEALED, {"job": job, "seq": seq}).scalar_one_or_none()
        return None if sealed is None else bytes(sealed)

    def kept_until(self, job: str) -> dt.datetime | None:
        """Return when the first rows that are kept for a retry are shredded; None if none are, or not yet."""
        with self._store.read() as connection:
            return kept_until(connection, job)

    def shred_expired(self) -> int:
        """Shred rows that were kept for a retry, and end jobs that were not resumed in time.

        Uploads that were carried out, or are not used, are shredded, too. Return how many chunks and uploads
        were shredded.
        """
        with self._store.begin() as connection:
            now = self._store.now(connection)
            shredded = shred_expired(connection, now) + shred_unused(connection, now)
        if shredded:
            self._store.clean()
        return shredded


def _add_changes(connection: Connection, claim: Claim, nr: int, changes: Changes) -> None:
    values = {"job": claim.job, "chunk": claim.seq, "nr": nr, "rows": changes.rows}
    connection.execute(_ADD_CHANGES, {**values, "sealed": changes.sealed(nr)})


def unconfirmed_lines(state: str, doubt: str) -> frozenset[int] | None:
    """Return the lines of a chunk that may have been sent without an answer; None: any without an outcome."""
    every = state == ChunkState.CLAIMED or doubt == EVERY_ROW
    return None if every else frozenset(json.loads(doubt or "[]"))


def _key(claim: Claim) -> dict[str, object]:
    return {"job": claim.job, "seq": claim.seq, "generation": claim.generation}


def _fence(rowcount: int) -> None:
    if rowcount != 1:
        raise Fenced(_TAKEN_OVER)


def _fenced(row: Row[Any] | None) -> Row[Any]:
    if row is None:
        raise Fenced(_TAKEN_OVER)
    return row
