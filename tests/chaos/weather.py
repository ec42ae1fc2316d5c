"""The service's behaviour while a job runs: knobs of the sandbox, drawn at random."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

Knobs = dict[str, Any]
Luck = random.Random

_POST = {"method": "POST", "path": "sipcredentials"}

CALM: Knobs = {
    **dict.fromkeys((
        "drop", "stall", "cut", "too_many_requests", "unavailable", "bad_gateway", "no_echo",
        "echo_without_name", "lost_echo",
    )),
    "latency": 0.0,
    "list_lag": 0.0,
    "expires_in": 3600,
}  # fmt: skip
"""No faults at all."""


def _after_the_work(luck: Luck) -> Knobs:
    """The work is done, and its answer is lost in one of the ways there are."""
    lost = {**_POST, "probability": luck.uniform(0.3, 0.6)}
    return luck.choice([
        {"drop": {**lost, "commit": True}},
        {"drop": {**lost, "commit": True, "reset": True}},
        {"cut": lost},
        {"bad_gateway": {**lost, "commit": True}},
        {"unavailable": {**lost, "commit": True, "answer": luck.choice(["xml", "html"])}},
    ])  # fmt: skip


def _before_the_work(luck: Luck) -> Knobs:
    """Return faults that drop a request before it has any effect; reads are dropped, too."""
    return {"drop": [{"probability": luck.uniform(0.05, 0.25)}, _dropped(luck)]}


def _dropped(luck: Luck) -> Knobs:
    return {**_POST, "probability": luck.uniform(0.25, 0.5), "commit": True, "reset": luck.random() < 0.5}


def _storm_of_429(luck: Luck) -> Knobs:
    answer = luck.choice(["seconds", "date", "reset_seconds", "reset_milliseconds", "none"])
    return {"too_many_requests": {"probability": luck.uniform(0.1, 0.5), "answer": answer, "seconds": 1}}


def _storm_of_503(luck: Luck) -> Knobs:
    answer = luck.choice(["xml", "no_code", "html"])
    asked = luck.choice([{}, {"seconds": 1}])
    return {"unavailable": {"probability": luck.uniform(0.1, 0.5), "answer": answer, **asked}}


def _short_tokens(luck: Luck) -> Knobs:
    return {"expires_in": luck.randint(2, 4)}


def _slow_lists(luck: Luck) -> Knobs:
    """Return lists that lag, at times for longer than the program looks, so that rows stay unknown."""
    return {"list_lag": luck.choice([0.2, 0.8, 6.0])}


def _poor_echoes(luck: Luck) -> Knobs:
    kind = luck.choice(["no_echo", "echo_without_name", "lost_echo"])
    return {kind: {"probability": 0.3, "users": "[13579]$"}}


def _stalls(luck: Luck) -> Knobs:
    seconds = luck.choice([0.5, 1.0, 2.0, 4.0])
    return {"stall": {**_POST, "probability": 0.15, "seconds": seconds, "commit": luck.random() < 0.7}}


_ALSO: Mapping[str, Callable[[Luck], Knobs]] = {
    "undone requests": _before_the_work,
    "429": _storm_of_429,
    "503": _storm_of_503,
    "short tokens": _short_tokens,
    "slow lists": _slow_lists,
    "poor echoes": _poor_echoes,
    "stalls": _stalls,
    "nothing else": lambda _: {},
}


def bad(luck: Luck) -> tuple[str, Knobs]:
    """Draw lost answers and one fault more; return its name, and every knob that it needs."""
    name = luck.choice(list(_ALSO))
    base = {"latency": luck.choice([0.0, 0.02, 0.05]), **_after_the_work(luck)}
    return name, {**CALM, **base, **_ALSO[name](luck)}
