"""Create rows of a chunk in batches: each answer becomes one outcome a row.

Nothing is guessed: a row that an answer doesn't settle is looked up, and a row that the look-up can't settle
either is sent alone, so that the answer can mean no other row. Only an answer that names a row proves that
this job created its credential: equal digests may be the work of another job, from an unknown ledger.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence

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
from worker.importing.api_protocols import CredentialSource
from worker.importing.chunk_session import RowSession
from worker.importing.compare import CASE, ORIGIN_UNKNOWN, differences, explained, fill_digests, wanted
from worker.importing.unconfirmed_lookup import Found, Lookup, SingleLookup
from worker.model import Answer, Echo, EntryError, Outcome, Realm, Row, Status, Stored
from worker.reasons import plural
from worker.waits import HERE, WaitKind

log = logging.getLogger(__name__)

_EXISTS = frozenset({"23009", "23026"})
"""Codes for "exists on the account" and "exists on the realm"."""

_WHOLE_REALM = frozenset({"23017", "23022", "33001"})
"""Realm not found, realm not ACTIVE: every row of that realm would be refused alone, too."""

_LOST_IN_A_ROW = 2
"""Answers lost for the same rows, with look-ups in between, before the service counts as unavailable."""


class BatchCreator:
    """Creator of the rows of one claimed chunk. Shared by threads."""

    def __init__(self, session: RowSession, api: CredentialSource, lookup: Lookup | None = None) -> None:
        """Take ``lookup``, which finds unconfirmed rows; by default one after the other."""
        self._single_lookup = SingleLookup(session, api)
        self._lookup = lookup or self._single_lookup
        self._session = session
        self._api = api
        self._family = session.family
        self._posted: Counter[int] = Counter()
        self._contradicted: set[int] = set()
        """Lines of rows that an answer calls stored, but differently than they were sent."""

    def create(self, rows: Sequence[Row], lost: int = 0) -> None:
        """Create these rows' credentials with one request, or with several if one doesn't settle it.

        ``lost``: how many answers were lost for them so far. Raises TryLater and StopJob; rows without an
        outcome by then were not refused.
        """
        self._session.check_continue()
        sent: set[int] = set()

        def permit(deadline: float) -> None:
            self._session.permit(deadline)
            sent.update([row.line for row in rows])

        try:
            fill_digests(rows)
            self._posted.update([row.line for row in rows])
            answer = self._api.create(self._family, self._realm_of(rows[0]), rows, permit)
            hit("answered")
        except SiprosterError as error:
            if error.unconfirmed or isinstance(error, AnswerLost):
                self._session.unconfirmed.update(sent)
            self._not_settled(rows, lost, error)
        except Exception as error:
            self._session.unconfirmed.update(sent)
            self._isolate(rows, error)
        else:
            self._settle(rows, answer)

    def look_up_and_create(self, rows: Sequence[Row]) -> None:
        """Look up rows that an earlier claim may have sent, and create the missing ones."""
        if absent := self._look_up_all(rows, earlier=True):
            self.create(absent)

    def _not_settled(self, rows: Sequence[Row], lost: int, error: SiprosterError) -> None:
        """Continue after an answer that refused the whole list, or that doesn't settle its rows."""
        if isinstance(error, ListRefused):
            self._split(rows, error)
        elif isinstance(error, ForeignAnswer):
            self._settle_unnamed(rows, alone=len(rows) == 1, foreign=error.text)
        elif isinstance(error, AnswerLost):
            self._create_absent(rows, lost + 1, error)
        else:
            raise error

    def _create_absent(self, rows: Sequence[Row], lost: int, loss: AnswerLost) -> None:
        absent = self._look_up_all(rows)
        if absent and lost >= _LOST_IN_A_ROW:
            raise Unavailable(f"the service answered none of {lost} requests: {loss.message}") from None
        if absent:
            self.create(absent, lost)

    def _look_up_all(self, rows: Sequence[Row], *, earlier: bool = False) -> list[Row]:
        """Record outcomes for the rows that the service has, and return the others.

        ``earlier``: an earlier claim may have sent them, and this one has not.
        """
        absent, found = set(), []
        asked = plural(len(rows), "row")
        with HERE.entered(WaitKind.ASKING, f"{asked} whose answer was lost"):
            try:
                for row, stored in self._lookup.find(rows, earlier=earlier):
                    outcome = self._outcome_of_lookup(row, stored, sent=True)
                    if outcome is None:
                        absent.add(row.line)
                    else:
                        found.append(outcome)
            finally:
                self._session.record(found)
        return [row for row in rows if row.line in absent]

    def _split(self, rows: Sequence[Row], refusal: ListRefused) -> None:
        """Send a refused list in parts; for a single row, or a whole realm, record the list's refusal."""
        one_realm = len({row.realm_key for row in rows}) == 1
        if len(rows) == 1 or (one_realm and refusal.code in _WHOLE_REALM):
            of_each = EntryError(refusal.code, refusal.text)
            for row in rows:
                self._session.record([self._refused(row, of_each, sent=False)])
            return
        if refusal.bound:
            self._session.learn_batch_limit(refusal.bound)
        size = min(refusal.bound or len(rows), (len(rows) + 1) // 2)
        for start in range(0, len(rows), size):
            self.create(rows[start : start + size])

    def _isolate(self, rows: Sequence[Row], error: Exception) -> None:
        """Find the row that makes siproster itself fail, so that the rest of its batch can go on."""
        if len(rows) == 1:
            unconfirmed = rows[0].line in self._session.unconfirmed
            status = Status.UNKNOWN if unconfirmed else Status.FAILED
            self._session.record([self._crashed(rows[0], error, status)])
            return
        half = len(rows) // 2
        self.create(rows[:half])
        self.create(rows[half:])

    def _settle(self, rows: Sequence[Row], answer: Answer) -> None:
        if answer.ids is None:
            self._match(rows, answer)
            return
        earlier, posted = self._session.earlier_attempts, self._posted  # once, and no call for each row
        self._session.record([
            Outcome(row.line, Status.CREATED, id_, "", "", earlier + posted[row.line])
            for row, id_ in zip(rows, answer.ids, strict=True)
        ])  # fmt: skip

    def _match(self, rows: Sequence[Row], answer: Answer) -> None:
        """Match each row with the entry of the answer that names it; look up the rest."""
        by_name = {row.composite.casefold(): row for row in rows}
        by_hash = {row.hash1: row for row in rows}
        self._contradicted |= {by_name[name].line for name in answer.contradicted & by_name.keys()}
        created, respelt, refused = [], [], []
        for echo in answer.accepted:
            row = by_name.pop(echo.composite.casefold(), None)
            if row is not None and echo.composite == row.composite:
                created.append(self._outcome(row, Status.CREATED, credential_id=echo.id))
            elif row is not None:
                respelt.append((row, echo))
        unmatched: list[EntryError] = []
        for refusal in answer.refused:
            # The digest first: an echo may lack a wrong domain, and name another row by what is left.
            hashed = by_hash.get(refusal.hash1)
            row = by_name.pop(hashed.composite.casefold(), None) if hashed else None
            row = row or by_name.pop(refusal.composite.casefold(), None)
            if row is None:
                unmatched.append(refusal)
            else:
                refused.append((row, refusal))
        alone, left = len(rows) == 1, list(by_name.values())
        if alone and unmatched:  # it can only mean this row
            refused += [(row, unmatched[0]) for row in left]
            left = []
        self._session.unconfirmed.update(row.line for row in (*left, *(row for row, _ in respelt)))
        self._session.record(created)
        for row, echo in respelt:
            self._session.record([self._respelt(row, echo)])
        for row, refusal in refused:
            self._session.record([self._refused(row, refusal, sent=answer.repeated)])
        self._settle_unnamed(left, alone=alone)

    def _settle_unnamed(self, rows: Sequence[Row], *, alone: bool, foreign: str = "") -> None:
        """Look up rows that the answer didn't name, then send the missing ones one by one.

        ``foreign``: a refusal that was the whole answer, and not in the service's own words.
        """
        if not rows:
            return
        self._session.unconfirmed.update(row.line for row in rows)
        for row in self._look_up_all(rows):
            if not alone:
                self.create([row])
            elif foreign:
                text = f"refused, but not in the service's own words ({foreign}); it does not show now"
                self._session.record([self._outcome(row, Status.UNKNOWN, "refused", text)])
            else:
                text = "the service neither stored nor refused it"
                self._session.record([self._outcome(row, Status.UNKNOWN, "not_mentioned", text)])

    def _refused(self, row: Row, refusal: EntryError, *, sent: bool) -> Outcome:
        """Return the outcome of a refused row. It settles the request that it answers, and no earlier one.

        ``sent``: an earlier request may have stored the row.
        """
        exists, sent = refusal.code in _EXISTS, sent or row.line in self._session.unconfirmed
        found = self._look_up(row, expected=exists, sent=sent) if exists or sent else None
        if found is not None:
            return found
        if exists:
            text = f"the service says that it exists, but doesn't show it: {refusal.text}"
            return self._outcome(row, Status.UNKNOWN, refusal.code, text)
        return self._outcome(row, Status.FAILED, refusal.code or "refused", refusal.text)

    def _respelt(self, row: Row, echo: Echo) -> Outcome:
        """Return the outcome of a row that the answer spells differently, by what a look-up shows."""
        shown = self._look_up(row, expected=True, sent=True)
        if shown and CASE not in shown.code.split(";"):
            return shown
        text = f"stored as {echo.composite}: digests of {row.composite} can't register under that spelling"
        return self._outcome(row, Status.FAILED, CASE, text, echo.id)

    def _compared(self, row: Row, stored: Stored, *, sent: bool) -> Outcome:
        """Return the outcome of comparing stored and wanted (the statuses' meanings: docs/errors.md)."""
        differs = differences(wanted(row, row.host), stored)
        # This job may have created it, and the service stored it differently.
        if (sent and differs == (CASE,)) or (differs and row.line in self._contradicted):
            differs = (*differs, ORIGIN_UNKNOWN)
        if differs:
            return self._outcome(row, Status.EXISTS, ";".join(differs), explained(differs, stored), stored.id)
        if sent:
            text = "it is there with these digests; whether this job made it can't be proven"
            return self._outcome(row, Status.UNCHANGED, ORIGIN_UNKNOWN, text, stored.id)
        return self._outcome(row, Status.UNCHANGED, credential_id=stored.id)

    def _look_up(self, row: Row, *, sent: bool, expected: bool = False) -> Outcome | None:
        """Look up the row and return its outcome, or None if nothing is stored under its name."""
        return self._outcome_of_lookup(row, self._single_lookup.one(row, expected=expected), sent=sent)

    def _outcome_of_lookup(self, row: Row, found: Found, *, sent: bool) -> Outcome | None:
        """Return the row's outcome by what a look-up found, or None if nothing is stored.

        For a row whose look-up failed, that error is the outcome: it must not keep its chunk from ending.
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
        return self._session.realms[row.realm_key].realm

    def _crashed(self, row: Row, error: Exception, status: Status) -> Outcome:
        log.error("line %d: %s", row.line, place_of(error), extra={"line": row.line})
        text = "siproster itself failed on this row; please report it, with the output of --debug"
        return self._outcome(row, status, "crashed", text)

    def _outcome(
        self, row: Row, status: Status, code: str = "", text: str = "", credential_id: str = ""
    ) -> Outcome:
        attempts = self._session.earlier_attempts + self._posted[row.line]
        return Outcome(row.line, status, credential_id, code, text, attempts)
