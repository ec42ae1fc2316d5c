"""Runs a job to its end: with a worker in this process, or by watching workers elsewhere."""

from __future__ import annotations

import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from worker import advice, report
from worker.commands.context import Context
from worker.commands.progress_screen import progress_screen
from worker.commands.screen import echo, print_summary
from worker.commands.waiting import wait_reporter
from worker.errors import Interrupted, LedgerAway, SiprosterError, TryLater
from worker.importing.sweep import SWEEPER, sweep
from worker.model import Endpoint, Job, JobState, Status
from worker.progress import ProgressReader
from worker.progress.job_waits import JobWaits, Patience, nobody
from worker.runtime import RuntimeConfig
from worker.states import Reason, Why
from worker.waits import HERE, WaitKind

if TYPE_CHECKING:  # Celery takes a third of a second to load, and `plan`, `status` and `jobs` do without
    from worker.tasks import CeleryQueue

_LOOK_EVERY = 0.1
"""Seconds between two looks at the ledger."""

_SWEEP_EVERY = 1.0
"""Seconds between two sweeps: somebody is waiting."""

_ASK_FOR_WORKERS_EVERY = 3.0
"""Seconds between two questions to the broker who is there."""


class _AskedToEnd(Exception):
    """The user asked the command to end."""


def broker_queue(context: Context) -> CeleryQueue:
    """Return the queue of the broker. Raises Unavailable when it does not answer."""
    queue = _queue(context, context.runtime_config)
    with HERE.entered(WaitKind.BROKER, "no answer yet"):
        queue.check()
    return queue


def _queue(context: Context, config: RuntimeConfig) -> CeleryQueue:
    from worker.tasks import CeleryQueue, make_app

    return CeleryQueue(make_app(config), context.ledger.identity)


def put_on_queue(context: Context, job_id: str) -> None:
    """Leave a started job to the workers, and warn if there is none."""
    queue = broker_queue(context)
    context.ledger.accounts.hand_over(job_id, SWEEPER)
    sweep(context.ledger, queue, job_id)
    job = context.ledger.jobs.get(job_id)
    if not queue.workers(job.host, job.account):
        echo(f"warning: {nobody(job.account)}", "yellow")


def run(
    context: Context,
    job_id: str,
    *,
    as_json: bool,
    then: Callable[[Job], int] = lambda job: 0,
) -> int:
    """Watch a started job to its end, write its results, print its summary and return the exit code.

    ``then`` is what remains to be done with a finished job; its exit code counts if the job's is 0. Raises
    Interrupted when the user ends it.
    """
    context.ledger.chunks.shred_expired()
    with interruptible() as interrupt:
        try:
            if context.settings.broker:
                _run_with_workers(context, job_id, interrupt)
            else:
                _run_embedded(context, job_id, interrupt)
        except _AskedToEnd:
            raise _interrupted(context, job_id) from None
    job = context.ledger.jobs.get(job_id)
    code = then(job) if job.state is JobState.DONE else 0
    return print_end(context, context.ledger.jobs.get(job_id), as_json=as_json) or code


def print_end(context: Context, job: Job, *, as_json: bool) -> int:
    """Write the result files of a job as it stands and print its summary. Return the exit code."""
    from worker import report_page  # takes 30 ms, which `jobs` and `status` need not

    folder = report.folder_of(job)
    try:
        summary = report_page.write_results(context.ledger, context.seal, job, folder)
    except report.NotWritten as error:
        if not as_json:
            print_summary(report.summary(context.ledger, job, folder), as_json=False)
        again = f"siproster report {job.id} --results DIR"
        raise report.NotWritten(
            error.message, f"nothing is lost: `{again}` writes them into another folder"
        ) from None
    print_summary(summary, as_json=as_json)
    if as_json:  # people have it on stdout, beside the rows that it is about
        for hint in (advice.next_step(summary), *advice.commands(summary)):
            echo(hint, "yellow") if hint else None
    return exit_code(job, summary)


def exit_code(job: Job, summary: Mapping[str, Any]) -> int:
    """Return how the job ended, as an exit code. A plan that waits to be carried out ends as `plan` did."""
    if job.state is JobState.DONE:
        leavers = summary["leavers"] or {}
        return 10 if summary["not_in_place"] or leavers.keys() & {"failed", "unknown"} else 0
    if job.state is JobState.PLANNING and job.saved:
        held_back = job.why.reason.exit_code if job.why else 0
        troubled = summary["not_in_place"] > summary["counts"].get(Status.UNPROCESSED, 0)
        return held_back or (10 if troubled else 0)
    return job.why.reason.exit_code if job.why else Reason.UNAVAILABLE.exit_code  # it is not over yet


