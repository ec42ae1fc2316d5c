"""The start page, and the history of uploads and jobs."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from starlette.requests import Request
from starlette.responses import Response

from worker import report, roster_template
from worker.ledger import Ledger, Role, Upload
from worker.model import Job, JobState
from worker.web.access import sees_all, why_not_approve, work_of
from worker.web.job_view import is_active, known_jobs, state_of
from worker.web.render import render
from worker.web.site import Page, PageError, Site, offset_of, person_of, site_of
from worker.web.words import BAD, PLAIN, size

_RECENT = 8
_PAGE = 50
_WORKBOOK = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
_LOOKED_AT = 100
"""Latest jobs among which plans that wait for approval are found."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An upload or a job in the history."""

    url: str
    name: str
    note: str
    state: str
    kind: str
    begun: dt.datetime
    by: str
    rows: int | None = None
    troubled: int | None = None


def start(request: Request) -> Response:
    """Return the start page: the form for a file, and the last uploads and jobs."""
    site = site_of(request)
    pending = work_of(request).pending() if sees_all(request) else []
    return render(
        request, "start.html", limit=size(site.max_upload), most=site.max_upload,
        pending=pending, plans=list(_waiting(request)), entries=list(islice(_entries(request), _RECENT)),
    )  # fmt: skip


def history(request: Request) -> Response:
    """List all uploads and jobs that the reader may see, newest first."""
    work_of(request)
    offset = offset_of(request)
    found = list(islice(_entries(request), offset, offset + _PAGE + 1))
    return render(
        request, "history.html", entries=found[:_PAGE], everybody=sees_all(request), offset=offset,
        before=max(0, offset - _PAGE), after=offset + _PAGE if len(found) > _PAGE else None,
    )  # fmt: skip


def _entries(request: Request) -> Iterator[Entry]:
    """Yield what the reader may see: first the uploads that are no job yet."""
    site = site_of(request)
    everybody = sees_all(request)
    uploads = site.ledger.uploads.newest("" if everybody else person_of(request).name)
    for upload in uploads:
        if not (upload.plan or upload.job or upload.shredded):
            yield _upload_entry(upload)
    jobs = _all_jobs(site) if everybody else _jobs_of(site.ledger, uploads)
    for job in jobs:
        yield _job_entry(site.ledger, job)


def _waiting(request: Request) -> Iterator[Job]:
    """Yield the plans among the latest jobs that the reader may approve."""
    if sees_all(request):
        for job in islice(_all_jobs(site_of(request)), _LOOKED_AT):
            if job.saved and job.state is JobState.PLANNING:
                upload = site_of(request).ledger.uploads.of_job(job.id)
                if not why_not_approve(request, upload.authors if upload else ()):
                    yield job


def _upload_entry(upload: Upload) -> Entry:
    state, kind = "Uploaded", PLAIN
    if upload.child:
        state = "In progress"
    elif upload.error:
        state, kind = "Needs attention", BAD
    return Entry(
        f"/uploads/{upload.id}", upload.name, size(upload.size), state, kind, upload.received, upload.person
    )


def _job_entry(ledger: Ledger, job: Job) -> Entry:
    active = is_active(ledger, job)
    if job.state.active and not active:
        job = ledger.jobs.get(job.id)  # it may have ended since the list was read
    summary = report.summary(ledger, job, report.folder_of(job))
    state, kind = state_of(job, summary, active=active)
    planned = bool(job.saved)
    return Entry(
        f"/jobs/{job.id}", job.roster, job.id, state, kind, job.started or job.created, job.operator,
        job.rows, None if planned else summary["not_in_place"],
    )  # fmt: skip


def _all_jobs(site: Site) -> Iterator[Job]:
    """Yield the jobs of the account, without plans that another job has carried out."""
    for job in known_jobs(site.ledger, site.ledger.jobs.newest()):
        if site.serves(job) and not job.carried_out_by:
            yield job


def _jobs_of(ledger: Ledger, uploads: list[Upload]) -> Iterator[Job]:
    """Yield the jobs of these uploads, with their retries."""
    for upload in uploads:
        waiting = list(filter(None, [upload.job or upload.plan]))
        while waiting:
            id_ = waiting.pop()
            waiting += ledger.jobs.children(id_)
            yield from (job for job in known_jobs(ledger, [id_]) if not job.carried_out_by)


def template(request: Request) -> Response:
    """Return an empty roster to fill in."""
    name = request.path_params["name"]
    if name == "roster.csv":
        content, kind = roster_template.table(roster_template.RULES).encode(), "text/csv; charset=utf-8"
    elif name == "roster.xlsx":
        content, kind = roster_template.workbook(roster_template.RULES), _WORKBOOK
    else:
        raise PageError(404, "there is no such file", "the start page has the empty rosters")
    return Response(
        content, media_type=kind, headers={"Content-Disposition": f'attachment; filename="{name}"'}
    )


ROUTES = [
    Page("/", start, ("GET",), Role.UPLOAD, label="Upload"),
    Page("/template/{name}", template, ("GET",), Role.UPLOAD),
    Page("/jobs", history, ("GET",), Role.UPLOAD, label="History"),
]
