"""The story of a roster: read → validate → look up → decide → hand each page to its sinks. Nothing is sent.

``import``, ``plan``, ``retry`` and a saved plan are this function with other sinks; ``verify`` needs only its
first two steps (validation.validated_pages).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Protocol

from worker.importing.absent import EarlierRun, hashes_of
from worker.importing.decide import decide, refuse_invalid
from worker.importing.generate import Passwords
from worker.importing.lookup import CredentialLookup, StoredSource, Watch, unwatched
from worker.importing.plan_summary import PlanSummary
from worker.importing.realms import JobRealms, RealmSource
from worker.importing.validation import RosterPage, RosterPages, validated_pages
from worker.model import Options, Stored

Sink = Callable[[RosterPage], None]
"""A function that takes every page, decided, in the roster's order; an exception ends the reading."""


class AccountSource(RealmSource, StoredSource, Protocol):
    """The part of the API that a roster is compared with."""


def number(absent: Iterable[Stored]) -> int:
    """Return how many credentials the place holds."""
    return sum(1 for _ in absent)


def unwarned(page: RosterPage) -> None:
    """Add no warnings to a page."""


@dataclass(frozen=True, slots=True)
class Account:
    """The account that a roster is compared with, and what is known about it."""

    source: AccountSource
    realms: JobRealms
    watch: Watch = unwatched
    """Pass on a list's entries as they come; may show its progress."""
    list_absent: Callable[[Iterable[Stored]], int] = number
    """Take the users who are stored and not in the roster, and return their number."""
    leavers: LeaverPlan | None = None
    """The treatment of leavers with ``--absent delete``."""
    earlier: EarlierRun = EarlierRun()  # noqa: RUF009  frozen
    """The last run of the roster, whose absent users are not suddenly absent now."""
    count: Callable[[], tuple[int, int]] = lambda: (0, 0)
    """Return the requests and retries since the last call."""
    warn: Sink = unwarned
    """Add warnings to a decided page, by what the ledger knows about the account."""


@dataclass(frozen=True, slots=True)
class LeaverPlan:
    """The sinks that leavers go to, in pages of rows; ``planned`` yields those of a saved plan."""

    sinks: Sequence[Sink]
    planned: Callable[[JobRealms], Iterator[RosterPage]] | None = None


def run_pipeline(
    roster: RosterPages,
    account: Account | None,
    options: Options,
    sinks: Sequence[Sink],
    enforce: Sink | None = None,
    passwords: Passwords | None = None,
) -> PlanSummary:
    """Read a whole roster, decide on every row, and return the summary.

    Without an account, only the rows' own errors are known. ``enforce`` refuses rows that differ from a saved
    plan. ``passwords``: generated ones for rows without. Raises what reading, the service and the sinks
    raise.
    """
    summary = PlanSummary()
    with ExitStack() as stack:
        lookup = None
        if account:
            lookup = stack.enter_context(
                CredentialLookup(account.source, account.realms, options, roster, account.watch)
            )
        for page in validated_pages(roster, account.realms if account else None, options.api, passwords):
            if account and lookup:
                lookup.look_up(page)
                if passwords:
                    passwords.fill(page)
                decide(page, options)
                account.warn(page)
            else:
                refuse_invalid(page)
            if enforce:
                enforce(page)
            summary.add(page)
            for sink in sinks:
                sink(page)
        if account and lookup:
            _compare_stored(summary, account, lookup)
    return summary


def _compare_stored(summary: PlanSummary, account: Account, lookup: CredentialLookup) -> None:
    """Count the stored users who are not in the roster.

    The count for the guard may include users whose rows can't be read; the list never does.
    """
    summary.unidentified_rows = lookup.unidentified_rows
    if (unnamed := lookup.unnamed(account.earlier.hosts)) is not None:
        summary.stored = lookup.stored(account.earlier.hosts)
        summary.suddenly_absent = sum(not account.earlier.had_absent(one) for one in unnamed)
    absent = lookup.absent()
    if absent is not None:
        summary.absent = account.list_absent(absent)
        summary.absent_hashes = hashes_of(lookup.unnamed() or ())
    if account.leavers:
        planned = account.leavers.planned
        pages = planned(account.realms) if planned else lookup.leavers() if absent is not None else ()
        for page in pages:
            _count_leavers(summary, page, account.earlier)
            for sink in account.leavers.sinks:
                sink(page)


def _count_leavers(summary: PlanSummary, page: RosterPage, earlier: EarlierRun) -> None:
    """Count a page of leavers; those who were absent in the last run are not suddenly absent."""
    to_delete = [row for row in page if row.outcome is None]
    summary.leavers += len(to_delete)
    summary.kept_leavers += len(page) - len(to_delete)
    summary.sudden_leavers += sum(not earlier.had_absent(row.leaver) for row in to_delete)
