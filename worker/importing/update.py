"""Update rows whose user exists with other digests or another application, one by one.

The user is read again after the change, since an answer proves less than a read. A read alone doesn't prove
either that this job made the change: without an answer that is `origin_unknown`.
"""

from __future__ import annotations

from dataclasses import replace

from worker.errors import Conflict, Refused
from worker.importing.api_protocols import UpdateSource
from worker.importing.change import CHANGED, RowChanger
from worker.importing.compare import (
    APPLICATION,
    NOT_SET,
    NOT_TAKEN,
    ORIGIN_UNKNOWN,
    REALM,
    differences,
    explained,
    same,
    wanted,
)
from worker.model import Credential, Outcome, Row, Status, Stored

_PERHAPS_NOT_SET = f"{NOT_SET};{ORIGIN_UNKNOWN}"


class RowUpdater(RowChanger[UpdateSource, Credential]):
    """Updater of rows. A request returns the credential that it set."""

    noun = "change"
    not_done = "it does not show now"

    def _one(self, row: Row) -> Outcome:
        try:
            return super()._one(row)
        except Conflict as conflict:
            return self._outcome(row, Status.FAILED, REALM, conflict.message)

    def _before(self, row: Row) -> Stored:
        return _known(row)

    def _gone(self, row: Row) -> Outcome:
        return self._outcome(row, Status.FAILED, CHANGED, "the user was deleted since it was looked up")

    def _without_request(self, row: Row, before: Stored, now: Stored) -> Outcome | None:
        target = self._target(row, now)
        if differences(target, now) and same(before, now):
            return None
        return self._without_change(row, now, target)

    def _send(self, row: Row, now: Stored) -> Credential:
        """Send the update; the row is unconfirmed then, unless the service refused or never got it."""
        target = self._target(row, now)
        self._api.update(self._session.family, self._realm(row), now, target, self._session.permit)
        self._session.unconfirmed.add(row.line)
        return target

    def _refused(self, row: Row, refusal: Refused) -> Outcome:
        before, code = _known(row), refusal.code or "refused"
        if row.line not in self._session.unconfirmed:
            return self._outcome(row, Status.FAILED, code, refusal.text, before.id)
        try:
            now = self._api.read(self._session.family, self._realm(row), before)
        except Refused:
            now = None
        if now is not None and not same(before, now):
            return self._without_change(row, now, self._target(row, now))
        return self._outcome(row, Status.UNKNOWN, code, f"sent, and then: {refusal.text}", before.id)

    def _without_change(self, row: Row, now: Stored, target: Credential) -> Outcome:
        """Return the outcome of a row to leave as it is: as wanted, or changed by somebody else since."""
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

    def _answered(self, row: Row, before: Stored, sent: Credential) -> Outcome:
        """Return the outcome that reading the user again shows."""
        family, realm = self._session.family, self._realm(row)
        now = self._api.read(family, realm, before, lambda read: read is None or not same(before, read))
        if now is None:
            return self._outcome(row, Status.FAILED, CHANGED, "the user was deleted while it was being set")
        differs = differences(sent, _taken(sent, now))
        if not differs:
            return self._outcome(row, Status.UPDATED, credential_id=now.id)
        if differs == (APPLICATION,):
            return self._not_set(row, now, proven=True)
        if same(before, now):
            text = "the service says that it set them, and shows the old digests still"
            return self._outcome(row, Status.UNKNOWN, NOT_TAKEN, text, now.id)
        return self._outcome(row, Status.EXISTS, CHANGED, explained(differs, now), now.id)

    def _target(self, row: Row, now: Stored) -> Credential:
        """Return the credential to set, with the row's application, or else the one stored before."""
        credential = wanted(row, row.host)
        had = _known(row).application or now.application
        return replace(credential, application=credential.application or had)

    def _not_set(self, row: Row, now: Stored, *, proven: bool) -> Outcome:
        """Return the outcome of an update that didn't set everything; ``proven``: by an answer."""
        text = f"the password is set; the application stayed {now.application or 'none'}"
        if proven:
            return self._outcome(row, Status.FAILED, NOT_SET, text, now.id)
        return self._outcome(row, Status.FAILED, _PERHAPS_NOT_SET, text, now.id)


def _taken(target: Credential, now: Stored) -> Stored:
    """Return the credential as reads show it afterwards: a Hash1b that no read shows follows the Hash1."""
    return replace(now, hash1b=target.hash1b) if (now.hash1, now.hash1b) == (target.hash1, None) else now


def _known(row: Row) -> Stored:
    if row.stored is None:
        raise ValueError("a row that is to be created has nothing to set anew")
    return row.stored
