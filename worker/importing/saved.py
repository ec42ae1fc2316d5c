"""A saved plan, as a roster again; whatever has changed since it was approved is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from worker.errors import UsageError
from worker.importing.change import CHANGED
from worker.importing.compare import same
from worker.importing.leavers import set_leaver_realm
from worker.importing.realms import JobRealms
from worker.importing.validation import RosterPage
from worker.ledger import Ledger
from worker.ledger.codec import open_chunk, open_page
from worker.model import NO_REALM, Action, Job, Outcome, Problem, Row, Status, Stored
from worker.seal import Seal

_ACTIONS = {
    Status.UNCHANGED: Action.UNCHANGED, Status.EXISTS: Action.EXISTS, Status.INVALID: Action.INVALID,
    Status.SKIPPED: Action.SKIP,
}  # fmt: skip
_NEVER_SENT = (Status.INVALID, Status.SKIPPED)


@dataclass(frozen=True, slots=True)
class SavedRows:
    """The rows of a saved plan (importing.job.RosterFacts, importing.validation.RosterPages)."""

    ledger: Ledger
    seal: Seal
    plan: Job

    @property
    def name(self) -> str:
        """Return the roster's own name."""
        return self.plan.roster

    @property
    def source(self) -> str:
        """Return no source to read again: the rows come from the ledger."""
        return f"plan {self.plan.id}"

    @property
    def sha256(self) -> str:
        """Return the roster's own SHA-256."""
        return self.plan.sha256

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the carried columns of the plan."""
        return self.plan.columns

    @property
    def records(self) -> int:
        """Return how many rows there are."""
        return self.plan.rows

    @property
    def whole(self) -> bool:
        """Return whether the plan covers the whole roster, as when it was planned."""
        return self.plan.options.whole_roster

    def name_line(self, line: int) -> str:
        """Return a row's line in words."""
        return f"line {line}"

    def taken(self) -> Iterator[RosterPage]:
        """Return no rows: a plan has put no user in place."""
        return iter(())

    def pages(self) -> Iterator[RosterPage]:
        """Yield every row as it was planned, in the roster's order.

        Raises UsageError when the rows were shredded.
        """
        hosts, unmade = self.ledger.jobs.hosts(self.plan.id), self.plan.options.realm
        planned = _PlannedRows(self.ledger, self.seal, self.plan)
        for page in self.ledger.rows.pages(self.plan.id):
            rows = open_page(self.seal, self.plan.id, page.seq, page.sealed)
            for row in rows:
                if row.realm_key != NO_REALM:  # the plan's own key; the job will have another
                    row.realm, row.realm_key = hosts.get(row.realm_key, unmade), NO_REALM
                _restore(row, planned.of(row.line), page.recorded_outcome(row.line))
            yield rows

    def leavers(self, realms: JobRealms) -> Iterator[RosterPage]:
        """Yield the leavers of the plan, as they were then: deleting reads each again."""
        hosts = self.ledger.jobs.hosts(self.plan.id)
        planned = _PlannedRows(self.ledger, self.seal, self.plan, leavers=True)
        for page in self.ledger.rows.leavers(self.plan.id):
            rows = open_page(self.seal, self.plan.id, page.seq, page.sealed)
            for row in rows:
                if outcome := page.recorded_outcome(row.line):
                    row.outcome = outcome
                    continue
                row.stored = planned.of(row.line).stored
                row.hash1, row.hash1b = row.leaver.hash1 or "", row.leaver.hash1b or ""
                set_leaver_realm(row, hosts.get(row.realm_key, ""), realms)
            yield rows

    def enforcer(self) -> Callable[[RosterPage], None]:
        """Return a function that refuses decisions that differ from the plan's, page after page."""
        planned = _PlannedRows(self.ledger, self.seal, self.plan)

        def enforce_saved_plan(page: RosterPage) -> None:
            outcomes = self.ledger.rows.outcomes(self.plan.id, page[0].line, page[-1].line)
            for row in page:
                _enforce(row, outcomes.get(row.line), planned.of(row.line).stored)

        return enforce_saved_plan


def _enforce(row: Row, was: Outcome | None, before: Stored | None) -> None:
    """Compare the action that would be taken now with the approved one."""
    unsettled = Action.UPDATE if before else Action.CREATE
    action = _ACTIONS[was.status] if was else unsettled
    if was and was.status in _NEVER_SENT:  # with the reported reasons, each once
        row.problems, row.outcome = _problems(was), was
        return
    if row.action in (Action.INVALID, Action.UNCHANGED):  # nothing is left to do, whatever was planned
        return
    now = row.stored
    unmoved = now is before if not (now and before) else same(before, now)
    if row.action is not action or not unmoved:
        _refuse_changed(row, action)


class _PlannedRows:
    """The sealed rows of a plan, for lines requested in rising order."""

    def __init__(self, ledger: Ledger, seal: Seal, plan: Job, *, leavers: bool = False) -> None:
        self._ledger = ledger
        self._seal = seal
        self._plan = plan
        self._ahead = ledger.chunks.kept(plan.id, leavers=leavers)[::-1]
        self._open: dict[int, Row] = {}

    def of(self, line: int) -> Row:
        """Return the row of a line."""
        while self._ahead and self._ahead[-1].first_line <= line:
            seq = self._ahead.pop().seq
            sealed = self._ledger.chunks.sealed(self._plan.id, seq)
            if sealed is not None:
                self._open.update(
                    (row.line, row) for row in open_chunk(self._seal, self._plan.id, seq, sealed)
                )
        if line not in self._open:
            days = self._plan.options.keep_days
            raise UsageError(
                f"plan {self._plan.id} has expired: its rows were kept for {days:g} days",
                "plan the roster again",
            )
        return self._open.pop(line)


def _restore(row: Row, planned: Row, outcome: Outcome | None) -> None:
    """Restore a row's secrets, and the problems that it was planned with."""
    row.password, row.hash1, row.hash1b = planned.password, planned.hash1, planned.hash1b
    row.generated = planned.generated
    if outcome and outcome.status in _NEVER_SENT:
        row.problems = _problems(outcome)
        row.skipped = row.problems[0] if outcome.status is Status.SKIPPED else None


def _problems(outcome: Outcome) -> tuple[Problem, ...]:
    """Return the problems of a row; their texts are joined into one."""
    return tuple(Problem(code, outcome.error) for code in outcome.code.split(";"))


def _refuse_changed(row: Row, planned: Action) -> None:
    """Refuse a row whose user has changed since the plan was approved."""
    if row.stored is None:
        text = f"planned as {planned}, but the user is gone since; plan again"
        status, row.action = Status.FAILED, Action.INVALID
    else:
        text = f"planned as {planned}, but the user was made or changed since; plan again"
        status, row.action = Status.EXISTS, Action.EXISTS
    row.outcome = Outcome(row.line, status, row.stored.id if row.stored else "", CHANGED, text)
