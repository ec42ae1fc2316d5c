"""Users who are stored on a roster's realms and not in the roster, and which of them are suddenly absent.

Those who were absent at the last run of the same schedule, or of the same roster, are no news. They are
compared by marks of their names, eight bytes a user, since an account may have a million.
"""

from __future__ import annotations

import base64
import json
from array import array
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import blake2b

from worker.errors import SealBroken
from worker.ledger import Ledger
from worker.model import Job, Stored
from worker.seal import Seal


def _none() -> array[int]:
    return array("Q")


@dataclass(frozen=True, slots=True)
class EarlierRun:
    """The last run of a roster: its realms, and who was absent then. Without a job, there was none."""

    job: str = ""
    hosts: tuple[str, ...] = ()
    """Host names of its realms: a roster that is cut off may name fewer."""
    marks: array[int] = field(default_factory=_none, repr=False)
    """In rising order."""

    def knew(self, one: Stored) -> bool:
        """Return whether the user was absent then."""
        mark = _mark(one)
        at = bisect_left(self.marks, mark)
        return at < len(self.marks) and self.marks[at] == mark


def marks_of(users: Iterable[Stored]) -> array[int]:
    """Return the marks of users, in rising order."""
    return array("Q", sorted(array("Q", map(_mark, users))))


def earlier_run(ledger: Ledger, seal: Seal, job: Job, plan: Job | None = None) -> EarlierRun:
    """Return the last finished run that the job is compared with; none if its key is gone.

    ``plan``: the saved plan that the job carries out.
    """
    found = ledger.absences.last(job, roster_key(plan or job))
    if found is None:
        return EarlierRun()
    marks = array("Q")
    try:
        marks.frombytes(base64.b64decode(seal.open(found.sealed, f"{found.job}/absent")))
    except SealBroken:
        return EarlierRun()
    return EarlierRun(found.job, tuple(ledger.jobs.hosts(found.job).values()), marks)


def record_absent(ledger: Ledger, seal: Seal, job: Job, marks: array[int], plan: Job | None = None) -> None:
    """Record a job's absent users for the runs after it."""
    packed = base64.b64encode(marks.tobytes()).decode()
    sealed = seal.close_over(packed, f"{job.id}/absent")
    ledger.absences.add(job, roster_key(plan or job), sealed)


def roster_key(job: Job) -> str:
    """Return what tells the job's roster from others of its account: its place, and the realm it goes to."""
    options = job.options
    source = f"{job.source} {job.roster}" if job.source == "-" else job.source
    return json.dumps([options.api, options.realm.casefold(), source])


def _mark(one: Stored) -> int:
    name = f"{one.realm.casefold()} {one.composite.casefold()}"
    return int.from_bytes(blake2b(name.encode(errors="surrogatepass"), digest_size=8).digest())
