"""Celery: the application, one thin task, the workers. The only file that imports celery.

The ledger is the truth and Celery carries chunk ids: a message that is lost, duplicated or late does no
harm (docs/reliability.md).
"""

from __future__ import annotations

import logging
import os
import platform
import re
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Protocol, Self

from billiard import current_process
from celery import Celery
from celery.apps.worker import Worker
from celery.bootsteps import StartStopStep
from celery.exceptions import Reject
from celery.signals import setup_logging, worker_process_init, worker_ready
from celery.worker import WorkController, state
from celery.worker.consumer import consumer
from celery.worker.request import Request
from kombu import Connection
from kombu.exceptions import ChannelError, OperationalError

from worker.errors import LedgerAway, NotFound, SiprosterError, Unavailable, UsageError, place_of
from worker.fleet import FairCycle, queue_name
from worker.importing.chunk_worker import ChunkWorker
from worker.logs import about
from worker.model import Endpoint, Job
from worker.presence import Presence, announced, scheduler_key, this_process, worker_key
from worker.reasons import reason_of
from worker.runtime import Runtime, RuntimeConfig

log = logging.getLogger(__name__)

_REMEDIES = {
    "certificate": "name the server as its certificate does; a certificate authority of your own goes into "
    "SSL_CERT_FILE, or into the URL: rediss://HOST/0?ssl_ca_certs=FILE",
    "password": "correct it in SIPROSTER_BROKER: redis://:PASSWORD@HOST:PORT/0 or redis://USER:PASSWORD@HOST:PORT/0",
    "database": "end SIPROSTER_BROKER with the number of one, such as /0",
    "memory": "give Redis more memory (maxmemory), or a server of its own",
}
"""A word of a reason → what to do about it."""
_NO_REDIS = "start Redis, or correct host and port in SIPROSTER_BROKER; rediss:// is for a Redis with TLS"

TASK = "siproster.deliver"
WAKE = "siproster.wake"

_MESSAGE = re.compile("([0-9a-f-]{36}) (([0-9a-z-]{1,80})/([0-9]{1,9}))")
"""A ledger's identity and a chunk of a job: the only valid form of a message."""

_messages: Any = consumer  # the stubs lack its attributes
_LOST, _CONNECTING = _messages.CONNECTION_RETRY, _messages.CONNECTION_ERROR

REDIS_SECONDS = 5
"""Seconds that checking the broker's connection may take."""

_BEAT_EVERY = 2.0
"""Seconds between two signs of life of a worker's loop."""


def _held() -> list[str]:
    """Return the queue of each message that this worker's pool is working on."""
    return [request.delivery_info["routing_key"] for request in list(state.reserved_requests)]


TRANSPORT = {
    "visibility_timeout": 900,  # far above a chunk's turn of 200 s: not delivered again while it runs
    "socket_timeout": 10,  # without it a worker whose Redis stops answering hangs for ever, silently
    "socket_connect_timeout": 5,
    "socket_keepalive": True,
    "health_check_interval": 10,
    "priority_steps": [0],  # one list for each queue, not four: all messages have the same priority
    "queue_order_strategy": partial(FairCycle, _held),
}
VERIFIED = {"ssl_cert_reqs": "required", "ssl_check_hostname": True}
"""Kombu's own default for rediss:// is to take every certificate."""

MEMORY_TRANSPORT = {"polling_interval": 0.01}  # the default of one second is the embedded mode's speed

