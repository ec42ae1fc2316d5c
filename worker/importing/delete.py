"""Delete leavers: users who are stored on the roster's realms and not in the roster (``--absent delete``)."""

from __future__ import annotations

from worker.errors import Refused
from worker.importing.api_protocols import DeleteSource
from worker.importing.change import CHANGED, RowChanger
from worker.importing.compare import ORIGIN_UNKNOWN, same
from worker.model import Outcome, Row, Status, Stored

GONE, HIDDEN_DIGESTS = "user_gone", "digests_hidden"


class RowDeleter(RowChanger[DeleteSource, bool]):
    """Deleter of leavers. A request says whether the user was there."""

    noun = "deletion"
    not_done = "the user is still there"

    def _before(self, row: Row) -> Stored:
        return row.leaver

    def _without_request(self, row: Row, before: Stored, now: Stored) -> Outcome | None:
        if not same(before, now):
            text = "somebody has changed the user since it was looked up; it was left alone"
            return self._outcome(row, Status.EXISTS, CHANGED, text)
        if not (now.hash1 and now.hash1b):
            text = "the service doesn't show both digests, so the user could not be created again"
            return self._outcome(row, Status.EXISTS, HIDDEN_DIGESTS, text)
        return None

    def _send(self, row: Row, now: Stored) -> bool:
        return self._api.delete(self._session.family, self._realm(row), now, self._session.permit)

    def _answered(self, row: Row, before: Stored, sent: bool) -> Outcome:
        return self._outcome(row, Status.DELETED) if sent else self._gone(row)

    def _gone(self, row: Row) -> Outcome:
        if row.line in self._begun:
            text = "it is gone; whether this job deleted it can't be proven"
            return self._outcome(row, Status.DELETED, ORIGIN_UNKNOWN, text)
        return self._outcome(row, Status.DELETED, GONE, "somebody else has deleted it")

    def _refused(self, row: Row, refusal: Refused) -> Outcome:
        status = Status.UNKNOWN if row.line in self._session.unconfirmed else Status.FAILED
        return self._outcome(row, status, refusal.code or "refused", refusal.text)

    def _outcome(
        self, row: Row, status: Status, code: str = "", text: str = "", credential_id: str = ""
    ) -> Outcome:
        return super()._outcome(row, status, code, text, credential_id or row.leaver.id)
