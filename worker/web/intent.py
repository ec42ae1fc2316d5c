"""Describe what an approval would do: where a plan comes from, and what a retry or an undo means."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from worker.importing.job import OF_PAGE
from worker.ledger import Corrected, Step, Upload
from worker.model import Job, Status
from worker.reasons import plural
from worker.web.site import Site

_UNREGISTERED = "Their phones would no longer be able to register."


@dataclass(frozen=True, slots=True)
class PlanOrigin:
    """The origin of a plan, and its destination."""

    by: str
    realms: Sequence[str]
    username: str
    """The column that user names are taken from; empty: not known here."""
    password: str
    corrections: str
    """How many cells were corrected, and by whom; empty: none."""


def origin_of(site: Site, job: Job, upload: Upload | None, fields: Mapping[str, str]) -> PlanOrigin:
    """Return where a plan comes from. ``fields``: our fields and the columns that they were taken from."""
    known = {**job.options.map, **fields}
    corrected = site.ledger.cells.of(site.seal, upload.place) if upload else None
    return PlanOrigin(
        upload.person if upload else job.operator.removesuffix(OF_PAGE),
        sorted(site.ledger.jobs.hosts(job.id).values()), job.options.username or known.get("username", ""),
        known.get("password", ""), _corrections(corrected) if corrected else "",
    )  # fmt: skip


def _corrections(corrected: Corrected) -> str:
    cells = len(corrected.cells)
    return f"{plural(cells, 'cell')}, by {' and '.join(corrected.people)}" if cells else ""


def of_step(site: Site, job: Job, step: Step, summary: Mapping[str, Any]) -> list[str]:
    """Return what the retry or undo that waits for an approval would do."""
    return list(undo_sentences(site, job) if step.step == "undo" else retry_sentences(site, job, summary))


def undo_sentences(site: Site, job: Job) -> Iterator[str]:
    """Yield what undoing a job would do."""
    counts = site.ledger.rows.counts(job.id, job.rows)
    if created := counts.get(Status.CREATED, 0):
        yield f"{_users(created)} that this job created would be deleted. {_UNREGISTERED}"
    if updated := counts.get(Status.UPDATED, 0):
        yield f"{_users(updated)} that it changed would get their old password and application back."
    if deleted := site.ledger.rows.leaver_counts(job.id).get(Status.DELETED, 0):
        yield f"{_users(deleted)} that it deleted would be created again as they were."


def retry_sentences(site: Site, job: Job, summary: Mapping[str, Any]) -> Iterator[str]:
    """Yield what running the failed rows of a job again would do."""
    rows = plural(summary["not_in_place"], "row that is", "rows that are")
    yield f"{rows} not in place would be run again."
    if corrections := _corrections(site.ledger.cells.of(site.seal, f"job:{job.id}")):
        yield f"These corrections would be used: {corrections}."
    else:
        yield "Nothing was corrected."


def _users(number: int) -> str:
    return plural(number, "user")
