"""A job as its page shows it: in words, with what the reader may do about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from worker import advice, codes
from worker.errors import NotFound
from worker.importing.process_id import is_alive, may_interrupt, pid_of
from worker.ledger import Ledger, shown
from worker.model import Job, JobState, Status
from worker.reasons import plural
from worker.states import Reason
from worker.web.words import BAD, GOOD, PLAIN, STATES, STATUSES, WARN, Number, sentence


@dataclass(frozen=True, slots=True)
class Verdict:
    """The verdict on a job: a title and a few sentences."""

    kind: str
    title: str
    texts: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class ReasonRow:
    """Rows that are not in place for the same reason."""

    code: str
    rows: int
    meaning: str
    advice: str


@dataclass(frozen=True, slots=True)
class JobView:
    """The texts and numbers on the page of a job."""

    state: str
    kind: str
    active: bool
    """Whether a process works on it now."""
    verdict: Verdict
    numbers: Sequence[Number]
    reasons: Sequence[ReasonRow]
    family: Sequence[tuple[str, str]]
    """Other jobs that belong to it, each with what it is."""
    can: frozenset[str] = field(default_factory=frozenset)
    """The possible actions: pause, cancel, resume, retry, undo, approve."""
    why_not_pause: str = ""
    """Why a running job can't be paused from here, and what to type instead; empty if it can."""
    reasons_title: str = "Why rows are not in place"


def known_jobs(ledger: Ledger, ids: Iterable[str]) -> Iterator[Job]:
    """Yield the jobs of these ids, without those that were removed."""
    for id_ in ids:
        try:
            job = ledger.jobs.get(id_)
        except NotFound:
            continue
        yield job


def is_active(ledger: Ledger, job: Job) -> bool:
    """Return whether a process works on the job, as far as the ledger knows: it, or workers elsewhere."""
    holder = ledger.accounts.holder_of(job)
    return job.state.active and not job.saved and bool(holder) and (":" not in holder or is_alive(holder))


def view_of(ledger: Ledger, job: Job, summary: Mapping[str, Any], *, active: bool) -> JobView:
    """Return a job's view. ``summary``: ``report.summary``'s.

    ``active``: whether a process worked on it before it was read. Asked later, the process of a job that ends
    meanwhile is gone, and the job looks interrupted.
    """
    state, kind = state_of(job, summary, active=active)
    why_not_pause = _why_not_pause(ledger, job) if active and job.state is not JobState.PLANNING else ""
    return JobView(
        state, kind, active, _verdict(job, summary), list(_numbers(job, summary, active=active)),
        _reasons(job, summary), list(_family(ledger, job)),
        frozenset(_possible(ledger, job, summary, active=active)) - ({"pause"} if why_not_pause else set()),
        why_not_pause,
    )  # fmt: skip


def _why_not_pause(ledger: Ledger, job: Job) -> str:
    """Return why a running job can't be paused from here, and what to type instead; empty if it can."""
    holder = ledger.accounts.holder_of(job)
    if not holder or may_interrupt(holder):
        return ""
    if ":" not in holder:
        return (
            "Workers carry this job out, so it can't be paused. To end it and send the rest later: "
            f"`siproster cancel {job.id}`, then `siproster retry {job.id}`."
        )
    return (
        f"It can't be paused from here: {shown(holder)} works on it. "
        f"Press Ctrl-C in its terminal, or type on that machine, as its user: `kill {pid_of(holder)}`."
    )


def state_of(job: Job, summary: Mapping[str, Any], *, active: bool) -> tuple[str, str]:
    """Return the state of a job in words, and how it is shown."""
    if summary["undo_state"]:
        return ("Undone", PLAIN) if summary["undo_state"] == "done" else ("Undo not complete", WARN)
    if job.saved and job.state is JobState.PLANNING:
        return "Waiting for approval", WARN
    if job.carried_out_by:
        return "Carried out", GOOD
    if job.state is JobState.PAUSED and active:
        return "Waiting", WARN
    if job.state in (JobState.PLANNING, JobState.RUNNING) and not active:
        return "Interrupted", WARN
    word, kind = STATES[job.state]
    if job.state is JobState.DONE and summary["not_in_place"]:
        return "Finished with errors", BAD
    return word, kind


def _verdict(job: Job, summary: Mapping[str, Any]) -> Verdict:
    troubled, rows = summary["not_in_place"], job.rows
    skipped = summary["counts"].get(Status.SKIPPED, 0)
    if summary["undo_state"]:
        return _undone(summary)
    if job.carried_out_by:
        return Verdict(GOOD, "This plan was approved", [f"Job {job.carried_out_by} carried it out."])
    if job.saved and job.state is JobState.PLANNING:
        why = [sentence(job.why.text)] if job.why and job.why.reason is not Reason.SAVED else []
        return Verdict(WARN, "This plan is waiting for approval", [*why, "Nothing has been sent yet."])
    if job.state is JobState.DONE and not troubled:
        texts = [advice.left_out(skipped)] if skipped else []
        return Verdict(GOOD, advice.all_in_place(rows - skipped), texts)
    if job.state is JobState.DONE:
        return Verdict(BAD, f"{plural(troubled, 'row is', 'rows are')} not in place, of {rows:,}",
                       ["The table below says why, and what to do about it."])  # fmt: skip
    left = (Status.UNPROCESSED, Status.UNKNOWN)
    done = rows - sum(summary["counts"].get(status, 0) for status in left)
    return Verdict(WARN, f"{done:,} of {plural(rows, 'row')} were done", _why(job))


