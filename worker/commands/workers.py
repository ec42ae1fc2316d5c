"""``workers``: which workers and schedulers are alive, for which accounts, and what they are doing."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterable, Sequence
from typing import Any

import click

from worker.commands.context import Context, settings_options
from worker.commands.facts import print_json
from worker.commands.options import json_option
from worker.commands.screen import print_on_stdout
from worker.errors import UsageError
from worker.ledger import RunWork, Work
from worker.reasons import plural
from worker.tasks import CeleryQueue
from worker.waits import span, worded

Facts = dict[str, Any]


@click.command("workers")
@json_option
@settings_options
def workers(as_json: bool, **given: Any) -> int:
    """List the workers and schedulers that are alive, on all hosts, and what they are doing.

    All of them that share the ledger are listed, whatever account is set. The exit code is 0 even if there
    are none.
    """
    context = Context(given)
    if not context.settings.broker:
        raise UsageError(
            "SIPROSTER_BROKER is not set: workers announce themselves on the broker",
            "set it as for the workers; without a broker, `siproster import` does the work itself, and "
            "`siproster jobs` lists running jobs",
        )
    workers, schedulers = CeleryQueue.at(context.settings.broker, context.ledger.identity).announced()
    work, runs = context.ledger.figures.work(), context.ledger.figures.runs()
    found = {
        "workers": [_worker(one, work) for one in _by_process(workers)],
        "schedulers": [_scheduler(one, runs) for one in schedulers],
    }
    if as_json:
        print_json(found)
    else:
        _print(found)
    return 0


def _by_process(announced: Sequence[Facts]) -> list[list[Facts]]:
    """Return the announcements grouped by worker: each worker makes one for each of its accounts."""
    by_process: dict[tuple[str, int], list[Facts]] = {}
    for facts in announced:
        by_process.setdefault((facts["machine"], facts["pid"]), []).append(facts)
    return list(by_process.values())


def _worker(announced: Sequence[Facts], work: Sequence[Work]) -> Facts:
    first = announced[0]
    return {
        **_process(first),
        "processes": first["processes"],
        "accounts": [{"account": one["account"], "host": one["host"]} for one in announced],
        "working_on": [
            {
                "pid": _pid(one.process), "job": one.job, "chunk": one.chunk, "account": one.account,
                "rows": one.rows, "rows_done": one.rows_done, "seconds": round(one.seconds, 1),
                "waits": worded(one.wait) if one.wait else None,
            }
            for one in work if _belongs(one.process, first)
        ],
    }  # fmt: skip


def _scheduler(announced: Facts, runs: Iterable[RunWork]) -> Facts:
    return {
        **_process(announced),
        "runs": [
            {
                "pid": _pid(one.process), "schedule": one.schedule, "slot": _iso(one.slot),
                "job": one.job or None, "seconds": round(one.seconds, 1),
            }
            for one in runs if _belongs(one.process, announced)
        ],
    }  # fmt: skip


def _process(announced: Facts) -> Facts:
    since = announced["since"]
    return {
        "machine": announced["machine"], "pid": announced["pid"], "version": announced["version"],
        "since": _iso(since), "seconds": round(max(0.0, time.time() - since), 1),
    }  # fmt: skip


def _belongs(process: str, announced: Facts) -> bool:
    """Return whether a process, as leases name it, is the announced one or a child of it."""
    machine = process.rpartition(":")[0]
    return machine == announced["machine"] and _pid(process) in (announced["pid"], *announced["pool"])


def _pid(process: str) -> int:
    return int(process.rpartition(":")[2].partition(".")[0])


def _iso(epoch: float) -> str:
    return dt.datetime.fromtimestamp(epoch, dt.UTC).isoformat(timespec="seconds")


def _print(found: Facts) -> None:
    for one in found["workers"]:
        accounts = ", ".join(sorted(account["account"] for account in one["accounts"]))
        busy = len(one["working_on"])
        print_on_stdout(f"{_line('worker', one)}, {plural(one['processes'], 'process', 'processes')}, "
                        f"{busy} at work; {_accounts(one['accounts'])} {accounts}")  # fmt: skip
        for work in one["working_on"]:
            print_on_stdout(f"  {work['pid']}: job {work['job']}, chunk {work['chunk']}: "
                            f"{work['rows_done']:,} of {plural(work['rows'], 'row')}, "
                            f"for {span(work['seconds'])}"
                            + (f"; {work['waits']}" if work["waits"] else ""))  # fmt: skip
    for one in found["schedulers"]:
        print_on_stdout(_line("scheduler", one))
        for run in one["runs"]:
            job = f", job {run['job']}" if run["job"] else ""
            slot = f"{dt.datetime.fromisoformat(run['slot']):%Y-%m-%d %H:%MZ}"
            print_on_stdout(
                f"  {run['pid']}: schedule {run['schedule']}, {slot}{job}, for {span(run['seconds'])}"
            )
    for kind in ("worker", "scheduler"):
        if not found[f"{kind}s"]:
            print_on_stdout(f"no {kind} is running; start one with: siproster {kind}")


def _line(kind: str, one: Facts) -> str:
    return f"{kind} {one['machine']}:{one['pid']}  version {one['version']}, up for {span(one['seconds'])}"


def _accounts(accounts: Sequence[Facts]) -> str:
    return "account" if len(accounts) == 1 else "accounts"
