"""``scheduler``: the process that sees to schedules, lost chunks, notifications and retention."""

from __future__ import annotations

import itertools
import logging
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from worker.channels import Channel
from worker.commands.context import Context, log_format_option, log_to_stderr, settings_options
from worker.commands.monitoring import Address, metrics_option, metrics_server
from worker.commands.screen import echo
from worker.errors import LedgerAway, SiprosterError, UsageError, place_of
from worker.importing.process_id import is_alive, process_id
from worker.importing.sweep import SWEEP_EVERY, sweep_all
from worker.ledger import ChannelKey, Ledger, Policy
from worker.ledger.schedules import End, Run
from worker.metrics import MetricsServer
from worker.notify import Deliveries, Means, Sender
from worker.presence import Presence
from worker.reasons import plural
from worker.report import users_not_in_place
from worker.runtime import RuntimeConfig
from worker.schedules.results import RunResult, payload_of
from worker.schedules.timer import Timer
from worker.settings import channels_of_all_profiles
from worker.settings.addresses import hidden
from worker.waits import Outage

if TYPE_CHECKING:
    from worker.tasks import CeleryQueue

log = logging.getLogger(__name__)

_TICK = 1.0
"""Seconds between two looks at what is to be done."""

_AGAIN = 60.0
"""Seconds until a run whose process has died is tried again."""

_MOST_DEATHS = 5
"""Attempts after which a run whose process dies each time has failed."""

_DELIVERING = 120.0
"""Seconds that deliveries have with --once."""

_STOPPING = 90.0
"""Seconds that runs have to end what is in flight when the scheduler is told to end."""

_PROGRAM = Path(__file__).parents[2] / "cli.py"


@click.command("scheduler")
@click.option("--once", is_flag=True, help="Do what is due, wait for its end, and exit: for use with cron.")
@click.option(
    "--runs",
    metavar="N",
    type=click.IntRange(1, 256),
    default=4,
    show_default=True,
    help="Scheduled imports that are read, or watched, at the same time.",
)
@log_format_option
@metrics_option
@settings_options
def scheduler(once: bool, runs: int, metrics: Address | None, **given: Any) -> None:
    """Run the scheduler: it starts scheduled imports, requeues lost chunks, and sends notifications.

    It also shreds expired passwords and removes old jobs. You can run any number of schedulers, on any host:
    each slot of a schedule is run once. Without a broker, the scheduler does the imports' work itself. On
    SIGTERM or Ctrl-C, requests in flight finish.
    """
    context = Context(given)
    log_to_stderr(logging.DEBUG if given["debug"] else logging.INFO, given["log_format"])
    if once and metrics:
        raise UsageError("--once and --metrics contradict each other", "leave one of them out")
    children = Children(context.ledger, runs, _settings_words(given))
    queue = _queue(context)
    duties = _duties(context, queue, children, given["config"])
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if once:
            _do_once(duties, children)
        else:
            echo(f"scheduler: {hidden(context.settings.ledger)}, {_how(context)}")
            serving = metrics_server(metrics, context, context.ledger.identity, (), pool=False)
            with serving as server, _present(queue) as presence:
                children.counts = server.folder if server else None
                _do_for_ever(duties, lambda: _beat(children, server, presence))
    except KeyboardInterrupt:
        pass  # it was told to end
    finally:
        children.stop()
        duties.deliveries.close()


def _how(context: Context) -> str:
    if context.settings.broker:
        return f"broker {hidden(context.settings.broker)}"
    return "no broker: scheduled imports are run by this scheduler itself"


