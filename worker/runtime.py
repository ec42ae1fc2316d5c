"""The resources that one process needs to work on chunks: its ledger, its keys, its API client."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, partial

from worker import throttle
from worker.api import Api
from worker.errors import SiprosterError, Stopping, UsageError
from worker.fleet import OtherQueues, queue_name
from worker.importing.chunk_session import WorkerProcess
from worker.importing.chunk_worker import ChunkWorker
from worker.importing.process_id import process_id
from worker.ledger import Ledger
from worker.model import Endpoint, Job, Options
from worker.seal import Seal
from worker.waits import HERE, Outage

log = logging.getLogger(__name__)

_BUDGET = 60.0

_MOST_ACCOUNTS = 16
"""Accounts to which a process keeps connections, up to one for each request in flight."""

_TELL_EVERY = 1.0
"""Seconds after which the ledger is told of a wait, and between two updates of it."""


@dataclass(frozen=True, slots=True)
class RuntimeConfig:
    """The configuration of a process that works on chunks: plain values, safe to take across a fork."""

    broker: str
    """Redis URL; empty: embedded."""
    ledger: str
    keys: Sequence[bytes]
    endpoints: Sequence[Endpoint]
    """The accounts that the process works for, one endpoint each; a command has one alone."""

    def __repr__(self) -> str:
        return f"<RuntimeConfig {_listed(endpoint.account for endpoint in self.endpoints)}>"


def _listed(values: Iterable[str]) -> str:
    """Return different values in a few words."""
    first, *others = dict.fromkeys(values)
    return ", ".join([first, *others[:2]]) + (f" and {len(others) - 2} others" if len(others) > 2 else "")


def request_budget(options: Options) -> float:
    """Return the seconds for one request with its retries: about a minute, or less if patience is shorter."""
    return max(1.0, min(_BUDGET, options.patience))


class Runtime:
    """This process's connections, made on first use: neither a ledger nor a client survives a fork."""

    def __init__(self, config: RuntimeConfig, ledger: Ledger | None = None) -> None:
        """Take the configuration, and a ``ledger`` if this process has one open already."""
        self.config = config
        self._given_ledger = ledger
        self.stopping = threading.Event()
        self.ledger_outage = Outage(log, "the ledger", "its chunks wait, and come back with a sweep")
        self._workers: dict[str, tuple[str, ChunkWorker]] = {}
        """By job: its options as they are stored, and its worker."""
        self._executors: dict[int, ThreadPoolExecutor] = {}
        """By the number of requests in flight."""
        self._job = ""
        self._teller: threading.Thread | None = None
        self._lock = threading.Lock()
        self._counted = (0, 0)
        self._apis: dict[tuple[Endpoint, float | None, float], Api] = {}

    @cached_property
    def ledger(self) -> Ledger:
        """Return the ledger, opened."""
        return self._given_ledger or Ledger(self.config.ledger)

    @cached_property
    def seal(self) -> Seal:
        """Return the ring of sealing keys."""
        return Seal(self.config.keys)

    def chunk_worker(self, job_id: str) -> ChunkWorker:
        """Return the worker for the job's chunks in this process. Raises UsageError as ``check``."""
        options = self.ledger.jobs.options_text(job_id)
        with self._lock:
            self._tell_waits(job_id)
            known, worker = self._workers.get(job_id, ("", None))
            # `resume` may have changed the job's bounds since.
            if worker is None or known != options:
                worker = self._open(self.ledger.jobs.get(job_id))
            self._workers = {**self._of_other_accounts(worker.job), job_id: (options, worker)}
            if len(self._workers) > _MOST_ACCOUNTS:
                _, idle = self._workers.pop(next(iter(self._workers)))
                self._close_apis((idle.job.host, idle.job.account))
            return worker

    def _of_other_accounts(self, job: Job) -> dict[str, tuple[str, ChunkWorker]]:
        """Return the workers that are still of use: one job at a time writes to an account."""
        account = (job.host, job.account)
        return {
            known: (options, worker)
            for known, (options, worker) in self._workers.items()
            if (worker.job.host, worker.job.account) != account
        }

    def _close_apis(self, account: tuple[str, str]) -> None:
        """Close the connections to an account. Its requests were counted when its chunk was released."""
        for kind in [kind for kind in self._apis if (kind[0].host, kind[0].account) == account]:
            api = self._apis.pop(kind)
            self._counted = (self._counted[0] - api.requests, self._counted[1] - api.retries)
            api.close()

    def _tell_waits(self, job_id: str) -> None:
        """Start telling the ledger what this process waits for while it works on the job."""
        self._job = job_id
        if self._teller is None:
            self._teller = threading.Thread(target=self._tell_for_ever, name="waits", daemon=True)
            self._teller.start()

    def _tell_for_ever(self) -> None:
        told = ""
        while not self.stopping.wait(_TELL_EVERY):
            wait = HERE.gravest()
            wait = wait if wait and wait.waited >= _TELL_EVERY else None
            # While the ledger is away, nobody could read it there either.
            with suppress(SiprosterError):
                if told and (wait is None or told != self._job):
                    self.ledger.waits.tell(told, process_id(), None)
                    told = ""
                if wait:
                    told = self._job
                    self.ledger.waits.tell(told, process_id(), wait)

    def check(self, job: Job) -> Endpoint:
        """Return the job's endpoint. Raises UsageError if this process lacks its host, account or key."""
        endpoints = list(self.config.endpoints)
        for what in ("host", "account", "environment"):
            mine, its = [getattr(one, what) for one in endpoints], getattr(job, what)
            if its not in mine:
                raise UsageError(
                    f"job {job.id} belongs to {what} {its}; this process works for {_listed(mine)}",
                    "set BW_ACCOUNT_ID, BW_API_URL and BW_ENVIRONMENT (or --profile) as the job has them",
                )
            endpoints = [one for one in endpoints if getattr(one, what) == its]
        if not self.seal.can_open(job.key):
            raise UsageError(
                f"job {job.id} is sealed with key {job.key}, which this process doesn't have",
                "add that key to SIPROSTER_KEY, behind a comma: the first key seals, all of them open",
            )
        return endpoints[0]

    def api(self, options: Options, endpoint: Endpoint | None = None) -> Api:
        """Return the client with the rate and the patience of a job, made once.

        ``endpoint``: the job's; not needed in a process that works for one account.
        """
        endpoint = endpoint or self.config.endpoints[0]
        kind = (endpoint, options.rate, request_budget(options))
        if kind not in self._apis:
            if self.config.broker:
                key = f"{endpoint.host}/{endpoint.account}"
                others_wait = partial(self.others_wait, endpoint)
                limiter = throttle.shared(self.config.broker, key, options.rate, self.sleep, others_wait)
            else:
                limiter = throttle.local(options.rate, sleep=self.sleep)
            self._apis[kind] = Api(endpoint, limiter, sleep=self.sleep, budget=kind[2])
        return self._apis[kind]

    def others_wait(self, endpoint: Endpoint) -> bool:
        """Return whether another account of this process has messages, and no process is free for them."""
        if len(self.config.endpoints) == 1 or not self.config.broker:
            return False
        return self._queues.have_messages(queue_name(self.ledger.identity, endpoint.host, endpoint.account))

    @cached_property
    def _queues(self) -> OtherQueues:
        from worker.throttle.redis_pace import existing  # late: embedded jobs don't load Redis's client

        identity = self.ledger.identity
        names = [queue_name(identity, one.host, one.account) for one in self.config.endpoints]
        return OtherQueues(names, partial(existing, self.config.broker))

    def sleep(self, seconds: float) -> None:
        """Wait, unless the process is asked to stop: raises Stopping then, which releases the chunk."""
        if self.stopping.wait(seconds):
            raise Stopping("asked to end while waiting for the service")

    def count(self) -> tuple[int, int]:
        """Return the requests and retries since the last call."""
        with self._lock:
            requests = sum(api.requests for api in self._apis.values())
            retries = sum(api.retries for api in self._apis.values())
            counted, self._counted = self._counted, (requests, retries)
            return requests - counted[0], retries - counted[1]

    def close(self) -> None:
        """Close all resources that were opened."""
        for api in self._apis.values():
            api.close()
        if "ledger" in self.__dict__:
            self.ledger.close()

    def _open(self, job: Job) -> ChunkWorker:
        endpoint, inflight = self.check(job), job.options.concurrency
        if inflight not in self._executors:
            self._executors[inflight] = ThreadPoolExecutor(inflight, thread_name_prefix="post")
        process = WorkerProcess(
            self.ledger, self.seal, self.api(job.options, endpoint), self._executors[inflight], process_id(),
            self.stopping, self.count, others_wait=partial(self.others_wait, endpoint),
        )  # fmt: skip
        return ChunkWorker(job, process)
