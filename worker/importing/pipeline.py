"""The story of a roster: read → validate → look up → decide → hand each page to its sinks. Nothing is sent.

``import``, ``plan``, ``retry`` and a saved plan are this function with other sinks; ``verify`` needs no more
than its first two steps (validation.validated_pages).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Protocol

from worker.importing.decide import decide, refuse_invalid
from worker.importing.lookup import CredentialLookup, StoredSource, Watch, unwatched
from worker.importing.plan_summary import PlanSummary
from worker.importing.realms import JobRealms, RealmSource
from worker.importing.validation import Page, RosterPages, validated_pages
from worker.model import Options, Stored

Sink = Callable[[Page], None]
"""Takes every page, decided, in the roster's order; what it raises ends the reading."""


class AccountSource(RealmSource, StoredSource, Protocol):
    """The part of the API that a roster is compared with."""


def number(absent: Iterable[Stored]) -> int:
    """Return how many there are."""
    return sum(1 for _ in absent)


@dataclass(frozen=True, slots=True)
class Account:
    """The account that a roster is compared with, and what is told of it."""

    source: AccountSource
    realms: JobRealms
    watch: Watch = unwatched
    """Gives the entries of a list on as they come, and may say how far it is."""
    list_absent: Callable[[Iterable[Stored]], int] = number
    """Takes the users who are stored and not in the roster, and returns their number."""
    count: Callable[[], tuple[int, int]] = lambda: (0, 0)
    """Returns requests and retries since it was asked last."""


def run_pipeline(
    roster: RosterPages,
    account: Account | None,
    options: Options,
    sinks: Sequence[Sink],
    enforce: Sink | None = None,
) -> PlanSummary:
    """Read a whole roster, decide on every row, and return what it came to.

    Without an account only what is wrong with the rows themselves is known. ``enforce`` refuses what a saved
    plan has otherwise. Raises what reading, the service and the sinks raise.
    """
    summary = PlanSummary()
    with ExitStack() as stack:
        lookup = None
        if account:
            lookup = stack.enter_context(
                CredentialLookup(account.source, account.realms, options, roster, account.watch)
            )
        for page in validated_pages(roster, account.realms if account else None, options.api):
            if lookup:
                lookup.look_up(page)
                decide(page, options)
            else:
                refuse_invalid(page)
            if enforce:
                enforce(page)
            summary.add(page)
            for sink in sinks:
                sink(page)
        if account and lookup:
            summary.unidentified = lookup.unidentified
            absent = lookup.absent()
            summary.absent = None if absent is None else account.list_absent(absent)
    return summary
