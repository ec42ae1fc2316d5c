"""A job: its progress while it runs, its results afterwards, and what can be done about it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, Response

from worker import report, report_page
from worker.errors import Conflict
from worker.ledger import CellCorrection, Role, Step, StepState, UndoResults
from worker.model import Job, JobState, utc_now
from worker.progress import facts_of, observed
from worker.reasons import plural
from worker.web.access import asker_of, job_of, sees_all, why_not_approve, why_not_resume, work_of
from worker.web.intent import of_step, origin_of, undo_sentences
from worker.web.job_view import JobView, is_active, known_jobs, view_of
from worker.web.live import News, news_of, stream, texts_of
from worker.web.plan_view import plan_view
from worker.web.render import render
from worker.web.row_table import corrections_of, job_table, plan_table, retry_table
from worker.web.site import Page, PageError, audit, person_of, see_other, site_of
from worker.web.words import STEPS

_FILES = {
    report_page.PAGE: "a page to hand over: every row, searchable, for the help desk too",
    report.RESULTS: "every row of the roster with its result",
    report.WORKBOOK: "the same as a workbook",
    report.FAILED: "only the rows that are not in place",
    report.SUMMARY: "the counts, for programs",
    report.ABSENT: "users who exist and are not in the roster",
    report.UNDO: "what the undo did with each user",
}


_CANCEL = (
    "What is being sent now is finished, and the job can't be resumed. Users who are in place stay as they"
    " are. The other rows can be run again as a new job."
)

_WRITING_SECONDS = 15.0
"""Seconds within which a job's process writes its files; those of large jobs come later."""


@dataclass(frozen=True, slots=True)
class JobAction:
    """Something that can be done about a job: a link, or a button that posts."""

    text: str
    url: str
    kind: str = ""
    get: bool = False
    sure: str = ""
    """The consequences, with which the reader is asked first; empty: it is done at once."""


def job_page(request: Request) -> Response:
    """Return the page of a job, or of a saved plan."""
    site, work, job = site_of(request), work_of(request), job_of(request)
    if job.saved and job.state is JobState.PLANNING:
        return _saved_plan(request, job)
    step = work.step(f"job:{job.id}")
    active = is_active(site.ledger, job)
    live = active or _is_live(request, job, step)
    job = site.ledger.jobs.get(job.id)  # it may have ended by then, and a page that isn't live shows the end
    summary = report.summary(site.ledger, job, work.folder(job))
    view, pending = view_of(site.ledger, job, summary, active=active), None
    if step and step.state is StepState.PENDING:
        pending = step
    return render(
        request, "job.html", job=job, view=view, live=live, facts=_facts(request, job, step) if live else {},
        step=pending, intent=of_step(site, job, pending, summary) if pending else [], hosts=summary["realms"],
        why_not=why_not_approve(request, step.authors if step else ()), error=_error(step),
        actions=[] if _is_at_work(step) else list(_actions(request, job, view, step)),
        commands=list(_commands(job, view)), files=None if live else _files(request, job),
        report=not live and (work.folder(job) / report_page.PAGE).is_file(),
        table=None if live else job_table(request, job, troubled=bool(summary["not_in_place"])),
    )  # fmt: skip


def _is_live(request: Request, job: Job, step: Step | None) -> bool:
    """Return whether the page of the job changes by itself."""
    folder = work_of(request).folder(job)
    return _is_at_work(step) or is_active(site_of(request).ledger, job) or _is_writing(folder, job)


def _is_at_work(step: Step | None) -> bool:
    """Return whether the job is being resumed or undone."""
    return step is not None and step.state is StepState.RUNNING and step.step in STEPS


def _is_writing(folder: Path, job: Job) -> bool:
    """Return whether the files of a job that has just ended are about to be there."""
    if not (job.finished and job.options.results) or (folder / report_page.PAGE).exists():
        return False
    return (utc_now() - job.finished).total_seconds() < _WRITING_SECONDS


def _saved_plan(request: Request, job: Job) -> Response:
    """Return a plan that was saved in a terminal or held back by a guard; those of uploads are elsewhere."""
    ledger = site_of(request).ledger
    if (upload := ledger.uploads.of_job(job.id)) and upload.plan == job.id:
        return see_other(f"/uploads/{upload.id}/plan")
    counts = request.app.state.tables.counts(job)
    view, here = plan_view(ledger, job, counts), f"/jobs/{job.id}"
    return render(
        request, "plan.html", job=job, view=view, table=plan_table(request, job, troubled=view.troubled),
        error=_error(ledger.steps.get(f"job:{job.id}")), why_not=why_not_approve(request, ()), columns="",
        approve=f"{here}/approve", discard=f"{here}/cancel",
        origin=origin_of(site_of(request), job, None, {}),
    )  # fmt: skip


