"""Step 3 of a row's way: posted in a batch, and whatever comes back becomes one outcome a row.

Nothing is guessed: a row that an answer doesn't settle is asked for, and what asking can't settle
either is sent alone, so that the answer can mean no other row. Only an answer that names a row proves that
this job made its credential: equal digests may be another job's work, from a ledger that nobody here knows.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from worker.errors import (
    AnswerLost,
    ForeignAnswer,
    ListRefused,
    Refused,
    SiprosterError,
    Unavailable,
    place_of,
)
from worker.failpoints import hit
from worker.importing.compare import CASE, ORIGIN_UNKNOWN, differences, explained, wanted
from worker.importing.unconfirmed import Found, SingleLookup
from worker.ledger import JobRealm
from worker.model import (
    Answer,
    Credential,
    Echo,
    EntryError,
    Family,
    Outcome,
    Realm,
    Row,
    Status,
    Stored,
    WaitKind,
)
from worker.waits import HERE

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


class Lookup(Protocol):
    """Looks up rows whose answer is missing (unconfirmed.ChunkLookup)."""

    def find(self, rows: Sequence[Row], *, earlier: bool) -> Iterator[tuple[Row, Found]]: ...


class Settling:
    """Rows of one claimed chunk → outcomes, through the service.

    ``permit`` renews the chunk's lease before a request that writes. ``record`` commits outcomes.
    ``go_on`` raises when no further request should start. ``learn`` is told a bound on entries.
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
        lookup: Lookup | None = None,
        earlier_attempts: int = 0,
    ) -> None:
        self._family = family
        self._realms = realms
        self._api = api
        self._singly = SingleLookup(family, realms, api)
        self._lookup = lookup or self._singly
        self._permit = permit
        self._record = record
        self._go_on = go_on
        self._learn = learn
        self._earlier = earlier_attempts
        self._posted: Counter[int] = Counter()
        self._contradicted: set[int] = set()
        """Lines of rows that an answer calls stored, and otherwise than they were sent."""
        self.in_doubt: set[int] = set()
        """Lines that were, or may have been, sent and whose answer is still missing."""

    def post(self, rows: Sequence[Row], lost: int = 0) -> None:
        """Create these rows' credentials with one request, or with several where one doesn't settle it.

        ``lost``: answers that were lost for them so far. Raises TryLater and StopJob; every row
        that has no outcome by then was not refused.
        """
        self._go_on()
        sent: set[int] = set()

        def permit(deadline: float) -> None:
            self._permit(deadline)
            sent.update(row.line for row in rows)

        try:
            credentials = [self._credential(row) for row in rows]
            self._posted.update(row.line for row in rows)
            answer = self._api.create(self._family, self._realm_of(rows[0]), credentials, permit)
            hit("answered")
        except SiprosterError as error:
            if error.unconfirmed or isinstance(error, AnswerLost):
                self.in_doubt |= sent
            self._unanswered(rows, lost, error)
        except Exception as error:
            self.in_doubt |= sent
            self._isolate(rows, error)
        else:
            self._settle(rows, answer)

    def _unanswered(self, rows: Sequence[Row], lost: int, error: SiprosterError) -> None:
        """The answer was a refusal of the list, or none that tells what became of its rows."""
        if isinstance(error, ListRefused):
            self._split(rows, error)
        elif isinstance(error, ForeignAnswer):
            self._settle_unnamed(rows, alone=len(rows) == 1, foreign=error.text)
        elif isinstance(error, AnswerLost):
            self._ask_and_post(rows, lost + 1, error)
        else:
            raise error

    def ask_and_post(self, rows: Sequence[Row]) -> None:
        """Rows that an earlier claim may have sent: ask for them first, post those that aren't there."""
        absent = self._ask(rows, earlier=True)
        if absent:
            self.post(absent)

    def _ask_and_post(self, rows: Sequence[Row], lost: int, loss: AnswerLost) -> None:
        absent = self._ask(rows)
        if absent and lost >= _LOST_IN_A_ROW:
            raise Unavailable(f"the service answered none of {lost} requests: {loss.message}") from None
        if absent:
            self.post(absent, lost)

    def _ask(self, rows: Sequence[Row], *, earlier: bool = False) -> list[Row]:
        """Outcomes for the rows that the service holds; the others are returned.

        ``earlier``: they may have been sent by an earlier claim, and were not by this one.
        """
        absent, found = set(), []
        asked = "a row" if len(rows) == 1 else f"{len(rows)} rows"
        with HERE.entered(WaitKind.ASKING, f"{asked} whose answer was lost"):
            try:
                for row, stored in self._lookup.find(rows, earlier=earlier):
                    outcome = self._shown(row, stored, sent=True)
                    if outcome is None:
                        absent.add(row.line)
                    else:
                        found.append(outcome)
            finally:
                self._keep(found)
        return [row for row in rows if row.line in absent]

    def _split(self, rows: Sequence[Row], refusal: ListRefused) -> None:
        one_realm = len({row.realm_key for row in rows}) == 1
        if len(rows) == 1 or (one_realm and refusal.code in _WHOLE_REALM):
            of_each = EntryError(refusal.code, refusal.text)
            for row in rows:
                self._keep([self._refused(row, of_each, sent=False)])
            return
        if refusal.bound:
            self._learn(refusal.bound)
        size = min(refusal.bound or len(rows), (len(rows) + 1) // 2)
        for start in range(0, len(rows), size):
            self.post(rows[start : start + size])

    def _isolate(self, rows: Sequence[Row], error: Exception) -> None:
        """A fault of our own: find the row that does it, so that its batch-mates go on without it."""
        if len(rows) == 1:
            status = Status.UNKNOWN if rows[0].line in self.in_doubt else Status.FAILED
            self._keep([self._crashed(rows[0], error, status)])
            return
        half = len(rows) // 2
        self.post(rows[:half])
        self.post(rows[half:])

    def _settle(self, rows: Sequence[Row], answer: Answer) -> None:
        by_name = {row.composite.casefold(): row for row in rows}
        by_hash = {self._credential(row).hash1: row for row in rows} if answer.refused else {}
        self._contradicted |= {by_name[name].line for name in answer.contradicted & by_name.keys()}
        outcomes, respelt, refused = [], [], []
        for echo in answer.accepted:
            row = by_name.pop(echo.composite.casefold(), None)
            if row is not None and echo.composite == row.composite:
                outcomes.append(self._outcome(row, Status.CREATED, credential_id=echo.id))
            elif row is not None:
                respelt.append((row, echo))
        unmatched: list[EntryError] = []
        for refusal in answer.refused:
            # The digest first: an echo may lack a wrong domain, and name another row by what is left.
            row = self._by_hash(refusal.hash1, by_hash, by_name)
            row = row or by_name.pop(refusal.composite.casefold(), None)
            if row is None:
                unmatched.append(refusal)
            else:
                refused.append((row, refusal))
        alone, left = len(rows) == 1, list(by_name.values())
        if alone and unmatched:  # it can mean no other row
            refused += [(row, unmatched[0]) for row in left]
            left = []
        self.in_doubt.update(row.line for row in (*left, *(row for row, _ in respelt)))
        self._keep(outcomes)
        for row, echo in respelt:
            self._keep([self._respelt(row, echo)])
        for row, refusal in refused:
            self._keep([self._refused(row, refusal, sent=answer.repeated)])
        self._settle_unnamed(left, alone=alone)

    @staticmethod
    def _by_hash(hash1: str, by_hash: dict[str, Row], by_name: dict[str, Row]) -> Row | None:
        row = by_hash.get(hash1)
        return by_name.pop(row.composite.casefold(), None) if row else None

    def _settle_unnamed(self, rows: Sequence[Row], *, alone: bool, foreign: str = "") -> None:
        """Rows that the answer didn't name: ask for them, then send what isn't there alone.

        ``foreign``: a refusal that was all of the answer, and not in the service's own words.
        """
        self.in_doubt.update(row.line for row in rows)
        for row in self._ask(rows):
            if not alone:
                self.post([row])
            elif foreign:
                text = f"refused, but not in the service's own words ({foreign}); it does not show now"
                self._keep([self._outcome(row, Status.UNKNOWN, "refused", text)])
            else:
                text = "the service neither stored nor refused it"
                self._keep([self._outcome(row, Status.UNKNOWN, "not_mentioned", text)])

    def _refused(self, row: Row, refusal: EntryError, *, sent: bool) -> Outcome:
        """A refusal settles the request that it answers, and none that was sent before it.

        ``sent``: there was one before it, which may have stored the row.
        """
        exists, sent = refusal.code in _EXISTS, sent or row.line in self.in_doubt
        found = self._looked_up(row, expected=exists, sent=sent) if exists or sent else None
        if found is not None:
            return found
        if exists:
            text = f"the service says that it exists, but doesn't show it: {refusal.text}"
            return self._outcome(row, Status.UNKNOWN, refusal.code, text)
        return self._outcome(row, Status.FAILED, refusal.code or "refused", refusal.text)

    def _respelt(self, row: Row, echo: Echo) -> Outcome:
        """The answer names it in other letters; it counts what the service shows then."""
        shown = self._looked_up(row, expected=True, sent=True)
        if shown and CASE not in shown.code.split(";"):
            return shown
        text = f"stored as {echo.composite}: digests of {row.composite} can't register under that spelling"
        return self._outcome(row, Status.FAILED, CASE, text, echo.id)

    def _compared(self, row: Row, stored: Stored, *, sent: bool) -> Outcome:
        """What the service holds against what was wanted (the statuses' meanings: docs/errors.md)."""
        differs = differences(self._credential(row), stored)
        # This job may have made it, and the service put it down otherwise.
        if (sent and differs == (CASE,)) or (differs and row.line in self._contradicted):
            differs = (*differs, ORIGIN_UNKNOWN)
        if differs:
            return self._outcome(row, Status.EXISTS, ";".join(differs), explained(differs, stored), stored.id)
        if sent:
            text = "it is there with these digests; whether this job made it can't be proven"
            return self._outcome(row, Status.UNCHANGED, ORIGIN_UNKNOWN, text, stored.id)
        return self._outcome(row, Status.UNCHANGED, credential_id=stored.id)

    def _looked_up(self, row: Row, *, sent: bool, expected: bool = False) -> Outcome | None:
        """What the service holds under the row's name, as the row's outcome; None: nothing."""
        return self._shown(row, self._singly.one(row, expected=expected), sent=sent)

    def _shown(self, row: Row, found: Found, *, sent: bool) -> Outcome | None:
        """What a look-up shows, as the row's outcome; None: nothing.

        A row that can't even be asked for has that as its outcome: it must not keep its chunk from ending.
        """
        try:
            if isinstance(found, Exception):
                raise found
            return self._compared(row, found, sent=sent) if found else None
        except Refused as refusal:
            text = f"sent, and the service refuses to be asked for it: {refusal.text}"
            return self._outcome(row, Status.UNKNOWN, refusal.code or "refused", text)
        except SiprosterError:
            raise
        except Exception as error:
            return self._crashed(row, error, Status.UNKNOWN)

    def _realm_of(self, row: Row) -> Realm:
        return self._realms[row.realm_key].realm

    def _credential(self, row: Row) -> Credential:
        hit("row", row.user)
        return wanted(row, self._realms[row.realm_key].host)

    def _keep(self, outcomes: Sequence[Outcome]) -> None:
        if outcomes:
            self._record(outcomes)
            hit("recorded")
            self.in_doubt.difference_update(outcome.line for outcome in outcomes)

    def _crashed(self, row: Row, error: Exception, status: Status) -> Outcome:
        log.error("line %d: %s", row.line, place_of(error))
        text = "siproster itself failed on this row; please report it, with the output of --debug"
        return self._outcome(row, status, "crashed", text)

    def _outcome(
        self, row: Row, status: Status, code: str = "", text: str = "", credential_id: str = ""
    ) -> Outcome:
        attempts = self._earlier + self._posted[row.line]
        return Outcome(row.line, status, credential_id, code, text, attempts)
