"""Runs a job to its end: with a worker in this process, or by watching workers elsewhere."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from worker import report
from worker.commands import advice
from worker.commands.screen import ProgressScreen, say, tell_summary
from worker.commands.session import Session
from worker.errors import TryLater
from worker.importing.packing import open_page
from worker.importing.sweep import sweep
from worker.ledger import Ledger
from worker.model import Job, JobState, Status
from worker.seal import Seal
from worker.tasks import CeleryQueue, embedded_worker, make_app, queue_name

_LOOK_EVERY = 0.1
"""Seconds between two looks at the ledger."""

_SWEEP_EVERY = 1.0
"""Seconds between two sweeps: somebody is waiting."""

_NO_WORKER_AFTER = 15.0
"""Seconds without any progress after which the user is asked whether a worker runs at all."""

_STOPPED = {
    "authentication_refused": 2, "account_not_found": 3, "not_allowed": 4, "max_failed": 11, "not_after": 11,
}  # fmt: skip
_PAUSED = {"throttled": 7, "interrupted": 130}
"""The first word of ``why`` to the exit code; else 5."""


class Interrupted(Exception):
    """The user asked the command to end."""


def broker_queue(session: Session) -> CeleryQueue:
    """The queue of the broker; Unavailable when it does not answer."""
    queue = CeleryQueue(make_app(session.posts), session.ledger.identity)
    queue.check()
    return queue


def put_on_queue(session: Session, job_id: str) -> None:
    """Leave a started job to the workers."""
    sweep(session.ledger, broker_queue(session), job_id)


def run(
    session: Session,
    job_id: str,
    results: str,
    *,
    as_json: bool,
    then: Callable[[Job], int] = lambda job: 0,
) -> int:
    """Watch a started job to its end, write its results, tell its summary; the exit code.

    ``then`` is what remains to be done with a job that is done; its exit code counts where the job's is 0.
    """
    session.ledger.chunks.shred_expired()
    with interruptible() as interrupt:
        try:
            if session.settings.broker:
                _watch(session, job_id, broker_queue(session), interrupt)
            else:
                _run_embedded(session, job_id, interrupt)
        except Interrupted:
            return _tell_interrupted(session, job_id)
    job = session.ledger.jobs.get(job_id)
    code = then(job) if job.state is JobState.DONE else 0
    return tell_end(session, job_id, results, as_json=as_json) or code


def tell_end(session: Session, job_id: str, results: str, *, as_json: bool) -> int:
    """Write the result files of a job as it stands and tell its summary; the exit code."""
    job = session.ledger.jobs.get(job_id)
    summary = write_results(session.ledger, session.seal, job, results)
    tell_summary(summary, as_json=as_json)
    if as_json:  # people have it on stdout, beside the rows that it is about
        for hint in (advice.next_step(summary), *advice.commands(summary)):
            say(hint, "yellow") if hint else None
    return exit_code(job, summary)


def write_results(ledger: Ledger, seal: Seal, job: Job, results: str) -> dict[str, Any]:
    """The result files; their folder is ``results`` or the job's own."""
    folder = Path(results).absolute() if results else report.folder_of(job)
    return report.write(ledger, lambda *page: open_page(seal, *page), job, folder)


def exit_code(job: Job, summary: Mapping[str, Any]) -> int:
    """Return how the job ended, as an exit code. A plan that waits to be carried out ends as `plan` did."""
    reason = job.why.partition(":")[0]
    if job.state is JobState.DONE:
        return 10 if summary["not_in_place"] else 0
    if job.state is JobState.PLANNING and job.saved:
        return 10 if summary["not_in_place"] > summary["counts"].get(Status.UNPROCESSED, 0) else 0
    if job.state is JobState.STOPPED:
        return _STOPPED.get(reason, 1)
    if job.state is JobState.CANCELLED:
        return 10
    return _PAUSED.get(reason, 5)


@contextmanager
def interruptible() -> Iterator[threading.Event]:
    """The first signal sets the event; a second one leaves at once."""
    event = threading.Event()

    def on_signal(_number: int, _frame: object) -> None:
        if event.is_set():
            os._exit(130)
        event.set()

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, on_signal) for number in numbers]
    try:
        yield event
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _run_embedded(session: Session, job_id: str, interrupt: threading.Event) -> None:
    station = session.station
    job = session.ledger.jobs.get(job_id)
    app = make_app(session.posts, station)
    name = queue_name(session.ledger.identity, job.host, job.account)
    try:
        with embedded_worker(app, name):
            try:
                _watch(session, job_id, CeleryQueue(app, session.ledger.identity), interrupt)
            finally:
                station.stopping.set()  # what is in flight ends, nothing new starts
    finally:
        _leave(session, job_id)


def _leave(session: Session, job_id: str) -> None:
    """Nobody works on the job any more: others may write to the account, and it can be resumed."""
    if session.ledger.jobs.state(job_id).active:
        if session.ledger.jobs.paused(job_id) is None:
            session.ledger.jobs.pause(job_id, "interrupted: the command that ran it was ended")
        session.ledger.jobs.let_go(job_id)


def _watch(session: Session, job_id: str, queue: CeleryQueue, interrupt: threading.Event) -> None:
    """Show progress and sweep until the job is over or its patience ends; Interrupted when asked to."""
    jobs, chunks = session.ledger.jobs, session.ledger.chunks
    patience = jobs.get(job_id).options.patience
    screen = ProgressScreen()
    adviser = _Adviser(bool(session.settings.broker))
    next_sweep = 0.0
    with screen.running():
        while jobs.state(job_id).active:
            pause = jobs.paused(job_id)
            if pause and pause.waited > patience:
                return
            if time.monotonic() >= next_sweep:
                _sweep(session, job_id, queue)
                next_sweep = time.monotonic() + _SWEEP_EVERY
            progress = chunks.progress(job_id)
            screen.show(progress, f"waiting: {pause.why}" if pause else adviser.note(progress.settled))
            if interrupt.wait(_LOOK_EVERY):
                raise Interrupted
        screen.show(chunks.progress(job_id))


def _sweep(session: Session, job_id: str, queue: CeleryQueue) -> None:
    try:
        sweep(session.ledger, queue, job_id)
    except TryLater as later:
        say(later.message, "yellow")


class _Adviser:
    """Notices that no worker takes anything, which nobody else could tell the user."""

    def __init__(self, broker: bool) -> None:
        self._broker = broker
        self._settled = -1
        self._since = time.monotonic()

    def note(self, settled: int) -> str:
        if settled != self._settled:
            self._settled, self._since = settled, time.monotonic()
        if self._broker and time.monotonic() - self._since > _NO_WORKER_AFTER:
            return "no progress: does a `siproster worker` run with this broker, ledger and account?"
        return ""


def _tell_interrupted(session: Session, job_id: str) -> int:
    if session.settings.broker:
        say(f"no longer watching; the workers go on with job {job_id}")
        say(f"  follow it:  siproster status {job_id} --follow")
        say(f"  cancel it:  siproster cancel {job_id}")
    else:
        say("interrupted; what was in flight has ended, nothing is lost")
        say(f"  go on with: siproster resume {job_id}")
    return 130
