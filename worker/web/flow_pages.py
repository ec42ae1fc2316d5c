"""An upload on its way to a job: columns, plan, corrections, approval. Each step has one address.

The address of an upload itself leads to the step at which it is. Nothing is remembered but in the ledger.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from worker.ledger import CellCorrection, Ledger, Role, StepState, Upload
from worker.model import JobState
from worker.web.access import asker_of, upload_of, why_not_approve, work_of
from worker.web.column_form import settings_of, view_of_columns
from worker.web.intent import origin_of
from worker.web.job_view import known_jobs
from worker.web.live import News, news_of, stream
from worker.web.plan_view import plan_view
from worker.web.render import render
from worker.web.row_table import corrections_of, plan_table
from worker.web.site import Page, PageError, Site, audit, person_of, see_other, site_of
from worker.web.work import AT_ONCE

_WAITS = {
    "inspect": ("Reading the file", "The file is being read to find out its format and columns."),
    "plan": (
        "Checking every row",
        "Every row is checked and compared with the existing users. Nothing is sent.",
    ),
    "approve": ("Starting the import", "The plan was approved. The import is about to begin."),
}

_READING = ("inspect", "plan")


def job_of_upload(ledger: Ledger, upload: Upload) -> str:
    """Return the job that carries out, or has carried out, the plan of an upload; empty: there is none.

    A job that a limit stopped before its start counts, too: it can be resumed, or its rows run again.
    """
    if upload.job or not upload.plan:
        return upload.job
    for plan in known_jobs(ledger, [upload.plan]):  # it is removed with a discarded upload
        if plan.carried_out_by:
            return plan.carried_out_by
    made = [id_ for id_ in ledger.jobs.children(upload.plan) if ledger.jobs.state(id_) is JobState.STOPPED]
    return max(made, default="")


def address_of_step(ledger: Ledger, upload: Upload) -> str:
    """Return the address of the step at which an upload is."""
    if job := job_of_upload(ledger, upload):
        return f"/jobs/{job}"
    at_plan = upload.step != "inspect" if upload.child else any(known_jobs(ledger, [upload.plan]))
    return f"/uploads/{upload.id}/{'plan' if at_plan else 'columns'}"


def upload_page(request: Request) -> Response:
    """Lead to the step at which an upload is."""
    return see_other(address_of_step(site_of(request).ledger, upload_of(request)))


def columns_page(request: Request) -> Response:
    """Return how the file was understood, with what can be chosen."""
    ledger, work, upload = site_of(request).ledger, work_of(request), upload_of(request)
    if upload.shredded:
        return _gone(ledger, upload)
    facts = work.inspection(upload)
    if not (upload.child or facts or upload.error):
        work.inspect(upload, asker_of(request))
        upload = upload_of(request)
    if upload.child:
        here = address_of_step(ledger, upload)
        return _waiting(request, upload, 2) if here.endswith("columns") else see_other(here)
    view = view_of_columns(site_of(request), upload, facts or {})
    return render(request, "columns.html", upload=upload, error=upload.error, view=view)


def choose_columns(request: Request) -> Response:
    """Keep what was chosen, and read the file again, or check its rows."""
    ledger, work, upload = site_of(request).ledger, work_of(request), upload_of(request)
    form = request.state.form
    settings = settings_of(form)
    audit(request, "choose", f"upload {upload.id}", **settings)
    ledger.uploads.set_settings(upload.id, settings, person_of(request).name)
    if form.get("next") == "look":
        work.inspect(upload_of(request), asker_of(request))
        return see_other(f"/uploads/{upload.id}/columns")
    work.plan(upload_of(request), asker_of(request))
    return see_other(f"/uploads/{upload.id}/plan")


def plan_page(request: Request) -> Response:
    """Return the plan of an upload: what would be done with each row."""
    site, upload = site_of(request), upload_of(request)
    here = address_of_step(site.ledger, upload)
    if not here.endswith("/plan"):
        return _gone(site.ledger, upload) if upload.shredded else see_other(here)
    if upload.child:
        return _waiting(request, upload, 4 if upload.step == "approve" else 3)
    job, here = site.ledger.jobs.get(upload.plan), f"/uploads/{upload.id}"
    view = plan_view(site.ledger, job, request.app.state.tables.counts(job))
    table = plan_table(request, job, troubled=view.troubled, upload=upload)
    fields = (work_of(request).planned(upload) or {}).get("fields", {})
    return render(
        request, "plan.html", job=job, view=view, table=table, error=upload.error,
        origin=origin_of(site, job, upload, fields),
        why_not=why_not_approve(request, upload.authors), approve=f"{here}/approve",
        discard=f"{here}/discard", columns=f"{here}/columns",
    )  # fmt: skip


def correct(request: Request) -> Response:
    """Keep the cells that were corrected in the table, and check all rows again."""
    site, work, upload = site_of(request), work_of(request), upload_of(request)
    _refuse_changed(request, upload)
    cells = list(corrections_of(request))
    audit(request, "correct", f"upload {upload.id}", cells=len(cells))
    if cells:
        _keep_sheet(request, upload)
    for line, column, value in cells:
        cell = CellCorrection(line, column, value, person_of(request).name)
        site.ledger.cells.correct(site.seal, upload.place, cell)
    if cells:
        work.plan(upload_of(request), asker_of(request))
    return see_other(f"/uploads/{upload.id}/plan")


def _keep_sheet(request: Request, upload: Upload) -> None:
    """Choose the sheet that was read: other columns could lead to another, whose lines are other users."""
    sheet = (work_of(request).planned(upload) or {}).get("sheet")
    if sheet and not upload.settings.get("sheet"):
        settings = {**upload.settings, "sheet": sheet}
        site_of(request).ledger.uploads.set_settings(upload.id, settings, person_of(request).name)


def approve(request: Request) -> Response:
    """Carry out the plan that the reader has seen."""
    work, upload = work_of(request), upload_of(request)
    _refuse_changed(request, upload)
    if why_not := why_not_approve(request, upload.authors):
        raise PageError(403, "you can't approve this plan", why_not)
    work.approve(upload, upload.plan, asker_of(request))
    return see_other(f"/uploads/{upload.id}/plan")


def discard(request: Request) -> Response:
    """Shred an upload, and its plan with it."""
    work, upload = work_of(request), upload_of(request)
    if job_of_upload(site_of(request).ledger, upload):
        raise PageError(409, "this upload was imported already", "undo its job instead")
    audit(request, "discard", f"upload {upload.id}")
    work.discard(upload)
    return see_other("/")


def upload_events(request: Request) -> Response:
    """Return a stream that ends when the step at work does, or its job has begun."""
    ledger, id_ = site_of(request).ledger, upload_of(request).id

    def look() -> News:
        work_of(request)
        upload = ledger.uploads.get(id_)
        if not upload.child or job_of_upload(ledger, upload):
            return "over", f"/uploads/{id_}"
        return news_of({"waits": _waits_for(site_of(request), upload)})

    return stream(request, look)


def _gone(ledger: Ledger, upload: Upload) -> Response:
    if job := job_of_upload(ledger, upload):
        return see_other(f"/jobs/{job}")
    raise PageError(410, f"{upload.name} was discarded, or was not used for a day", "upload it again")


def _refuse_changed(request: Request, upload: Upload) -> None:
    """Raise PageError if the plan is another one than the reader has seen."""
    if not upload.plan or request.state.form.get("plan") != upload.plan:
        raise PageError(
            409, "the plan has changed since this page was shown; nothing was done",
            f"open the current plan of {upload.name} from the history",
        )  # fmt: skip


def _waiting(request: Request, upload: Upload, step: int) -> Response:
    heading, text = _WAITS[upload.step]
    return render(
        request, "waiting.html", heading=heading, text=text, step=step, events=f"/uploads/{upload.id}/events",
        waits=_waits_for(site_of(request), upload),
    )  # fmt: skip


def _waits_for(site: Site, upload: Upload) -> str:
    """Return whose files have to be read before this one; empty if its turn has come."""
    running = [step for step in site.ledger.steps.in_state(StepState.RUNNING) if step.step in _READING]
    mine = next((step for step in running if step.subject == upload.place), None)
    if mine is None or mine.begun:
        return ""
    reading = [step for step in running if step.begun and step.server == mine.server]
    own = any(step.person == mine.person for step in reading)
    if own and (site.sign_in or len(reading) >= AT_ONCE):
        return f"Waiting until {mine.person}'s other file has been read."
    return "Waiting until other people's files have been read." if len(reading) >= AT_ONCE else ""


ROUTES = [
    Page("/uploads/{upload}", upload_page, ("GET",), Role.UPLOAD),
    Page("/uploads/{upload}/columns", columns_page, ("GET",), Role.UPLOAD),
    Page("/uploads/{upload}/columns", choose_columns, ("POST",), Role.UPLOAD),
    Page("/uploads/{upload}/plan", plan_page, ("GET",), Role.UPLOAD),
    Page("/uploads/{upload}/corrections", correct, ("POST",), Role.UPLOAD),
    Page("/uploads/{upload}/approve", approve, ("POST",), Role.APPROVE),
    Page("/uploads/{upload}/discard", discard, ("POST",), Role.UPLOAD),
    Page("/uploads/{upload}/events", upload_events, ("GET",), Role.UPLOAD),
]
