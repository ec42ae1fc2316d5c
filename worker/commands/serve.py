"""``worker`` and ``scheduler``: the processes that work on the broker's queue."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from typing import Any

import click

from worker import throttle
from worker.api import Api
from worker.commands.context import Context, log_to_stderr, settings_options
from worker.commands.profiles import Profiles, profiles_options
from worker.commands.screen import echo
from worker.commands.waiting import wait_reporter
from worker.errors import LedgerAway, SiprosterError, TryLater, UsageError
from worker.fleet import queue_name
from worker.importing.sweep import SWEEP_EVERY, sweep_all
from worker.ledger import Ledger
from worker.model import Endpoint
from worker.runtime import Runtime, RuntimeConfig
from worker.settings.addresses import hidden
from worker.tasks import CeleryQueue, make_app, run_worker
from worker.waits import Outage

log = logging.getLogger(__name__)

_API_SECONDS = 5.0
"""Seconds that a starting worker spends on asking whether its credentials are accepted."""

_ASKED_AT_ONCE = 16
"""Accounts whose credentials a starting worker checks at the same time."""

_LEVELS = ("debug", "info", "warning", "error")


@click.command("worker")
@click.option("--processes", metavar="N", type=click.IntRange(1, 256), default=os.cpu_count() or 1,
              help="Number of processes; each works on one chunk at a time."
                   "  [default: one per core]")  # fmt: skip
@click.option("--log-level", type=click.Choice(_LEVELS), default="info", show_default=True,
              help="Log level on stderr. No level shows secrets.")  # fmt: skip
@profiles_options
def worker(processes: int, log_level: str, **given: Any) -> int:
    """Run a Celery worker for the accounts of one ledger, until SIGTERM.

    It serves the account of the settings, or those of several profiles, sharing its processes fairly between
    them. On SIGTERM or Ctrl-C, the worker finishes the chunks it is working on. If it dies, nothing is lost.
    """
    profiles = Profiles(given)
    context = profiles.context
    level = "debug" if given["debug"] else log_level
    log_to_stderr(logging.getLevelNamesMapping()[level.upper()])
    _need_broker(context)
    config = profiles.runtime_config()
    queues = _checked_queues(context, config)
    echo(f"worker: {processes} {'process' if processes == 1 else 'processes'}, {_in_words(queues)}")
    echo(f"  broker   {hidden(context.settings.broker)}")
    echo(f"  ledger   {hidden(context.settings.ledger)}")
    for endpoint in config.endpoints:
        echo(f"  account  {endpoint.account} at {endpoint.host}")
    echo(f"  key      {context.seal.fingerprint}")
    wait_reporter.stop()  # no thread survives the fork of the pool's processes
    return run_worker(make_app(config), queues, processes, level)


def _in_words(queues: Sequence[str]) -> str:
    return f"queue {queues[0]}" if len(queues) == 1 else f"{len(queues)} queues"


@click.command("scheduler")
@click.option("--once", is_flag=True, help="Sweep once and exit, for use with cron.")
@settings_options
def scheduler(once: bool, **given: Any) -> None:
    """Run the scheduler, which requeues lost chunks and shreds expired passwords.

    You can run any number of schedulers, on any host. A scheduler stops at once on SIGTERM or Ctrl-C.
    """
    context = Context(given)
    log_to_stderr(logging.DEBUG if given["debug"] else logging.INFO)
    _need_broker(context)
    queue = CeleryQueue(make_app(context.runtime_config), context.ledger.identity)
    queue.check()
    if once:
        echo(f"{sweep_all(context.ledger, queue)} chunks requeued")
        return
    echo(f"scheduler: sweeps {hidden(context.settings.ledger)} every {SWEEP_EVERY:g} s")
    # A sweep may be cut off anywhere: the next one queues the rest.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with suppress(KeyboardInterrupt):
        _sweep_for_ever(context.ledger, queue)


def _sweep_for_ever(ledger: Ledger, queue: CeleryQueue) -> None:
    rest, outage = threading.Event(), Outage(log, "the ledger", "the next sweep tries again")
    while True:
        try:
            if queued := sweep_all(ledger, queue):
                log.info("%d chunks requeued", queued)
            outage.back()
        except LedgerAway as away:
            outage.gone(away.message)
        except SiprosterError as error:  # the broker's outages end in the sweep
            log.error("%s; the next sweep tries again", error.message)
        rest.wait(SWEEP_EVERY)


def _need_broker(context: Context) -> None:
    if not context.settings.broker:
        raise UsageError(
            "SIPROSTER_BROKER is not set: there is no queue to work on",
            "set it to the URL of a Redis that all processes share; without one `siproster import` "
            "does the work itself",
        )


def _checked_queues(context: Context, config: RuntimeConfig) -> list[str]:
    """Check all that a worker needs, and return the names of its queues.

    Raises the first problem. Leaves nothing open: no connection to a database or a server survives the fork
    of the pool's processes.
    """
    with ThreadPoolExecutor(_ASKED_AT_ONCE) as asking:
        list(asking.map(_check_account, config.endpoints))
    accounts = [(endpoint.host, endpoint.account) for endpoint in config.endpoints]
    with closing(Ledger(context.settings.ledger)) as ledger:
        runtime = Runtime(config, ledger)
        for job in map(ledger.jobs.get, ledger.jobs.running()):
            if (job.host, job.account) in accounts:
                runtime.check(job)
        CeleryQueue(make_app(config), ledger.identity).check()
        return [queue_name(ledger.identity, *account) for account in accounts]


def _check_account(endpoint: Endpoint) -> None:
    """End the worker if its credentials are refused. A service that is away doesn't: workers wait for it."""
    with closing(Api(endpoint, throttle.local(None), budget=_API_SECONDS, deadline=_API_SECONDS)) as api:
        try:
            api.check()
        except TryLater as later:
            log.warning("%s; the worker starts anyway", later.message)
