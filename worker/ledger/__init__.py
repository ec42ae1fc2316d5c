"""The ledger: the truth about every job, chunk and row. The only room with the ledger's SQL."""

from __future__ import annotations

from collections.abc import Callable

from worker.ledger.absent import Absences, AbsentUsers
from worker.ledger.accounts import WRITER_LEASE, Accounts, Writer, shown
from worker.ledger.answers import Answers
from worker.ledger.audit import Act, Audit
from worker.ledger.cells import CellCorrection, Cells, Corrected
from worker.ledger.chunks import Changes, Chunks, Claim, Fenced, Kept, Progress, Unanswered
from worker.ledger.figures import Figures, FiguresReader, RunWork, ScheduleFigures, Work
from worker.ledger.job_columns import JobRealm
from worker.ledger.jobs import Jobs, Pause
from worker.ledger.lineage import Lineage, Lineages, Member
from worker.ledger.notifications import (
    ChannelKey,
    ClaimedNotification,
    DeliveryState,
    Notification,
    Notifications,
)
from worker.ledger.page_sessions import PageSessions
from worker.ledger.people import People, Person, PersonRecord, Role, is_among
from worker.ledger.registrations import Registration, Registrations
from worker.ledger.retention import Policy, Retention
from worker.ledger.rows import UNCONFIRMED, Rows, SealedPage
from worker.ledger.schedules import Schedules
from worker.ledger.steps import Step, Steps, StepState
from worker.ledger.store import Store
from worker.ledger.unconfirmed import OverClaim, Unconfirmed
from worker.ledger.undo import ChangeKey, ChangeLog, Undone, UndoResults
from worker.ledger.uploads import Receiving, Upload, Uploads
from worker.ledger.waits import Away, Lease, LedgerWaits

__all__ = [
    "UNCONFIRMED",
    "WRITER_LEASE",
    "Absences",
    "AbsentUsers",
    "Accounts",
    "Act",
    "Answers",
    "Audit",
    "Away",
    "CellCorrection",
    "Cells",
    "ChangeKey",
    "ChangeLog",
    "Changes",
    "ChannelKey",
    "Chunks",
    "Claim",
    "ClaimedNotification",
    "Corrected",
    "DeliveryState",
    "Fenced",
    "Figures",
    "JobRealm",
    "Jobs",
    "Kept",
    "Lease",
    "Ledger",
    "LedgerWaits",
    "Lineage",
    "Member",
    "Notification",
    "Notifications",
    "OverClaim",
    "PageSessions",
    "Pause",
    "People",
    "Person",
    "PersonRecord",
    "Policy",
    "Progress",
    "Receiving",
    "Registration",
    "Registrations",
    "Retention",
    "Role",
    "Rows",
    "RunWork",
    "ScheduleFigures",
    "Schedules",
    "SealedPage",
    "Step",
    "StepState",
    "Steps",
    "Store",
    "Unanswered",
    "Unconfirmed",
    "UndoResults",
    "Undone",
    "Upload",
    "Uploads",
    "Work",
    "Writer",
    "is_among",
    "shown",
]  # fmt: skip


class Ledger:
    """A ledger, opened and migrated to this program's schema.

    ``url``: ``sqlite:///PATH`` or ``postgresql://…``. Raises LedgerError if it can't be opened or
    belongs to a newer program.
    """

    def __init__(self, url: str, clock: Callable[[], float] | None = None) -> None:
        self.store = Store(url, clock)
        self.identity = self.store.identity
        self.accounts = Accounts(self.store)
        self.jobs = Jobs(self.store, self.accounts)
        self.chunks = Chunks(self.store)
        self.answers = Answers(self.store)
        self.rows = Rows(self.store)
        self.changes = ChangeLog(self.store)
        self.undone = UndoResults(self.store)
        self.unconfirmed = Unconfirmed(self.store)
        self.registrations = Registrations(self.store)
        self.audit = Audit(self.store)
        self.waits = LedgerWaits(self.store)
        self.notifications = Notifications(self.store)
        self.schedules = Schedules(self.store, self.notifications)
        self.lineages = Lineages(self.store, self.rows)
        self.absences = Absences(self.store)
        self.retention = Retention(self.store, self.notifications)
        self.figures = FiguresReader(self.store)
        self.uploads = Uploads(self.store)
        self.cells = Cells(self.store)
        self.steps = Steps(self.store)
        self.people = People(self.store)
        self.page_sessions = PageSessions(self.store)

    def close(self) -> None:
        """Close every connection."""
        self.store.close()
