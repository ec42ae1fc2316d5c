"""Compare a job's outcomes, and the results of its undo, with what the service knows to be true."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tests.chaos.liar import BEFORE, MINE, OTHERS, Account, Held
from tests.unit.jobs import HOST, OTHER_HOST, OTHER_REALM, REALM, digests_of
from worker.ledger import Ledger
from worker.model import Job, Outcome, Row, Status

_SET = ("application_not_set", "not_taken")


class Judge:
    """``rows``: of the job. ``alone``: nobody else has worked on the account."""

    def __init__(
        self, account: Account, ledger: Ledger, job: Job, rows: Sequence[Row], *, alone: bool
    ) -> None:
        self.account = account
        self.ledger = ledger
        self.job = job
        self.rows = rows
        self.alone = alone
        pages = list(ledger.rows.pages(job.id))
        found = {line: page for page in pages for line in range(page.first_line, page.last_line + 1)}
        self.outcomes: dict[int, Outcome] = {row.line: found[row.line].outcome(row.line) for row in rows}

    def of_outcomes(self) -> list[str]:
        """Return the outcomes that aren't true."""
        counts = self.ledger.rows.counts(self.job.id, len(self.rows))
        wrong = [] if sum(counts.values()) == len(self.rows) else [f"{counts} of {len(self.rows)} rows"]
        for row in self.rows:
            one = self.outcomes[row.line]
            wrong += [f"{row.composite} is {one.status} {one.code}: {text}" for text in self._lies(row, one)]
        return wrong

    def _lies(self, row: Row, outcome: Outcome) -> Iterator[str]:
        held, code = self._held(row), outcome.code
        mine = held is not None and (MINE in held.set_by if row.stored else held.made_by == MINE)
        whole = held is not None and self._whole(row, held)
        touched = held is not None and OTHERS in held.set_by
        match outcome.status:
            case Status.CREATED | Status.UPDATED:
                if not mine:
                    yield "it isn't ours"
                if not whole and not touched:
                    yield "it isn't whole"
            case Status.UNCHANGED:
                if not whole and not touched:
                    yield "it isn't there so"
            case Status.EXISTS:
                if held is None or (whole and not touched):
                    yield "it is there as wanted, or not at all"
            case Status.FAILED:
                if mine and code not in ("case_differs", "application_not_set;origin_unknown", *_SET):
                    yield "we have done it"
            case Status.UNPROCESSED:
                if row.composite.casefold() in self.account.sent:
                    yield "it was sent"
            case _:
                pass

    def of_undo(self) -> list[str]:
        """Return what an undo left without reporting it, and what it changed that wasn't the job's."""
        wrong = list(self.account.wrongs)
        results = self.ledger.undone.results(self.job.id, 0, 10_000)
        for row in self.rows:
            outcome, held, result = self.outcomes[row.line], self._held(row), results.get(row.line)
            became = (result.result, result.code) if result else None
            told = f"{row.composite} ({outcome.status} {outcome.code}) was {became}"
            touched = held is not None and OTHERS in held.set_by
            if outcome.status in (Status.CREATED, Status.UPDATED) and result is None:
                wrong.append(f"{told}: no line")
            if held is None:
                continue
            left = not self._as_before(row, held) if row.stored else held.made_by == MINE
            if outcome.status in (Status.CREATED, Status.UPDATED) and left and not touched:
                wrong.append(f"{told}: it is still there")
            # Put down otherwise than it was sent, and no answer that says so: nobody can tell whose it is.
            strange = row.composite in self.account.mangled and outcome.code == "digest_differs"
            if left and not touched and not strange and (result is None or result.result != "kept"):
                wrong.append(f"{told}: left without a word")
            if result and result.result == "removed" and held.made_by == MINE:
                wrong.append(f"{told}: it is not")
        return wrong

    def of_all_undone(self) -> list[str]:
        """Return what is left of a job's changes after an undo; nothing may be if nobody else was there."""
        wrong = list(self.account.wrongs)
        for row in self.rows:
            held, outcome = self._held(row), self.outcomes[row.line]
            left = held and (not self._as_before(row, held) if row.stored else held.made_by == MINE)
            if left and row.composite not in self.account.mangled:
                found = self.ledger.undone.results(self.job.id, row.line, row.line).get(row.line)
                wrong.append(f"{row.composite} ({outcome.status} {outcome.code}) is left after all: {found}")
        return wrong

    def _held(self, row: Row) -> Held | None:
        return self.account.users.get(
            self.account.place((REALM.id, OTHER_REALM.id)[row.realm_key], row.composite)
        )

    @staticmethod
    def _whole(row: Row, held: Held) -> bool:
        host = (HOST, OTHER_HOST)[row.realm_key]
        return (
            (held.name, held.realm, held.hash1, held.hash1b) == (row.composite, host, *digests_of(row, host))
            and (not row.application or held.application == row.application)
        )  # fmt: skip

    @staticmethod
    def _as_before(row: Row, held: Held) -> bool:
        before = row.stored
        assert before is not None
        assert held.made_by == BEFORE
        return (held.hash1, held.hash1b, held.application) == (
            before.hash1,
            before.hash1b,
            before.application,
        )