def _error(step: Step | None) -> object:
    return step.error if step and step.state is StepState.ENDED else None


def _facts(request: Request, job: Job, step: Step | None) -> object:
    if step and step.state is StepState.RUNNING and step.step == "undo":
        return _undo_facts(site_of(request).ledger.undone, job)
    return texts_of(facts_of(site_of(request).ledger, job))


def _undo_facts(undone: UndoResults, job: Job) -> dict[str, object]:
    done = sum(undone.counts(job.id).values())
    words = f"{plural(done, 'user')} of this job looked at"
    return {"settled": done, "rows": job.rows, "sentence": f"Undoing: {words}", "pace": "", "waits": ""}


def _actions(request: Request, job: Job, view: JobView, step: Step | None) -> Iterator[JobAction]:
    here = f"/jobs/{job.id}"
    if step and step.state is StepState.PENDING:
        return
    if "resume" in view.can and not why_not_resume(request, job):
        yield JobAction("Resume", f"{here}/resume", "primary")
    if "pause" in view.can:
        yield JobAction("Pause", f"{here}/pause")
    if "retry" in view.can and sees_all(request):
        yield JobAction("Run the failed rows again", f"{here}/retry", "primary", get=True)
    if "cancel" in view.can:
        yield JobAction("Cancel the rest", f"{here}/cancel", sure=_CANCEL)
    if "undo" in view.can and sees_all(request):
        yield JobAction("Undo…", f"{here}/undo", "danger", get=True)


def _commands(job: Job, view: JobView) -> Iterator[str]:
    yield f"siproster status {job.id} --follow" if view.active else f"siproster report {job.id}"
    for verb in ("resume", "cancel", "retry", "undo"):
        if verb in view.can:
            yield f"siproster {verb} {job.id}"


def job_events(request: Request) -> Response:
    """Return the progress of a job, or of its undo, as a stream."""
    site, job = site_of(request), job_of(request)
    reader = observed(site.ledger, job)

    def look() -> News:
        step, now = work_of(request).step(f"job:{job.id}"), site.ledger.jobs.get(job.id)
        if not _is_live(request, now, step):
            return "over", f"/jobs/{job.id}"
        undoing = _is_at_work(step) and step is not None and step.step == "undo"
        return news_of(_undo_facts(site.ledger.undone, job) if undoing else texts_of(reader.look()))

    return stream(request, look)


def approve_plan(request: Request) -> Response:
    """Carry out a saved plan that is no upload's."""
    job = job_of(request)
    if request.state.form.get("plan") != job.id:
        raise PageError(400, "the form names no plan", "use the button on the plan's page")
    work_of(request).approve_plan(job, asker_of(request))
    return see_other(f"/jobs/{job.id}/started")


def cancel(request: Request) -> Response:
    """Cancel a job, or discard a plan."""
    job = job_of(request)
    work_of(request).cancel(job, asker_of(request))
    return see_other("/jobs" if job.saved else f"/jobs/{job.id}")


def pause(request: Request) -> Response:
    """Let what is in flight end, and keep the rest for later."""
    job = job_of(request)
    audit(request, "pause", job.id)
    if not work_of(request).pause(job):
        raise Conflict(
            f"job {job.id} has ended, or can't be paused from here", "reload its page, which says why"
        )
    return see_other(f"/jobs/{job.id}")


def resume(request: Request) -> Response:
    """Go on with a job that was paused, stopped or interrupted."""
    job = job_of(request)
    if why_not := why_not_resume(request, job):
        raise PageError(403, f"job {job.id} was stopped, and resuming it lifts the limit", why_not)
    work_of(request).resume(job, asker_of(request))
    return see_other(f"/jobs/{job.id}")


def retry_page(request: Request) -> Response:
    """Return the rows that are not in place, to be corrected and run again."""
    job = job_of(request)
    step = work_of(request).step(f"job:{job.id}")
    return render(request, "retry.html", job=job, error=_error(step), table=retry_table(request, job))


def retry(request: Request) -> Response:
    """Keep what was corrected, and run the rows that are not in place again."""
    site, job, person = site_of(request), job_of(request), person_of(request)
    cells = list(corrections_of(request))
    if cells:
        audit(request, "correct", f"job {job.id}", cells=len(cells))
    for line, column, value in cells:
        cell = CellCorrection(line, column, value, person.name)
        site.ledger.cells.correct(site.seal, f"job:{job.id}", cell)
    if request.state.form.get("next") == "keep":
        return see_other(f"/jobs/{job.id}/retry")
    work_of(request).retry(job, asker_of(request))
    return see_other(f"/jobs/{job.id}/started")


