"""Absent users: stored on a roster's realms, but not in the roster. Some are suddenly absent.

Users who were already absent in the last run of the same schedule, or of the same roster, are not suddenly
absent. Runs are compared by hashes of the users' names, 8 bytes each, since an account may have a million.
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
    """The last run of a roster: its realms and its absent users. ``job`` is empty if there was none."""

    job: str = ""
    hosts: tuple[str, ...] = ()
    """Host names of its realms; a roster that was cut off since may name fewer."""
    name_hashes: array[int] = field(default_factory=_none, repr=False)
    """Hashes of the absent users' names, in rising order."""

    def had_absent(self, user: Stored) -> bool:
        """Return whether the user was absent in that run."""
        name_hash = _name_hash(user)
        at = bisect_left(self.name_hashes, name_hash)
        return at < len(self.name_hashes) and self.name_hashes[at] == name_hash


def hashes_of(users: Iterable[Stored]) -> array[int]:
    """Return the hashes of users' names, in rising order."""
    return array("Q", sorted(array("Q", map(_name_hash, users))))


def earlier_run(ledger: Ledger, seal: Seal, job: Job, plan: Job | None = None) -> EarlierRun:
    """Return the last finished run, with which the job is compared; an empty one if its key is gone.

    ``plan``: the saved plan that the job carries out.
    """
    found = ledger.absences.last(job, roster_key(plan or job))
    if found is None:
        return EarlierRun()
    hashes = array("Q")
    try:
        hashes.frombytes(base64.b64decode(seal.open(found.sealed, f"{found.job}/absent")))
    except SealBroken:
        return EarlierRun()
    return EarlierRun(found.job, tuple(ledger.jobs.hosts(found.job).values()), hashes)


def record_absent(ledger: Ledger, seal: Seal, job: Job, hashes: array[int], plan: Job | None = None) -> None:
    """Record a job's absent users, for comparison with later runs."""
    packed = base64.b64encode(hashes.tobytes()).decode()
    sealed = seal.close_over(packed, f"{job.id}/absent")
    ledger.absences.add(job, roster_key(plan or job), sealed)


def roster_key(job: Job) -> str:
    """Return the key of the job's roster among those of its account: its source, and the realm it goes to."""
    options = job.options
    source = f"{job.source} {job.roster}" if job.source == "-" else job.source
    return json.dumps([options.api, options.realm.casefold(), source])


def _name_hash(user: Stored) -> int:
    name = f"{user.realm.casefold()} {user.composite.casefold()}"
    return int.from_bytes(blake2b(name.encode(errors="surrogatepass"), digest_size=8).digest())
