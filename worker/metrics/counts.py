"""Counting in files: each position in a pool of processes has one, which successive processes count into.

A position, unlike a pid, is used again: a killed process loses no count, and there are as many files as the
pool has processes, however often these are replaced. The files contain only counters, no gauges, which would
have to be removed when a process dies.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from worker.meter import METER
from worker.metrics.names import BUCKETS, COUNTED

FOLDER = "PROMETHEUS_MULTIPROC_DIR"


def begin_counting(folder: Path, position: str) -> None:
    """Count the work of this process into its position's file, which no other living process may have."""
    if not folder.is_dir():  # the process that read it is gone
        return
    os.environ[FOLDER] = str(folder)  # which prometheus_client reads when it is imported
    from prometheus_client import Counter, Histogram, values

    library: Any = values
    library.ValueClass = values.MultiProcessValue(lambda: position)  # type: ignore[no-untyped-call]
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