class Children:
    """The processes that carry out runs, one each: a run that crashes or hangs holds nothing else up.

    They outlive a scheduler that is killed, and go on with their runs. ``words``: options of the settings.
    """

    def __init__(self, ledger: Ledger, most: int, words: Sequence[str]) -> None:
        self._ledger = ledger
        self._most = most
        self._words = words
        self._running: dict[int, tuple[Run, subprocess.Popen[bytes]]] = {}
        """By slots, which are numbers that are used again."""
        self.counts: Path | None = None
        """The folder that they count into."""

    def free(self) -> int:
        """Return how many more runs may be started now."""
        return self._most - len(self._running)

    def pids(self) -> list[int]:
        """Return the processes' pids."""
        return [process.pid for _, process in self._running.values()]

    def start(self, run: Run) -> None:
        """Start the process of a claimed run, which takes the claim over."""
        profile = self._ledger.schedules.get(run.schedule).profile
        words = [*self._words, "--profile", profile] if profile else self._words
        slot = next(slot for slot in itertools.count() if slot not in self._running)
        counts = ["--counts", str(self.counts / str(slot))] if self.counts else []
        at = f"{run.slot:%Y-%m-%d %H:%M}Z"
        log.info("schedule %s: the run of %s begins", run.schedule, at, extra={"schedule": run.schedule})
        process = subprocess.Popen(
            [sys.executable, str(_PROGRAM), "schedule", "run", run.schedule,
             "--slot", repr(run.slot.timestamp()), *counts, *words],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is passed on once, by us
        )  # fmt: skip
        self._running[slot] = run, process

    def reap(self) -> None:
        """See to the runs whose processes have ended: most have ended or released theirs themselves."""
        ended = [slot for slot, (_, process) in self._running.items() if process.poll() is not None]
        for slot in ended:
            run, process = self._running.pop(slot)
            if process.returncode:
                self._see_to(run, process.returncode)

    def stop(self) -> None:
        """Tell all to end, and wait until they have ended what is in flight."""
        for _, process in self._running.values():
            process.terminate()
        end = time.monotonic() + _STOPPING
        for _, process in self._running.values():
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.1, end - time.monotonic()))
        with suppress(SiprosterError):  # their claims end in a minute anyway
            self.reap()

    def wait(self) -> None:
        """Wait for the end of all runs."""
        while self._running:
            self.reap()
            time.sleep(_TICK / 10)

    def _see_to(self, run: Run, code: int) -> None:
        """End or release the run of a process that could not; neither has an effect if it could."""
        why = (
            f"its process ended with {'signal' if code < 0 else 'exit code'} {abs(code)}; see the log of the "
        )
        why += f"scheduler, or try it: siproster schedule run {run.schedule}"
        if code == 130:
            self._ledger.schedules.release(run, 0, why)
        elif code == 5 or (code != 6 and run.attempts < _MOST_DEATHS):
            self._ledger.schedules.release(run, _AGAIN, why, died=True)
        else:
            schedule = self._ledger.schedules.get(run.schedule)
            facts = {"result": RunResult.FAILED, "why": why, "job": run.job, "missed": run.missed}
            payload = payload_of(schedule, run.slot, facts, run.cause)
            self._ledger.schedules.end(run, End(RunResult.FAILED, why, run.job, payload, schedule.channels))


@dataclass(slots=True)
class Duty:
    """A task that is done again and again."""

    every: float
    """Seconds between two times."""
    do: Callable[[], None]
    due: float = -math.inf
    """When it is to be done next, in monotonic seconds."""


@dataclass(slots=True)
class Duties:
    """All duties of a scheduler."""

    duties: Sequence[Duty]
    deliveries: Deliveries


def _queue(context: Context) -> CeleryQueue | None:
    """Return the broker's queue. Raises Unavailable if the broker does not answer."""
    if not context.settings.broker:
        return None
    from worker.tasks import CeleryQueue, make_app

    # Needs only the broker: a scheduler has neither keys nor the service's credentials.
    queue = CeleryQueue(make_app(RuntimeConfig(context.settings.broker, "", (), ())), context.ledger.identity)
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


