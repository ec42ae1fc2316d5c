"""Delete leavers: users who are stored on the roster's realms and not in the roster (``--absent delete``).

Each user is read first: one that was changed since the job was planned is left alone. Its state is recorded,
sealed, before it is deleted, so that ``undo`` can create it again.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from worker.errors import AnswerLost, ForeignAnswer, Refused, SiprosterError, Unavailable, place_of
from worker.failpoints import hit
from worker.importing.api_protocols import DeleteSource
from worker.importing.chunk_session import RowSession
from worker.importing.compare import ORIGIN_UNKNOWN, same
from worker.importing.update import CHANGED
from worker.model import Outcome, Realm, Row, Status, Stored

log = logging.getLogger(__name__)

GONE, HIDDEN_DIGESTS = "user_gone", "digests_hidden"

_TRIES = 2
"""Answers lost for one user, with reads in between, before the service counts as unavailable."""


class RowDeleter:
    """Deleter of the leavers of one claimed chunk, one after the other. Shared by threads."""

    def __init__(self, session: RowSession, api: DeleteSource) -> None:
        self._session = session
        self._api = api
        self._begun = {change.line for change in session.changes_begun}
        """Lines whose state is recorded, so that they may have been deleted."""

    def delete(self, rows: Sequence[Row]) -> None:
        """Delete these users. Raises TryLater and StopJob; those done by then have outcomes."""
        for row in rows:
            self._session.check_continue()
            self._session.record([self._outcome_of(row)])

    def _outcome_of(self, row: Row) -> Outcome:
        try:
            return self._one(row, row.leaver)
        except Refused as refusal:
            status = Status.UNKNOWN if row.line in self._session.unconfirmed else Status.FAILED
            return self._outcome(row, status, refusal.code or "refused", refusal.text)
        except SiprosterError:
            raise
        except Exception as error:
            log.error("leaver %d: %s", row.line, place_of(error))
            text = "siproster itself failed on this user; please report it, with the output of --debug"
            return self._outcome(row, Status.UNKNOWN, "crashed", text)

    def _one(self, row: Row, before: Stored) -> Outcome:
        hit("row", row.user)
        foreign = ""
        for attempt in range(_TRIES + 1):
            now = self._api.read(self._session.family, self._realm(row), before)
            if now is None:
                return self._gone(row)
            if reason := self._kept(row, before, now):
                return reason
            if attempt == _TRIES:
                break
            if row.line not in self._begun:
                self._session.record_before_image(row, now)
                self._begun.add(row.line)
            hit("intended")
            try:
                was_there = self._deleted(row, now)
            except AnswerLost as loss:
                foreign = loss.text if isinstance(loss, ForeignAnswer) else ""
                continue
            hit("answered")
            return self._outcome(row, Status.DELETED) if was_there else self._gone(row)
        if foreign:
            text = f"refused, but not in the service's own words ({foreign}); the user is still there"
            return self._outcome(row, Status.UNKNOWN, "refused", text)
        raise Unavailable(f"the service answered none of {_TRIES} deletions of one user")

    def _kept(self, row: Row, before: Stored, now: Stored) -> Outcome | None:
        """Return the outcome of a user who must be kept; None if it may be deleted."""
        if not same(before, now):
            text = "somebody has changed the user since it was looked up; it was left alone"
            return self._outcome(row, Status.EXISTS, CHANGED, text)
        if not (now.hash1 and now.hash1b):
            text = "the service doesn't show both digests, so the user could not be created again"
            return self._outcome(row, Status.EXISTS, HIDDEN_DIGESTS, text)
        return None

    def _deleted(self, row: Row, now: Stored) -> bool:
        """Delete the user and return whether it was there; it is unconfirmed if the answer is lost."""
        try:
            return self._api.delete(self._session.family, self._realm(row), now, self._session.permit)
        except SiprosterError as error:
            if error.unconfirmed or isinstance(error, AnswerLost):
                self._session.unconfirmed.add(row.line)
            raise

    def _gone(self, row: Row) -> Outcome:
        if row.line in self._begun:
            text = "it is gone; whether this job deleted it can't be proven"
            return self._outcome(row, Status.DELETED, ORIGIN_UNKNOWN, text)
        return self._outcome(row, Status.DELETED, GONE, "somebody else has deleted it")

    def _realm(self, row: Row) -> Realm:
        return self._session.realms[row.realm_key].realm

    def _outcome(self, row: Row, status: Status, code: str = "", text: str = "") -> Outcome:
        attempts = self._session.earlier_attempts + 1
        return Outcome(row.line, status, row.leaver.id, code, text, attempts)
