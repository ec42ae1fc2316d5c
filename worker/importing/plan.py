"""Step 1 and 2 of a row's way: read, checked, compared with what is stored, sealed into chunks.

Nothing is sent here. Chunks become visible to workers only when the whole roster is in the ledger and
``start`` was called.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from worker.failpoints import hit
from worker.importing.checked import check
from worker.importing.decide import Decide, Decision, Planned
from worker.importing.look import Look, RosterRows, StoredSource, Watch, unwatched
from worker.importing.realms import JobRealms, RealmSource
from worker.importing.stop_rules import retention
from worker.importing.tally import Tally
from worker.ledger import Ledger
from worker.ledger.codec import seal_chunk, seal_page
from worker.model import NO_REALM, Action, Family, Job, JobState, OnExisting, Row, Stored
from worker.seal import Seal
from worker.states import Reason, Why

_BUFFERED = 50_000
"""Rows that may wait in unfinished chunks of many realms before the fullest is cut short."""

_SIGN_OF_LIFE = 100
"""Pages after which the job's hold on its account is renewed."""


class PlanSource(RealmSource, StoredSource, Protocol):
    """The part of the API that a plan asks."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A job whose roster is in the ledger, and which waits for somebody's word."""

    tally: Tally
    realms: JobRealms

    @property
    def makes_realm(self) -> bool:
        """Whether ``--create-realm`` has something to do: the realm isn't there, and a row needs it."""
        return needs_making(self.realms, self.tally)


Pages = Iterator[list[Planned]]


def needs_making(realms: JobRealms, tally: Tally) -> bool:
    """Return whether a row is to be sent to a realm that has still to be made."""
    return realms.to_make is not None and tally.realms[realms.to_make] > 0


def free(decide: Decide) -> Decide:
    """Decisions as they are made."""
    return decide


def number(absent: Iterable[Stored]) -> int:
    """How many there are."""
    return sum(1 for _ in absent)


def plan(
    ledger: Ledger,
    seal: Seal,
    source: PlanSource,
    job: Job,
    roster: RosterRows,
    *,
    watch: Watch = unwatched,
    hold: Callable[[Decide], Decide] = free,
    tee: Callable[[Pages], Pages] = iter,
    absentees: Callable[[Iterable[Stored]], int] = number,
    count: Callable[[], tuple[int, int]] = lambda: (0, 0),
    saved: bool = False,
) -> Draft:
    """Read a whole roster into the ledger; ``start`` lets workers take the job's chunks.

    ``hold`` may hold each decision to an earlier plan. ``tee`` sees every page on its way. ``absentees`` is
    given who is stored and not in the roster, and counts them. ``count``: requests and retries since it was
    asked last. ``saved``: it is kept for ``import --plan``.

    Whatever this raises, nothing was sent, and the job can be planned again or forgotten.
    """
    realms = JobRealms(source, ledger.jobs, job.id, job.options)
    with Look(source, realms, job.options, roster, watch) as look:
        pages = check(roster.rows(), realms, job.options.api, roster.taken())
        decide = hold(Decision(look, realms, job.options))
        tally = Entry(ledger, seal, job, saved=saved).write(tee(map(decide, pages)))
        absent, tally.nameless = look.absent(), look.nameless
        if absent is not None:
            tally.absent = absentees(absent)
            ledger.jobs.set_absent(job.id, tally.absent)
    ledger.jobs.has_read(job.id, tally.rows, tally.warnings, *count())
    if saved:
        ledger.jobs.save(job.id, retention(job.options))
    return Draft(tally, realms)


def start(ledger: Ledger, job: Job, draft: Draft, carries_out: str = "") -> None:
    """Let workers take the job's chunks, unless somebody has cancelled it meanwhile.

    ``carries_out``: the saved plan that the job is.
    """
    if job.options.on_existing is OnExisting.FAIL and draft.tally.actions[Action.EXISTS]:
        others = draft.tally.actions[Action.EXISTS]
        users = "1 user is" if others == 1 else f"{others} users are"
        text = f"{users} there with another password or application, so nothing was sent (--on-existing fail)"
        ledger.jobs.stop(job.id, Why(Reason.EXISTS, text))
    if ledger.jobs.state(job.id) is JobState.PLANNING:
        if draft.makes_realm:
            draft.realms.create_missing()
        hit("planned")
        ledger.jobs.start(job.id, carries_out)
    ledger.jobs.finish(job.id)  # nothing but settled rows: there is nothing to wait for


class Entry:
    """Writes a planned roster into the ledger: pages for the results, chunks for the work."""

    def __init__(self, ledger: Ledger, seal: Seal, job: Job, *, saved: bool = False) -> None:
        """``saved``: every row stays sealed, with what is stored now, for when it is carried out."""
        self._ledger = ledger
        self._seal = seal
        self._saved = saved
        self._job = job.id
        self._by_realm = job.options.api is Family.REALM
        self._size = job.options.chunk_size
        self._kept_for = retention(job.options)
        self._pages = itertools.count()
        self._chunks = itertools.count()
        self._unfinished: dict[int, list[Row]] = {}
        self._waiting = 0

    def write(self, pages: Iterable[Sequence[Planned]]) -> Tally:
        """Every page of a planned roster; what it came to."""
        tally = Tally()
        for page in pages:
            self._write_page(page)
            for planned in page:
                tally.add(planned)
                if planned.outcome is None:
                    self._put(planned)
            self._write_settled([planned for planned in page if planned.outcome])
            hit("planned_page")
        for realm in list(self._unfinished):
            self._write_chunk(realm)
        return tally

    def _write_page(self, page: Sequence[Planned]) -> None:
        seq = next(self._pages)
        if seq % _SIGN_OF_LIFE == 0:
            self._ledger.jobs.keep(self._job)
        sealed = seal_page(self._seal, self._job, seq, [_placed(one) for one in page])
        self._ledger.rows.add_page(self._job, seq, page[0].row.line, page[-1].row.line, sealed)

    def _put(self, planned: Planned) -> None:
        # One request of the realm family goes to one realm, so its chunks do too.
        shelf = planned.realm if self._by_realm else NO_REALM
        rows = self._unfinished.setdefault(shelf, [])
        rows.append(_placed(planned, planned.stored))
        self._waiting += 1
        if len(rows) >= self._size:
            self._write_chunk(shelf)
        elif self._waiting >= _BUFFERED:
            self._write_chunk(max(self._unfinished, key=lambda key: len(self._unfinished[key])))

    def _write_chunk(self, shelf: int) -> None:
        rows = self._unfinished.pop(shelf)
        self._waiting -= len(rows)
        seq = next(self._chunks)
        sealed = seal_chunk(self._seal, self._job, seq, rows)
        self._ledger.chunks.add(self._job, seq, [row.line for row in rows], sealed)

    def _write_settled(self, settled: Sequence[Planned]) -> None:
        """Rows that need no request have their outcomes at once; of those in place no password is kept."""
        if not settled:
            return
        seq = next(self._chunks)
        left = [
            _placed(one, one.stored if self._saved else None)
            for one in settled
            if self._saved or (one.outcome and not one.outcome.status.in_place)
        ]
        sealed = seal_chunk(self._seal, self._job, seq, left) if left else None
        outcomes = [one.outcome for one in settled if one.outcome]
        self._ledger.chunks.add_settled(self._job, seq, outcomes, sealed, self._kept_for)


def _placed(planned: Planned, stored: Stored | None = None) -> Row:
    planned.row.realm_key, planned.row.stored = planned.realm, stored
    return planned.row