def started_page(request: Request) -> Response:
    """Lead to the job that a retry or an approval of this one has begun, once there is one."""
    ledger, job = site_of(request).ledger, job_of(request)
    step = work_of(request).step(f"job:{job.id}")
    if step is None or step.state is StepState.PENDING or step.started is None:
        return see_other(f"/jobs/{job.id}")
    children = known_jobs(ledger, ledger.jobs.children(job.id))
    if begun := [child for child in children if child.created >= step.started]:
        return see_other(f"/jobs/{begun[-1].id}")
    if step.state is not StepState.RUNNING:
        # Without an error, no row was left to run again.
        return see_other(f"/jobs/{job.id}" + ("/retry" if step.step == "retry" and step.error else ""))
    text, events = "The rows are checked once more, then they are sent.", f"/jobs/{job.id}/started/events"
    return render(request, "waiting.html", heading="Starting", text=text, step=4, events=events, waits="")


def started_events(request: Request) -> Response:
    """Return a stream that ends when ``started_page`` leads elsewhere."""
    here = f"/jobs/{job_of(request).id}/started"

    def look() -> News:
        return ("over", here) if started_page(request).status_code == 303 else ("facts", "{}")

    return stream(request, look)


def write_files(request: Request) -> Response:
    """Write the result files of a job whose own the server can't find."""
    job = job_of(request)
    work_of(request).report(job, asker_of(request))
    return see_other(f"/jobs/{job.id}")


def undo_page(request: Request) -> Response:
    """Ask whether a job is to be undone, with the numbers."""
    site, job = site_of(request), job_of(request)
    return render(
        request, "undo.html", job=job, number=plural(site.ledger.changes.rows(job.id), "user"),
        intent=list(undo_sentences(site, job)),
    )  # fmt: skip


def undo(request: Request) -> Response:
    """Take back what a job did."""
    job = job_of(request)
    work_of(request).undo(job, asker_of(request))
    return see_other(f"/jobs/{job.id}")


def approve_step(request: Request) -> Response:
    """Approve the retry or undo that another person asked for."""
    job = job_of(request)
    work_of(request).approve_step(job, asker_of(request), request.state.form.get("asked", ""))
    return see_other(f"/jobs/{job.id}/started")


def withdraw(request: Request) -> Response:
    """Take back the request for a retry or undo."""
    job = job_of(request)
    audit(request, "withdraw", job.id)
    work_of(request).withdraw(job)
    return see_other(f"/jobs/{job.id}")


def file(request: Request) -> Response:
    """Return a result file; the report as a page with a policy of its own."""
    job, name = job_of(request), request.path_params["name"]
    path = work_of(request).folder(job) / name
    if name not in _FILES or path.is_symlink() or not path.is_file():
        raise PageError(404, "there is no such file", "the page of the job lists those that there are")
    if name == report_page.PAGE:
        policy = {"Content-Security-Policy": report_page.CSP}
        return FileResponse(path, media_type="text/html", headers=policy)
    return FileResponse(path, media_type="application/octet-stream", filename=f"{job.id}-{name}")


def _files(request: Request, job: Job) -> list[tuple[str, str]]:
    folder = work_of(request).folder(job)
    return [(name, text) for name, text in _FILES.items() if (folder / name).is_file()]


ROUTES = [
    Page("/jobs/{job}", job_page, ("GET",), Role.UPLOAD),
    Page("/jobs/{job}/events", job_events, ("GET",), Role.UPLOAD),
    Page("/jobs/{job}/approve", approve_plan, ("POST",), Role.APPROVE),
    Page("/jobs/{job}/cancel", cancel, ("POST",), Role.UPLOAD),
    Page("/jobs/{job}/pause", pause, ("POST",), Role.UPLOAD),
    Page("/jobs/{job}/resume", resume, ("POST",), Role.UPLOAD),
    Page("/jobs/{job}/retry", retry_page, ("GET",), Role.APPROVE),
    Page("/jobs/{job}/retry", retry, ("POST",), Role.APPROVE),
    Page("/jobs/{job}/started", started_page, ("GET",), Role.APPROVE),
    Page("/jobs/{job}/started/events", started_events, ("GET",), Role.APPROVE),
    Page("/jobs/{job}/undo", undo_page, ("GET",), Role.APPROVE),
    Page("/jobs/{job}/undo", undo, ("POST",), Role.APPROVE),
    Page("/jobs/{job}/approve-step", approve_step, ("POST",), Role.APPROVE),
    Page("/jobs/{job}/withdraw", withdraw, ("POST",), Role.APPROVE),
    Page("/jobs/{job}/files", write_files, ("POST",), Role.UPLOAD),
    Page("/jobs/{job}/files/{name}", file, ("GET",), Role.UPLOAD),
]
