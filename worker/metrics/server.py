"""The metrics server: a process that answers ``/metrics``, ``/health`` and ``/ready`` for its parent."""

from __future__ import annotations

import json
import logging
import os
import shutil
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector

from worker import __version__
from worker.ledger import DeliveryState, Figures, Ledger
from worker.metrics import names
from worker.metrics.cached import Cached
from worker.metrics.names import Metric
from worker.metrics.parent import BEAT
from worker.schedules.results import RunResult
from worker.tasks import CeleryQueue

ALIVE = 120.0
"""Seconds without a sign of life after which a process hangs: far above any wait for a locked ledger."""

_CLIENT_SECONDS = 10.0
"""Seconds that a client may take for its request."""

Samples = Sequence[tuple[Sequence[str], float]]
"""Values by their labels."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """The workers for each account, and the schedulers, on all hosts."""

    workers: Counter[str]
    schedulers: int


class Sources:
    """The sources of the metrics: the ledger, the broker, and the files of the process that is served."""

    def __init__(self, given: dict[str, Any]) -> None:
        self._given = given
        self.folder = Path(given["folder"])
        self.figures: Cached[Figures] = Cached(lambda: self._ledger.figures.read())
        self.fleet: Cached[Fleet] | None = Cached(self._read_fleet) if given["broker"] else None

    @cached_property
    def _ledger(self) -> Ledger:
        return Ledger(self._given["ledger"])

    @cached_property
    def _queue(self) -> CeleryQueue:
        return CeleryQueue.at(self._given["broker"], self._given["identity"])

    def _read_fleet(self) -> Fleet:
        workers, schedulers = self._queue.announced()
        return Fleet(Counter(str(one.get("account")) for one in workers), len(schedulers))

    def beat(self) -> tuple[float, int]:
        """Return the seconds since the last sign of life, and the number of the pool's processes."""
        try:
            beat = json.loads((self.folder / BEAT).read_text("utf-8"))
            return time.monotonic() - beat["at"], len(beat["pool"])
        except (OSError, ValueError):
            return 1e9, 0

    def health(self) -> dict[str, Any]:
        """Return whether the process is alive, as it is while it waits for the broker."""
        silent, _ = self.beat()
        if silent >= ALIVE and self.fleet:
            self.fleet.get()
            silent = min(silent, time.monotonic() - self.fleet.failed_at)
        return {"alive": silent < ALIVE, "silent_seconds": round(silent, 1), "version": __version__}

    def readiness(self) -> dict[str, Any]:
        """Return whether the process can work: ledger, broker and pool, and each of them."""
        found: dict[str, Any] = {"ledger": "ok" if self.figures.get() else "away"}
        if self.fleet:
            found["broker"] = "ok" if self.fleet.get() else "away"
        if self._given["pool"]:
            found["pool"] = self.beat()[1]
        return {"ready": all(value not in ("away", 0) for value in found.values()), **found}

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield what is read at a scrape (prometheus_client's Collector)."""
        yield _gauge(names.BUILD, [([__version__], 1)])
        if self._given["pool"]:
            yield _gauge(names.POOL, [([], self.beat()[1])])
        figures = self.figures.get()
        yield _gauge(names.LEDGER_UP, [([], bool(figures))])
        if self.fleet:
            fleet = self.fleet.get()
            yield _gauge(names.BROKER_UP, [([], bool(fleet))])
            if fleet:
                accounts = {*self._given["accounts"], *fleet.workers, *_accounts(figures)}
                yield _gauge(names.WORKERS, [([one], fleet.workers[one]) for one in sorted(accounts)])
                yield _gauge(names.SCHEDULERS, [([], fleet.schedulers)])
        if figures:
            yield from _of_accounts(figures, self._given["accounts"])
            told = figures.notifications
            yield _gauge(names.NOTIFICATIONS, [([state], told.get(state, 0)) for state in DeliveryState])
            yield from _of_schedules(figures)


def _gauge(metric: Metric, samples: Samples) -> GaugeMetricFamily:
    family = GaugeMetricFamily(metric.name, metric.meaning, labels=metric.labels)
    for labels, value in samples:
        family.add_metric(labels, float(value))
    return family


def _accounts(figures: Figures | None) -> set[str]:
    """Return the accounts that need a worker."""
    if figures is None:
        return set()
    return {one.account for one in figures.backlogs} | {one.account for one in figures.schedules}


def _of_accounts(figures: Figures, served: Sequence[str]) -> Iterator[GaugeMetricFamily]:
    found = {one.account: one for one in figures.backlogs}
    every = sorted({*served, *found})
    for metric, field in (
        (names.QUEUE_CHUNKS, "waiting"), (names.QUEUE_ROWS, "rows"), (names.QUEUE_AGE, "queue_age"),
        (names.IN_PROGRESS, "held"), (names.CHUNK_AGE, "chunk_age"),
    ):  # fmt: skip
        yield _gauge(metric, [([one], getattr(found.get(one), field, 0)) for one in every])
    yield _gauge(names.JOBS, [(labels, number) for labels, number in figures.jobs.items()])


def _of_schedules(figures: Figures) -> Iterator[GaugeMetricFamily]:
    every = figures.schedules
    yield _gauge(names.RUNS, [([one.name, result], n) for one in every for result, n in one.runs.items()])
    yield _gauge(names.LAST_RUN, [([one.name], one.last_run) for one in every if one.last_run])
    yield _gauge(names.LAST_RESULT, [([one.name, one.last_result], 1) for one in every if one.last_result])
    fine = {
        one.name: [at for result, at in one.ended.items() if not RunResult(result).trouble] for one in every
    }
    yield _gauge(
        names.LAST_SUCCESS, [([one.name], max(fine[one.name], default=one.created)) for one in every]
    )
    yield _gauge(names.NEXT_RUN, [([one.name], one.next_slot) for one in every if one.next_slot])
    yield _gauge(names.PAUSED, [([one.name], one.paused) for one in every])


class Handler(BaseHTTPRequestHandler):
    """One request. It is not logged, and answers contain nothing about errors of the program."""

    timeout = _CLIENT_SECONDS
    server: Server

    def do_GET(self) -> None:
        sources = self.server.sources
        match self.path.partition("?")[0]:
            case "/metrics":
                encode, content_type = choose_encoder(self.headers.get("Accept", ""))
                registry = CollectorRegistry(auto_describe=False)
                MultiProcessCollector(registry, path=str(sources.folder))  # type: ignore[no-untyped-call]
                registry.register(sources)
                self._answer(200, encode(registry), content_type)
            case "/health":
                self._answer_json(found := sources.health(), 200 if found["alive"] else 503)
            case "/ready":
                self._answer_json(found := sources.readiness(), 200 if found["ready"] else 503)
            case _:
                self._answer_json({"paths": ["/metrics", "/health", "/ready"]}, 404)

    def _answer_json(self, facts: dict[str, Any], status: int) -> None:
        self._answer(status, json.dumps(facts).encode() + b"\n", "application/json")

    def _answer(self, status: int, body: bytes, content_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def version_string(self) -> str:
        return "siproster"

    def log_message(self, *_: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    """The HTTP server, on the socket that the parent has opened."""

    daemon_threads = True

    def __init__(self, listening: socket.socket, sources: Sources) -> None:
        super().__init__(("", 0), Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listening
        self.sources = sources

    def handle_error(self, *_: object) -> None:
        """Ignore a client that hung up, or sent no HTTP."""


def main() -> None:
    """Serve until the parent is gone, then remove its folder. Settings come on stdin, as JSON."""
    logging.getLogger().addHandler(logging.NullHandler())
    given = json.load(sys.stdin)
    sources = Sources(given)
    server = Server(socket.socket(fileno=given["fd"]), sources)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    while os.getppid() == given["parent"]:
        time.sleep(1)
    shutil.rmtree(sources.folder, ignore_errors=True)
