"""Step 3 of a row's way: posted in a batch, and whatever comes back becomes one outcome a row.

Nothing is guessed: a row that an answer doesn't settle is asked for, and what asking can't settle
either is sent alone, so that the answer can mean no other row.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Protocol

from worker.errors import AnswerLost, ListRefused, Refused, SiprosterError, Unavailable, place_of
from worker.failpoints import hit
from worker.importing.compare import differences, explained, wanted
from worker.importing.packing import ChunkRow
from worker.ledger import JobRealm
from worker.model import Answer, Credential, EntryError, Family, Outcome, Realm, Status, Stored

log = logging.getLogger(__name__)

_EXISTS = frozenset({"23009", "23026"})
"""Exists on the account; exists on the realm."""

_WHOLE_REALM = frozenset({"23017", "23022", "33001"})
"""Realm not found, realm not ACTIVE: every row of that realm would be refused alone, too."""

_LOST_IN_A_ROW = 2
"""Answers lost for the same rows, asked for in between, before the service counts as unavailable."""


class CredentialSource(Protocol):
    """The part of the API that stores and shows credentials."""

    def create(
        self, family: Family, realm: Realm, batch: Sequence[Credential], permit: Callable[[float], None]
    ) -> Answer: ...
    def find(
        self, family: Family, realm: Realm, composite: str, *, expected: bool = False
    ) -> Stored | None: ...


class Settling:
    """Rows of one claimed chunk → outcomes, through the service.

    ``permit`` renews the chunk's lease before a request that writes. ``record`` commits outcomes.
    ``go_on`` raises when no further request should start. ``learn`` is told a bound on entries.
    ``undisturbed``: whether no other job has written to the account since the look at what is there.
    """

    def __init__(
        self,
        family: Family,
        realms: dict[int, JobRealm],
        api: CredentialSource,
        *,
        permit: Callable[[float], None],
        record: Callable[[Sequence[Outcome]], None],
        go_on: Callable[[], None],
        learn: Callable[[int], None],
        undisturbed: Callable[[], bool] = lambda: True,
        earlier_attempts: int = 0,
    ) -> None:
        self._family = family
        self._realms = realms
        self._api = api
        self._permit = permit
        self._record = record
        self._go_on = go_on
        self._learn = learn
        self._undisturbed = undisturbed
        self._earlier = earlier_attempts
        self._posted: Counter[int] = Counter()
        self.in_doubt: set[int] = set()
        """Lines that were, or may have been, sent and whose answer is still missing."""

    def post(self, rows: Sequence[ChunkRow], lost: int = 0) -> None:
        """Create these rows' credentials with one request, or with several where one doesn't settle it.

        ``lost``: answers that were lost for them so far. Raises TryLater and StopJob; every row
        that has no outcome by then was not refused.
        """
        self._go_on()
        try:
            credentials = [self._credential(row) for row in rows]
            self._posted.update(row.line for row in rows)
            answer = self._api.create(self._family, self._realm_of(rows[0]), credentials, self._permit)
            hit("answered")
        except ListRefused as refusal:
            self._split(rows, refusal)
        except AnswerLost as loss:
            self.in_doubt.update(row.line for row in rows)
            self._ask_and_post(rows, lost + 1, loss)
        except SiprosterError:
            raise
        except Exception as error:
            self._isolate(rows, error)
        else:
            self._settle(rows, answer)

    def ask_and_post(self, rows: Sequence[ChunkRow]) -> None:
        """Rows that an earlier claim may have sent: ask for them first, post those that aren't there."""
        absent = self._ask(rows)
        if absent:
            self.post(absent)

    def _ask_and_post(self, rows: Sequence[ChunkRow], lost: int, loss: AnswerLost) -> None:
        absent = self._ask(rows)
        if absent and lost >= _LOST_IN_A_ROW:
            raise Unavailable(f"the service answered none of {lost} requests: {loss.message}") from None
        if absent:
            self.post(absent, lost)

    def _ask(self, rows: Sequence[ChunkRow]) -> list[ChunkRow]:
        """Outcomes for the rows that the service holds; the others are returned."""
        absent, found = [], []
        try:
            for row in rows:
                outcome = self._looked_up(row, sent=True)
                if outcome is None:
                    absent.append(row)
                else:
                    found.append(outcome)
        finally:
            self._keep(found)
        return absent

    def _split(self, rows: Sequence[ChunkRow], refusal: ListRefused) -> None:
        one_realm = len({row.realm for row in rows}) == 1
        if len(rows) == 1 or (one_realm and refusal.code in _WHOLE_REALM):
            self._keep([self._failed(row, refusal.code or "refused", refusal.text) for row in rows])
            return
        if refusal.bound:
            self._learn(refusal.bound)
        size = min(refusal.bound or len(rows), (len(rows) + 1) // 2)
        for start in range(0, len(rows), size):
            self.post(rows[start : start + size])

    def _isolate(self, rows: Sequence[ChunkRow], error: Exception) -> None:
        """A fault of our own: find the row that does it, so that its batch-mates go on without it."""
        self.in_doubt.update(row.line for row in rows)  # it may have been the answer that was too much
        if len(rows) == 1:
            self._keep([self._crashed(rows[0], error, Status.FAILED)])
            return
        half = len(rows) // 2
        self.post(rows[:half])
        self.post(rows[half:])

    def _settle(self, rows: Sequence[ChunkRow], answer: Answer) -> None:
        by_name = {row.composite.casefold(): row for row in rows}
        by_hash = {self._credential(row).hash1: row for row in rows} if answer.refused else {}
        outcomes, exists = [], []
        for echo in answer.accepted:
            row = by_name.pop(echo.composite.casefold(), None)
            if row is not None:
                outcomes.append(self._accepted(row, echo.id, echo.composite))
        unmatched: list[EntryError] = []
        for refusal in answer.refused:
            # The digest first: an echo may lack a wrong domain, and name another row by what is left.
            row = self._by_hash(refusal.hash1, by_hash, by_name)
            row = row or by_name.pop(refusal.composite.casefold(), None)
            if row is None:
                unmatched.append(refusal)
            elif refusal.code in _EXISTS:
                exists.append((row, refusal))
            else:
                outcomes.append(self._failed(row, refusal.code or "refused", refusal.text))
        self._keep(outcomes)
        for row, refusal in exists:
            self._keep([self._existing(row, refusal, repeated=answer.repeated)])
        self._settle_unnamed(list(by_name.values()), unmatched, alone=len(rows) == 1)

    @staticmethod
    def _by_hash(hash1: str, by_hash: dict[str, ChunkRow], by_name: dict[str, ChunkRow]) -> ChunkRow | None:
        row = by_hash.get(hash1)
        return by_name.pop(row.composite.casefold(), None) if row else None

    def _settle_unnamed(self, rows: list[ChunkRow], unmatched: list[EntryError], *, alone: bool) -> None:
        """Rows that the answer didn't name: ask for them, then send what isn't there alone."""
        self.in_doubt.update(row.line for row in rows)
        for row in self._ask(rows):
            if not alone:
                self.post([row])
            elif unmatched:
                self._keep([self._failed(row, unmatched[0].code or "refused", unmatched[0].text)])
            else:
                text = "the service neither stored nor refused it"
                self._keep([self._outcome(row, Status.UNKNOWN, "not_mentioned", text)])

    def _existing(self, row: ChunkRow, refusal: EntryError, *, repeated: bool) -> Outcome:
        sent = repeated or row.line in self.in_doubt
        outcome = self._looked_up(row, expected=True, sent=sent)
        if outcome is not None:
            return outcome
        text = f"the service says that it exists, but doesn't show it: {refusal.text}"
        return self._outcome(row, Status.UNKNOWN, refusal.code, text)

    def _accepted(self, row: ChunkRow, credential_id: str, composite: str) -> Outcome:
        if composite == row.composite:
            return self._outcome(row, Status.CREATED, credential_id=credential_id)
        text = f"stored as {composite}: digests made for {row.composite} can't register under that spelling"
        return self._outcome(row, Status.FAILED, "case_differs", text, credential_id)

    def _compared(self, row: ChunkRow, stored: Stored, *, sent: bool) -> Outcome:
        """What the service holds against what was wanted (the statuses' meanings: docs/errors.md)."""
        differs = differences(self._credential(row), stored)
        if differs:
            return self._outcome(row, Status.EXISTS, ";".join(differs), explained(differs, stored), stored.id)
        # It was not there before, or it would not have been sent; and nobody else was at work since.
        if sent and self._realms[row.realm].looked and self._undisturbed():
            return self._outcome(row, Status.CREATED, credential_id=stored.id)
        if sent:
            text = "it is there with these digests; whether this job made it can't be proven"
            return self._outcome(row, Status.UNCHANGED, "origin_unknown", text, stored.id)
        return self._outcome(row, Status.UNCHANGED, credential_id=stored.id)

    def _looked_up(self, row: ChunkRow, *, sent: bool, expected: bool = False) -> Outcome | None:
        """What the service holds under the row's name, as the row's outcome; None: nothing.

        A row that can't even be asked for has that as its outcome: it must not keep its chunk from ending.
        """
        try:
            stored = self._api.find(self._family, self._realm_of(row), row.composite, expected=expected)
            return self._compared(row, stored, sent=sent) if stored else None
        except Refused as refusal:
            text = f"sent, and the service refuses to be asked for it: {refusal.text}"
            return self._outcome(row, Status.UNKNOWN, refusal.code or "refused", text)
        except SiprosterError:
            raise
        except Exception as error:
            return self._crashed(row, error, Status.UNKNOWN)

    def _realm_of(self, row: ChunkRow) -> Realm:
        return self._realms[row.realm].realm

    def _credential(self, row: ChunkRow) -> Credential:
        hit("row", row.user)
        return wanted(row, self._realms[row.realm].host)

    def _keep(self, outcomes: Sequence[Outcome]) -> None:
        if outcomes:
            self._record(outcomes)
            hit("recorded")
            self.in_doubt.difference_update(outcome.line for outcome in outcomes)

    def _crashed(self, row: ChunkRow, error: Exception, status: Status) -> Outcome:
        log.error("line %d: %s", row.line, place_of(error))
        text = "siproster itself failed on this row; please report it, with the output of --debug"
        return self._outcome(row, status, "crashed", text)

    def _failed(self, row: ChunkRow, code: str, text: str) -> Outcome:
        return self._outcome(row, Status.FAILED, code, text)

    def _outcome(
        self, row: ChunkRow, status: Status, code: str = "", text: str = "", credential_id: str = ""
    ) -> Outcome:
        attempts = self._earlier + self._posted[row.line]
        return Outcome(row.line, status, credential_id, code, text, attempts)
