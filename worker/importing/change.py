"""Change stored users one by one: read, record the state before, send, and read again if the answer is lost.

A user who was changed since the job was planned is left alone. The state before is recorded, sealed, before
anything is sent, so that ``undo`` can bring it back.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Final, Generic, TypeVar

from worker.errors import AnswerLost, ForeignAnswer, Refused, SiprosterError, Unavailable, place_of
from worker.failpoints import hit
from worker.importing.api_protocols import UpdateSource
from worker.importing.chunk_session import RowSession
from worker.model import Outcome, Realm, Row, Status, Stored

log = logging.getLogger(__name__)

CHANGED = "changed_since_plan"

_TRIES: Final = 2
"""Answers lost for one user, with reads in between, before the service counts as unavailable."""

Api = TypeVar("Api", bound=UpdateSource)
Sent = TypeVar("Sent")


class RowChanger(ABC, Generic[Api, Sent]):
    """Changer of the users of one claimed chunk, one after the other. Shared by threads.

    ``Sent`` is what ``_send`` returns about an answered request.
    """

    noun: ClassVar[str]
    """The request, in messages: ``change``."""
    not_done: ClassVar[str]
    """The sign that a request was not carried out, in messages."""

    def __init__(self, session: RowSession, api: Api) -> None:
        self._session = session
        self._api = api
        self._begun = {change.line for change in session.changes_begun}
        """Lines whose previous state is recorded, so that they may have been changed."""

    def change(self, rows: Sequence[Row]) -> None:
        """Change these users. Raises TryLater and StopJob; rows done by then have outcomes."""
        for row in rows:
            self._session.check_continue()
            self._session.record([self._outcome_of(row)])

    def _outcome_of(self, row: Row) -> Outcome:
        try:
            return self._one(row)
        except Refused as refusal:
            return self._refused(row, refusal)
        except SiprosterError:
            raise
        except Exception as error:
            log.error("line %d: %s", row.line, place_of(error), extra={"line": row.line})
            text = "siproster itself failed on this row; please report it, with the output of --debug"
            return self._outcome(row, Status.UNKNOWN, "crashed", text)

    def _one(self, row: Row) -> Outcome:
        hit("row", row.user)
        before, foreign = self._before(row), ""
        for attempt in range(_TRIES + 1):
            now = self._api.read(self._session.family, self._realm(row), before)
            if now is None:
                return self._gone(row)
            if outcome := self._without_request(row, before, now):
                return outcome
            if attempt == _TRIES:
                break
            if row.line not in self._begun:
                self._session.record_before_image(row, now)
                self._begun.add(row.line)
            hit("intended")
            try:
                sent = self._attempt(row, now)
            except AnswerLost as loss:
                foreign = loss.text if isinstance(loss, ForeignAnswer) else ""
                continue
            hit("answered")
            return self._answered(row, before, sent)
        if foreign:
            text = f"refused, but not in the service's own words ({foreign}); {self.not_done}"
            return self._outcome(row, Status.UNKNOWN, "refused", text, before.id)
        raise Unavailable(f"the service answered none of {_TRIES} {self.noun}s of one user")

    def _attempt(self, row: Row, now: Stored) -> Sent:
        """Send the request; the row is unconfirmed if it may have been carried out without an answer."""
        try:
            return self._send(row, now)
        except SiprosterError as error:
            if error.unconfirmed or isinstance(error, AnswerLost):
                self._session.unconfirmed.add(row.line)
            raise

    @abstractmethod
    def _before(self, row: Row) -> Stored:
        """Return the user as the job was planned with it."""

    @abstractmethod
    def _gone(self, row: Row) -> Outcome:
        """Return the outcome of a user who isn't there any more."""

    @abstractmethod
    def _without_request(self, row: Row, before: Stored, now: Stored) -> Outcome | None:
        """Return the outcome of a user who must, or can, be left as it is; None if it is to be changed."""

    @abstractmethod
    def _send(self, row: Row, now: Stored) -> Sent:
        """Send the request."""

    @abstractmethod
    def _answered(self, row: Row, before: Stored, sent: Sent) -> Outcome:
        """Return the outcome of an answered request."""

    @abstractmethod
    def _refused(self, row: Row, refusal: Refused) -> Outcome:
        """Return the outcome of a refusal, which settles the request that it answers, and no earlier one."""

    def _realm(self, row: Row) -> Realm:
        return self._session.realms[row.realm_key].realm

    def _outcome(
        self, row: Row, status: Status, code: str = "", text: str = "", credential_id: str = ""
    ) -> Outcome:
        return Outcome(row.line, status, credential_id, code, text, self._session.earlier_attempts + 1)
