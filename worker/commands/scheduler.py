"""``scheduler``: a loop that starts scheduled runs, requeues lost chunks, sends notifications, purges jobs.

A scheduled run passes through the timer (worker/schedules/timer.py), which claims it, and RunProcesses
(run_processes.py), which starts a process for it; scheduled_run.py is what that process does.
"""

from __future__ import annotations

import logging
import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from worker.channels import Channel
from worker.commands.context import Context, settings_options
from worker.commands.log_output import log_file_option, log_format_option, set_up_log
from worker.commands.monitoring import Address, metrics_option, metrics_server
from worker.commands.run_processes import RunProcesses
from worker.commands.screen import echo
from worker.errors import LedgerAway, SiprosterError, UsageError, place_of
from worker.importing.process_id import is_alive, process_id
from worker.importing.sweep import SWEEP_EVERY, sweep_all
from worker.ledger import ChannelKey, Policy
from worker.metrics import MetricsServer
from worker.notify import Deliveries, DeliveryTools, Sender
from worker.presence import Presence
from worker.reasons import plural
from worker.report import users_not_in_place
from worker.schedules.timer import Timer
from worker.settings import channels_of_all_profiles
from worker.settings.addresses import hidden
from worker.waits import Outage

if TYPE_CHECKING:
    from worker.tasks import CeleryQueue

log = logging.getLogger(__name__)

_TICK = 1.0
"""Seconds between two rounds of the loop."""

_DELIVERY_SECONDS = 120.0
"""Seconds for which --once waits for deliveries."""


@click.command("scheduler")
@click.option("--once", is_flag=True, help="Do what is due, wait for its end, and exit: for use with cron.")
@click.option(
    "--runs",
    metavar="N",
    type=click.IntRange(1, 256),
    default=4,
    show_default=True,
    help="Maximum number of scheduled imports at the same time.",
)
@log_format_option
@log_file_option
@metrics_option
@settings_options
def scheduler(once: bool, runs: int, metrics: Address | None, **given: Any) -> None:
    """Run the scheduler: it starts scheduled imports, requeues lost chunks, and sends notifications.

    It also shreds expired passwords and removes old jobs. You can run any number of schedulers, on any host:
    each slot of a schedule is run once. Without a broker, the scheduler does the imports' work itself. On
    SIGTERM or Ctrl-C, requests in flight finish.
    """
    context = Context(given)
    set_up_log(logging.DEBUG if given["debug"] else logging.INFO, given)
    if once and metrics:
        raise UsageError("--once and --metrics contradict each other", "leave one of them out")
    processes = RunProcesses(context.ledger, runs, _settings_arguments(given))
    queue = _queue(context)
    users_of = _users_of(context)
    deliveries = Deliveries(
        context.ledger, process_id(), DeliveryTools(_channels_of(given["config"]), Sender(), users_of)
    )
    tasks = _tasks(context, queue, processes, deliveries)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if once:
            _run_once(tasks, processes, deliveries)
        else:
            echo(f"scheduler: {hidden(context.settings.ledger)}, {_how(context)}")
            echo(f"  retention {_retention_in_words(context)}")
            serving = metrics_server(metrics, context, context.ledger.identity, (), pool=False)
            with serving as server, _present(queue) as presence:
                processes.counts = server.folder if server else None
                _run_forever(tasks, lambda: _beat(processes, server, presence))
    except KeyboardInterrupt:
        pass  # it was told to end
    finally:
        processes.stop()
        deliveries.close()


def _how(context: Context) -> str:
    if context.settings.broker:
        return f"broker {hidden(context.settings.broker)}"
    return "no broker: scheduled imports are run by this scheduler itself"


@dataclass(slots=True)
class Task:
    """A task of the scheduler's loop."""

    every: float
    """Seconds between two times."""
    do: Callable[[], object]
    due: float = -math.inf
    """When it is to be done next, in monotonic seconds."""


def _queue(context: Context) -> CeleryQueue | None:
    """Return the broker's queue. Raises Unavailable if the broker does not answer."""
    if not context.settings.broker:
        return None
    from worker.tasks import CeleryQueue

    queue = CeleryQueue.at(context.settings.broker, context.ledger.identity)
    queue.check()
    return queue


@contextmanager
def _present(queue: CeleryQueue | None) -> Iterator[Presence | None]:
    """Announce this scheduler during the block."""
    if queue is None:
        yield None
        return
    presence = queue.scheduler()
    presence.start()
    try:
        yield presence
    finally:
        presence.stop()