def _undone(summary: Mapping[str, Any]) -> Verdict:
    undo = Counter(summary["undo"] or {})
    restored = plural(undo["removed"] + undo["restored"], "user was", "users were")
    texts = [f"{restored} changed back."]
    if undo["kept"]:
        kept = plural(undo["kept"], "user was", "users were")
        texts.append(f"{kept} left alone: somebody else has changed them since, or may have created them.")
    if undo["failed"]:
        texts.append(f"{plural(undo['failed'], 'user')} could not be changed back. Run the undo again.")
    if summary["undo_state"] == "done":
        return Verdict(WARN if undo["kept"] else GOOD, "This job was undone", texts)
    return Verdict(WARN, "The undo of this job is not complete", texts)


def _why(job: Job) -> list[str]:
    """Return why a job has stopped, and what to do about it."""
    if job.why is None:
        return ["The process that worked on it has ended. Nothing is lost: resume it."]
    if job.why.reason is Reason.INTERRUPTED:
        return ["It was paused, or its process was ended. Nothing is lost: Resume goes on with the rest."]
    if job.why.reason is Reason.CANCELLED:
        who = f"cancelled {job.why.text}" if job.why.text.startswith("by ") else job.why.text
        return [sentence(who), "The rows that are not in place can be run again as a new job."]
    found = codes.of_reason(job.why.reason)
    return [sentence(text) for text in (job.why.text, found.advice if found else "") if text]


def _numbers(job: Job, summary: Mapping[str, Any], *, active: bool) -> Iterator[Number]:
    counts: Mapping[str, int] = summary["counts"]
    if active:
        yield from progress_numbers({Status(status): rows for status, rows in counts.items()})
        return
    yield Number("Rows", job.rows)
    for status, (word, kind) in STATUSES.items():
        if rows := counts.get(status, 0):
            word = "To be sent" if job.saved and status is Status.UNPROCESSED else word
            yield Number(word, rows, kind)
    if job.absent:
        yield Number("On the account, not in the roster", job.absent)


def progress_numbers(counts: Mapping[Status, int]) -> Iterator[Number]:
    """Yield the numbers of a running job; always the same ones, so that they can change in place."""

    def of(*statuses: Status) -> int:
        return sum(counts.get(status, 0) for status in statuses)

    bad = of(Status.EXISTS, Status.INVALID, Status.FAILED, Status.UNKNOWN)
    yield Number("Created", of(Status.CREATED), GOOD, "created")
    yield Number("Updated", of(Status.UPDATED), GOOD, "updated")
    yield Number("Already up to date", of(Status.UNCHANGED), GOOD, "unchanged")
    yield Number("Not in place", bad, BAD if bad else PLAIN, "troubled")
    yield Number("To do", of(Status.UNPROCESSED), PLAIN, "left")


def _reasons(job: Job, summary: Mapping[str, Any]) -> list[ReasonRow]:
    """Return why rows are not in place, the most frequent reason first."""
    if summary["undo_state"]:
        return []
    return reason_rows(summary["codes"], job.id, retried=bool(summary["retries_job"]))


def reason_rows(
    codes_by_status: Mapping[Any, Mapping[str, int]], job: str, *, retried: bool = False
) -> list[ReasonRow]:
    """Return the codes of rows in trouble with their meaning and what to do, the most frequent first.

    ``codes_by_status``: rows by status and code; several codes of one row are joined by ``;``.
    """
    rows = []
    for name, number in advice.of_trouble(codes_by_status).items():
        code = codes.of_row(name)
        cure = code.after(retried=retried)[0].replace("JOB", job)
        rows.append(ReasonRow(name, number, sentence(code.meaning), sentence(cure)))
    return rows


def _family(ledger: Ledger, job: Job) -> Iterator[tuple[str, str]]:
    for parent in known_jobs(ledger, filter(None, [job.parent])):
        yield ("It carries out the plan" if parent.saved else "It retries rows of"), parent.id
    for child in ledger.jobs.children(job.id):
        yield ("It was carried out by" if job.carried_out_by == child else "Its rows were retried by"), child


def _possible(ledger: Ledger, job: Job, summary: Mapping[str, Any], *, active: bool) -> Iterator[str]:
    if job.carried_out_by:
        return
    if job.saved:
        if job.state is JobState.PLANNING:
            yield from ("approve", "cancel")
        return
    if active:
        if job.state is not JobState.PLANNING:
            yield from ("pause", "cancel")
        return
    if summary["undo_state"] == "done":
        return
    if (job.state.active or job.state is JobState.STOPPED) and not summary["undo_state"]:
        yield from ("resume", "cancel")
    if not job.state.active and not summary["undo_state"] and summary["not_in_place"]:
        yield "retry"
    if not job.state.active and ledger.changes.rows(job.id):
        yield "undo"