def _beat(children: Children, server: MetricsServer | None, presence: Presence | None) -> None:
    """Note that the scheduler's loop turns, and what its children are."""
    if server:
        server.beat(children.pids())
    if presence:
        presence.pool = children.pids()


def _duties(context: Context, queue: CeleryQueue | None, children: Children, config: Path | None) -> Duties:
    ledger = context.ledger
    timer = Timer(ledger, children, process_id(), is_alive)
    deliveries = Deliveries(ledger, process_id(), Means(_channels_of(config), Sender(), _users_of(context)))

    def run_schedules() -> None:
        children.reap()
        timer.tick()

    duties = [
        Duty(_TICK, run_schedules),
        Duty(_TICK, deliveries.deliver_due),
        Duty(SWEEP_EVERY, _sweep(context, queue)),
        Duty(SWEEP_EVERY, _removal(context)),
    ]
    return Duties(duties, deliveries)


def _sweep(context: Context, queue: CeleryQueue | None) -> Callable[[], None]:
    """Return the sweep of all jobs; without a broker only expired passwords are removed."""
    ledger = context.ledger
    if queue is None:
        return lambda: _ignored(ledger.chunks.shred_expired())

    def sweep() -> None:
        if queued := sweep_all(ledger, queue):
            log.info("%s requeued", plural(queued, "chunk"))

    return sweep


def _removal(context: Context) -> Callable[[], None]:
    """Return the removal of jobs by the settings file's retention, which happens at most once an hour."""
    ledger, options = context.ledger, context.settings.options
    days, keep_last = options.get("retention"), options.get("keep-last", 0)
    if not (isinstance(days, float) and isinstance(keep_last, int)):
        return lambda: None
    policy = Policy(days * 86_400, keep_last)

    def remove() -> None:
        if removed := ledger.retention.run_if_due(policy):
            log.info("removed from the ledger: %s", plural(len(removed), "old job"))

    return remove


def _ignored(_number: int) -> None:
    """Take a number that nobody needs."""


def _channels_of(config: Path | None) -> Callable[[], Mapping[ChannelKey, Channel]]:
    """Return a function that reads the channels of all profiles, as the settings file has them now."""

    def channels_of() -> Mapping[ChannelKey, Channel]:
        found = channels_of_all_profiles(os.environ, config)
        return {ChannelKey(profile, name): channel for (profile, name), channel in found.items()}

    return channels_of


def _users_of(context: Context) -> Callable[[str], Sequence[str]]:
    """Return a function that reads the users of a job who are not in place, up to those that are told."""

    def users_of(job_id: str) -> Sequence[str]:
        job = context.ledger.jobs.get(job_id)
        return list(users_not_in_place(context.ledger, context.seal, job))

    return users_of


def _do_once(duties: Duties, children: Children) -> None:
    """Do every duty once, and wait for what it has begun."""
    for duty in duties.duties:
        duty.do()
    children.wait()
    duties.deliveries.deliver_due()
    duties.deliveries.wait(_DELIVERING)


def _do_for_ever(duties: Duties, beat: Callable[[], None]) -> None:
    """Do what is due, again and again, whatever fails."""
    rest, outage = threading.Event(), Outage(log, "the ledger", "the scheduler tries again")
    while True:
        for duty in duties.duties:
            if duty.due > time.monotonic():
                continue
            duty.due = time.monotonic() + duty.every
            try:
                duty.do()
                outage.back()
            except LedgerAway as away:
                outage.gone(away.message)
            except SiprosterError as error:
                log.error("%s; the scheduler tries again", error.message)
            except Exception as error:  # one duty's fault must not end the others
                log.error("unexpected %s; the scheduler tries again", place_of(error))
        beat()
        rest.wait(_TICK)


def _settings_words(given: Mapping[str, Any]) -> list[str]:
    """Return the options that say where a run finds the same settings."""
    config = ["--config", str(given["config"])] if given["config"] else []
    return [*config, *(["--log-format", "json"] if given["log_format"] == "json" else [])]