def _beat(processes: RunProcesses, server: MetricsServer | None, presence: Presence | None) -> None:
    """Show metrics and other hosts that the loop goes on, and which processes carry out runs."""
    if server:
        server.beat(processes.pids())
    if presence:
        presence.pool = processes.pids()


def _tasks(
    context: Context, queue: CeleryQueue | None, processes: RunProcesses, deliveries: Deliveries
) -> list[Task]:
    """Return the tasks of the loop, in the order in which they are done."""
    timer = Timer(context.ledger, processes, process_id(), is_alive)
    return [
        Task(_TICK, processes.reap),
        Task(_TICK, timer.tick),
        Task(_TICK, deliveries.deliver_due),
        Task(SWEEP_EVERY, _sweep(context, queue)),
        Task(SWEEP_EVERY, _retention(context)),
    ]


def _sweep(context: Context, queue: CeleryQueue | None) -> Callable[[], object]:
    """Return the sweep of all jobs; without a broker, it only removes expired passwords."""
    ledger = context.ledger
    if queue is None:
        return ledger.chunks.shred_expired

    def sweep() -> None:
        if queued := sweep_all(ledger, queue):
            log.info("%s requeued", plural(queued, "chunk"))

    return sweep


def _retention(context: Context) -> Callable[[], None]:
    """Return the removal of old jobs (``retention`` in the settings file), done once an hour at most."""
    ledger, policy = context.ledger, _policy(context)
    if policy is None:
        return lambda: None

    def remove() -> None:
        if removed := ledger.retention.run_if_due(policy):
            log.info("removed from the ledger: %s", plural(len(removed), "old job"))

    return remove


def _policy(context: Context) -> Policy | None:
    """Return which jobs are removed (``retention`` and ``keep-last``); None: no job is."""
    options = context.settings.options
    days, keep_last = options.get("retention"), options.get("keep-last", 0)
    if not (isinstance(days, float) and isinstance(keep_last, int)):
        return None
    return Policy(days * 86_400, keep_last)


def _retention_in_words(context: Context) -> str:
    """Return which jobs are removed from the ledger, for the scheduler's first lines."""
    policy = _policy(context)
    if policy is None:
        unused = ", and keep-last has no effect without it" * ("keep-last" in context.settings.options)
        return f"not set{unused}: no job is removed from the ledger"
    kept = f", but the newest {policy.keep_last} of each schedule and roster" * bool(policy.keep_last)
    return f"jobs are removed from the ledger {policy.seconds / 86_400:g} days after their end{kept}"


def _channels_of(config: Path | None) -> Callable[[], Mapping[ChannelKey, Channel]]:
    """Return a function that reads the channels of all profiles from the settings file."""

    def channels_of() -> Mapping[ChannelKey, Channel]:
        found = channels_of_all_profiles(os.environ, config)
        return {ChannelKey(profile, name): channel for (profile, name), channel in found.items()}

    return channels_of


def _users_of(context: Context) -> Callable[[str], Sequence[str]]:
    """Return a function that reads the users of a job who are not in place, as many as are told."""

    def users_of(job_id: str) -> Sequence[str]:
        job = context.ledger.jobs.get(job_id)
        return list(users_not_in_place(context.ledger, context.seal, job))

    return users_of


def _run_once(tasks: Sequence[Task], processes: RunProcesses, deliveries: Deliveries) -> None:
    """Do each task once, and wait for the runs and deliveries that were started."""
    for task in tasks:
        task.do()
    processes.wait()
    deliveries.deliver_due()
    deliveries.wait(_DELIVERY_SECONDS)


def _run_forever(tasks: Sequence[Task], beat: Callable[[], None]) -> None:
    """Do the tasks that are due, again and again, whatever fails."""
    rest, outage = threading.Event(), Outage(log, "the ledger", "the scheduler tries again")
    while True:
        for task in tasks:
            if task.due > time.monotonic():
                continue
            task.due = time.monotonic() + task.every
            try:
                task.do()
                outage.back()
            except LedgerAway as away:
                outage.gone(away.message)
            except SiprosterError as error:
                log.error("%s; the scheduler tries again", error.message)
            except Exception as error:  # the fault of one task must not end the others
                log.error("%s; the scheduler tries again", place_of(error))
        beat()
        rest.wait(_TICK)


def _settings_arguments(given: Mapping[str, Any]) -> list[str]:
    """Return the options with which the process of a run finds the same settings."""
    config = ["--config", str(given["config"])] if given["config"] else []
    file = ["--log-file", str(given["log_file"])] if given["log_file"] else []
    return [*config, *file, *(["--log-format", "json"] if given["log_format"] == "json" else [])]