CONFIG: dict[str, Any] = {
    "task_serializer": "json",  # only JSON is accepted: a message can't run code
    "accept_content": ["json"],
    "result_serializer": "json",
    "task_ignore_result": True,  # the ledger has the outcomes; a result proves nothing
    "result_extended": False,
    "task_store_errors_even_if_ignored": False,
    "task_acks_late": True,  # a worker that dies gives its message back
    "task_reject_on_worker_lost": True,  # also when only the pool's process died
    "worker_prefetch_multiplier": 1,  # a message waits in the queue, not behind a busy worker
    "task_time_limit": 300,  # last resort: requests have deadlines, and chunks yield long before
    "task_soft_time_limit": 270,
    "worker_max_tasks_per_child": 500,  # bounds any memory leak
    "worker_soft_shutdown_timeout": 60,  # a worker told to end finishes its chunk
    "worker_cancel_long_running_tasks_on_connection_loss": True,  # its message is delivered again anyway
    "broker_connection_retry_on_startup": True,
    "broker_connection_max_retries": None,  # a worker outlives any outage of Redis
    "worker_send_task_events": False,  # the ledger knows the progress
    "worker_hijack_root_logger": False,  # embedded, stdout belongs to the command and its JSON
    "worker_redirect_stdouts": False,
    "worker_enable_remote_control": False,  # nobody steers workers through Redis
    "task_default_delivery_mode": "persistent",
    "task_publish_retry_policy": {"max_retries": 3, "interval_start": 0.2, "interval_max": 1.0},
}
"""Every key is held against Celery's own list by a test: an unknown one would be ignored in silence."""


def make_app(config: RuntimeConfig, runtime: Runtime | None = None) -> Celery:
    """Return the Celery application for one ledger and its accounts.

    ``runtime``: the embedded mode's, shared with the command; else each process makes its own.
    """
    app = Celery("siproster", broker=config.broker or "memory://localhost/", set_as_current=False, fixups=[])
    app.conf.update(CONFIG)
    app.conf.broker_transport_options = TRANSPORT if config.broker else MEMORY_TRANSPORT
    if config.broker.startswith("rediss:"):
        app.conf.broker_use_ssl = VERIFIED
    runtimes: dict[int, Runtime] = {}

    def mine() -> Runtime:
        return runtime or runtimes.setdefault(os.getpid(), Runtime(config))

    # Not shared: each application has its own task, with the runtime that it was made for.
    @app.task(name=TASK, shared=False, Request=_Request)
    def deliver(*message: object, **_: object) -> None:
        _deliver(mine(), message)

    @app.task(name=WAKE, shared=False)
    def wake() -> None:
        """Do nothing; see embedded_worker."""

    return app


def _deliver(runtime: Runtime, message: tuple[object, ...]) -> None:
    """Work on one chunk id from the queue. Refuse and log messages for another ledger, account or key."""
    named = _MESSAGE.fullmatch(" ".join(part for part in message if isinstance(part, str)))
    if named is None:
        log.error("a message that names no chunk is dropped")  # its text is untrusted
        return
    identity, _, job, seq = named.groups()
    with about(job=job, chunk=int(seq)):
        _work_on(runtime, identity, job, int(seq))


def _work_on(runtime: Runtime, identity: str, job: str, seq: int) -> None:
    chunk = f"{job}/{seq}"
    try:
        worker = _chunk_worker(runtime, identity, job)
    except LedgerAway as away:
        runtime.ledger_outage.gone(away.message)
        runtime.stopping.wait(1.0)
        raise Reject("the ledger does not answer", requeue=True) from None
    except NotFound:  # in the right ledger: the job was deleted
        log.warning("chunk %s is dropped: its job was removed", chunk)
        return
    except SiprosterError as error:
        log.error("refused: %s (%s)", error.message, error.hint)
        runtime.stopping.wait(1.0)  # give the right worker time to take it
        raise Reject(error.message, requeue=True) from None
    runtime.ledger_outage.back()
    try:
        worker.work_on(seq)
    except LedgerAway as away:
        runtime.ledger_outage.gone(away.message)
    except SiprosterError as error:
        log.error("chunk %s is left to a later sweep: %s", chunk, error.message)
    except Exception as error:  # Celery would log its text and a traceback, which may hold a secret
        log.error("chunk %s is left to a later sweep: %s", chunk, place_of(error))


def _chunk_worker(runtime: Runtime, identity: str, job: str) -> ChunkWorker:
    if identity != runtime.ledger.identity:
        raise UsageError(
            f"job {job} is in ledger {identity}; this worker has {runtime.ledger.identity}",
            "start the worker with the SIPROSTER_LEDGER of the job",
        )
    return runtime.chunk_worker(job)


class _Request(Request):
    """A message in progress, which tells the worker if acknowledging it finds the connection gone.

    Celery only logs that and counts the message as being worked on; with a prefetch of one the worker
    would then take no other, for ever (seen with 5.7, Redis being killed while a chunk is at work).
    """

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._connection_errors = ()  # errors to hold back; others make the worker reconnect


