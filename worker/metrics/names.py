"""The metrics: names, meanings, labels. docs/monitoring.md has them all."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric. ``name`` is that of its samples, but for a histogram's endings."""

    name: str
    kind: str
    """``counter``, ``gauge`` or ``histogram``."""
    meaning: str
    labels: tuple[str, ...] = ()


COUNTED = {
    "rows": Metric(
        "siproster_rows_total", "counter", "Rows with an outcome.", ("account", "status")),
    "requests": Metric(
        "siproster_requests_total", "counter", "Requests to the service, by their answers' HTTP status.",
        ("account", "kind", "code")),
    "retries": Metric(
        "siproster_retries_total", "counter", "Requests that were repeated after a fault.", ("account",)),
    "wait_seconds": Metric(
        "siproster_wait_seconds_total", "counter", "Time spent waiting, summed over threads.",
        ("reason",)),
    "lease_losses": Metric(
        "siproster_lease_losses_total", "counter",
        "Chunks that passed to another process before the first one had ended or released them.",
        ("account", "how")),
    "chunk_seconds": Metric(
        "siproster_chunk_duration_seconds", "histogram", "Time from claiming a chunk to its end or release.",
        ("account",)),
}  # fmt: skip
"""Metrics that processes count (``meter.count``), by the name that they are counted under."""

BUCKETS = (1, 2, 5, 10, 20, 60, 120, 210)
"""Seconds: a chunk's turn is 200 s."""


def _gauge(name: str, meaning: str, *labels: str) -> Metric:
    return Metric(f"siproster_{name}", "gauge", meaning, labels)


LEDGER_UP = _gauge("ledger_up", "Whether the ledger answers.")
BROKER_UP = _gauge("broker_up", "Whether the broker answers; absent without one.")
POOL = _gauge("pool_processes", "Processes in this worker's pool.")
BUILD = _gauge("build_info", "1, with the version as a label.", "version")
WORKERS = _gauge("workers", "Workers that serve the account, on all hosts.", "account")
SCHEDULERS = _gauge("schedulers", "Schedulers, on all hosts.")
QUEUE_CHUNKS = _gauge("queue_chunks", "Chunks of running jobs that wait for a worker.", "account")
QUEUE_ROWS = _gauge("queue_rows", "Rows without an outcome in the chunks that wait.", "account")
QUEUE_AGE = _gauge("queue_age_seconds", "How long the oldest chunk that waits has been due.", "account")
IN_PROGRESS = _gauge("chunks_in_progress", "Chunks that a worker is working on.", "account")
CHUNK_AGE = _gauge("chunk_age_seconds", "How long the oldest claim of a chunk has lasted.", "account")
JOBS = _gauge("jobs", "Jobs that have not ended.", "account", "state")
NOTIFICATIONS = _gauge("notifications", "Notifications that the ledger records.", "state")
RUNS = _gauge("schedule_runs", "Ended runs that the ledger records.", "schedule", "result")
LAST_RUN = _gauge("schedule_last_run_timestamp_seconds", "When the last run ended.", "schedule")
LAST_RESULT = _gauge("schedule_last_result", "1 for the result of the last run.", "schedule", "result")
LAST_SUCCESS = _gauge(
    "schedule_last_success_timestamp_seconds",
    "When a run last ended in_place or nothing_new; if none has, when the schedule was made.",
    "schedule",
)
NEXT_RUN = _gauge("schedule_next_run_timestamp_seconds", "The next slot.", "schedule")
PAUSED = _gauge("schedule_paused", "Whether the schedule is paused.", "schedule")

ALL: tuple[Metric, ...] = (
    *COUNTED.values(), LEDGER_UP, BROKER_UP, POOL, BUILD, WORKERS, SCHEDULERS, QUEUE_CHUNKS, QUEUE_ROWS,
    QUEUE_AGE, IN_PROGRESS, CHUNK_AGE, JOBS, NOTIFICATIONS, RUNS, LAST_RUN, LAST_RESULT, LAST_SUCCESS,
    NEXT_RUN, PAUSED,
)  # fmt: skip
