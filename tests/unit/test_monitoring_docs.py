"""docs/monitoring.md, the dashboard and the alert rules against the metrics that there are."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from worker.metrics import ALL, Metric
from worker.waits import WaitKind

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "monitoring.md").read_text("utf-8")
DASHBOARD = json.loads((DOCS / "monitoring" / "grafana-dashboard.json").read_text("utf-8"))
RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((DOCS / "monitoring" / "alerts.yml").read_text("utf-8"))["groups"]
    for rule in group["rules"]
]
METRICS = {metric.name: metric for metric in ALL}
ADDED = {"instance", "job", "le"}
"""Labels that Prometheus itself adds."""


def expressions() -> Iterator[str]:
    """Every expression of the dashboard and of the rules."""
    yield from (target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"])
    yield from (rule["expr"] for rule in RULES)


def metric_of(name: str) -> Metric | None:
    """The metric that has samples of this name."""
    plain = re.sub("_(bucket|count|sum)$", "", name)
    if plain in METRICS and METRICS[plain].kind == "histogram":
        return METRICS[plain] if name != plain else None
    return METRICS.get(name)


def labels_in(expression: str) -> set[str]:
    """The labels that an expression matches, groups or joins by."""
    matched = re.findall(r"(\w+)\s*(?:=~|!=|=)\s*\"", expression)
    grouped = re.findall(r"\b(?:by|on|without)\s*\(([^)]*)\)", expression)
    return {*matched, *(label.strip() for group in grouped for label in group.split(",") if label.strip())}


@pytest.mark.parametrize("expression", sorted(set(expressions())))
def test_expressions_name_what_exists(expression: str) -> None:
    """Every metric of an expression exists, as do the labels that it is asked by."""
    names = re.findall(r"\bsiproster_\w+", expression)
    assert names
    found = [metric_of(name) for name in names]
    assert None not in found, expression
    labels = set().union(*(metric.labels for metric in found if metric))
    assert labels_in(expression) <= labels | ADDED


def test_an_unknown_metric_would_be_seen() -> None:
    """A wrong name and a histogram without its ending are no metrics; every label is found."""
    assert metric_of("siproster_rows") is None
    assert metric_of("siproster_chunk_duration_seconds") is None
    assert metric_of("siproster_chunk_duration_seconds_bucket")
    assert labels_in('sum by (a, b) (x{c="d"}) unless on (e) y') == {"a", "b", "c", "e"}


def test_counters_are_asked_by_rate() -> None:
    """Counters, whose values begin anew with each process, are never shown as they are."""
    counters = [name for name, metric in METRICS.items() if metric.kind != "gauge"]
    for expression in expressions():
        for name in counters:
            for found in re.finditer(rf"\b{name}", expression):
                assert re.search(r"(rate|increase)\($", expression[: found.start()]), expression


def test_names_follow_prometheus() -> None:
    """Counters end in _total, times are in seconds, and nothing is called milliseconds."""
    for name, metric in METRICS.items():
        assert name.endswith("_total") == (metric.kind == "counter")
        assert not re.search("_(ms|minutes|hours|millis)", name)
        assert re.fullmatch("siproster_[a-z_]+", name)


def test_each_metric_is_described() -> None:
    """The page has each metric with its kind and its labels, each reason of a wait, and nothing else."""
    rows = re.findall(r"^\| `(siproster_\w+)` \| (\w+) \|([^|]*)\|", PAGE, re.MULTILINE)
    told = {name: (kind, tuple(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}
    assert told == {name: (metric.kind, metric.labels) for name, metric in METRICS.items()}
    reasons = re.search(r"^\| `reason`.*?\n\n", PAGE, re.DOTALL | re.MULTILINE)
    assert reasons
    cells = [line.split(" | ")[0] for line in reasons[0].splitlines()[2:]]
    assert {word for cell in cells for word in re.findall(r"`(\w+)`", cell)} == set(WaitKind)


def test_rules_say_what_to_do() -> None:
    """Each rule has a summary, what to do, and a severity; the troubles that must be noticed have one."""
    assert all(rule["annotations"].keys() == {"summary", "action"} for rule in RULES)
    assert {rule["labels"]["severity"] for rule in RULES} == {"warning", "critical"}
    assert {rule["alert"] for rule in RULES} >= {
        "SiprosterQueueGrowsOld", "SiprosterNoWorker", "SiprosterScheduleNotInPlace",
        "SiprosterNotificationsGivenUp", "SiprosterLeaseLosses", "SiprosterLedgerAway",
    }  # fmt: skip
