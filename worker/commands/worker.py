"""``worker``: the process that works on the broker's queue."""

from __future__ import annotations

import logging
import os
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from typing import Any

import click

from worker import throttle
from worker.api import Api
from worker.commands.context import Context
from worker.commands.log_output import log_file_option, log_format_option, set_up_log
from worker.commands.monitoring import Address, metrics_option, metrics_server
from worker.commands.profiles import Profiles, profiles_options
from worker.commands.screen import echo
from worker.commands.waiting import wait_reporter
from worker.errors import SiprosterError, TryLater, UsageError
from worker.fleet import queue_name
from worker.ledger import Ledger
from worker.model import Endpoint
from worker.reasons import plural
from worker.runtime import Runtime, RuntimeConfig
from worker.settings.addresses import hidden
from worker.tasks import CeleryQueue, make_app, run_worker

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
@log_format_option
@log_file_option
@metrics_option
@profiles_options
def worker(processes: int, log_level: str, metrics: Address | None, **given: Any) -> int:
    """Run a Celery worker for the accounts of one ledger, until SIGTERM.

    It serves the account of the settings, or those of several profiles, sharing its processes fairly between
    them. On SIGTERM or Ctrl-C, the worker finishes the chunks it is working on. If it dies, nothing is lost.
    """
    profiles = Profiles(given)
    context = profiles.context
    level = "debug" if given["debug"] else log_level
    set_up_log(logging.getLevelNamesMapping()[level.upper()], given)
    _need_broker(context)
    config = _accepted(profiles.runtime_config())
    queues = _checked_queues(context, config)
    echo(f"worker: {plural(processes, 'process', 'processes')}, {_in_words(queues)}")
    echo(f"  broker   {hidden(context.settings.broker)}")
    echo(f"  ledger   {hidden(context.settings.ledger)}")
    for endpoint in config.endpoints:
        echo(f"  account  {endpoint.account} at {endpoint.host}")
    echo(f"  key      {context.seal.fingerprint}")
    wait_reporter.stop()  # no thread survives the fork of the pool's processes
    accounts = [endpoint.account for endpoint in config.endpoints]
    identity = next(iter(queues)).split(".")[1]
    with metrics_server(metrics, context, identity, accounts, pool=True) as server:
        return run_worker(make_app(config), queues, processes, level, server)


def _in_words(queues: Collection[str]) -> str:
    return f"queue {next(iter(queues))}" if len(queues) == 1 else f"{len(queues)} queues"


def _need_broker(context: Context) -> None:
    if not context.settings.broker:
        raise UsageError(
            "SIPROSTER_BROKER is not set: there is no queue to work on",
            "set it to the URL of a Redis that all processes share; without one `siproster import` "
            "does the work itself",
        )


def _checked_queues(context: Context, config: RuntimeConfig) -> dict[str, Endpoint]:
    """Check all that a worker needs, and return its accounts by the names of their queues.

    Raises the first problem. Leaves nothing open: no connection to a database or a server survives the fork
    of the pool's processes.
    """
    accounts = [(endpoint.host, endpoint.account) for endpoint in config.endpoints]
    with closing(Ledger(context.settings.ledger)) as ledger:
        runtime = Runtime(config, ledger)
        for job in map(ledger.jobs.get, ledger.jobs.running()):
            if (job.host, job.account) in accounts:
                runtime.check(job)
        CeleryQueue(make_app(config), ledger.identity).check()
        return {queue_name(ledger.identity, one.host, one.account): one for one in config.endpoints}


def _accepted(config: RuntimeConfig) -> RuntimeConfig:
    """Return the settings with the accounts whose credentials are not refused, and log the others.

    Raises the refusal if there is no other account.
    """
    with ThreadPoolExecutor(_ASKED_AT_ONCE) as asking:
        refusals = list(asking.map(_refusal, config.endpoints))
    accepted = [one for one, refusal in zip(config.endpoints, refusals, strict=True) if refusal is None]
    for endpoint, refusal in zip(config.endpoints, refusals, strict=True):
        if refusal and not accepted:
            raise refusal
        if refusal:
            log.error("account %s at %s is not served: %s", endpoint.account, endpoint.host, refusal.message)
    return replace(config, endpoints=accepted)


def _refusal(endpoint: Endpoint) -> SiprosterError | None:
    """Return the error that refuses an account. A service that is away doesn't: workers wait for it."""
    with closing(Api(endpoint, throttle.local(None), budget=_API_SECONDS, deadline=_API_SECONDS)) as api:
        try:
            api.check()
        except TryLater as later:
            log.warning("%s; the worker starts anyway", later.message)
        except SiprosterError as error:
            return error
    return None
