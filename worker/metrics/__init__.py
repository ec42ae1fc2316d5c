"""Metrics for Prometheus: what processes count, what the ledger and the broker say, and a server for both.

::

    worker ── pool processes count into files of a private folder (counts.py)
      └───── a process of its own (server.py) adds up the files, reads ledger and broker, and answers HTTP

The server is a process of its own since the worker forks: neither a thread nor a connection survives that.
"""

from __future__ import annotations

from worker.metrics.names import ALL, Metric
from worker.metrics.parent import MetricsServer, Places

__all__ = ["ALL", "Metric", "MetricsServer", "Places"]
