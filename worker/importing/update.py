"""Rows whose user is there with other digests or another application: set anew, one by one.

Each is read first: whoever was changed since the job was planned is left alone. How it was is kept, sealed,
before it is changed; and it is read again afterwards, since an answer proves less than a look. A look alone
proves as little that this job has set it: without an answer that is `origin_unknown`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Protocol

from worker.errors import (
    AnswerLost,
    Conflict,
    ForeignAnswer,
    Refused,
    SiprosterError,
    Unavailable,
    place_of,
)
from worker.failpoints import hit
from worker.importing.compare import APPLICATION, ORIGIN_UNKNOWN, REALM, differences, explained, same, wanted
from worker.ledger import JobRealm
from worker.model import Credential, Family, Outcome, Realm, Row, Status, Stored

log = logging.getLogger(__name__)

CHANGED = "changed_since_plan"
NOT_SET = "application_not_set"
NOT_TAKEN = "not_taken"
_PERHAPS_NOT_SET = f"{NOT_SET};{ORIGIN_UNKNOWN}"

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
        intend: Callable[[Row, Stored], None],
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
        self.in_doubt: set[int] = set()
        """Lines that were, or may have been, set and whose outcome is still missing."""

    def update(self, rows: Sequence[Row]) -> None:
        """Set these rows' credentials. Raises TryLater and StopJob; rows done by then have their outcomes."""
        for row in rows:
            self._go_on()
            self._record([self._settled(row)])
            self.in_doubt.discard(row.line)
            hit("recorded")

    def _settled(self, row: Row) -> Outcome:
        try:
            return self._one(row)
        except Refused as refusal:
            return self._refused(row, refusal)
        except Conflict as conflict:
            return self._outcome(row, Status.FAILED, REALM, conflict.message)
        except SiprosterError:
            raise
        except Exception as error:
            log.error("line %d: %s", row.line, place_of(error))
            text = "siproster itself failed on this row; please report it, with the output of --debug"
            return self._outcome(row, Status.UNKNOWN, "crashed", text)

    def _one(self, row: Row) -> Outcome:
        hit("row", row.user)
        before, foreign = _known(row), ""
        for attempt in range(_TRIES + 1):
            now = self._api.read(self._family, self._realm(row), before)
            if now is None:
                return self._outcome(
                    row, Status.FAILED, CHANGED, "the user was deleted since it was looked up"
                )
            target = self._target(row, now)
            if not differences(target, now) or not same(before, now):
                return self._without_change(row, now, target)
            if attempt == _TRIES:
                break
            if row.line not in self._begun:
                self._intend(row, now)
                self._begun.add(row.line)
            hit("intended")
            try:
                self._put(row, now, target)
            except AnswerLost as loss:
                foreign = loss.text if isinstance(loss, ForeignAnswer) else ""
                continue
            hit("answered")
            return self._read_back(row, target, before)
        if foreign:
            text = f"refused, but not in the service's own words ({foreign}); it does not show now"
            return self._outcome(row, Status.UNKNOWN, "refused", text, before.id)
        raise Unavailable(f"the service answered none of {_TRIES} changes of one user")

    def _put(self, row: Row, now: Stored, target: Credential) -> None:
        """Set it; in doubt from then on, unless the service has refused it or was never asked."""
        try:
            self._api.update(self._family, self._realm(row), now, target, self._permit)
        except SiprosterError as error:
            if error.unconfirmed or isinstance(error, AnswerLost):
                self.in_doubt.add(row.line)
            raise
        self.in_doubt.add(row.line)

    def _refused(self, row: Row, refusal: Refused) -> Outcome:
        """A refusal settles the request that it answers, and none that was sent before it."""
        before, code = _known(row), refusal.code or "refused"
        if row.line not in self.in_doubt:
            return self._outcome(row, Status.FAILED, code, refusal.text, before.id)
        try:
            now = self._api.read(self._family, self._realm(row), before)
        except Refused:
            now = None
        if now is not None and not same(before, now):
            return self._without_change(row, now, self._target(row, now))
        return self._outcome(row, Status.UNKNOWN, code, f"sent, and then: {refusal.text}", before.id)

    def _without_change(self, row: Row, now: Stored, target: Credential) -> Outcome:
        """It is as wanted, by this job's own hand or not; or somebody has changed it since."""
        begun = row.line in self._begun
        differs = differences(target, _taken(target, now) if begun else now)
        if not differs and begun:
            text = "it is as wanted; whether this job set it can't be proven"
            return self._outcome(row, Status.UNCHANGED, ORIGIN_UNKNOWN, text, now.id)
        if not differs:
            return self._outcome(row, Status.UNCHANGED, credential_id=now.id)
        if begun and differs == (APPLICATION,):
            return self._not_set(row, now, proven=False)
        text = "somebody has changed the user since it was looked up; it was left alone"
        return self._outcome(row, Status.EXISTS, CHANGED, text, now.id)

    def _read_back(self, row: Row, target: Credential, before: Stored) -> Outcome:
        now = self._api.read(
            self._family, self._realm(row), before, lambda read: read is None or not same(before, read)
        )
        if now is None:
            return self._outcome(row, Status.FAILED, CHANGED, "the user was deleted while it was being set")
        differs = differences(target, _taken(target, now))
        if not differs:
            return self._outcome(row, Status.UPDATED, credential_id=now.id)
        if differs == (APPLICATION,):
            return self._not_set(row, now, proven=True)
        if same(before, now):
            text = "the service says that it set them, and shows the old digests still"
            return self._outcome(row, Status.UNKNOWN, NOT_TAKEN, text, now.id)
        return self._outcome(row, Status.EXISTS, CHANGED, explained(differs, now), now.id)

    def _target(self, row: Row, now: Stored) -> Credential:
        """What is to be there afterwards: the row's application, else the one that it had."""
        credential = wanted(row, self._realms[row.realm_key].host)
        had = _known(row).application or now.application
        return replace(credential, application=credential.application or had)

    def _realm(self, row: Row) -> Realm:
        return self._realms[row.realm_key].realm

    def _not_set(self, row: Row, now: Stored, *, proven: bool) -> Outcome:
        """``proven``: the service has answered that it set the password."""
        text = f"the password is set; the application stayed {now.application or 'none'}"
        if proven:
            return self._outcome(row, Status.FAILED, NOT_SET, text, now.id)
        return self._outcome(row, Status.FAILED, _PERHAPS_NOT_SET, text, now.id)

    def _outcome(
        self, row: Row, status: Status, code: str = "", text: str = "", credential_id: str = ""
    ) -> Outcome:
        return Outcome(row.line, status, credential_id, code, text, self._attempts)


def _taken(target: Credential, now: Stored) -> Stored:
    """What was set, as it is shown afterwards: a Hash1b that no read tells goes with the Hash1."""
    return replace(now, hash1b=target.hash1b) if (now.hash1, now.hash1b) == (target.hash1, None) else now


def _known(row: Row) -> Stored:
    if row.stored is None:
        raise ValueError("a row that is to be created has nothing to set anew")
    return row.stored
