"""Decide who may see and do what: own uploads and jobs, those of others, and four eyes."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from starlette.requests import Request

from worker.errors import NotFound
from worker.ledger import Role, Upload, is_among
from worker.model import Job, JobState
from worker.web.site import address_of, person_of, site_of
from worker.web.work import Asker, Work


def work_of(request: Request) -> Work:
    """Return the work of the site, with the ends of earlier servers' steps settled."""
    work: Work = request.app.state.work
    work.reap()
    return work


def asker_of(request: Request) -> Asker:
    """Return the reader as the person who asks for a step."""
    return Asker(person_of(request).name, address_of(request))


def sees_all(request: Request) -> bool:
    """Return whether the reader sees everybody's uploads and jobs."""
    return person_of(request).role.includes(Role.APPROVE)


def upload_of(request: Request) -> Upload:
    """Return the upload that the address names, as it is now. Raises NotFound, also for somebody else's."""
    work_of(request)
    id_ = request.path_params["upload"]
    absent = NotFound(f"there is no upload {id_}", "the history lists the uploads that you may see")
    try:
        upload = site_of(request).ledger.uploads.get(id_)
    except NotFound:
        raise absent from None
    if not sees_all(request) and upload.person != person_of(request).name:
        raise absent
    return upload


def job_of(request: Request) -> Job:
    """Return the job that the address names, as it is now. Raises NotFound, also for somebody else's."""
    work_of(request)
    site, id_ = site_of(request), request.path_params["job"]
    hint = "the history lists the jobs that you may see"
    try:
        job = site.ledger.jobs.get(id_)
    except NotFound:
        raise NotFound(f"there is no job {id_}", hint) from None
    if not site.serves(job) or not (sees_all(request) or _is_own(request, job)):
        raise NotFound(f"there is no job {id_}", hint)
    return job


def _is_own(request: Request, job: Job) -> bool:
    upload = site_of(request).ledger.uploads.of_job(job.id)
    return upload is not None and upload.person == person_of(request).name


def why_not_approve(request: Request, authors: Iterable[str]) -> str:
    """Return why the reader may not approve what these people made, and who may; empty if they may."""
    person, barred = person_of(request), set(authors) if site_of(request).four_eyes else set()
    others = f"so somebody else has to approve it: {_who_may(request, barred)}."
    if not person.role.includes(Role.APPROVE):
        return f"Your role is {person.role}, {others}"
    if is_among(person.name, barred):
        return f"You uploaded, corrected or asked for it, {others}"
    return ""


def why_not_resume(request: Request, job: Job) -> str:
    """Return why the reader may not resume a job; empty if they may.

    A limit that stopped a job no longer applies to the rest of it, so resuming it takes an approval.
    """
    if job.state is not JobState.STOPPED:
        return ""
    upload = site_of(request).ledger.uploads.of_job(job.id)
    return why_not_approve(request, upload.authors if upload else ())


def _who_may(request: Request, barred: Collection[str]) -> str:
    people = [one.person for one in site_of(request).ledger.people.all()]
    names = [one.name for one in people if one.role.includes(Role.APPROVE) and not is_among(one.name, barred)]
    return " or ".join(names) or "an administrator has to add a person with the role approve"