@contextmanager
def interruptible() -> Iterator[threading.Event]:
    """Set the event on the first signal and exit on a second one. Ignored signals (nohup) stay so."""
    event = threading.Event()

    def on_signal(_number: int, _frame: object) -> None:
        if event.is_set():
            os._exit(130)
        event.set()

    heard = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    numbers = [number for number in heard if signal.getsignal(number) is not signal.SIG_IGN]
    before = [signal.signal(number, on_signal) for number in numbers]
    try:
        yield event
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _run_with_workers(context: Context, job_id: str, interrupt: threading.Event) -> None:
    queue = broker_queue(context)
    context.ledger.accounts.hand_over(job_id, SWEEPER)
    if why := _watch(context, job_id, queue, interrupt):
        context.ledger.jobs.pause(job_id, why)


def _run_embedded(context: Context, job_id: str, interrupt: threading.Event) -> None:
    from worker.fleet import queue_name
    from worker.tasks import CeleryQueue, embedded_worker, make_app

    runtime = context.runtime
    job = context.ledger.jobs.get(job_id)
    app = make_app(context.runtime_config, runtime)
    name = queue_name(context.ledger.identity, job.host, job.account)
    why = Why(Reason.INTERRUPTED, "the command that ran it was ended")
    try:
        with embedded_worker(app, name):
            try:
                why = _watch(context, job_id, CeleryQueue(app, context.ledger.identity), interrupt) or why
            finally:
                runtime.stopping.set()  # what is in flight ends, nothing new starts
    finally:
        _leave(context, job_id, why)


def _leave(context: Context, job_id: str, why: Why) -> None:
    """Release the job: others may then write to the account, and it can be resumed."""
    if context.ledger.jobs.state(job_id).active:
        context.ledger.jobs.pause(job_id, why)
        context.ledger.accounts.release(job_id)


def _watch(context: Context, job_id: str, queue: CeleryQueue, interrupt: threading.Event) -> Why | None:
    """Show progress and sweep until the job is over (returns None) or its patience ends (returns why).

    Raises _AskedToEnd, and LedgerAway if the ledger stays away longer than patience.
    """
    job = context.ledger.jobs.get(job_id)
    patience = Patience(job.options.patience)
    waits = JobWaits(context.ledger, job, patience, _workers_of(context, queue, job))
    reader, screen = ProgressReader(context.ledger, job, waits), progress_screen()
    sweeps, asks = _Rhythm(), _Rhythm()
    with wait_reporter.following(waits.current), screen.running():
        while True:
            with waits.trying(WaitKind.LEDGER, LedgerAway):
                facts = reader.look()
                screen.show(facts)
                if not facts.state.active:
                    if facts.state is JobState.DONE:
                        wait_reporter.end()
                    return None
                with waits.trying(WaitKind.BROKER, TryLater):
                    if sweeps.beat(_SWEEP_EVERY):
                        sweep(context.ledger, queue, job_id)
                    if asks.beat(_ASK_FOR_WORKERS_EVERY):
                        waits.ask_for_workers()
            waits.check_ledger()
            if cause := patience.spent_on:
                return cause.why
            if interrupt.wait(_LOOK_EVERY):
                raise _AskedToEnd


def waits_of(context: Context, job: Job) -> JobWaits:
    """Return a job's waits for an observer, who gives nothing up."""
    workers = None
    if broker := context.settings.broker:
        # Needs only the broker: an observer has neither the key nor the service's credentials.
        config = RuntimeConfig(broker, "", (), [Endpoint(job.host, job.account)])
        queue = _queue(context, config)
        workers = _workers_of(context, queue, job)
    return JobWaits(context.ledger, job, Patience(math.inf), workers)


def _workers_of(context: Context, queue: CeleryQueue, job: Job) -> Callable[[], list[str]] | None:
    return (lambda: queue.workers(job.host, job.account)) if context.settings.broker else None


class _Rhythm:
    """A timer for something that is done now and then."""

    def __init__(self) -> None:
        self._next = 0.0

    def beat(self, seconds: float) -> bool:
        """Return whether it is time to do it; if so, start counting the seconds again."""
        if time.monotonic() < self._next:
            return False
        self._next = time.monotonic() + seconds
        return True


def _interrupted(context: Context, job_id: str) -> Interrupted:
    """Return the error of a command that was ended: who goes on with the job, and how."""
    if not context.settings.broker:
        return Interrupted(
            "interrupted; requests in flight have finished, and nothing is lost",
            f"continue with: siproster resume {job_id}",
        )
    if _nobody_works(context, job_id):
        message = f"job {job_id} is waiting for a worker: start one with `siproster worker`"
    else:
        message = f"the workers continue job {job_id}"
    return Interrupted(
        f"no longer watching; {message}",
        f"follow it: siproster status {job_id} --follow; cancel it: siproster cancel {job_id}",
    )


def _nobody_works(context: Context, job_id: str) -> bool:
    """Return whether the broker says that no worker is there; False if it does not answer."""
    try:
        job = context.ledger.jobs.get(job_id)
        queue = _queue(context, context.runtime_config)
        return not queue.workers(job.host, job.account)
    except SiprosterError:
        return False