class CeleryQueue:
    """The broker's queue of chunk ids (importing.sweep.Queue)."""

    def __init__(self, app: Celery, identity: str) -> None:
        self._app = app
        self._identity = identity

    @classmethod
    def at(cls, broker: str, identity: str) -> Self:
        """Return the queue of a process that works on no rows, and so needs neither keys nor credentials."""
        return cls(make_app(RuntimeConfig(broker, "", (), ())), identity)

    def put(self, job: Job, seqs: Sequence[int]) -> None:
        """Put chunks on the queue. Raises Unavailable if the broker does not accept them."""
        task = self._app.tasks[TASK]
        with self._explained(), self._app.producer_pool.acquire(block=True) as producer:
            for seq in seqs:
                task.apply_async(
                    args=(self._identity, f"{job.id}/{seq}"), queue=self._name(job), producer=producer
                )

    def backlog(self, job: Job) -> int:
        """Return how many messages no worker has taken. Raises Unavailable if the broker does not answer."""
        with self._explained(), self._app.connection_for_write() as connection:
            try:
                channel: Any = connection.default_channel
                return int(channel.queue_declare(self._name(job), passive=True).message_count)
            except ChannelError:  # Redis has no empty lists
                return 0

    def workers(self, host: str, account: str) -> list[str]:
        """Return the workers (``machine:pid``) for this ledger and an account.

        Raises Unavailable if the broker does not answer.
        """
        prefix = worker_key(queue_name(self._identity, host, account), "")
        with self._explained(), self._app.connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, timeout=5)
            try:
                keys = _redis(connection).scan_iter(match=f"{prefix}*", count=1000)
                return sorted(key.decode().removeprefix(prefix) for key in keys)
            except connection.connection_errors as error:
                raise OperationalError(str(error)) from None

    def announced(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Return what the workers for this ledger say, once for each account, and its schedulers.

        Raises Unavailable if the broker does not answer.
        """
        patterns = worker_key(f"siproster.{self._identity[:8]}.*", "*"), scheduler_key(self._identity, "*")
        with self._explained(), self._app.connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, timeout=REDIS_SECONDS)
            workers, schedulers = (announced(_redis(connection), pattern) for pattern in patterns)
            return workers, schedulers

    def scheduler(self) -> Presence:
        """Return the announcement of this process as a scheduler of the ledger."""
        facts: dict[str, dict[str, object]] = {scheduler_key(self._identity, this_process()): {}}
        return Presence(self._app.connection_for_write, facts, "the scheduler")

    def check(self) -> None:
        """Raise Unavailable if the broker does not answer."""
        with self._explained(), self._app.connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, timeout=5)

    def memory(self) -> Mapping[str, Any]:
        """Return Redis' own facts about its memory (INFO); none if its user may not ask for them.

        Raises Unavailable if the broker does not answer.
        """
        with self._explained(), self._app.connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, timeout=5)
            try:
                found: Mapping[str, Any] = _redis(connection).info("memory")
            except connection.channel_errors:
                return {}
            return found

    def _name(self, job: Job) -> str:
        return queue_name(self._identity, job.host, job.account)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except _AWAY + _redis_errors() as error:  # the last one: sometimes a full Redis
            reason = reason_of(error)
            remedy = next((remedy for word, remedy in _REMEDIES.items() if word in reason), _NO_REDIS)
            raise Unavailable(
                f"the broker does not take messages: {reason}", f"{remedy}; `siproster doctor` tries it"
            ) from None


@contextmanager
def embedded_worker(app: Celery, *queues: str) -> Iterator[None]:
    """Run a real worker in this process: the threads pool, since prefork would fork a threaded command.

    Two tasks at a time, so that one chunk's last answers and the next one's first requests overlap.
    """
    app.conf.task_default_queue = queues[0]
    app.set_default()  # the pool's threads look their task up on the default application
    worker = WorkController(
        app=app, hostname=f"embedded@{platform.node()}", pool="threads", concurrency=2, queues=queues,
        without_heartbeat=True, without_mingle=True, without_gossip=True,
    )  # fmt: skip
    thread = threading.Thread(target=worker.start, name="embedded-worker", daemon=True)
    thread.start()
    try:
        yield
    finally:
        state.should_stop = os.EX_OK  # type: ignore[assignment]  # the stubs know it as None
        # Celery's loop checks its flag between two messages, or every two seconds, and then drains
        # once more.
        for _ in range(2):
            app.tasks[WAKE].apply_async(queue=queues[0])
        thread.join()
        state.should_stop = None


class Watcher(Protocol):
    """The part of the metrics server that a worker calls."""

    def begin(self, position: str) -> None:
        """Begin to count in a process of the pool, by its position there."""

    def beat(self, pool: Sequence[int]) -> None:
        """Record that the worker's loop goes on, and the pids of its pool."""


def run_worker(
    app: Celery, queues: Mapping[str, Endpoint], processes: int, level: str, watcher: Watcher | None = None
) -> int:
    """Run `siproster worker`: pool processes serve the queues until told to stop. Return the exit code."""
    setup_logging.connect(_keep_logging, weak=False)
    app.conf.task_default_queue = next(iter(queues))
    presence = Presence(app.connection_for_write, {
        worker_key(queue, this_process()): {"account": one.account, "host": one.host, "processes": processes}
        for queue, one in queues.items()
    })  # fmt: skip
    app.steps["consumer"].add(_beating(presence, watcher))
    worker = Worker(
        app=app, hostname=f"siproster@{platform.node()}-{os.getpid()}", pool="prefork", queues=list(queues),
        concurrency=processes, loglevel=level, without_heartbeat=True, without_mingle=True,
        without_gossip=True, quiet=True,
    )  # fmt: skip
    for name in ("celery.worker.consumer.consumer", "celery.app.trace"):
        logging.getLogger(name).addFilter(_told_by_us)

    def begin(**_: object) -> None:
        presence.start()

    def begin_process(**_: object) -> None:
        if watcher:
            process: Any = current_process()  # the stubs lack its index in the pool
            watcher.begin(str(process.index))

    worker_process_init.connect(begin_process, weak=False)
    # Only now: the pool's processes are forked by now, and a thread doesn't survive a fork.
    worker_ready.connect(begin, weak=False)
    try:
        worker.start()
    finally:
        presence.stop()
    return worker.exitcode or 0


_AWAY: tuple[type[Exception], ...] = (OperationalError, OSError)


def _redis_errors() -> tuple[type[Exception], ...]:
    """Return the errors of Redis's client, if it is in use: embedded jobs don't load it."""
    library: Any = sys.modules.get("redis.exceptions")
    return (library.RedisError,) if library else ()


def _redis(connection: Connection) -> Any:
    """Return the client of a connection to Redis, with its settings for TLS and timeouts."""
    channel: Any = connection.default_channel
    return channel.client


def _beating(presence: Presence, watcher: Watcher | None) -> type[StartStopStep]:
    """Return a step of Celery's that notes every few seconds that the worker's loop turns."""

    class Beating(StartStopStep):
        """Begun with each connection to the broker: Celery forgets all timers when it loses one."""

        requires = ("celery.worker.consumer.tasks:Tasks",)
        timer: Any = None

        def start(self, parent: Any) -> None:
            def beat() -> None:
                presence.pool = parent.pool.info["processes"]
                if watcher:
                    watcher.beat(presence.pool)

            beat()
            self.timer = parent.timer.call_repeatedly(_BEAT_EVERY, beat)

        def stop(self, parent: Any) -> None:
            if self.timer:
                self.timer.cancel()

    return Beating


def _told_by_us(record: logging.LogRecord) -> bool:
    """Return whether to let Celery's line through: it is not about an outage, which we log once ourselves."""
    args = record.args
    if isinstance(args, dict):
        return args.get("description") != "rejected"
    lost = isinstance(args, tuple) and bool(args) and args[0] == _LOST
    return not lost and record.msg != _CONNECTING


def _keep_logging(**_: object) -> None:
    """Do nothing: a receiver of this signal keeps Celery from setting up logging of its own."""
