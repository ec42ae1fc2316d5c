"""A plan that was kept for somebody's word, as a roster again; what has changed since is refused."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from worker.errors import UsageError
from worker.importing.checked import Checked
from worker.importing.compare import same
from worker.importing.decide import Decide, Planned
from worker.importing.update import CHANGED
from worker.ledger import Ledger
from worker.ledger.codec import open_chunk, open_page
from worker.model import NO_REALM, Action, Job, Outcome, Problem, Row, Status
from worker.seal import Seal

_ACTIONS = {
    Status.UNCHANGED: Action.UNCHANGED, Status.EXISTS: Action.EXISTS, Status.INVALID: Action.INVALID,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class SavedRows:
    """The rows of a saved plan (importing.job.RosterFacts, importing.look.RosterRows)."""

    ledger: Ledger
    seal: Seal
    plan: Job

    @property
    def name(self) -> str:
        """The roster's own name."""
        return self.plan.roster

    @property
    def source(self) -> str:
        """Not a place to read it again from: the rows come out of the ledger."""
        return f"plan {self.plan.id}"

    @property
    def sha256(self) -> str:
        """The roster's own."""
        return self.plan.sha256

    @property
    def columns(self) -> tuple[str, ...]:
        """The carried columns of the plan."""
        return self.plan.columns

    @property
    def records(self) -> int:
        """How many rows there are."""
        return self.plan.rows

    @property
    def whole(self) -> bool:
        """As the roster that was planned."""
        return self.plan.options.whole_roster

    def taken(self) -> Iterator[Row]:
        """None: a plan has put nobody in place."""
        return iter(())

    def rows(self) -> Iterator[Row]:
        """Every row as it was planned, in the roster's order. Raises UsageError when they were shredded."""
        hosts = self.ledger.jobs.hosts(self.plan.id)
        kept = _Kept(self.ledger, self.seal, self.plan)
        for page in self.ledger.rows.pages(self.plan.id):
            for row in open_page(self.seal, self.plan.id, page.seq, page.sealed):
                keyed = row.realm_key != NO_REALM
                ref = hosts.get(row.realm_key, self.plan.options.realm) if keyed else row.realm
                yield _row(row, ref, kept.of(row.line), page.outcomes.get(row.line))

    def held_to(self, decide: Decide) -> Decide:
        """Decisions that differ from the plan's become refusals."""
        return _AsPlanned(self, decide)


class _AsPlanned:
    """Decides anew and compares with what somebody has approved."""

    def __init__(self, saved: SavedRows, decide: Decide) -> None:
        self._saved = saved
        self._decide = decide
        self._kept = _Kept(saved.ledger, saved.seal, saved.plan)

    def __call__(self, page: Sequence[Checked]) -> list[Planned]:
        lines = page[0].row.line, page[-1].row.line
        outcomes = self._saved.ledger.rows.outcomes(self._saved.plan.id, *lines)
        return [self._held(now, outcomes.get(now.row.line)) for now in self._decide(page)]

    def _held(self, now: Planned, was: Outcome | None) -> Planned:
        before = self._kept.of(now.row.line).stored
        unsettled = Action.UPDATE if before else Action.CREATE
        action = _ACTIONS[was.status] if was else unsettled
        if was and was.status is Status.INVALID:  # for the reasons that were told, each once
            return replace(now, row=replace(now.row, problems=_problems(was)), outcome=was)
        if now.action in (Action.INVALID, Action.UNCHANGED):  # nothing is left to do, whatever was planned
            return now
        unmoved = now.stored is before if not (now.stored and before) else same(before, now.stored)
        return now if now.action is action and unmoved else _changed(now, action)


class _Kept:
    """The sealed rows of a plan, for lines asked for in rising order."""

    def __init__(self, ledger: Ledger, seal: Seal, plan: Job) -> None:
        self._ledger = ledger
        self._seal = seal
        self._plan = plan
        self._ahead = ledger.chunks.kept(plan.id)[::-1]
        self._open: dict[int, Row] = {}

    def of(self, line: int) -> Row:
        """The row of a line."""
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


def _row(row: Row, ref: str, kept: Row, outcome: Outcome | None) -> Row:
    problems = _problems(outcome) if outcome and outcome.status is Status.INVALID else ()
    return Row(
        row.line, row.user, row.domain, ref, row.application, kept.password, row.cells, problems,
        hash1=kept.hash1, hash1b=kept.hash1b,
    )  # fmt: skip


def _problems(outcome: Outcome) -> tuple[Problem, ...]:
    """What was wrong with a row; the texts aren't told apart any more."""
    return tuple(Problem(code, outcome.error) for code in outcome.code.split(";"))


def _changed(now: Planned, planned: Action) -> Planned:
    """Nothing is done with a row whose user is not as somebody has approved it."""
    if now.stored is None:
        text = f"planned as {planned}, but the user is gone since; plan again"
        status, action = Status.FAILED, Action.INVALID
    else:
        text = f"planned as {planned}, but the user was made or changed since; plan again"
        status, action = Status.EXISTS, Action.EXISTS
    outcome = Outcome(now.row.line, status, now.stored.id if now.stored else "", CHANGED, text)
    return replace(now, action=action, outcome=outcome)
