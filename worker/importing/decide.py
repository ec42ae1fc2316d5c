"""Decide what a job does with each row, by the roster, the stored credentials, and ``--on-existing``."""

from __future__ import annotations

from collections.abc import Sequence

from worker.digest import digests
from worker.importing.compare import DIGEST, KEPT, SETTABLE, differences, explained
from worker.model import Action, OnExisting, Options, Outcome, Row, Status, Stored


def decide(page: Sequence[Row], options: Options) -> None:
    """Set the action of each row, by what is stored under its name."""
    create = Action.CREATE
    for row in page:
        if row.problems:
            _refuse(row)
        elif row.stored is None:
            row.action = create
        else:
            _decide_existing(row, row.stored, options)


def refuse_invalid(page: Sequence[Row]) -> None:
    """Set the action of rows that are never sent; about the others nothing is known."""
    for row in page:
        if row.problems:
            _refuse(row)


def _decide_existing(row: Row, stored: Stored, options: Options) -> None:
    # A realm that doesn't exist yet can't be the one of an existing user.
    row.host = row.host or options.realm
    if row.password:
        row.hash1, row.hash1b = digests(row.composite, row.host, row.password)
    row.differs = differences(row, stored)
    rotates = options.rotate and row.generated
    if row.generated and not row.password:
        row.differs = (KEPT, *(code for code in row.differs if code != DIGEST))
    if not row.differs:
        row.action = Action.UNCHANGED
        row.outcome = Outcome(row.line, Status.UNCHANGED, stored.id)
    elif (rotates or options.on_existing is OnExisting.UPDATE) and SETTABLE.issuperset(row.differs):
        row.action = Action.UPDATE
    else:
        row.action = Action.EXISTS
        codes, texts = ";".join(row.differs), explained(row.differs, stored)
        row.outcome = Outcome(row.line, Status.EXISTS, stored.id, codes, texts)


def _refuse(row: Row) -> None:
    codes = ";".join(dict.fromkeys(problem.code for problem in row.problems))
    texts = "; ".join(problem.text for problem in row.problems)
    row.stored = None
    if row.skipped:
        row.action, status = Action.SKIP, Status.SKIPPED
    else:
        row.action, status = Action.INVALID, Status.INVALID
    row.outcome = Outcome(row.line, status, code=codes, error=texts)
