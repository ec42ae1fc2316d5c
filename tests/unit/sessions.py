"""A double of a chunk's session (importing.chunk_session.RowSession) that keeps state: one outcome a row."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from tests.unit.jobs import make_realms
from worker.ledger import JobRealm
from worker.ledger.codec import Change
from worker.model import Family, Outcome, Row, Status, Stored


class Session:
    """Everything that a test of creating and updating inspects afterwards.

    ``begun``: lines whose earlier state an earlier claim has recorded.
    """

    def __init__(
        self,
        family: Family = Family.ACCOUNT,
        realms: Mapping[int, JobRealm] | None = None,
        *,
        earlier: int = 0,
        begun: Collection[int] = (),
        permit: Callable[[float], None] | None = None,
        check_continue: Callable[[], None] = lambda: None,
    ) -> None:
        self.family = family
        self.realms: Mapping[int, JobRealm] = realms or make_realms()
        self.earlier_attempts = earlier
        self.changes_begun = [Change(line, 0, "", "", "", "") for line in begun]
        self.unconfirmed: set[int] = set()
        self.outcomes: dict[int, Outcome] = {}
        self.limits: list[int] = []
        self.permits: list[float] = []
        self.before_images: list[tuple[int, Stored]] = []
        self.permit = permit or self.permits.append
        self.check_continue = check_continue

    def record(self, outcomes: Sequence[Outcome]) -> None:
        for outcome in outcomes:
            assert outcome.line not in self.outcomes, "a row had an outcome already"
            self.outcomes[outcome.line] = outcome
            self.unconfirmed.discard(outcome.line)

    def record_before_image(self, row: Row, now: Stored) -> None:
        self.before_images.append((row.line, now))

    def learn_batch_limit(self, limit: int) -> None:
        self.limits.append(limit)

    def told(self) -> dict[int, tuple[Status, str]]:
        """Return status and code of each row."""
        return {line: (outcome.status, outcome.code) for line, outcome in sorted(self.outcomes.items())}


def with_hosts(rows: Sequence[Row], realms: Mapping[int, JobRealm] | None = None) -> Sequence[Row]:
    """Rows that know their realm's host name, as a chunk worker opens them."""
    known = realms or make_realms()
    for row in rows:
        row.host = known[row.realm_key].host
    return rows
