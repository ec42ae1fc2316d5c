"""Counting in files: each process that counts has its own, and its successor in the same slot goes on in it.

A slot, unlike a pid, is used again: a killed process loses no count, and the number of files stays that of
the pool, however often its processes are replaced. Only counts are kept there, no gauges, so that a dead
process leaves nothing behind that would have to be marked as dead.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from worker.meter import METER
from worker.metrics.names import BUCKETS, COUNTED

FOLDER = "PROMETHEUS_MULTIPROC_DIR"


def begin_counting(folder: Path, slot: str) -> None:
    """Count what this process does in its slot of the folder. No other living process may have the slot."""
    if not folder.is_dir():  # the process that read it is gone
        return
    os.environ[FOLDER] = str(folder)  # which prometheus_client reads when it is imported
    from prometheus_client import Counter, Histogram, values

    library: Any = values
    library.ValueClass = values.MultiProcessValue(lambda: slot)  # type: ignore[no-untyped-call]
    metrics: dict[str, Any] = {}
    for name, metric in COUNTED.items():
        if metric.kind == "histogram":
            made: Any = Histogram(metric.name, metric.meaning, metric.labels, buckets=BUCKETS, registry=None)
            metrics[name] = lambda amount, labels, made=made: made.labels(*labels).observe(amount)
        else:
            made = Counter(metric.name, metric.meaning, metric.labels, registry=None)
            metrics[name] = lambda amount, labels, made=made: made.labels(*labels).inc(amount)

    def add(name: str, amount: float, labels: tuple[str, ...]) -> None:
        with suppress(OSError):  # a full disk, or a folder that is gone: the work matters more
            metrics[name](amount, labels)

    METER.begin(add)
