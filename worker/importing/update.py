"""Update rows whose user exists with other digests or another application, one by one.

Each user is read first: one that was changed since the job was planned is left alone. The state before the
change is recorded, sealed; and the user is read again afterwards, since an answer proves less than a read.
A read alone doesn't prove either that this job made the change: without an answer that is `origin_unknown`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

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
from worker.importing.api_protocols import UpdateSource
from worker.importing.chunk_session import RowSession
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
from worker.model import Credential, Outcome, Realm, Row, Status, Stored

log = logging.getLogger(__name__)

CHANGED = "changed_since_plan"
_PERHAPS_NOT_SET = f"{NOT_SET};{ORIGIN_UNKNOWN}"

_TRIES = 2
"""Answers lost for one row, with reads in between, before the service counts as unavailable."""


class RowUpdater:
    """Updater of the rows of one claimed chunk, one after the other. Shared by threads."""

    def __init__(self, session: RowSession, api: UpdateSource) -> None:
        self._session = session
        self._api = api
        self._family = session.family
        self._begun = {change.line for change in session.changes_begun}
        """Lines whose previous state is recorded, so that they may have been updated."""

    def update(self, rows: Sequence[Row]) -> None:
        """Update these rows' credentials. Raises TryLater and StopJob; rows done by then have outcomes."""
        for row in rows:
            self._session.check_continue()
            self._session.record([self._outcome_of(row)])

    def _outcome_of(self, row: Row) -> Outcome:
        try:
            return self._one(row)
        except Refused as refusal:
            return self._refused(row, refusal)
        except Conflict as conflict:
            return self._outcome(row, Status.FAILED, REALM, conflict.message)
        except SiprosterError:
            raise
        except Exception as error:
            log.error("line %d: %s", row.line, place_of(error), extra={"line": row.line})
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
                self._session.record_before_image(row, now)
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
        """Send the update; the row is unconfirmed then, unless the service refused or never got it."""
        try:
            self._api.update(self._family, self._realm(row), now, target, self._session.permit)
        except SiprosterError as error:
            if error.unconfirmed or isinstance(error, AnswerLost):
                self._session.unconfirmed.add(row.line)
            raise
        self._session.unconfirmed.add(row.line)

    def _refused(self, row: Row, refusal: Refused) -> Outcome:
        """Return the outcome of a refusal, which settles the request that it answers, and no earlier one."""
        before, code = _known(row), refusal.code or "refused"
        if row.line not in self._session.unconfirmed:
            return self._outcome(row, Status.FAILED, code, refusal.text, before.id)
        try:
            now = self._api.read(self._family, self._realm(row), before)
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
        """Return the credential to set, with the row's application, or else the one stored before."""
        credential = wanted(row, row.host)
        had = _known(row).application or now.application
        return replace(credential, application=credential.application or had)

    def _realm(self, row: Row) -> Realm:
        return self._session.realms[row.realm_key].realm

    def _not_set(self, row: Row, now: Stored, *, proven: bool) -> Outcome:
        """Return the outcome of an update that didn't set everything; ``proven``: by an answer."""
        text = f"the password is set; the application stayed {now.application or 'none'}"
        if proven:
            return self._outcome(row, Status.FAILED, NOT_SET, text, now.id)
        return self._outcome(row, Status.FAILED, _PERHAPS_NOT_SET, text, now.id)

    def _outcome(
        self, row: Row, status: Status, code: str = "", text: str = "", credential_id: str = ""
    ) -> Outcome:
        return Outcome(row.line, status, credential_id, code, text, self._session.earlier_attempts + 1)


def _taken(target: Credential, now: Stored) -> Stored:
    """Return the credential as reads show it afterwards: a Hash1b that no read shows follows the Hash1."""
    return replace(now, hash1b=target.hash1b) if (now.hash1, now.hash1b) == (target.hash1, None) else now


def _known(row: Row) -> Stored:
    if row.stored is None:
        raise ValueError("a row that is to be created has nothing to set anew")
    return row.stored
