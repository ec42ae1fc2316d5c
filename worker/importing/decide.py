"""What a job will do with each row: the roster's word, what is stored, and ``--on-existing``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from worker.importing.checked import Checked
from worker.importing.compare import SETTABLE, differences, explained, wanted
from worker.importing.look import Look
from worker.importing.realms import JobRealms
from worker.model import Action, OnExisting, Options, Outcome, Row, Status, Stored


@dataclass(frozen=True, slots=True)
class Planned:
    """A row and what will be done with it. ``stored``: what the service holds under its name now."""

    row: Row
    realm: int
    """The key of its realm; ``NO_REALM`` when it has none."""
    host: str
    """The realm's host name; empty when it has none."""
    action: Action | None
    """None: nobody looked what is stored, since no account is set."""
    stored: Stored | None = field(default=None, repr=False)
    differs: tuple[str, ...] = ()
    """Codes of what is stored otherwise than wanted."""
    outcome: Outcome | None = None
    """What became of the row, where no request of its own will be made."""


Decide = Callable[[Sequence[Checked]], list[Planned]]


def without_account(page: Sequence[Checked]) -> list[Planned]:
    """Nobody knows what is stored: only what is wrong with a row itself can be told."""
    return [_refused(c, "") if c.row.problems else Planned(c.row, c.realm, "", None) for c in page]


class Decision:
    """Decides by what a look at the service shows."""

    def __init__(self, look: Look, realms: JobRealms, options: Options) -> None:
        self._look = look
        self._realms = realms
        self._policy = options.on_existing
        self._unmade = options.realm

    def __call__(self, page: Sequence[Checked]) -> list[Planned]:
        """One page, which is looked up as a whole. Raises what the look raises."""
        found = self._look.at(page)
        return [self._one(checked, stored) for checked, stored in zip(page, found, strict=True)]

    def _one(self, checked: Checked, stored: Stored | None) -> Planned:
        row, realm = checked.row, checked.realm
        # A realm that is still to be made can't be the one of a user who is there.
        host = self._realms.host(realm) or self._unmade
        if row.problems:
            return _refused(checked, host)
        if stored is None:
            return Planned(row, realm, host, Action.CREATE)
        differs = differences(wanted(row, host), stored)
        if not differs:
            done = Outcome(row.line, Status.UNCHANGED, stored.id)
            return Planned(row, realm, host, Action.UNCHANGED, stored, outcome=done)
        if self._policy is OnExisting.UPDATE and SETTABLE.issuperset(differs):
            return Planned(row, realm, host, Action.UPDATE, stored, differs)
        left = Outcome(row.line, Status.EXISTS, stored.id, ";".join(differs), explained(differs, stored))
        return Planned(row, realm, host, Action.EXISTS, stored, differs, left)


def _refused(checked: Checked, host: str) -> Planned:
    codes = ";".join(dict.fromkeys(problem.code for problem in checked.row.problems))
    texts = "; ".join(problem.text for problem in checked.row.problems)
    outcome = Outcome(checked.row.line, Status.INVALID, code=codes, error=texts)
    return Planned(checked.row, checked.realm, host, Action.INVALID, outcome=outcome)
