"""Rows whose user is there with other digests or another application: set anew, one by one.

Each is read first: whoever was changed since the job was planned is left alone. How it was is kept, sealed,
before it is changed; and it is read again afterwards, since an answer proves less than a look.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Protocol

from worker.errors import AnswerLost, Conflict, Refused, SiprosterError, Unavailable, place_of
from worker.failpoints import hit
from worker.importing.compare import APPLICATION, REALM, differences, explained, same, wanted
from worker.importing.packing import ChunkRow
from worker.ledger import JobRealm
from worker.model import Credential, Family, Outcome, Realm, Status, Stored

log = logging.getLogger(__name__)

CHANGED = "changed_since_plan"
NOT_SET = "application_not_set"

_TRIES = 2
"""Answers lost for one row, looked at in between, before the service counts as unavailable."""


# fmt: off
class UpdateSource(Protocol):
    """The part of the API that shows and sets one credential."""

    def read(
        self, family: Family, realm: Realm | None, stored: Stored,
        written: Callable[[Stored | None], bool] | None = None,
    ) -> Stored | None: ...
    def update(
        self, family: Family, realm: Realm | None, stored: Stored, credential: Credential,
        permit: Callable[[float], None], *, clear: bool = False,
    ) -> None: ...
# fmt: on


class Updating:
    """Rows of one claimed chunk → outcomes, through PUT.

    ``intend`` keeps how a row's credential was, before it is changed. ``begun``: lines for which an earlier
    claim has done so. ``permit``, ``record`` and ``go_on`` as in ``settle.Settling``.
    """

    def __init__(
        self,
        family: Family,
        realms: dict[int, JobRealm],
        api: UpdateSource,
        *,
        permit: Callable[[float], None],
        record: Callable[[Sequence[Outcome]], None],
        go_on: Callable[[], None],
        intend: Callable[[ChunkRow, Stored], None],
        begun: Collection[int],
        earlier_attempts: int = 0,
    ) -> None:
        self._family = family
        self._realms = realms
        self._api = api
        self._permit = permit
        self._record = record
        self._go_on = go_on
        self._intend = intend
        self._begun = set(begun)
        self._attempts = earlier_attempts + 1

    def update(self, rows: Sequence[ChunkRow]) -> None:
        """Set these rows' credentials. Raises TryLater and StopJob; rows done by then have their outcomes."""
        for row in rows:
            self._go_on()
            self._record([self._settled(row)])
            hit("recorded")

    def _settled(self, row: ChunkRow) -> Outcome:
        try:
            return self._one(row)
        except Refused as refusal:
            return self._outcome(row, Status.FAILED, refusal.code or "refused", refusal.text)
        except Conflict as conflict:
            return self._outcome(row, Status.FAILED, REALM, conflict.message)
        except SiprosterError:
            raise
        except Exception as error:
            log.error("line %d: %s", row.line, place_of(error))
            text = "siproster itself failed on this row; please report it, with the output of --debug"
            return self._outcome(row, Status.UNKNOWN, "crashed", text)

    def _one(self, row: ChunkRow) -> Outcome:
        hit("row", row.user)
        before = _known(row)
        for _ in range(_TRIES):
            now = self._api.read(self._family, self._realm(row), before)
            if now is None:
                return self._outcome(
                    row, Status.FAILED, CHANGED, "the user was deleted since it was looked up"
                )
            target = self._target(row, now)
            if not differences(target, now) or not same(before, now):
                return self._without_change(row, now, target)
            if row.line not in self._begun:
                self._intend(row, now)
                self._begun.add(row.line)
            hit("intended")
            try:
                self._api.update(self._family, self._realm(row), now, target, self._permit)
            except AnswerLost:
                continue
            hit("answered")
            return self._read_back(row, target, before)
        raise Unavailable(f"the service answered none of {_TRIES} changes of one user")

    def _without_change(self, row: ChunkRow, now: Stored, target: Credential) -> Outcome:
        """It is as wanted, by this job's own hand or not; or somebody has changed it since."""
        begun = row.line in self._begun
        differs = differences(target, _taken(target, now) if begun else now)
        if not differs:
            status = Status.UPDATED if begun else Status.UNCHANGED
            return self._outcome(row, status, credential_id=now.id)
        if begun and differs == (APPLICATION,):
            return self._not_set(row, now)
        text = "somebody has changed the user since it was looked up; it was left alone"
        return self._outcome(row, Status.EXISTS, CHANGED, text, now.id)

    def _read_back(self, row: ChunkRow, target: Credential, before: Stored) -> Outcome:
        now = self._api.read(
            self._family, self._realm(row), before, lambda read: read is None or not same(before, read)
        )
        if now is None:
            return self._outcome(row, Status.FAILED, CHANGED, "the user was deleted while it was being set")
        differs = differences(target, _taken(target, now))
        if not differs:
            return self._outcome(row, Status.UPDATED, credential_id=now.id)
        if differs == (APPLICATION,):
            return self._not_set(row, now)
        if same(before, now):
            text = "the service says that it set them, and shows the old digests still"
            return self._outcome(row, Status.UNKNOWN, "not_taken", text, now.id)
        return self._outcome(row, Status.EXISTS, CHANGED, explained(differs, now), now.id)

    def _target(self, row: ChunkRow, now: Stored) -> Credential:
        """What is to be there afterwards: the row's application, else the one that it had."""
        credential = wanted(row, self._realms[row.realm].host)
        had = _known(row).application or now.application
        return replace(credential, application=credential.application or had)

    def _realm(self, row: ChunkRow) -> Realm:
        return self._realms[row.realm].realm

    def _not_set(self, row: ChunkRow, now: Stored) -> Outcome:
        text = f"the password is set; the application stayed {now.application or 'none'}"
        return self._outcome(row, Status.FAILED, NOT_SET, text, now.id)

    def _outcome(
        self, row: ChunkRow, status: Status, code: str = "", text: str = "", credential_id: str = ""
    ) -> Outcome:
        return Outcome(row.line, status, credential_id, code, text, self._attempts)


def _taken(target: Credential, now: Stored) -> Stored:
    """What was set, as it is shown afterwards: a Hash1b that no read tells goes with the Hash1."""
    return replace(now, hash1b=target.hash1b) if (now.hash1, now.hash1b) == (target.hash1, None) else now


def _known(row: ChunkRow) -> Stored:
    if row.before is None:
        raise ValueError("a row that is to be created has nothing to set anew")
    return row.before
